from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch

from mmlego.errors import DataError, SettingsError, ShapeError
from mmlego.learning.objectives import (
    ClassificationObjective,
    CoxObjective,
    SurvivalObjective,
    clamped_nll,
    class_weights,
    cox_loss,
    objective_for,
    survival_nll,
)

REFERENCES = Path(__file__).parents[1] / "reference"
ALPHAS = ("0.0", "0.15", "0.4")


@pytest.fixture
def case(reference):
    case = reference["survival_nll"]
    return {
        "hazards": torch.tensor(case["hazards"], dtype=torch.float64),
        "time_bin": torch.tensor(case["y_bin"]),
        "event": ~torch.tensor(case["censorship"]).bool(),
        "expected": {a: torch.tensor(case["per_sample"][a]).double() for a in ALPHAS},
        "mean": case["mean"],
        "weighted": case["weighted_official_alpha_0.4"],
        "from_logits": case["from_logits"],
    }


def loop_nll(logits, time_bin, event, alpha):
    """Sum the likelihood sample by sample and bin by bin, from the definition."""
    total = 0.0
    for row, k, seen in zip(logits.tolist(), time_bin.tolist(), event.tolist(), strict=True):
        hazards = [1 / (1 + math.exp(-y)) for y in row]
        survived = math.prod(1 - h for h in hazards[:k])
        if seen:
            total += -math.log(survived * hazards[k])
        else:
            total += -(1 - alpha) * math.log(survived * (1 - hazards[k]))
    return total / len(logits)


@pytest.mark.parametrize("alpha", ALPHAS)
def test_interior_reference_cases(case, alpha):
    logits = torch.logit(case["hazards"])
    for i in range(4):  # the other two have a hazard of exactly 1
        loss = survival_nll(
            logits[i : i + 1], case["time_bin"][i : i + 1], case["event"][i : i + 1], float(alpha)
        )
        assert loss.item() == pytest.approx(case["expected"][alpha][i].item(), abs=1e-6)


@pytest.mark.parametrize("alpha", ALPHAS)
def test_clamped_reference_cases(case, alpha):
    losses = clamped_nll(case["hazards"], case["time_bin"], case["event"], alpha=float(alpha))
    torch.testing.assert_close(losses, case["expected"][alpha], atol=1e-6, rtol=0)
    assert losses.mean().item() == pytest.approx(case["mean"][alpha], abs=1e-6)


def test_weighted_reference_case(case):
    weights = torch.tensor(case["weighted"]["class_weights"]).double()
    losses = clamped_nll(
        case["hazards"], case["time_bin"], case["event"], alpha=0.4, bin_weights=weights
    )
    expected = torch.tensor(case["weighted"]["per_sample"]).double()
    torch.testing.assert_close(losses, expected, atol=1e-6, rtol=0)


def test_reference_case_from_logits(case):
    given = case["from_logits"]
    logits = torch.tensor(given["logits"]).double()
    time_bin, event = torch.tensor([1, 3]), torch.tensor([True, False])
    for i, expected in enumerate(given["loss_alpha0_y=[1,3],c=[0,1]"]):
        loss = survival_nll(logits[i : i + 1], time_bin[i : i + 1], event[i : i + 1])
        assert loss.item() == pytest.approx(expected, abs=1e-6)
    prediction = SurvivalObjective(4).predict(logits)
    np.testing.assert_allclose(prediction["survival"], given["survival"], atol=1e-6)
    np.testing.assert_allclose(prediction["risk"], given["risk_minus_sum_S"], atol=1e-6)


@pytest.mark.parametrize("alpha", [0.0, 0.3, 1.0])
def test_equals_a_loop_over_samples(alpha):
    logits = torch.randn(50, 6, dtype=torch.float64)
    time_bin, event = torch.randint(0, 6, (50,)), torch.rand(50) > 0.5
    loss = survival_nll(logits, time_bin, event, alpha)
    assert loss.item() == pytest.approx(loop_nll(logits, time_bin, event, alpha), rel=1e-12)


def test_certain_hazards_keep_loss_and_gradient_finite():
    logits = torch.tensor([[200.0, -200.0], [-200.0, 200.0]], requires_grad=True)
    loss = survival_nll(logits, torch.tensor([1, 0]), torch.tensor([True, True]))
    loss.backward()
    assert loss.item() == pytest.approx((200 + 200 + 200) / 2)
    assert torch.isfinite(logits.grad).all()


