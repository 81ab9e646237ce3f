from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from mmlego.errors import MetricError, SettingsError, ShapeError
from mmlego.learning.metrics import classification, survival
from mmlego.learning.metrics.scores import MetricWarning, evaluate
from mmlego.learning.objectives import ClassificationObjective, SurvivalObjective

C_INDEX = (
    "no ties", "risk ties", "time ties event/censored", "constant risk", "reversed",
    "time ties event/event",
)  # fmt: skip


def loop_c_index(event, time, risk):
    """Count pairs one by one, from the definition."""
    won = pairs = 0.0
    for i in range(len(time)):
        for j in range(len(time)):
            later = time[i] < time[j] or (time[i] == time[j] and not event[j])
            if i == j or not event[i] or not later:
                continue
            pairs += 1
            tied = abs(risk[i] - risk[j]) <= survival.TIED_RISK
            won += 0.5 if tied else float(risk[i] > risk[j])
    return won / pairs


@pytest.fixture
def outcome():
    rng = np.random.default_rng(0)
    time = rng.integers(1, 30, 80).astype(float)
    event = rng.random(80) > 0.4
    risk = np.round(-time / 10 + rng.standard_normal(80), 1)
    return event, time, risk


@pytest.mark.parametrize("name", C_INDEX)
def test_c_index_reference(reference, name):
    case = next(c for c in reference["c_index"]["cases"] if c["name"] == name)
    event = np.array(case["event"], dtype=bool)
    found = survival.concordance_index(event, case["time"], case["risk"])
    assert found == pytest.approx(case["cindex"], abs=1e-9)


def test_every_c_index_reference_is_tested(reference):
    assert {c["name"] for c in reference["c_index"]["cases"]} == set(C_INDEX)


def test_c_index_equals_a_loop_over_pairs(outcome):
    assert survival.concordance_index(*outcome) == pytest.approx(loop_c_index(*outcome))


def test_c_index_counts_nearly_equal_risks_as_tied():
    assert survival.concordance_index([True, True], [1.0, 2.0], [0.5, 0.5 + 5e-6]) == 0.5
    assert survival.concordance_index([True, True], [1.0, 2.0], [0.5, 0.5 + 5e-5]) == 0.0


def test_model_that_predicts_the_same_for_everybody_is_worth_one_half(outcome):
    """Rounding errors of single precision, here in the best order there is, rank nobody."""
    event, time, _ = outcome
    risk = 0.7 - 1e-7 * np.argsort(np.argsort(time))
    assert np.ptp(risk) < survival.TIED_RISK
    both = (event, time, event, time)
    assert survival.concordance_index(event, time, risk) == 0.5
    assert survival.concordance_index_ipcw(*both, risk) == pytest.approx(0.5)
    assert survival.auc_td(*both, risk) == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("event", "time"),
    [
        ([False, False], [1.0, 2.0]),
        ([False, True], [1.0, 2.0]),
        ([True, True], [2.0, 2.0]),
        ([True], [2.0]),
    ],
)
def test_c_index_without_comparable_pair_raises(event, time):
    with pytest.raises(MetricError, match="comparable pair"):
        survival.concordance_index(event, time, np.arange(len(time)))


@pytest.mark.parametrize(
    ("event", "time", "risk", "words"),
    [
        ([1, 0], [1.0, 2.0], [0.0, 1.0], "expected bool"),
        ([True, False], [1.0, np.nan], [0.0, 1.0], "finite, non-negative"),
        ([True, False], [1.0, -2.0], [0.0, 1.0], "finite, non-negative"),
        ([True, False], [1.0, 2.0], [np.nan, 1.0], "risk"),
        ([True, False], [1.0, 2.0], [1.0], "risk"),
        ([True, False], [1.0], [1.0, 2.0], "outcome"),
        ([], [], [], "outcome"),
    ],
)
def test_survival_metrics_refuse(event, time, risk, words):
    with pytest.raises(ShapeError, match=words):
        survival.concordance_index(event, time, risk)


