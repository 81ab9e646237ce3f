from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from mmlego.bench.withholding import (
    complete_training,
    divide_patients,
    doubled,
    keep_only,
    one_instance,
    only,
    scarce_in_training,
    share_withheld,
    strata,
    withhold_at_random,
)
from mmlego.errors import DataError, ModalityError

NAMES = ("clin", "img", "rna")


def _present(samples, names=NAMES):
    return torch.stack([samples.present[name] for name in names], dim=1)


def _chance(samples, seed=1):
    return np.random.default_rng(seed).random((len(samples), len(NAMES)))


def test_withheld_values_are_gone_and_the_rest_stays(fold):
    train = fold.train
    keep = torch.arange(len(train)) % 2 == 0
    less = keep_only(train, {"clin": keep, "img": keep})
    assert torch.equal(less.present["clin"], keep)
    assert torch.equal(less.present["img"], keep & train.present["img"])
    assert not less.values["clin"][~keep].any()
    assert torch.equal(less.values["clin"][keep], train.values["clin"][keep])
    assert all(len(bag) == 0 for bag, yes in zip(less.values["img"], keep, strict=True) if not yes)
    assert less.values["rna"] is train.values["rna"]
    assert train.present["clin"].all()


def test_nan_in_what_is_withheld_does_not_survive(fold):
    values = torch.full_like(fold.train.values["clin"], torch.nan)
    broken = replace(fold.train, values=fold.train.values | {"clin": values})
    assert torch.isfinite(only(broken, ("clin", "rna"), "rna").values["clin"]).all()


def test_an_unknown_modality_cannot_be_withheld(fold):
    with pytest.raises(ModalityError, match=r"got \['x'\]"):
        keep_only(fold.train, {"x": torch.ones(len(fold.train), dtype=torch.bool)})


def test_only_one_modality_is_left(fold):
    less = only(fold.test, NAMES, "img")
    assert torch.equal(less.present["img"], fold.test.present["img"])
    assert not less.present["clin"].any()
    assert not less.present["rna"].any()


def test_nobody_loses_everything_and_more_is_withheld_at_higher_rates(fold):
    chance, before = _chance(fold.train), _present(fold.train)
    last = before
    for rate in (0.0, 0.3, 0.6, 0.99):
        less = withhold_at_random(fold.train, NAMES, rate, chance)
        now = _present(less)
        assert now.any(dim=1).all()
        assert not (now & ~last).any(), "what was withheld at a lower rate came back"
        last = now
    assert torch.equal(_present(withhold_at_random(fold.train, NAMES, 0.0, chance)), before)
    assert last.sum() == len(fold.train)
    assert share_withheld(fold.train, less, NAMES) == pytest.approx(1 - 42 / int(before.sum()))


def test_a_rate_is_the_share_that_is_withheld_of_those_who_keep_something(fold):
    shares = [
        share_withheld(
            fold.train, withhold_at_random(fold.train, NAMES, 0.3, _chance(fold.train, s)), NAMES
        )
        for s in range(40)
    ]
    # 0.3 of three independent flags, less the 0.3 ** 3 of samples that get one back.
    assert np.mean(shares) == pytest.approx(0.3 - 0.3**3 / 3, abs=0.015)


def test_complete_training_leaves_the_test_part_alone(fold):
    thin = replace(
        fold, train=keep_only(fold.train, {"rna": torch.arange(len(fold.train)) % 3 > 0})
    )
    found = complete_training(thin, ("clin", "rna"))
    kept = thin.train.has(("clin", "rna"), how="all")
    assert 0 < len(found.train) == int(kept.sum()) < len(thin.train)
    assert set(found.train.ids) == set(np.asarray(thin.train.ids)[kept.numpy()])
    assert bool(_present(found.train, ("clin", "rna")).all())
    assert bool(_present(found.val, ("clin", "rna")).all())
    assert found.test is fold.test


