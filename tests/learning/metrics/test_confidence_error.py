from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from mmlego.errors import DataError, MetricError, ModalityError, ShapeError
from mmlego.learning.metrics.confidence_error import (
    EVERYTHING,
    confidence_error,
    summarize_errors,
    which_to_trust,
)

CASES = json.loads((Path(__file__).parents[2] / "reference" / "amc.json").read_text())["cases"]


@pytest.fixture
def pair():
    rng = np.random.default_rng(0)
    true = rng.uniform(0.05, 1, 60)
    return true + rng.normal(0, 0.3, 60), true


def test_errors_equal_the_reference_case():
    case = next(one for one in CASES if one["name"] == "tcp_targets_and_relative_error")
    expected = case["expected"]
    found = confidence_error(case["inputs"]["pred"], expected["tcp"])
    for name in ("mse", "rmse", "mae", "mape", "r2"):
        assert found[name] == pytest.approx(expected[name], abs=case["tolerance"])
    sizes = np.array(expected["abs_err"])
    assert found["sd_abs"] == pytest.approx(sizes.std(), abs=1e-6)
    assert (found["min_abs"], found["max_abs"]) == pytest.approx((sizes.min(), sizes.max()))
    above = {name: value for name, value in found.items() if name.startswith("above_")}
    assert above == {f"above_{r}": share for r, share in expected["fraction_above"].items()}


def test_ranges_and_correlations(pair):
    predicted, true = pair
    found = confidence_error(predicted, true)
    assert found["n"] == 60
    assert found["min_predicted"] == predicted.min()
    assert found["max_predicted"] == predicted.max()
    assert found["mean_predicted"] - found["mean_true"] == pytest.approx((predicted - true).mean())
    assert found["pearson"] == pytest.approx(np.corrcoef(predicted, true)[0, 1])
    monotone = confidence_error(true**3, true)
    assert monotone["spearman"] == pytest.approx(1)
    assert monotone["pearson"] < 0.99


@pytest.mark.parametrize("value", [0.3, 1.0, 0.1 + 0.2])
def test_what_a_constant_leaves_undefined(pair, value):
    predicted, _ = pair
    still = np.full(60, value)
    still[::2] = np.nextafter(value, 0)  # a constant but for rounding
    told = confidence_error(still, predicted.clip(0.1, 1))
    assert np.isnan([told["pearson"], told["spearman"]]).all()
    assert np.isfinite(told["r2"])
    truth = confidence_error(predicted, still)
    assert np.isnan([truth["pearson"], truth["spearman"], truth["r2"]]).all()
    assert np.isfinite([truth["mape"], truth["rmse"], truth["above_0.5"]]).all()


def test_bad_confidences(pair):
    predicted, true = pair
    with pytest.raises(ShapeError, match="one entry per sample"):
        confidence_error(predicted[:-1], true)
    with pytest.raises(ShapeError, match="one shape"):
        confidence_error([], [])
    for position in (0, 1):
        holes = [predicted.copy(), true.copy()]
        holes[position][3] = np.nan
        with pytest.raises(ShapeError, match="1 samples of 60"):
            confidence_error(*holes)
    for outside in (0.0, -0.1, 1.001):
        with pytest.raises(MetricError, match=r"\(0, 1\].*leave out samples with 0"):
            confidence_error(predicted, np.append(true[1:], outside))


def test_summary_over_folds_and_over_modalities():
    frame = pd.DataFrame(
        {"repeat": [1, 1, 2, 2], "modality": ["a", "b"] * 2,
         "mae": [0.1, 0.5, 0.3, 0.7], "pearson": [np.nan, 0.2, np.nan, 0.4]}
    )  # fmt: skip
    found = summarize_errors(frame).set_index(["modality", "statistic"])
    assert list(found.index.unique("modality")) == [EVERYTHING, "a", "b"]
    everything = found.loc[EVERYTHING, "mae"]
    assert everything[["mean", "sd", "min", "max", "n"]].tolist() == pytest.approx(
        [0.4, np.sqrt(0.05), 0.1, 0.7, 4]
    )
    assert found.loc[("a", "mae"), ["mean", "sd"]].tolist() == pytest.approx([0.2, 0.1])
    assert found.loc[("a", "pearson"), "n"] == 0
    assert np.isnan(found.loc[("a", "pearson"), "mean"])
    assert found.loc[(EVERYTHING, "pearson"), ["mean", "n"]].tolist() == pytest.approx([0.3, 2])


