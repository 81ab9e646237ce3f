from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from mmlego.data import (
    ClassTarget,
    SurvivalTarget,
    load_cohort,
    make_fold,
    make_splits,
)
from mmlego.data.folds.binning import assign_bins, fit_bin_edges
from mmlego.data.folds.scaling import CLIP, fit_scaler
from mmlego.errors import DataError, ModalityError

SCALINGS = ["standard", "signed_log", "quantile", "minmax", "none"]


@pytest.fixture
def fold():
    cohort = load_cohort("synthetic", missing=0.3, n=80)
    return make_fold(cohort, make_splits(cohort)[0])


def test_bins_equal_the_reference(root):
    case = json.loads((root / "tests/reference/mmlego.json").read_text())["survival_bins"]
    time, event = np.array(case["times"]), np.array(case["censorship"]) == 0
    edges = fit_bin_edges(time, event)
    np.testing.assert_allclose(edges, case["edges_used"], atol=1e-9)
    assert assign_bins(time, edges).tolist() == case["y_bin"]


def test_bins_are_left_closed_and_open_ended():
    edges = np.array([0.0, 1.0, 2.0, 3.0, 4.0])
    assert assign_bins([-5.0, 0.0, 1.0, 1.999, 2.0, 3.0, 99.0], edges).tolist() == [
        0,
        0,
        1,
        1,
        2,
        3,
        3,
    ]


def test_bins_without_events_or_with_ties_are_refused():
    with pytest.raises(DataError, match="expected observed events .* got 0 of 3"):
        fit_bin_edges(np.arange(3.0), np.zeros(3, dtype=bool))
    with pytest.raises(DataError, match="expected 5 distinct edges"):
        fit_bin_edges(np.full(9, 2.0), np.ones(9, dtype=bool))
    with pytest.raises(DataError, match="n_bins of 2 or more"):
        fit_bin_edges(np.arange(9.0), np.ones(9, dtype=bool), n_bins=1)


@pytest.mark.parametrize("name", ["transbig", "wdbc", "synthetic"])
def test_test_and_validation_rows_move_nothing_that_is_fitted(name):
    cohort = load_cohort(name)
    split = make_splits(cohort)[0]
    before = make_fold(cohort, split)
    after = make_fold(_disturbed(cohort, np.concatenate([split.test, split.val])), split)
    _assert_same_fit(before, after)
    changed = {
        m: before.test.batch().inputs[m] != after.test.batch().inputs[m] for m in cohort.names
    }
    assert all(c.any() for c in changed.values())


@pytest.mark.parametrize("name", ["tcga-blca", "tcga-brca", "tcga-kirp", "tcga-ucec"])
def test_test_rows_of_real_cohorts_move_nothing_that_is_fitted(real, name):
    cohort = real(name)
    split = make_splits(cohort)[0]
    after = make_fold(_disturbed(cohort, np.concatenate([split.test, split.val])), split)
    _assert_same_fit(make_fold(cohort, split), after)


def test_training_rows_do_move_the_fit():
    cohort = load_cohort("transbig")
    split = make_splits(cohort)[0]
    after = make_fold(_disturbed(cohort, split.train[:5]), split)
    before = make_fold(cohort, split)
    assert (before.scalers["genes"].mean != after.scalers["genes"].mean).any()
    assert (before.bin_edges != after.bin_edges).any()


def test_training_features_have_mean_zero_and_unit_variance():
    cohort = load_cohort("synthetic", missing=0.3, noise=0.1)
    fold = make_fold(cohort, make_splits(cohort)[0])
    rows = fold.train.values["tab"][fold.train.present["tab"]]
    torch.testing.assert_close(rows.mean(0), torch.zeros(16), atol=1e-5, rtol=0)
    torch.testing.assert_close(rows.std(0, correction=0), torch.ones(16), atol=1e-4, rtol=0)
    instances = torch.cat(fold.train.values["bag"])
    torch.testing.assert_close(instances.mean(0), torch.zeros(16), atol=1e-5, rtol=0)
    steps = fold.train.values["series"][fold.train.present["series"]].reshape(-1, 16)
    torch.testing.assert_close(steps.std(0, correction=0), torch.ones(16), atol=1e-4, rtol=0)