def test_complete_training_refuses_what_changes_nothing_or_leaves_nobody(fold):
    with pytest.raises(DataError, match="complete ones only.*leave this out"):
        complete_training(replace(fold, train=fold.train.where_present(NAMES, how="all")), NAMES)
    nobody = replace(fold, val=only(fold.val, NAMES, "clin"))
    thin = replace(nobody, train=only(fold.train.subset([0, 1, 2]), NAMES, "clin"))
    with pytest.raises(DataError, match="in the train part, got none"):
        complete_training(thin, NAMES)


def test_a_scarce_modality_is_withheld_from_training_alone(fold):
    found = {share: scarce_in_training(fold, "rna", share, 3) for share in (0.1, 0.5, 1.0)}
    kept = {share: set(np.flatnonzero(f.train.present["rna"])) for share, f in found.items()}
    assert [len(kept[share]) for share in (0.1, 0.5, 1.0)] == [4, 21, 42]
    assert kept[0.1] < kept[0.5] < kept[1.0]
    assert found[1.0] is fold
    for less in found.values():
        assert less.val is fold.val
        assert less.test is fold.test
        assert less.train.present["clin"].all()
        assert len(less.train) == len(fold.train)


def test_a_scarce_modality_is_drawn_alike_from_every_outcome(fold):
    halves = [
        scarce_in_training(fold, "rna", 0.5, seed).train.present["rna"].numpy() for seed in range(8)
    ]
    events = int(strata(fold.train).sum())
    assert all(abs(strata(fold.train)[half].sum() - events / 2) <= 1 for half in halves)
    assert len({tuple(half) for half in halves}) == len(halves)


@pytest.mark.parametrize("part", ["train", "val"])
def test_division_of_patients(fold, part):
    size = len(getattr(fold, part)) // 2
    first = {}
    for overlap in (0.0, 0.25, 0.5, 1.0):
        less = getattr(divide_patients(fold, ("clin", "rna"), overlap, 5), part)
        has, other = (less.present[name].numpy() for name in ("clin", "rna"))
        assert has.sum() == other.sum() == size, "the amount of data depends on the overlap"
        assert (has & other).sum() == round(overlap * size)
        first[overlap] = set(np.flatnonzero(has))
    assert all(rows == first[0.0] for rows in first.values())


def test_rows_of_a_patient_stay_together_and_only_complete_ones_take_part(fold):
    groups = np.repeat(np.arange(len(fold.train) // 2), 2).astype(str)
    grouped = replace(fold, train=replace(fold.train, groups=groups))
    less = divide_patients(grouped, ("clin", "img"), 0.0, 5).train
    has, other = (less.present[name].numpy() for name in ("clin", "img"))
    assert not set(groups[has]) & set(groups[other])
    size = len(set(groups[fold.train.present["img"].numpy()])) // 2
    assert len(set(groups[has])) == len(set(groups[other])) == size
    assert (fold.train.present["img"].numpy() | ~has).all()
    assert less.present["rna"].all()


def test_division_needs_two_patients(fold):
    alone = replace(fold, val=fold.val.subset([0]))
    with pytest.raises(DataError, match="val part: expected two patients or more"):
        divide_patients(alone, ("clin", "rna"), 0.5, 1)


def test_bags_with_one_instance_and_with_each_twice(fold):
    test = fold.test
    one, twice = one_instance(test, "img", 1), doubled(test, "img")
    for bag, single, double in zip(
        test.values["img"], one.values["img"], twice.values["img"], strict=True
    ):
        assert len(single) == min(len(bag), 1)
        assert all(any(torch.equal(row, other) for other in bag) for row in single)
        assert torch.equal(double, torch.cat([bag, bag]))
    picks = [one_instance(test, "img", seed).values["img"] for seed in (1, 1, 2)]
    full = [i for i, bag in enumerate(test.values["img"]) if len(bag)]
    assert all(torch.equal(picks[0][i], picks[1][i]) for i in full)
    assert any(not torch.equal(picks[0][i], picks[2][i]) for i in full)
