"""Values computed once by an independent implementation in float64."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from mmlego.learning import survival_nll
from mmlego.models.dynamics.confidence import true_confidence

NAMES = {"both": "both", "none": "none", "feature": "FI_only", "modality": "MI_only"}
PRECISIONS = [(torch.float64, 1e-6), (torch.float32, 1e-4)]


def cross_entropy(weights=(1.0, 1.0, 1.0)):
    """The plain mean of weighted losses, not divided by the weights."""

    def loss(logits, target):
        losses = F.cross_entropy(logits, target["label"], reduction="none")
        return (losses * torch.tensor(weights).to(losses)[target["label"]]).mean()

    return loss


@pytest.fixture(params=PRECISIONS, ids=["float64", "float32"])
def precision(request):
    return request.param


@pytest.fixture
def close(precision):
    dtype, tolerance = precision

    def check(actual, expected):
        expected = torch.as_tensor(expected, dtype=dtype)
        torch.testing.assert_close(actual, expected, rtol=0, atol=tolerance)

    return check


@pytest.fixture
def case(reference):
    return reference["mm_dynamics_forward_and_losses"]["expected"]


@pytest.fixture
def inputs(reference_batch, precision):
    return {name: x.to(precision[0]) for name, x in reference_batch[0].items()}


@pytest.fixture
def target(reference_batch):
    return reference_batch[1]


def test_explanation(case, make_reference_model, inputs, precision, close):
    shown = make_reference_model().to(precision[0]).explain(inputs)
    expected = case["both"]
    close(shown.logits, expected["logits"])
    for m, name in enumerate(("one", "two")):
        close(shown.gates[name], expected["gate"][m])
        close(shown.hidden[name], expected["hidden"][m])
        close(shown.unimodal[name], expected["uni_logits"][m])
        close(shown.confidence[name], expected["tcp_pred"][m])


@pytest.mark.parametrize("variant", NAMES)
def test_variants(case, variant, make_reference_model, inputs, target, precision, close):
    model = make_reference_model(variant=variant).to(precision[0])
    loss = cross_entropy()
    logits, terms = model.forward_with_auxiliary(inputs, None, None, target, loss)
    expected = case[NAMES[variant]]
    close(model(inputs), expected["logits"])
    close(logits, expected["logits"])
    close(loss(logits, target), expected["loss_final"])
    close(loss(logits, target) + sum(terms.values()), expected["total"])


def test_terms(case, make_reference_model, inputs, target, precision, close):
    model = make_reference_model().to(precision[0])
    _, terms = model.forward_with_auxiliary(inputs, None, None, target, cross_entropy())
    expected = case["both"]
    assert list(terms) == ["features", "confidence", "unimodal"]
    close(terms["features"], sum(expected["loss_l1"]))
    close(terms["confidence"], sum(expected["loss_mse"]))
    close(terms["unimodal"], sum(expected["loss_uni_ce"]))
    shown = model.explain(inputs)
    for m, name in enumerate(("one", "two")):
        close(true_confidence(shown.unimodal[name], target), expected["tcp_true"][m])


def test_class_weights_act_on_every_cross_entropy_and_on_nothing_else(
    case, make_reference_model, inputs, target, precision, close
):
    model = make_reference_model().to(precision[0])
    expected = case["both_class_weighted_plain_mean"]
    loss = cross_entropy(expected["class_weights"])
    logits, terms = model.forward_with_auxiliary(inputs, None, None, target, loss)
    close(loss(logits, target), expected["loss_final"])
    close(terms["unimodal"], sum(expected["loss_uni_ce"]))
    close(terms["confidence"], sum(case["both"]["loss_mse"]))
    close(loss(logits, target) + sum(terms.values()), expected["total"])


def test_true_confidence_of_classes(reference, precision, close):
    case = reference["tcp_targets_and_relative_error"]
    logits = torch.tensor(case["inputs"]["logits"], dtype=precision[0])
    label = torch.tensor(case["inputs"]["y"])
    close(true_confidence(logits, {"label": label}), case["expected"]["tcp"])
    losses = F.cross_entropy(logits, label, reduction="none")
    close((-losses).exp(), case["expected"]["exp_minus_ce"])


def test_true_confidence_of_survival(reference, precision, close):
    case = reference["survival_heads_and_tcp_analogue"]
    logits = torch.tensor(case["inputs"]["logits"], dtype=precision[0])
    bins = torch.tensor(case["inputs"]["y"])
    event = torch.tensor(case["inputs"]["censored"]) == 0
    confidence = true_confidence(logits, {"time_bin": bins, "event": event})
    close(confidence, case["expected"]["tcp_analogue"])
    close(-confidence.log(), case["expected"]["nll"])
    torch.testing.assert_close(-confidence.log().mean(), survival_nll(logits, bins, event))


def test_shares_of_right_pairs_hold_every_pair_twice(reference, close, precision):
    case = reference["survival_heads_and_tcp_analogue"]
    time, event = torch.tensor(case["inputs"]["t"]), torch.tensor(case["inputs"]["event"]) == 1
    risk = torch.tensor(case["inputs"]["r"], dtype=precision[0])
    share = true_confidence(risk[:, None], {"time": time, "event": event})
    n = range(len(time))
    pairs = [
        (i, j)
        for i in n
        for j in n
        if event[i] and (time[i] < time[j] or (i != j and time[i] == time[j] and not event[j]))
    ]
    assert len(pairs) == case["expected"]["comparable_pairs"]
    right = [float(risk[i] > risk[j]) for i, j in pairs]
    assert sum(right) / len(pairs) == case["expected"]["c_index"]
    for i in n:
        own = [value for value, pair in zip(right, pairs, strict=True) if i in pair]
        close(share[i], sum(own) / len(own))