def test_bad_summaries():
    rows = pd.DataFrame({"repeat": [1, 1], "modality": ["a", "b"], "mae": [0.1, 0.2]})
    with pytest.raises(DataError, match="repeat, modality"):
        summarize_errors(rows.drop(columns="repeat"))
    with pytest.raises(DataError, match="statistics"):
        summarize_errors(rows.drop(columns="mae"))
    with pytest.raises(DataError, match="0 rows"):
        summarize_errors(rows.iloc[:0])
    with pytest.raises(DataError, match=r"several for .*'modality': 'a'"):
        summarize_errors(rows.assign(modality="a"))


def test_choices_counted_by_hand():
    predicted = {"a": [2.0, 2.0, -1.0, 5.0], "b": [1.0, 3.0, 0.0, 1.0]}
    true = {"a": [0.9, 0.9, 0.5, 0.2], "b": [0.1, 0.2, 0.5, 0.3]}
    # chosen a, b, b, a; best a, a, either, b; the most confident on average is a
    found = which_to_trust(predicted, true)
    assert found["right"] == 0.5
    assert found["constant_modality"] == "a"
    assert found["constant"] == 0.75
    assert found["chance"] == (0.5 + 0.5 + 1 + 0.5) / 4
    assert found["n_differ"] == 3
    assert found["kendall"] == found["spearman"] == pytest.approx((1 - 1 - 1) / 3)


def test_ties_in_prediction_favor_no_modality():
    even = {"a": [1.0, 1.0], "b": [1.0, 1.0]}
    true = {"a": [0.9, 0.8], "b": [0.1, 0.2]}
    for order in (("a", "b"), ("b", "a")):
        found = which_to_trust({name: even[name] for name in order}, true)
        assert found["right"] == found["constant"] == found["chance"] == 0.5
        assert found["kendall"] == 0


def test_correlations_within_samples_equal_scipy():
    rng = np.random.default_rng(1)
    told = {name: rng.integers(0, 5, 30).astype(float) for name in "abcd"}
    truth = {name: rng.integers(1, 6, 30) / 5 for name in "abcd"}
    truth["a"][0] = truth["b"][0] = truth["c"][0] = truth["d"][0] = 0.4
    for name in told:
        told[name][1] = 2.0  # orders nothing
    rows = list(zip(np.array(list(told.values())).T, np.array(list(truth.values())).T, strict=True))
    found = which_to_trust(told, truth)
    assert found["n_differ"] == 29
    for name, test in (("kendall", stats.kendalltau), ("spearman", stats.spearmanr)):
        by_hand = [0.0, *(test(a, b).statistic for a, b in rows[2:])]
        assert found[name] == pytest.approx(np.mean(by_hand))


def test_perfect_and_reversed_confidence(pair):
    rng = np.random.default_rng(2)
    true = {name: rng.uniform(0.1, 1, 50) for name in "abc"}
    right = which_to_trust({name: 5 * value - 9 for name, value in true.items()}, true)
    assert right["right"] == right["kendall"] == pytest.approx(1)
    assert right["constant"] < 0.6
    assert right["chance"] == pytest.approx(1 / 3)
    wrong = which_to_trust({name: -value for name, value in true.items()}, true)
    assert wrong["right"] == 0
    assert wrong["spearman"] == pytest.approx(-1)


def test_truth_without_differences():
    same = {"a": [0.5, 0.6], "b": [0.5, 0.6]}
    found = which_to_trust({"a": [1, 2], "b": [2, 1]}, same)
    assert found["right"] == found["chance"] == 1
    assert found["n_differ"] == 0
    assert np.isnan([found["spearman"], found["kendall"]]).all()


def test_bad_choices():
    with pytest.raises(ModalityError, match="nothing to choose"):
        which_to_trust({"a": [1.0]}, {"a": [0.5]})
    with pytest.raises(ModalityError, match="same on both sides"):
        which_to_trust({"a": [1.0], "b": [1.0]}, {"a": [0.5], "c": [0.5]})
    with pytest.raises(ShapeError, match=r"'a': 1, 'b': 2"):
        which_to_trust({"a": [1.0], "b": [1.0, 2.0]}, {"a": [0.5], "b": [0.5, 0.4]})
    with pytest.raises(MetricError, match="which_to_trust, 'b'"):
        which_to_trust({"a": [1.0], "b": [1.0]}, {"a": [0.5], "b": [0.0]})
