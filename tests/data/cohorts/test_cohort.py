from __future__ import annotations

import numpy as np
import pytest

from mmlego.data import ClassTarget, SurvivalTarget, load_cohort
from mmlego.data.cohorts.load import cap
from mmlego.errors import DataError, ModalityError


def test_duplicate_ids_are_refused(make_cohort):
    ids = np.array(["a", "b", "a"] + [f"x{i}" for i in range(37)])
    with pytest.raises(DataError, match="duplicates 'a'"):
        make_cohort(ids=ids)


def test_lengths_must_agree(make_cohort, make_modality):
    with pytest.raises(DataError, match="expected one length"):
        make_cohort(modalities={"m": make_modality(np.zeros((39, 2)))})
    with pytest.raises(DataError, match="one flag 'present' per sample"):
        make_modality(np.zeros((4, 2)), present=np.ones(3, dtype=bool))
    with pytest.raises(DataError, match="with 3 features"):
        make_modality(np.zeros((4, 2)), features=("a", "b", "c"))


def test_a_division_has_one_entry_per_sample_and_is_carried_along(make_cohort):
    division = np.repeat(["train", "test"], 20)
    cohort = make_cohort(division=division)
    assert cohort.subset([3, 30]).division.tolist() == ["train", "test"]
    assert cap(cohort, 10).division.shape == (10,)
    assert cohort.select(["m"]).division.tolist() == division.tolist()
    assert cohort.describe()["division"] == {"test": 20, "train": 20}
    assert cohort.fingerprint() != make_cohort().fingerprint()
    assert make_cohort().division is None
    with pytest.raises(DataError, match="expected one length, got .*division: 39"):
        make_cohort(division=division[:39])


def test_nan_is_allowed_and_infinity_is_not(make_modality):
    values = np.zeros((3, 2))
    values[0, 0] = np.nan
    assert make_modality(values).missing_values() == pytest.approx(1 / 6)
    values[1, 1] = -np.inf
    with pytest.raises(DataError, match="expected finite values or NaN, got infinity"):
        make_modality(values)
    assert make_modality(values, present=np.array([True, False, True])).width == 2


def test_an_empty_bag_must_be_absent(make_modality):
    bags = [np.ones((2, 3)), np.ones((0, 3))]
    with pytest.raises(DataError, match="empty bag in row 1"):
        make_modality(bags, kind="bag")
    assert len(make_modality(bags, kind="bag", present=np.array([True, False]))) == 2


def test_bags_of_another_width_or_with_infinity_are_refused(make_modality):
    with pytest.raises(DataError, match=r"expected bags of shape \(n_i, 3\)"):
        make_modality([np.ones((2, 3)), np.ones((2, 4))], kind="bag")
    with pytest.raises(DataError, match="got infinity"):
        make_modality([np.full((2, 3), np.inf)], kind="bag")


def test_a_misspelled_kind_or_scaling_is_refused(make_modality):
    with pytest.raises(DataError, match=r"did you mean 'tabular'\?"):
        make_modality(np.zeros((3, 2)), kind="tabuler")
    with pytest.raises(DataError, match="expected scaling to be one of"):
        make_modality(np.zeros((3, 2)), scaling="log")


@pytest.mark.parametrize("time", [-1.0, np.nan, np.inf])
def test_bad_times_are_refused(time):
    with pytest.raises(DataError, match="expected finite times >= 0"):
        SurvivalTarget(np.array([1.0, time]), np.array([1, 0]))


def test_bad_events_and_labels_are_refused():
    with pytest.raises(DataError, match="expected event flags 0 or 1"):
        SurvivalTarget(np.ones(2), np.array([1, 2]))
    with pytest.raises(DataError, match="expected labels in 0..1"):
        ClassTarget(np.array([0, 2]), ("a", "b"))
    with pytest.raises(DataError, match="two or more distinct classes"):
        ClassTarget(np.array([0, 0]), ("a",))
    with pytest.raises(DataError, match="integer labels"):
        ClassTarget(np.array([0.0, 1.0]), ("a", "b"))


def test_task_and_target_must_agree(make_cohort):
    labels = ClassTarget(np.arange(40) % 2, ("a", "b"))
    with pytest.raises(DataError, match="expected a survival target, got a classification target"):
        make_cohort(task="survival", target=labels)


