"""How right a prediction was, per sample: what a confidence is trained to tell in advance."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn import functional as F

from mmlego.errors import SettingsError, ShapeError

Tensors = Mapping[str, Tensor]


def true_confidence(logits: Tensor, target: Tensors) -> Tensor:
    """Return how right each sample was predicted, (b,) in [0, 1].

    * ``label``: the probability of the true class, softmax(logits)[label].
    * ``time_bin`` and ``event``, two logits or more: the likelihood of discrete-time survival, S at
      the bin before times the hazard of the bin for an event, S at the bin if censored.
    * ``time`` and ``event``, one logit, the risk: of the pairs of the batch that can be compared
      and contain the sample, the share that is ordered right, a tie counting one half. NaN where
      there is no such pair; without gradient.

    The first two are exp(-loss of the sample), carry the gradient of ``logits``, and depend on no
    other sample.

    Args:
        logits: (b, k) of classes, of hazards, or of one risk.
        target: Target by name, (b,) each.

    Raises:
        SettingsError: If the target has none of these forms, or k does not fit.
        ShapeError: If a shape or type is wrong, or an index is outside [0, k).

    Source: Corbiere et al. 2019 and Han et al. 2022 for classes; both forms for survival are ours.
    """
    if logits.ndim != 2:
        raise ShapeError(f"true_confidence: expected logits (b, k), got {tuple(logits.shape)}")
    if "label" in target:
        return _class_probability(logits, target["label"])
    if logits.shape[1] > 1 and {"time_bin", "event"} <= set(target):
        return _survival_likelihood(logits, target["time_bin"], target["event"])
    if logits.shape[1] == 1 and {"time", "event"} <= set(target):
        return _share_of_right_pairs(logits[:, 0], target["time"], target["event"])
    raise SettingsError(
        "true_confidence: expected a target with label, with time_bin and event for two logits or "
        f"more, or with time and event for one, got {sorted(target)} and {logits.shape[1]} logits"
    )


def _class_probability(logits: Tensor, label: Tensor) -> Tensor:
    if logits.shape[1] < 2:
        raise SettingsError(
            "true_confidence: expected two logits or more for a label, got 1; build the model with "
            "one output per class"
        )
    _check_index("label", label, logits)
    return logits.softmax(dim=1).gather(1, label[:, None])[:, 0]


def _survival_likelihood(logits: Tensor, time_bin: Tensor, event: Tensor) -> Tensor:
    _check_index("time_bin", time_bin, logits)
    _check_rows("event", event, logits, torch.bool)
    log_pass = F.logsigmoid(-logits)  # log(1 - h_j)
    bins = torch.arange(logits.shape[1], device=logits.device)
    before = log_pass.masked_fill(bins >= time_bin[:, None], 0.0).sum(dim=1)
    last = torch.where(event[:, None], F.logsigmoid(logits), log_pass)
    return (before + last.gather(1, time_bin[:, None])[:, 0]).exp()


def _share_of_right_pairs(risk: Tensor, time: Tensor, event: Tensor) -> Tensor:
    _check_rows("time", time, risk)
    _check_rows("event", event, risk, torch.bool)
    later = (time[:, None] < time) | ((time[:, None] == time) & ~event)
    comparable = event[:, None] & later  # (i, j): i had the event while j was still without it
    right = (risk[:, None] > risk).to(risk) + 0.5 * (risk[:, None] == risk)
    both = [(pairs + pairs.T).sum(dim=1) for pairs in (comparable * right, comparable.to(risk))]
    return both[0] / both[1]  # 0 / 0 is NaN


def _check_index(name: str, index: Tensor, logits: Tensor) -> None:
    _check_rows(name, index, logits, torch.int64)
    if len(index) and not 0 <= int(index.min()) <= int(index.max()) < logits.shape[1]:
        raise ShapeError(
            f"true_confidence: expected {name} in [0, {logits.shape[1]}), got {int(index.min())} "
            f"to {int(index.max())}; build the model with as many outputs as the task has"
        )


def _check_rows(name: str, x: Tensor, logits: Tensor, dtype: torch.dtype | None = None) -> None:
    if x.shape != logits.shape[:1] or (dtype is not None and x.dtype != dtype):
        raise ShapeError(
            f"true_confidence: expected {name} ({len(logits)},) of {dtype or 'any type'}, got "
            f"{tuple(x.shape)} of {x.dtype}; pass the rows that the logits belong to"
        )