@pytest.mark.parametrize("scaling", SCALINGS)
def test_missing_values_become_the_training_mean(make_modality, scaling):
    rng = np.random.default_rng(0)
    values = rng.lognormal(size=(50, 2))
    values[:10, 0] = np.nan
    scaler = fit_scaler(make_modality(values, scaling=scaling))
    filled = scaler(np.full((1, 2), np.nan))
    expected = {"none": scaler.mean, "minmax": scaler(scaler.mean[None])[0]}
    expected = expected.get(scaling, np.zeros(2))
    np.testing.assert_allclose(filled[0], expected, rtol=1e-6)
    if scaling == "none":
        np.testing.assert_allclose(scaler.mean, np.nanmean(values, axis=0))


@pytest.mark.parametrize("scaling", SCALINGS)
def test_constant_and_empty_features_stay_finite(make_modality, scaling):
    values = np.column_stack([np.full(20, 3.7), np.full(20, np.nan), np.arange(20.0)])
    scaler = fit_scaler(make_modality(values, scaling=scaling))
    out = scaler(np.array([[9.0, 9.0, 1.0], [np.nan, np.nan, np.nan]]))
    assert np.isfinite(out).all()
    if scaling != "none":
        assert (out[:, :2] == 0).all()


@pytest.mark.parametrize("scaling", ["standard", "signed_log", "quantile"])
def test_outliers_are_clipped_and_order_is_kept(make_modality, scaling):
    values = np.random.default_rng(1).standard_normal((200, 1))
    scaler = fit_scaler(make_modality(values, scaling=scaling))
    out = scaler(np.array([[-1e9], [-1.0], [0.0], [1.0], [1e9]]))[:, 0]
    assert np.abs(out).max() <= CLIP
    assert (np.diff(out) > 0).all()


def test_quantile_scaling_makes_skewed_features_normal(make_modality):
    values = np.exp(3 * np.random.default_rng(2).standard_normal((500, 1)))
    out = fit_scaler(make_modality(values, scaling="quantile"))(values)[:, 0]
    assert np.mean(out**3) == pytest.approx(0, abs=0.1)


def test_minmax_scaling_is_that_of_the_published_code(make_modality):
    rng = np.random.default_rng(5)
    values = rng.lognormal(size=(30, 3)).astype(np.float32)
    scaler = fit_scaler(make_modality(values, scaling="minmax"))
    low, span = values.min(axis=0), np.ptp(values, axis=0)
    new = 20 * rng.standard_normal((5, 3)).astype(np.float32)
    expected = (new.astype(float) - low) / (span.astype(float) + 1e-10)
    np.testing.assert_allclose(scaler(new), expected, rtol=1e-5)
    assert np.abs(scaler(new)).max() > 1  # nothing is clipped
    inside = scaler(values)
    np.testing.assert_allclose([inside.min(axis=0), inside.max(axis=0)], [[0] * 3, [1] * 3])


def test_images_are_scaled_by_channel(make_cohort, make_modality):
    values = np.random.default_rng(3).standard_normal((40, 2, 4, 5)) * [[[[1.0]], [[50.0]]]]
    image = make_modality(values, kind="image", features=("red", "green"))
    cohort = make_cohort(modalities={"m": image})
    fold = make_fold(cohort, make_splits(cohort)[0])
    out = fold.train.values["m"]
    assert out.shape == (28, 2, 4, 5)
    torch.testing.assert_close(out.std((0, 2, 3), correction=0), torch.ones(2), atol=1e-4, rtol=0)
    assert fold.widths == {"m": 2}