def test_ipcw_equals_harrell_without_censoring():
    time, risk = np.arange(1.0, 9.0), np.array([8, 7, 5, 6, 4, 3, 1, 2.0])
    event = np.ones(8, dtype=bool)
    late_train = (event, time + 10.0)  # nobody is truncated
    found = survival.concordance_index_ipcw(*late_train, event, time, risk)
    assert found == pytest.approx(survival.concordance_index(event, time, risk))


def test_ipcw_survives_test_times_beyond_training(outcome):
    event, time, risk = outcome
    train = event, time
    beyond = time.copy()
    beyond[:5] += 1000.0
    value = survival.concordance_index_ipcw(*train, event, beyond, risk)
    assert 0.0 < value < 1.0


@pytest.mark.parametrize(
    ("event", "time", "expected"),
    [
        ([True, False, True], [1.0, 2.0, 3.0], 3.0),
        ([True, True, False], [1.0, 2.0, 3.0], 2.0),
        ([True, True, False, True], [1.0, 2.0, 3.0, 3.0], 2.0),
        ([True, True, True], [1.0, 2.0, 3.0], 3.0),
        ([False, False], [2.0, 2.0], 2.0),
    ],
)
def test_truncation_is_the_last_time_with_a_censoring_weight(event, time, expected):
    from sksurv.nonparametric import CensoringDistributionEstimator
    from sksurv.util import Surv

    event, time = np.array(event), np.array(time)
    assert survival.truncation_time(event, time) == expected
    if event.any() and len(set(time)) > 1:
        weights = CensoringDistributionEstimator().fit(Surv.from_arrays(event, time))
        left = weights.predict_proba(np.unique(time)) > 0
        assert np.unique(time)[left].max() == expected


def test_survival_is_a_step_function_of_passed_bins():
    curves = np.array([[0.9, 0.6, 0.2]])
    times = [0.0, 9.9, 10.0, 15.0, 20.0, 29.0, 30.0, 99.0]
    found = survival.survival_at(curves, [0.0, 10.0, 20.0, 30.0], times)
    assert found.tolist() == [[1.0, 1.0, 0.9, 0.9, 0.6, 0.6, 0.2, 0.2]]
    with pytest.raises(ShapeError, match="edges"):
        survival.survival_at(curves, [0.0, 10.0, 20.0], times)
    with pytest.raises(ShapeError, match="rising"):
        survival.survival_at(curves, [0.0, 10.0, 10.0, 30.0], times)


def test_integrated_brier_by_hand_without_censoring():
    event, time = np.ones(40, dtype=bool), np.arange(1.0, 41.0)
    edges = np.array([0.0, 10.0, 20.0, 30.0, 41.0])
    half = np.full((40, 4), 0.5)
    grid = survival.time_grid(event, time, event, time)
    # The curve is 1 before the first edge passes, and one half from there on.
    truth = time[:, None] > grid
    said = np.where(grid < 10.0, 1.0, 0.5)
    brier = ((truth - said) ** 2).mean(axis=0)
    expected = np.trapezoid(brier, grid) / (grid[-1] - grid[0])
    found = survival.integrated_brier(event, time, event, time, half, edges)
    assert found == pytest.approx(expected)


def test_integrated_brier_prefers_the_better_curves(outcome):
    event, time, _ = outcome
    edges = np.array([0.0, 8.0, 15.0, 22.0, 31.0])
    oracle = (time[:, None] >= edges[1:]).astype(float)
    args = (event, time, event, time)
    constant = np.tile(oracle.mean(axis=0), (80, 1))
    rank = np.argsort(np.argsort(time))
    mirrored = oracle[np.argsort(time)[::-1][rank]]
    best, middle, worst = (
        survival.integrated_brier(*args, curves, edges) for curves in (oracle, constant, mirrored)
    )
    assert best < middle < worst


def test_auc_td_is_one_for_the_true_order_and_one_half_for_none(outcome):
    event, time, _ = outcome
    args = (event, time, event, time)
    assert survival.auc_td(*args, -time) == pytest.approx(1.0)
    assert survival.auc_td(*args, time) == pytest.approx(0.0)
    assert survival.auc_td(*args, np.zeros(80)) == pytest.approx(0.5)


