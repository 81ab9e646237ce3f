from __future__ import annotations

import pytest
import torch

from mmlego.errors import SettingsError, ShapeError
from mmlego.models.dynamics.confidence import true_confidence

EVENT = torch.tensor([True, False])


def test_extreme_logits_stay_in_range():
    logits = torch.tensor([[1e4, -1e4], [-1e4, 1e4]], requires_grad=True)
    for target in (
        {"label": torch.tensor([0, 0])},
        {"time_bin": torch.tensor([0, 0]), "event": EVENT},
    ):
        confidence = true_confidence(logits, target)
        assert confidence.tolist() == ([1.0, 0.0] if "label" in target else [1.0, 1.0])
        (grad,) = torch.autograd.grad(confidence.sum(), logits)
        assert torch.isfinite(grad).all()


def test_ties_of_risk_count_half_and_ties_of_time_need_a_censored_one():
    time, risk = torch.tensor([2.0, 2.0, 3.0]), torch.tensor([[1.0], [1.0], [0.0]])
    tied = {"time": time, "event": torch.tensor([True, False, False])}
    assert true_confidence(risk, tied).tolist() == [0.75, 0.5, 1.0]
    both = {"time": time, "event": torch.tensor([True, True, False])}
    assert true_confidence(risk, both).tolist() == [1.0, 1.0, 1.0]


def test_one_sample_has_nobody_to_compare_with():
    alone = {"time": torch.tensor([2.0]), "event": torch.tensor([True])}
    assert true_confidence(torch.zeros(1, 1), alone).isnan().all()


def test_only_a_share_of_pairs_is_without_gradient():
    logits = torch.randn(2, 1, requires_grad=True)
    risk = {"time": torch.tensor([1.0, 2.0]), "event": EVENT}
    assert not true_confidence(logits, risk).requires_grad
    classes = {"label": torch.tensor([0, 1])}
    assert true_confidence(logits.expand(-1, 2), classes).requires_grad


@pytest.mark.parametrize(
    ("target", "k", "error", "message"),
    [
        ({"label": torch.tensor([0, 3])}, 3, ShapeError, r"label in \[0, 3\), got 0 to 3"),
        ({"label": torch.tensor([0.0, 1.0])}, 3, ShapeError, "label.*int64"),
        ({"label": torch.tensor([0])}, 3, ShapeError, r"label \(2,\)"),
        ({"label": torch.tensor([0, 0])}, 1, SettingsError, "two logits or more"),
        ({"time_bin": torch.tensor([-1, 0]), "event": EVENT}, 3, ShapeError, "time_bin in"),
        ({"time_bin": torch.tensor([0, 0]), "event": EVENT.int()}, 3, ShapeError, "event.*bool"),
        ({"time": torch.tensor([1.0]), "event": EVENT}, 1, ShapeError, r"time \(2,\)"),
        ({"time": torch.tensor([1.0, 2.0]), "event": EVENT}, 3, SettingsError, "3 logits"),
        ({}, 3, SettingsError, r"got \[\]"),
    ],
)
def test_refuses_what_does_not_fit(target, k, error, message):
    with pytest.raises(error, match=message):
        true_confidence(torch.zeros(2, k), target)
    with pytest.raises(ShapeError, match=r"\(b, k\)"):
        true_confidence(torch.zeros(k), target)