def test_absent_samples_are_zeros_whatever_is_stored_for_them(make_cohort, make_modality):
    rng = np.random.default_rng(4)
    present = rng.random(40) < 0.7
    clean, dirty = np.zeros((2, 40, 3))
    clean[present] = dirty[present] = rng.standard_normal((present.sum(), 3))
    dirty[~present] = 1e6
    folds = []
    for values in (clean, dirty):
        cohort = make_cohort(modalities={"m": make_modality(values, present=present)})
        folds.append(make_fold(cohort, make_splits(cohort)[0]))
    for part in ("train", "val", "test"):
        a, b = (f.parts()[part].batch() for f in folds)
        assert torch.equal(a.inputs["m"], b.inputs["m"])
        assert (b.inputs["m"][~b.present["m"]] == 0).all()


def test_no_event_in_training_is_an_error(make_cohort):
    cohort = make_cohort(target=SurvivalTarget(np.arange(1.0, 41), np.zeros(40, dtype=bool)))
    with pytest.raises(
        DataError, match="expected observed events in the training part, got 0 of 28"
    ):
        make_fold(cohort, make_splits(cohort)[0])


def test_one_class_in_training_is_an_error(make_cohort):
    target = ClassTarget(np.zeros(40, dtype=int), ("benign", "malignant"))
    cohort = make_cohort(task="classification", target=target)
    with pytest.raises(DataError, match=r"two or more classes .* got only \['benign'\]"):
        make_fold(cohort, make_splits(cohort)[0])


def test_a_modality_that_no_training_sample_has_is_an_error(make_cohort, make_modality):
    cohort = make_cohort()
    split = make_splits(cohort)[0]
    present = np.ones(40, dtype=bool)
    present[split.train] = False
    values = cohort.modalities["m"].values
    cohort = make_cohort(modalities={"m": make_modality(values, present=present)})
    with pytest.raises(DataError, match="modality 'm': expected training samples that have it"):
        make_fold(cohort, split)


def test_broken_splits_are_refused(make_cohort):
    cohort = make_cohort(groups=np.repeat([f"p{i}" for i in range(20)], 2))
    split = make_splits(cohort)[0]
    with pytest.raises(DataError, match="every row in one part"):
        make_fold(cohort, replace(split, test=split.train))
    with pytest.raises(DataError, match="expected positions in 0..39"):
        make_fold(cohort, replace(split, test=np.array([40])))
    with pytest.raises(DataError, match="got none in 'val'"):
        make_fold(cohort, replace(split, val=np.array([], dtype=int)))
    moved = replace(split, train=split.train[1:], test=np.append(split.test, split.train[0]))
    with pytest.raises(DataError, match="every patient in one part"):
        make_fold(cohort, moved)
    assert make_fold(cohort, replace(moved, unit="row")).unit == "row"


def test_batches_cover_everything_once_and_are_ordered_by_the_generator(fold):
    plain = torch.cat([b.index for b in fold.train.batches(16)])
    assert plain.tolist() == list(range(len(fold.train)))
    orders = [
        torch.cat([b.index for b in fold.train.batches(16, torch.Generator().manual_seed(seed))])
        for seed in (5, 5, 6)
    ]
    assert torch.equal(orders[0], orders[1])
    assert not torch.equal(orders[0], orders[2])
    assert sorted(orders[2].tolist()) == plain.tolist()
    with pytest.raises(DataError, match="batch size of 1 or more"):
        next(fold.train.batches(0))


def test_bags_are_padded_and_masked(fold):
    batch = fold.train.batch()
    lengths = [len(bag) for bag in fold.train.values["bag"]]
    assert set(batch.masks) == {"bag"}
    for i, n in enumerate(lengths):
        assert batch.masks["bag"][i].sum() == max(n, 1)
        assert (batch.inputs["bag"][i, n:] == 0).all()
        assert (n > 0) == bool(batch.present["bag"][i])


def test_a_batch_equals_its_samples_one_by_one(fold):
    batch = fold.val.batch([4, 1])
    for row, i in enumerate([4, 1]):
        single = fold.val.batch([i])
        n = single.inputs["bag"].shape[1]
        assert torch.equal(batch.inputs["bag"][row, :n], single.inputs["bag"][0])
        assert torch.equal(batch.inputs["series"][row], single.inputs["series"][0])
        assert batch.target["time"][row] == single.target["time"][0]
    assert len(batch) == 2