def test_time_dependent_metrics_need_a_grid():
    event, time = np.array([True, True]), np.array([1.0, 2.0])
    early = np.array([0.1, 0.2])
    with pytest.raises(MetricError, match="time grid"):
        survival.auc_td(event, time, event, early, np.zeros(2))
    with pytest.raises(MetricError, match="time grid"):
        survival.auc_td(event, time, np.array([False, False]), time, np.zeros(2))


def test_time_dependent_metrics_survive_test_times_beyond_training(outcome):
    event, time, risk = outcome
    beyond = time.copy()
    beyond[:10] += 1000.0
    event_beyond = event.copy()
    event_beyond[:10] = True
    edges = np.array([0.0, 8.0, 15.0, 22.0, 31.0])
    curves = np.tile([0.9, 0.7, 0.5, 0.3], (80, 1))
    args = (event, time, event_beyond, beyond)
    assert 0.0 < survival.auc_td(*args, risk) < 1.0
    assert 0.0 < survival.integrated_brier(*args, curves, edges) < 0.5


def test_auc_reference(reference):
    case = reference["auc"]["binary"]
    score = np.array(case["score"])
    assert classification.auc(case["y"], score) == pytest.approx(case["auc"])
    hard = classification.auc_hard(case["y"], np.column_stack([1 - score, score]))
    assert hard == pytest.approx(case["auc_on_hard_labels_threshold_0.5"])


def test_macro_auc_reference(reference):
    case = reference["auc"]["macro_ovr"]
    logits = 2.0 * torch.sin(1.3 * torch.arange(1, 28).double() + 0.3).reshape(9, 3)
    probability = ClassificationObjective(3).predict(logits)["probability"]
    label = np.array(case["y"])
    per_class = classification.class_aucs(label, probability)
    np.testing.assert_allclose(per_class, case["per_class_on_softmax"], atol=1e-9)
    macro = classification.macro_auc(label, probability)
    assert macro == pytest.approx(case["macro_on_softmax"], abs=1e-9)


def test_hard_auc_is_balanced_accuracy():
    rng = np.random.default_rng(0)
    score, label = rng.random(50), rng.integers(0, 2, 50)
    probability = np.column_stack([1 - score, score])
    hard = classification.auc_hard(label, probability)
    assert hard == pytest.approx(classification.balanced_accuracy(label, probability))


def test_scores_of_labels_by_hand():
    label = np.array([0, 0, 0, 1, 1, 2])
    probability = np.eye(4)[[0, 0, 1, 1, 0, 3]]
    recall = (2 / 3 + 1 / 2 + 0) / 3
    assert classification.balanced_accuracy(label, probability) == pytest.approx(recall)
    assert classification.accuracy(label, probability) == pytest.approx(0.5)
    # F1 of the classes 0 to 3: 4/6, 2/4, 0, 0; the last is never true, but it was predicted.
    assert classification.macro_f1(label, probability) == pytest.approx((4 / 6 + 2 / 4) / 4)
    share = np.bincount(label, minlength=4) / len(label)
    f1 = np.array([4 / 6, 2 / 4, 0, 0])
    assert classification.weighted_f1(label, probability) == pytest.approx(f1 @ share)


def test_weighted_precision_and_the_f1_of_the_second_class():
    label, hit = [0, 0, 0, 1, 1], np.array([0, 0, 1, 1, 0])
    probability = np.eye(2)[hit]
    # precision of class 0 is 2/3, of class 1 is 1/2; three and two samples
    assert classification.weighted_precision(label, probability) == pytest.approx(
        (3 * 2 / 3 + 2 * 1 / 2) / 5
    )
    assert classification.binary_f1(label, probability) == pytest.approx(2 * 1 / (2 + 1 + 1))
    with pytest.raises(ShapeError, match=r"\(n, 2\)"):
        classification.binary_f1([0, 1, 2], np.eye(3))