def test_bins_after_the_end_of_follow_up_do_not_matter():
    logits = torch.randn(4, 5)
    time_bin, event = torch.tensor([0, 1, 2, 3]), torch.tensor([True, False, True, False])
    changed = logits.clone()
    changed[torch.arange(5) > time_bin[:, None]] = 9.0
    args = (time_bin, event)
    torch.testing.assert_close(survival_nll(changed, *args), survival_nll(logits, *args))


def test_survival_falls_and_risk_follows_the_hazards():
    logits = torch.randn(20, 4)
    prediction = SurvivalObjective(4).predict(logits)
    assert (np.diff(prediction["survival"], axis=1) <= 0).all()
    higher = SurvivalObjective(4).predict(logits + 1.0)
    assert (higher["risk"] > prediction["risk"]).all()


@pytest.mark.parametrize(
    ("logits", "time_bin", "event", "words"),
    [
        (torch.zeros(2), torch.zeros(2).long(), torch.ones(2).bool(), r"\(b, k\)"),
        (torch.zeros(2, 4), torch.zeros(2), torch.ones(2).bool(), "time_bin: expected int64"),
        (torch.zeros(2, 4), torch.tensor([0, 4]), torch.ones(2).bool(), r"in \[0, 4\), got 0 to 4"),
        (torch.zeros(2, 4), torch.tensor([-1, 0]), torch.ones(2).bool(), "got -1 to 0"),
        (torch.zeros(2, 4), torch.zeros(2).long(), torch.ones(2), "True = the event"),
        (torch.zeros(2, 4), torch.zeros(3).long(), torch.ones(2).bool(), "time_bin"),
        (torch.zeros(0, 4), torch.zeros(0).long(), torch.ones(0).bool(), "one entry or more"),
    ],
)
def test_refuses_bad_survival_input(logits, time_bin, event, words):
    with pytest.raises(ShapeError, match=words):
        survival_nll(logits, time_bin, event)


def test_refuses_alpha_outside_the_unit_interval():
    with pytest.raises(SettingsError, match="alpha"):
        SurvivalObjective(4, alpha=1.5)
    with pytest.raises(ShapeError, match="pass probabilities"):
        clamped_nll(torch.full((1, 4), 2.0), torch.tensor([0]), torch.tensor([True]))


def test_classification_loss_is_cross_entropy_and_weights_have_mean_one():
    logits, label = torch.randn(6, 3), torch.tensor([0, 1, 2, 0, 1, 0])
    plain = torch.nn.functional.cross_entropy(logits, label)
    torch.testing.assert_close(ClassificationObjective(3).loss(logits, {"label": label}), plain)
    # A common factor of the weights is taken out again.
    doubled = ClassificationObjective(3, [2.0, 2.0, 2.0])
    torch.testing.assert_close(doubled.loss(logits, {"label": label}), plain)


def test_a_sample_weighs_the_same_whatever_its_batch():
    objective = ClassificationObjective(2, [1.0, 3.0])
    logits, label = torch.randn(4, 2), torch.tensor([0, 1, 1, 0])
    alone = [objective.loss(logits[i : i + 1], {"label": label[i : i + 1]}) for i in range(4)]
    torch.testing.assert_close(objective.loss(logits, {"label": label}), torch.stack(alone).mean())


def test_class_weights():
    label = torch.tensor([0, 0, 0, 0, 1])
    assert class_weights(label, 2, "inverse") == pytest.approx([0.4, 1.6])
    assert class_weights(label, 2, "counts") == pytest.approx([1.25, 5.0])
    assert class_weights(label, 2, "sqrt") == pytest.approx([2 / 3, 4 / 3])
    with pytest.raises(DataError, match=r"none of \[2\]"):
        class_weights(label, 3, "inverse")
    with pytest.raises(SettingsError, match="inverse"):
        class_weights(label, 2, "balanced")


def test_objective_for_a_fold(patients, classes, fold_of):
    survival = objective_for(fold_of(patients(), "survival", 4), alpha=0.4)
    assert (survival.n_outputs, survival.alpha) == (4, 0.4)
    weighted = objective_for(fold_of(classes(), "classification", 2), class_weights="inverse")
    assert weighted.class_weights.mean().item() == pytest.approx(1.0)
    counts = objective_for(fold_of(classes(), "classification", 2), class_weights="counts")
    assert (1 / counts.class_weights).sum().item() == pytest.approx(1.0)
    assert objective_for(fold_of(classes(), "classification", 2)).class_weights is None
    with pytest.raises(SettingsError, match="task"):
        objective_for(fold_of(classes(), "regression", 2))