def test_target_tensors_have_the_promised_types(fold):
    target = fold.test.batch().target
    assert {k: v.dtype for k, v in target.items()} == {
        "time_bin": torch.int64,
        "event": torch.bool,
        "time": torch.float64,
    }
    assert fold.n_outputs == 4
    cohort = load_cohort("wdbc")
    classes = make_fold(cohort, make_splits(cohort)[0])
    assert classes.n_outputs == 2
    assert classes.test.batch().target["label"].dtype == torch.int64


def test_having_keeps_samples_with_any_or_all(fold):
    present = fold.train.present
    both = fold.train.where_present(["tab", "bag"], how="all")
    assert len(both) == int((present["tab"] & present["bag"]).sum())
    assert both.present["bag"].all()
    assert len(fold.train.where_present(["tab", "bag"])) == int(
        (present["tab"] | present["bag"]).sum()
    )
    assert len(fold.train.where_present()) == len(fold.train)
    with pytest.raises(ModalityError, match=r"did you mean 'tab'\?"):
        fold.train.where_present(["tap"])
    with pytest.raises(ModalityError, match="'any' or 'all'"):
        fold.train.where_present(["tab"], how="some")


def test_select_and_subset_of_samples_agree_with_the_whole(fold):
    part = fold.train.select(["series"]).subset([2, 0])
    assert part.names == ("series",)
    assert part.widths == {"series": 16}
    assert torch.equal(part.batch().inputs["series"], fold.train.values["series"][[2, 0]])
    assert part.ids.tolist() == fold.train.ids[[2, 0]].tolist()


def _disturbed(cohort, rows):
    """The cohort with the values and times of some rows a thousand times as large."""

    def enlarged(m):
        if m.kind == "bag":
            bags = [b * 1000 + 1 if i in hit else b for i, b in enumerate(m.values)]
            return replace(m, values=bags)
        values = m.values.copy()
        values[rows] = values[rows] * 1000 + 1
        return replace(m, values=values)

    hit = set(rows.tolist())
    target = cohort.target
    if isinstance(target, SurvivalTarget):
        time = target.time.copy()
        time[rows] *= 1000
        target = replace(target, time=time)
    modalities = {name: enlarged(m) for name, m in cohort.modalities.items()}
    return replace(cohort, modalities=modalities, target=target)


def _assert_same_fit(a, b):
    for name in a.names:
        np.testing.assert_array_equal(a.scalers[name].mean, b.scalers[name].mean)
        np.testing.assert_array_equal(a.scalers[name].std, b.scalers[name].std)
    if a.bin_edges is not None:
        np.testing.assert_array_equal(a.bin_edges, b.bin_edges)
    for name, values in a.train.values.items():
        pairs = zip(values, b.train.values[name], strict=True)
        assert all(torch.equal(x, y) for x, y in pairs)


def test_values_are_read_as_what_they_are(fold):
    train = fold.train
    bag = next(name for name in train.names if train.kinds[name] == "bag")
    table = next(name for name in train.names if train.kinds[name] == "tabular")
    assert train.bags(bag) is train.values[bag]
    assert train.tensor(table) is train.values[table]
    with pytest.raises(ModalityError, match=f"'{bag}': expected one tensor"):
        train.tensor(bag)
    with pytest.raises(ModalityError, match=f"'{table}': expected a bag"):
        train.bags(table)


def test_edges_and_classes_are_those_of_the_task(fold):
    assert fold.edges is fold.bin_edges
    with pytest.raises(DataError, match="expected classes"):
        _ = fold.class_names
    classes = replace(fold, bin_edges=None, classes=("no", "yes"))
    assert classes.class_names == ("no", "yes")
    with pytest.raises(DataError, match="expected time bins"):
        _ = classes.edges