@pytest.mark.parametrize(
    ("label", "probability", "words"),
    [
        ([0, 1], [[2.0, -1.0], [0.5, 0.5]], "softmax"),
        ([0, 1], [[0.5, 0.4], [0.5, 0.5]], "softmax"),
        ([0, 1], [[np.nan, 1.0], [0.5, 0.5]], "softmax"),
        ([0, 2], [[0.5, 0.5], [0.5, 0.5]], r"in \[0, 2\)"),
        ([0.0, 1.0], [[0.5, 0.5], [0.5, 0.5]], "integers"),
        ([0, 1], [0.5, 0.5], r"\(n, k\)"),
    ],
)
def test_classification_metrics_refuse(label, probability, words):
    with pytest.raises(ShapeError, match=words):
        classification.macro_auc(label, probability)


def test_one_class_has_no_auc():
    with pytest.raises(MetricError, match="both classes"):
        classification.auc([1, 1], [0.2, 0.3])
    with pytest.raises(MetricError, match="two classes"):
        classification.macro_auc([1, 1], [[0.2, 0.8], [0.3, 0.7]])
    with pytest.raises(ShapeError, match="0 and 1"):
        classification.auc([1, 2], [0.2, 0.3])


def test_evaluate_survival(patients, fold_of):
    train, test = patients(80), patients(40, seed=1)
    fold = fold_of(train, "survival", 4, np.array([0.0, 1.0, 3.0, 6.0, 1e3]))
    logits = test.values["tab"][:, :1] + torch.zeros(1, 4)
    found = evaluate(SurvivalObjective(4).predict(logits), test, train, fold)
    assert set(found) == {"c_index", "c_index_ipcw", "integrated_brier", "auc_td"}
    assert found["c_index"] > 0.8
    assert found["auc_td"] > 0.8
    assert all(isinstance(v, float) and 0 <= v <= 1 for v in found.values())
    only_risk = evaluate({"risk": logits[:, 0].numpy()}, test, train, fold)
    assert set(only_risk) == {"c_index", "c_index_ipcw", "auc_td"}


def test_evaluate_reports_what_is_undefined(patients, fold_of):
    train, test = patients(80), patients(10, seed=1)
    test.target["event"][:] = False
    fold = fold_of(train, "survival", 4, np.array([0.0, 1.0, 3.0, 6.0, 1e3]))
    with pytest.warns(MetricWarning, match="is NaN: ") as record:
        found = evaluate(SurvivalObjective(4).predict(torch.zeros(10, 4)), test, train, fold)
    assert len(record) == len(found) == 4
    assert "c_index is NaN: c-index: expected a comparable pair" in str(record[0].message)
    assert all(math.isnan(value) for value in found.values())


def test_evaluate_classification(classes, fold_of):
    train, test = classes(), classes(30, seed=1)
    fold = fold_of(train, "classification", 2)
    x = test.values["tab"][:, :1]
    found = evaluate(ClassificationObjective(2).predict(torch.cat([-x, x], 1)), test, train, fold)
    assert set(found) == {
        "auc", "macro_auc", "balanced_accuracy", "macro_f1", "accuracy", "auc_hard", "f1",
        "weighted_f1", "weighted_precision",
    }  # fmt: skip
    assert found["auc"] == pytest.approx(found["macro_auc"])
    assert found["auc_hard"] == pytest.approx(found["balanced_accuracy"])


def test_evaluate_skips_and_reports_an_absent_class(classes, fold_of):
    samples = classes(30)
    fold = fold_of(samples, "classification", 3)
    prediction = ClassificationObjective(3).predict(torch.randn(30, 3))
    with pytest.warns(MetricWarning, match=r"classes \[2\]"):
        found = evaluate(prediction, samples, samples, fold)
    assert "auc" not in found
    assert math.isfinite(found["macro_auc"])


def test_evaluate_refuses_what_does_not_fit(classes, fold_of):
    samples = classes(30)
    with pytest.raises(ShapeError, match="expected 'probability'"):
        evaluate({"risk": np.zeros(30)}, samples, samples, fold_of(samples, "classification", 2))
    with pytest.raises(ShapeError, match=r"\(29, 2\)"):
        evaluate(
            {"probability": np.full((29, 2), 0.5)}, samples, samples,
            fold_of(samples, "classification", 2),
        )  # fmt: skip
    with pytest.raises(SettingsError, match="task"):
        evaluate({}, samples, samples, fold_of(samples, "regression", 2))
