from __future__ import annotations

from functools import wraps

import numpy as np
import pytest
import torch

from mmlego.bench import training
from mmlego.bench.common_starts import LATENT_AND_HEAD, latent_and_head
from mmlego.bench.fold_bench import Bench
from mmlego.bench.store.fits import FitStore
from mmlego.data.folds.fold import make_fold
from mmlego.data.folds.splits import make_splits
from mmlego.data.folds.tabular import with_tabular
from mmlego.errors import SettingsError
from mmlego.methods.names import ENSEMBLE, HEALNET, LATE_CONCAT, LEGO_MERGE
from mmlego.runs.settings import DisjointSettings
from mmlego.studies.robustness import disjoint, disjoint_page

TINY = {"epochs": 1, "depth": 1, "latent_channels": 4, "latent_dim": 8, "device": "cpu"}


@pytest.fixture(scope="module")
def joined(toy):
    cohort = toy()
    return with_tabular(make_fold(cohort, make_splits(cohort, repeats=1)[0]))


@pytest.fixture
def bench(joined, tmp_path):
    told = []
    settings = DisjointSettings.from_values(TINY)
    made = Bench(joined, settings, FitStore(tmp_path / "fits"), log=told.append)
    made.told = told
    return made


@pytest.fixture(scope="module")
def session(new_session, tmp_path_factory, toy):
    return new_session(
        DisjointSettings, tmp_path_factory.mktemp("results"), toy(), overlaps=[0.0, 1.0], epochs=1
    )


@pytest.fixture(scope="module")
def outcomes(session):
    return disjoint.run_all(session.folds, session.settings, session.store)


def test_nobody_is_trained_on_with_both_modalities_at_overlap_zero(joined):
    settings = DisjointSettings.from_values(TINY)
    apart = disjoint.divided(joined, 0.0, settings)
    for part in (apart.train, apart.val):
        assert not (part.present["tabular"] & part.present["img"]).any()
    assert apart.test is joined.test
    same = disjoint.counts(disjoint.divided(joined, 1.0, settings), ("tabular", "img"))
    assert same["n_first"] == same["n_second"] == same["n_both"] == same["n_any"]
    found = disjoint.counts(apart, ("tabular", "img"))
    assert found == {
        "n_first": same["n_first"],
        "n_second": same["n_first"],
        "n_both": 0,
        "n_any": 2 * same["n_first"],
    }


def test_all_methods_at_all_overlaps_on_the_same_patients(session, outcomes):
    keys = [(*o.labels.values(), o.repeat) for o in outcomes]
    assert len(set(keys)) == len(keys) == 2 * 2 * 5
    assert {o.method for o in outcomes} == {LEGO_MERGE, ENSEMBLE, LATE_CONCAT, HEALNET}
    for fold in session.folds:
        ids = fold.test.where_present(["tabular", "img"], how="all").ids
        for o in outcomes:
            if o.repeat == fold.repeat:
                assert list(o.ids) == list(ids)
    for o in outcomes:
        assert o.n_train == o.facts["n_any"]
        assert o.facts["n_first"] == o.facts["n_second"]


def test_the_first_modality_sees_the_same_patients_at_every_overlap(bench):
    disjoint.at_overlap(bench, 0.0)
    disjoint.at_overlap(bench, 1.0)
    keys = {}
    for o in bench.told:
        keys.setdefault((o.method, o.modality_key, o.condition), set()).add(o.key)
    assert len(keys["snn", "clin+rna", "overlap 0"] | keys["snn", "clin+rna", "overlap 1"]) == 1
    assert len(keys["abmil", "img", "overlap 0"] | keys["abmil", "img", "overlap 1"]) == 2


def test_blocks_from_a_common_start_share_latent_and_head_and_nothing_else(bench, monkeypatch):
    found = {}
    train = training.train_recipe

    @wraps(train)  # whose code is part of the key
    def keep(fold, recipe, build, store, **rest):
        if recipe.method == "lego_block":
            torch.manual_seed(recipe.seed_for(fold))
            found[recipe.names[0]] = build().model.state_dict()
        return train(fold, recipe, build, store, **rest)

    monkeypatch.setattr(training, "train_recipe", keep)
    start = latent_and_head(bench.fold, bench.settings)
    for name in ("tabular", "img"):
        bench.block(name, start=start)
    first, second = found["tabular"], found["img"]
    shared = {"latent", *(name for name in first if name.startswith("head."))}
    assert len(shared) == 5
    for name in set(first) & set(second):
        if first[name].shape == second[name].shape and first[name].std() > 0:
            assert torch.equal(first[name], second[name]) == (name in shared), name


def test_only_the_start_differs_from_the_independent_block(bench):
    """Same seed, hence the same other weights and batches; yet another fit."""
    start = latent_and_head(bench.fold, bench.settings)
    own, common = bench.block("img").outcome, bench.block("img", start=start).outcome
    assert own.key != common.key
    assert len(own.history) == len(common.history)
    assert not np.allclose(own.prediction["risk"], common.prediction["risk"])
    assert (own.arm, bench.told[-1].arm) == ("wrapped", LATENT_AND_HEAD)
    again = Bench(bench.fold, bench.settings, bench.store).block("img", start=start)
    assert again.key == common.key


def test_the_page_says_what_was_found(session, outcomes):
    story = disjoint_page
    text = story.division(session)
    assert "overlap 0: 17 training samples with `tabular` and 17 with `img`, 0 of them" in text
    table = story.differences(session, outcomes, story.MERGE, story.ENSEMBLE)
    assert list(table["overlap"]) == ["overlap 0", "overlap 1"]
    by_hand = [
        np.mean(
            [
                o.metrics["c_index"] * (1 if o.method == "lego_merge" else -1) * 2
                for o in outcomes
                if o.condition == name and not o.arm and o.method in ("lego_merge", "ensemble")
            ]
        )
        for name in table["overlap"]
    ]
    assert list(table["difference"]) == [f"{value:+.3f}" for value in by_hand]
    assert story.figure(session, outcomes).axes
    drawn = story.difference_figure(session, outcomes, story.MERGE, story.ENSEMBLE)
    means = [line.get_xdata()[0] for line in drawn.axes[0].lines if line.get_gid() == "mean"]
    np.testing.assert_allclose(means, by_hand, atol=1e-9)
    said = story.conclusion(session, outcomes)
    assert f"{story.COMMON_MERGE} minus {story.MERGE} lies between" in said
    assert f"{story.MERGE} at overlap 0: " in said
    assert "against HEALNet; over 2 repeats" in said


def test_an_overlap_is_a_share():
    for overlaps in ([], [-0.1], [1.5]):
        with pytest.raises(SettingsError):
            DisjointSettings.from_values({"overlaps": overlaps})
