"""Splits that follow the publisher: an official test part, and donors left out."""

from __future__ import annotations

import numpy as np
import pytest

from mmlego.data import ClassTarget, load_splits, make_fold, make_splits, save_splits
from mmlego.data.folds.splits import UNITS, usual_repeats
from mmlego.errors import DataError

N = 120
FOLLOWING = ["official", "official_full", "donor"]


def labels(n=N):
    return ClassTarget(np.arange(n) % 4 // 3, ("often", "rare"))


@pytest.fixture
def official(make_cohort):
    """The first 100 samples are the official training part, two of each group."""
    return make_cohort(
        n=N,
        task="classification",
        target=labels(),
        groups=np.array([f"p{i // 2:03d}" for i in range(N)]),
        division=np.where(np.arange(N) < 100, "train", "test"),
    )


@pytest.fixture
def donated(make_cohort):
    return make_cohort(
        n=N,
        task="classification",
        target=labels(),
        division=np.array(["32606", "13176", "31800"])[np.arange(N) % 3],
    )


def test_the_official_test_part_is_that_of_every_repeat(official):
    splits = make_splits(official, repeats=4, unit="official")
    for split in splits:
        assert split.test.tolist() == list(range(100, N))
        assert sorted([*split.train, *split.val]) == list(range(100))
        # int(15/85 of 50 groups) groups of two
        assert len(split.val) == 2 * int(50 * 15 / 85)
        assert not set(official.groups[split.val]) & set(official.groups[split.train])
        assert official.target.label[split.val].mean() == pytest.approx(0.25, abs=0.07)
    assert len({tuple(s.val) for s in splits}) == 4
    again = make_splits(official, repeats=1, unit="official")[0]
    assert again.val.tolist() == splits[0].val.tolist()


def test_a_published_validation_part_is_taken_as_it_is(make_cohort):
    parts = np.array(["train"] * 80 + ["val"] * 20 + ["test"] * 20)
    parts = parts[np.random.default_rng(0).permutation(N)]
    cohort = make_cohort(n=N, task="classification", target=labels(), division=parts)
    for split in make_splits(cohort, repeats=3, unit="official"):
        for part, index in split.parts().items():
            assert index.tolist() == np.flatnonzero(parts == part).tolist()
    full = make_splits(cohort, repeats=1, unit="official_full")[0]
    assert full.train.tolist() == np.flatnonzero(parts != "test").tolist()
    assert len(full.val) == 0


def test_the_order_of_the_rows_does_not_matter(official, donated):
    for cohort, unit in ((official, "official"), (donated, "donor")):
        shuffled = cohort.subset(np.random.default_rng(1).permutation(N))
        for a, b in zip(
            make_splits(cohort, repeats=3, unit=unit),
            make_splits(shuffled, repeats=3, unit=unit),
            strict=True,
        ):
            assert set(cohort.ids[a.val]) == set(shuffled.ids[b.val])
            assert set(cohort.ids[a.test]) == set(shuffled.ids[b.test])


def test_all_of_the_official_training_part_can_be_trained_on(official):
    for split in make_splits(official, repeats=2, unit="official_full"):
        assert split.train.tolist() == list(range(100))
        assert split.test.tolist() == list(range(100, N))
        assert len(split.val) == 0
        fold = make_fold(official, split)
        assert (len(fold.train), len(fold.val), len(fold.test)) == (100, 0, 20)
        assert fold.val.values["m"].shape == (0, 3)
        assert fold.val.kinds == fold.test.kinds
        assert list(fold.val.batches(8)) == []


def test_each_donor_is_left_out_once(donated):
    splits = make_splits(donated, repeats=3, unit="donor")
    assert [s.held_out for s in splits] == ["13176", "31800", "32606"]
    for split in splits:
        assert set(donated.division[split.test]) == {split.held_out}
        rest = np.concatenate([split.train, split.val])
        assert split.held_out not in donated.division[rest]
        assert len(rest) == 80
        assert len(split.val) == 16  # a fifth
        assert donated.target.label[split.val].mean() == pytest.approx(0.25, abs=0.07)
        assert make_fold(donated, split).held_out == split.held_out
    assert make_splits(donated, unit="patient")[0].held_out is None


def test_more_repeats_than_donors_are_refused(donated):
    with pytest.raises(DataError, match="at most 3 repeats, one for each of 13176, 31800, 32606"):
        make_splits(donated, repeats=4, unit="donor")


def test_one_donor_cannot_be_left_out(donated):
    with pytest.raises(DataError, match="two or more donors, got only '13176'"):
        make_splits(donated.subset(donated.division == "13176"), repeats=1, unit="donor")


@pytest.mark.parametrize("unit", FOLLOWING)
def test_a_cohort_without_a_division_is_refused(make_cohort, unit):
    with pytest.raises(DataError, match="expected a cohort with a published division"):
        make_splits(make_cohort(), unit=unit)


@pytest.mark.parametrize("unit", ["official", "official_full"])
def test_donors_are_no_official_parts(donated, official, unit):
    with pytest.raises(DataError, match="into train and test, got 13176, 31800, 32606"):
        make_splits(donated, repeats=1, unit=unit)
    with pytest.raises(DataError, match="into train and test, got train"):
        make_splits(official.subset(np.arange(50)), repeats=1, unit=unit)


@pytest.mark.parametrize("unit", FOLLOWING)
def test_a_patient_on_both_sides_of_the_division_is_refused(make_cohort, unit):
    division = np.where(np.arange(N) % 2, "train", "test")
    groups = [f"p{i // 2}" for i in range(N)]
    cohort = make_cohort(
        n=N, task="classification", target=labels(), groups=groups, division=division
    )
    with pytest.raises(DataError, match="expected every patient in one part of the published"):
        make_splits(cohort, repeats=1, unit=unit)


def test_only_the_full_official_part_may_lack_validation(official):
    split = make_splits(official, repeats=1, unit="official_full")[0]
    for unit in set(UNITS) - {"official_full"}:
        with pytest.raises(DataError, match="got none in 'val'"):
            make_fold(official, type(split)(1, unit, split.train, split.val, split.test))
    with pytest.raises(DataError, match="got none in 'test'"):
        make_fold(official, type(split)(1, "official_full", split.train, split.val, split.val))


def test_files_tell_the_units_apart(official, donated, tmp_path):
    for cohort, unit, name in (
        (official, "patient", "toy.csv"),
        (official, "official", "toy.official.csv"),
        (donated, "donor", "toy.donors.csv"),
    ):
        splits = make_splits(cohort, repeats=3, unit=unit)
        assert save_splits(cohort, splits, tmp_path).name == name
        read = load_splits(cohort, 3, unit, folder=tmp_path)
        assert [s.source for s in read] == [name] * 3
        assert [s.held_out for s in read] == [s.held_out for s in splits]
        assert [s.val.tolist() for s in read] == [s.val.tolist() for s in splits]
    assert "no split file" in load_splits(official, 1, "official_full", folder=tmp_path)[0].source


def test_the_usual_number_of_repeats_fits_the_unit(official, donated):
    assert usual_repeats(official, "official") == usual_repeats(official, "patient") == 25
    assert usual_repeats(official, "official_full") == 1
    assert usual_repeats(donated, "donor") == 3
    assert usual_repeats(donated, "row") == 5
