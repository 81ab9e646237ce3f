"""What splits and scores are worth, on made-up results."""

from __future__ import annotations

import numpy as np
import pytest

from mmlego.bench.inputs import JOINED
from mmlego.studies.answer import protocol_page

ALL, BOTH = "clin+img+rna", "clin+rna"
SNN, BLOCK = ("snn", "", BOTH), ("lego_block", "", BOTH)
MERGED = ("lego_merge", JOINED, ALL)


@pytest.fixture
def long(noise):
    """Seven repeats, the last two far better."""
    return np.concatenate([noise, [0.2, 0.2]])


@pytest.fixture
def splits(results, noise, long):
    """The SNN under both kinds of splits, seven repeats by patient; the block under one."""
    results.benchmark({SNN: 0.6 + long, BLOCK: 0.7 + long, ("snn", "", "clin"): 0.1 + long}, "one")
    results.benchmark({SNN: 0.65 + noise, MERGED: 0.9 + noise}, "one", unit="row")
    results.benchmark({SNN: 0.9 + noise}, "one", unit="row", grid="b", tuned=False)
    return protocol_page.split_table(results.folder)


def test_models_that_ran_under_both_kinds_of_splits(splits, noise, long):
    assert set(zip(splits["cohort"], splits["method"], strict=True)) == {("one", "snn")}
    found = splits.set_index("unit")
    assert found.loc["patient", "mean"] == pytest.approx(0.6 + long.mean())
    assert found.loc["patient", "mean_first"] == pytest.approx(0.6 + noise.mean())
    assert found.loc["row", "mean"] == pytest.approx(0.65 + noise.mean())
    assert found["n"].to_dict() == {"patient": 7, "row": 5}, "all repeats of each"
    assert found["sd"].to_dict() == pytest.approx(
        {"patient": np.std(long, ddof=1), "row": np.std(noise, ddof=1)}
    )


def test_text_and_figure_of_splits(splits, noise, long):
    text = protocol_page.split_text(splits)
    change = 0.05 + noise.mean() - long.mean()
    assert f"splits by row give {change:+.3f} on average" in text
    assert f"{int(change > 0)} are higher by row" in text
    assert f"one {change:+.3f} (7 repeats by patient, 5 by row)" in text
    assert "with the first five repeats by patient alone the average would be +0.050" in text
    assert f"on one it would be +0.050 instead of {change:+.3f}" in text
    assert protocol_page.split_figure(splits) is not None


@pytest.fixture
def scores(results, noise):
    """Two tasks of two classes; on one, hard labels are a constant."""
    for name, hard in (("one", 0.5), ("two", 0.6)):
        run_id = results.benchmark({MERGED: 0.8 + noise, SNN: 0.7 + noise}, name, metric="auc")
        for method, inputs, modalities in (MERGED, SNN):
            what = {"inputs": inputs, "modalities": modalities, "run_id": run_id}
            results.add(method, hard + 0 * noise, name, metric="balanced_accuracy", **what)
    results.benchmark({MERGED: 0.8 + noise}, "survival")
    results.benchmark({MERGED: 0.8 + noise}, "synthetic", metric="auc")
    results.benchmark({MERGED: 0.8 + noise}, "one", metric="auc", unit="row")
    results.write()
    return protocol_page.score_table(results.folder)


def test_scores_of_tasks_of_two_classes(scores, noise):
    found = scores.set_index(["cohort", "score"])
    assert set(found.index) == {
        (c, s) for c in ("one", "two") for s in ("auc", "balanced_accuracy")
    }
    assert set(found["method"]) == {"lego_merge"}
    assert found.loc[("one", "auc"), "mean"] == pytest.approx(0.8 + noise.mean())
    assert found.loc[("two", "balanced_accuracy"), "mean"] == pytest.approx(0.6)


def test_text_and_figure_of_scores(scores, noise):
    text = protocol_page.score_text(scores)
    assert f"costs {0.25 + noise.mean():.3f} on average" in text
    assert "1 of 2 rows would have been printed as .500" in text
    assert f"their AUC from scores is {0.8 + noise.mean():.3f} on average" in text
    assert protocol_page.score_figure(scores) is not None


def test_nothing_has_run_yet(results):
    results.write()
    splits, scores = (
        protocol_page.split_table(results.folder),
        protocol_page.score_table(results.folder),
    )
    assert protocol_page.split_figure(splits) is protocol_page.score_figure(scores) is None
    assert protocol_page.split_text(splits).startswith("No model has run")
    assert protocol_page.score_text(scores).startswith("No task of two classes")
    assert protocol_page.as_record(splits, scores) == {"splits": [], "scores": []}