def test_unknown_modalities_suggest_the_nearest():
    with pytest.raises(ModalityError, match=r"modality 'gene'.*did you mean 'genes'\?"):
        load_cohort("transbig", modalities=["gene"])
    with pytest.raises(ModalityError, match="expected at least one name"):
        load_cohort("transbig", modalities=[])


def test_a_sample_without_any_modality_is_an_error(make_cohort, make_modality):
    present = np.ones(40, dtype=bool)
    present[7] = False
    cohort = make_cohort(modalities={"m": make_modality(np.zeros((40, 2)), present=present)})
    with pytest.raises(DataError, match="at least one modality per sample, got none for 's007'"):
        cohort.require_some_modality()


def test_selection_keeps_samples_and_target(make_cohort):
    cohort = load_cohort("synthetic", missing=0.5)
    only = cohort.select(["bag"])
    assert only.names == ("bag",)
    assert (only.ids == cohort.ids).all()
    assert not only.modalities["bag"].present.all()


def test_subset_takes_positions_and_masks(make_cohort):
    cohort = load_cohort("synthetic")
    mask = np.zeros(cohort.n, dtype=bool)
    mask[[3, 5]] = True
    for part in (cohort.subset([3, 5]), cohort.subset(mask)):
        assert part.ids.tolist() == ["synthetic-00003", "synthetic-00005"]
        assert part.target.time.tolist() == cohort.target.time[[3, 5]].tolist()
        np.testing.assert_array_equal(
            part.modalities["bag"].values[1], cohort.modalities["bag"].values[5]
        )


def test_the_fingerprint_changes_with_content_only(make_cohort, make_modality):
    base = make_cohort()
    assert base.fingerprint() == make_cohort().fingerprint()
    values = base.modalities["m"].values.copy()
    values[0, 0] += 1
    assert make_cohort(modalities={"m": make_modality(values)}).fingerprint() != base.fingerprint()
    renamed = make_modality(base.modalities["m"].values, features=("x", "y", "z"))
    assert make_cohort(modalities={"m": renamed}).fingerprint() != base.fingerprint()


def test_summary_and_description_count_what_is_there():
    cohort = load_cohort("synthetic", missing={"tab": 0.4}, n=100)
    present = int(cohort.modalities["tab"].present.sum())
    assert cohort.summary().loc["tab", "present"] == present
    assert cohort.summary().loc["tab", "missing %"] == pytest.approx(100 - present)
    assert cohort.describe()["events"] == int(cohort.target.event.sum())
    assert load_cohort("wdbc").describe()["classes"] == {"benign": 357, "malignant": 212}


def test_the_cap_is_stratified_deterministic_and_noted():
    full = load_cohort("synthetic", n=400)
    capped = load_cohort("synthetic", n=400, max_samples=100)
    assert capped.n == 100
    assert capped.capped_from == 400
    assert full.capped_from is None
    assert (capped.ids == load_cohort("synthetic", n=400, max_samples=100).ids).all()
    assert capped.target.event.mean() == pytest.approx(full.target.event.mean(), abs=0.03)
    assert load_cohort("synthetic", n=50, max_samples=100).capped_from is None
    with pytest.raises(DataError, match="max_samples: expected 1 or more"):
        load_cohort("synthetic", max_samples=0)


def test_the_cap_keeps_patients_whole(make_cohort):
    groups = np.repeat([f"p{i}" for i in range(10)], 4)
    capped = cap(make_cohort(groups=groups), 18)
    assert capped.n == 16
    assert all((capped.groups == g).sum() == 4 for g in np.unique(capped.groups))


def test_unknown_units_and_options_are_refused():
    with pytest.raises(DataError, match="expected unit to be one of patient"):
        load_cohort("transbig", unit="row")
    with pytest.raises(DataError, match=r"got option 'sinergy'; did you mean 'synergy'\?"):
        load_cohort("synthetic", sinergy=1.0)
    with pytest.raises(DataError, match="no options, got option 'n'"):
        load_cohort("transbig", n=3)


def test_a_target_is_read_as_that_of_the_task():
    survival = load_cohort("synthetic")
    assert survival.survival_target is survival.target
    with pytest.raises(DataError, match="expected classes, got survival"):
        _ = survival.class_target
    classes = load_cohort("wdbc")
    assert classes.class_target is classes.target
    with pytest.raises(DataError, match="expected events and times, got classification"):
        _ = classes.survival_target