def test_probabilities_sum_to_one_and_nan_is_refused():
    probability = ClassificationObjective(3).predict(torch.randn(5, 3))["probability"]
    np.testing.assert_allclose(probability.sum(axis=1), 1.0)
    for objective in (ClassificationObjective(3), SurvivalObjective(3)):
        with pytest.raises(ShapeError, match="finite"):
            objective.predict(torch.full((2, 3), float("nan")))
        with pytest.raises(ShapeError, match="n_outputs=3"):
            objective.predict(torch.zeros(2, 4))
    with pytest.raises(SettingsError, match="n_classes"):
        ClassificationObjective(1)


def test_weights_by_counts_are_taken_as_they_are():
    weights = class_weights(torch.tensor([0, 0, 0, 1]), 2, "counts")
    logits, label = torch.zeros(4, 2), torch.tensor([0, 0, 0, 1])
    loss = ClassificationObjective(2, weights, rescale=False).loss(logits, {"label": label})
    # every class contributes one log(2), whatever its size
    assert loss.item() == pytest.approx(2 * math.log(2))


def test_explicit_weights_are_taken_as_given(classes, fold_of):
    fold = fold_of(classes(), "classification", 2)
    objective = objective_for(fold, class_weights="0.25,0.75")
    assert objective.class_weights.tolist() == [0.25, 0.75]
    logits, label = torch.zeros(4, 2), torch.tensor([0, 0, 0, 1])
    loss = objective.loss(logits, {"label": label})
    assert loss.item() == pytest.approx((3 * 0.25 + 0.75) / 4 * math.log(2))
    with pytest.raises(SettingsError, match="expected 2 positive numbers, got .*one per class"):
        objective_for(fold, class_weights="1,2,3")
    with pytest.raises(SettingsError, match="got 'balanced'"):
        objective_for(fold, class_weights="balanced")


@pytest.fixture
def cox_case():
    cases = json.loads((REFERENCES / "amc.json").read_text())["cases"]
    return next(case for case in cases if case["name"] == "survival_heads_and_tcp_analogue")


def test_cox_loss_equals_the_reference(cox_case):
    given = cox_case["inputs"]
    risk, time = torch.tensor(given["r"]).double(), torch.tensor(given["t"]).double()
    event = torch.tensor(given["event"]).bool()
    assert cox_loss(risk, time, event).item() == pytest.approx(cox_case["expected"]["cox_loss"])


def test_cox_loss_knows_order_only_and_needs_an_event():
    risk, time = torch.tensor([0.5, -1.0, 0.2]), torch.tensor([1.0, 2.0, 3.0])
    event = torch.tensor([True, True, False])
    assert cox_loss(risk, time, event) == cox_loss(risk, time**3, event)
    torch.testing.assert_close(cox_loss(risk + 5.0, time, event), cox_loss(risk, time, event))
    silent = risk.clone().requires_grad_()
    loss = cox_loss(silent, time, torch.zeros(3, dtype=torch.bool))
    loss.backward()
    assert loss.item() == 0.0
    assert torch.equal(silent.grad, torch.zeros(3))


def test_cox_objective_predicts_risk_and_no_curves():
    objective = CoxObjective()
    assert list(objective.predict(torch.tensor([[1.0], [2.0]]))) == ["risk"]
    with pytest.raises(ShapeError, match=r"\(b, 1\)"):
        objective.predict(torch.zeros(3, 4))


@pytest.mark.parametrize(
    ("risk", "time", "event", "words"),
    [
        (torch.zeros(3, 1), torch.ones(3), torch.ones(3).bool(), "one shape"),
        (torch.zeros(3), torch.ones(2), torch.ones(3).bool(), "one shape"),
        (torch.zeros(0), torch.ones(0), torch.ones(0).bool(), "one shape"),
        (torch.zeros(3), torch.ones(3), torch.ones(3), "bool"),
    ],
)
def test_cox_loss_refuses(risk, time, event, words):
    with pytest.raises(ShapeError, match=words):
        cox_loss(risk, time, event)


def test_objective_of_survival_can_be_cox(patients, fold_of):
    fold = fold_of(patients(), "survival", 4)
    assert isinstance(objective_for(fold, survival_loss="cox"), CoxObjective)
    assert isinstance(objective_for(fold), SurvivalObjective)
    with pytest.raises(SettingsError, match="survival loss"):
        objective_for(fold, survival_loss="weibull")
