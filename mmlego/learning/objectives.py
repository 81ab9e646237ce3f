"""What is minimised, and how logits become predictions: survival in time bins, and classes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Protocol

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from mmlego.errors import DataError, SettingsError, ShapeError
from mmlego.learning.settings import SURVIVAL_LOSSES, explicit_weights

if TYPE_CHECKING:
    from mmlego.data.folds.fold import Fold

SCHEMES = ("inverse", "sqrt", "counts")


class Objective(Protocol):
    """A loss, and the prediction that belongs to it."""

    n_outputs: int

    def loss(self, logits: Tensor, target: Mapping[str, Tensor]) -> Tensor:
        """Return the mean loss of a batch."""

    def predict(self, logits: Tensor) -> dict[str, np.ndarray]:
        """Return predictions as arrays with one row per sample."""


def survival_nll(
    hazard_logits: Tensor, time_bin: Tensor, event: Tensor, alpha: float = 0.0
) -> Tensor:
    """Return the negative log-likelihood of discrete-time survival, averaged over the batch.

    With hazards h_j = sigmoid(logit_j) and survival S_k = prod_{j <= k} (1 - h_j), an event in
    bin k costs -log S_{k-1} - log h_k, and a sample censored in bin k costs -log S_k. Logarithms
    are sums of log-sigmoids, so that no probability needs clamping.

    Args:
        hazard_logits: Logits of the hazards, (b, k).
        time_bin: Bin of the event or of the censoring, (b,) int64 in [0, k).
        event: (b,) bool, True = the event was observed.
        alpha: In [0, 1]; events weigh 1, censored samples 1 - alpha.

    Returns:
        A scalar of the type of ``hazard_logits``.

    Raises:
        ShapeError: If shapes or types differ from these, the batch is empty, or a bin is outside.
        SettingsError: If alpha is outside [0, 1].

    Source: Zadeh & Schmid 2020; alpha as in MCAT (Chen et al. 2021), whose code clamps at 1e-7.
    """
    _check_alpha(alpha)
    _check_survival(hazard_logits, time_bin, event)
    bins = torch.arange(hazard_logits.shape[1], device=hazard_logits.device)
    log_pass = F.logsigmoid(-hazard_logits)  # log(1 - h_j)
    passed = bins < time_bin[:, None]
    before = log_pass.masked_fill(~passed, 0.0).sum(dim=1)  # log S_{k-1}
    at = time_bin[:, None]
    observed = before + F.logsigmoid(hazard_logits).gather(1, at)[:, 0]
    censored = before + log_pass.gather(1, at)[:, 0]
    return -torch.where(event, observed, (1.0 - alpha) * censored).mean()


def clamped_nll(
    hazards: Tensor,
    time_bin: Tensor,
    event: Tensor,
    *,
    alpha: float = 0.0,
    clamp: float = 1e-7,
    bin_weights: Tensor | None = None,
) -> Tensor:
    """Return the loss of each sample in the form of published code: from hazards, with clamping.

    It equals ``survival_nll`` where hazards are inside (0, 1), and is here to compare with that
    code; train with ``survival_nll``.

    Args:
        hazards: (b, k) in [0, 1].
        time_bin: (b,) int64 in [0, k).
        event: (b,) bool, True = observed.
        alpha: In [0, 1]; events weigh 1, censored samples 1 - alpha.
        clamp: Smallest argument of a logarithm.
        bin_weights: (k,) weights of the bins, scaled here to sum 1; they multiply the whole
            likelihood but not the additional alpha term of events.

    Returns:
        Losses (b,).

    Raises:
        ShapeError: If shapes, types or ranges differ from these.
        SettingsError: If alpha is outside [0, 1].
    """
    _check_alpha(alpha)
    _check_survival(hazards, time_bin, event)
    if bool(((hazards < 0) | (hazards > 1)).any()):
        raise ShapeError("hazards: expected values in [0, 1]; pass probabilities, not logits")
    survival = F.pad(torch.cumprod(1.0 - hazards, dim=1), (1, 0), value=1.0)  # S_{-1}, S_0, ...
    at = time_bin[:, None]
    log_before = survival.gather(1, at)[:, 0].clamp(min=clamp).log()
    log_hazard = hazards.gather(1, at)[:, 0].clamp(min=clamp).log()
    log_after = survival.gather(1, at + 1)[:, 0].clamp(min=clamp).log()
    loss = -torch.where(event, log_before + log_hazard, log_after)
    share = 1.0 if bin_weights is None else (bin_weights / bin_weights.sum())[time_bin]
    return (1.0 - alpha) * share * loss + alpha * torch.where(event, loss, 0.0)


class SurvivalObjective:
    """Discrete-time survival over ``n_bins`` hazards."""

    def __init__(self, n_bins: int = 4, alpha: float = 0.0) -> None:
        """Set the number of outputs and the weighting.

        Args:
            n_bins: Number of time bins k, 2 or more.
            alpha: In [0, 1]; events weigh 1 in the loss, censored samples 1 - alpha.

        Raises:
            SettingsError: If an argument is out of range.
        """
        _check_outputs("SurvivalObjective: n_bins", n_bins)
        _check_alpha(alpha)
        self.n_outputs = n_bins
        self.alpha = alpha

    def loss(self, logits: Tensor, target: Mapping[str, Tensor]) -> Tensor:
        """Return the mean loss of logits (b, k) given ``time_bin`` and ``event``."""
        _check_width(logits, self.n_outputs)
        return survival_nll(logits, target["time_bin"], target["event"], self.alpha)

    def predict(self, logits: Tensor) -> dict[str, np.ndarray]:
        """Return ``survival`` (n, k) past each bin, and ``risk`` (n,), minus its sum over bins.

        Raises:
            ShapeError: If logits are not finite (n, k).
        """
        _check_width(logits, self.n_outputs)
        _check_finite(logits)
        log_pass = F.logsigmoid(-logits.detach().double())
        survival = log_pass.cumsum(dim=1).exp().cpu().numpy()
        return {"risk": -survival.sum(axis=1), "survival": survival}


def cox_loss(risk: Tensor, time: Tensor, event: Tensor) -> Tensor:
    """Return the negative log partial likelihood of Cox's model, averaged over the events.

    An event at time t_i costs log(sum of exp(risk_j) over all j with t_j >= t_i) - risk_i. A batch
    without an event costs 0.

    Args:
        risk: Log of the relative hazard, (b,).
        time: (b,) times of event or censoring.
        event: (b,) bool, True = the event was observed.

    Returns:
        A scalar of the type of ``risk``.

    Raises:
        ShapeError: If shapes or types differ from these, or the batch is empty.

    Source: Cox 1972, ties after Breslow 1974.
    """
    if risk.ndim != 1 or not risk.shape == time.shape == event.shape or not len(risk):
        raise ShapeError(
            f"cox_loss: expected risk, time and event of one shape (b,), got {tuple(risk.shape)}, "
            f"{tuple(time.shape)} and {tuple(event.shape)}"
        )
    if event.dtype != torch.bool:
        raise ShapeError(f"cox_loss: expected event as bool, got {event.dtype}; True = observed")
    if not bool(event.any()):
        return 0.0 * risk.sum()
    outlived = time[None, :] < time[event][:, None]
    at_risk = risk[None, :].masked_fill(outlived, -torch.inf)
    return (at_risk.logsumexp(dim=1) - risk[event]).mean()


class CoxObjective:
    """Cox's partial likelihood over the batch, on one output, the log of the relative hazard."""

    n_outputs = 1

    def loss(self, logits: Tensor, target: Mapping[str, Tensor]) -> Tensor:
        """Return the loss of logits (b, 1) given ``time`` and ``event``."""
        _check_width(logits, self.n_outputs)
        return cox_loss(logits[:, 0], target["time"], target["event"])

    def predict(self, logits: Tensor) -> dict[str, np.ndarray]:
        """Return ``risk`` (n,); there are no survival curves.

        Raises:
            ShapeError: If logits are not finite (n, 1).
        """
        _check_width(logits, self.n_outputs)
        _check_finite(logits)
        return {"risk": logits[:, 0].detach().double().cpu().numpy()}


class ClassificationObjective:
    """Cross-entropy over ``n_classes`` logits (two of them for a binary task).

    The loss is the plain mean of weighted sample losses, not divided by the weights in the batch,
    so that a sample counts the same whatever the batch.
    """

    def __init__(
        self,
        n_classes: int,
        class_weights: Sequence[float] | None = None,
        *,
        rescale: bool = True,
    ) -> None:
        """Set the number of outputs and the weighting.

        Args:
            n_classes: Number of classes k, 2 or more.
            class_weights: k positive weights, or None; see the function ``class_weights``.
            rescale: Scale the weights to mean 1, rather than take them as they are.

        Raises:
            SettingsError: If an argument is out of range.
        """
        _check_outputs("ClassificationObjective: n_classes", n_classes)
        self.n_outputs = n_classes
        self.class_weights = None
        if class_weights is not None:
            weights = torch.as_tensor(class_weights, dtype=torch.float32)
            if weights.shape != (n_classes,) or not bool((weights > 0).all()):
                raise SettingsError(
                    f"class_weights: expected {n_classes} positive numbers, got {class_weights}; "
                    "give one per class"
                )
            self.class_weights = weights / weights.mean() if rescale else weights

    def loss(self, logits: Tensor, target: Mapping[str, Tensor]) -> Tensor:
        """Return the mean loss of logits (b, k) given ``label``."""
        _check_width(logits, self.n_outputs)
        label = target["label"]
        _check_index("label", label, logits)
        losses = F.cross_entropy(logits, label, reduction="none")
        if self.class_weights is not None:
            losses = losses * self.class_weights.to(losses)[label]
        return losses.mean()

    def predict(self, logits: Tensor) -> dict[str, np.ndarray]:
        """Return ``probability`` (n, k), rows summing to 1.

        Raises:
            ShapeError: If logits are not finite (n, k).
        """
        _check_width(logits, self.n_outputs)
        _check_finite(logits)
        return {"probability": logits.detach().double().softmax(dim=1).cpu().numpy()}


def class_weights(label: Tensor, n_classes: int, scheme: str) -> list[float]:
    """Return a weight per class from training labels.

    Args:
        label: Training labels, (n,) int64 in [0, n_classes).
        n_classes: Number of classes.
        scheme: ``inverse`` (1/n_k) or ``sqrt`` (1/sqrt(n_k)), scaled to mean 1 over the classes, or
            ``counts`` (n/n_k as it is, which makes the loss of k classes about k times as large).

    Raises:
        SettingsError: If the scheme is unknown.
        DataError: If a class has no training sample.
    """
    if scheme not in SCHEMES:
        raise SettingsError(
            f"class_weights: expected one of {list(SCHEMES)} or None, got {scheme!r}"
        )
    counts = torch.bincount(label, minlength=n_classes).double()
    if bool((counts == 0).any()):
        absent = (counts == 0).nonzero().flatten().tolist()
        raise DataError(
            f"class_weights: expected every class in training, got none of {absent}; use None, or "
            "drop the class from the card"
        )
    if scheme == "counts":
        return (counts.sum() / counts).tolist()
    weights = counts.pow(-1.0 if scheme == "inverse" else -0.5)
    return (weights / weights.mean()).tolist()


def objective_for(
    fold: Fold,
    alpha: float = 0.0,
    *,
    class_weights: str | None = None,
    survival_loss: str = "hazards",
) -> Objective:
    """Return the objective of a fold's task.

    Args:
        fold: Data; weights of classes are taken from its training part.
        alpha: Of ``SurvivalObjective``; ignored for classes.
        class_weights: ``inverse``, ``sqrt``, ``counts``, one number per class as text such as
            ``0.25,0.75``, or None; ignored for survival.
        survival_loss: ``hazards`` or ``cox``; ignored for classes.

    Raises:
        SettingsError: If the task, the scheme or the loss is unknown, or the number of weights is
            not that of the classes.
    """
    if survival_loss not in SURVIVAL_LOSSES:
        raise SettingsError(f"survival loss: expected {SURVIVAL_LOSSES}, got {survival_loss!r}")
    if fold.task == "survival":
        return (
            CoxObjective() if survival_loss == "cox" else SurvivalObjective(fold.n_outputs, alpha)
        )
    if fold.task != "classification":
        raise SettingsError(f"task: expected survival or classification, got '{fold.task}'")
    if class_weights is None:
        return ClassificationObjective(fold.n_outputs)
    if class_weights in SCHEMES:
        weights = _weights(fold.train.target["label"], fold.n_outputs, class_weights)
    else:
        weights = explicit_weights(class_weights)
    rescale = class_weights in ("inverse", "sqrt")
    return ClassificationObjective(fold.n_outputs, weights, rescale=rescale)


_weights = class_weights  # the keyword of ``objective_for`` hides the function of the same name


def _check_outputs(what: str, n: int) -> None:
    if isinstance(n, bool) or not isinstance(n, int) or n < 2:
        raise SettingsError(f"{what}: expected a whole number of 2 or more, got {n!r}")


def _check_alpha(alpha: float) -> None:
    if not 0.0 <= alpha <= 1.0:
        raise SettingsError(f"alpha: expected a number in [0, 1], got {alpha}")


def _check_width(logits: Tensor, k: int) -> None:
    if logits.ndim != 2 or logits.shape[1] != k:
        raise ShapeError(
            f"logits: expected (b, {k}), got {tuple(logits.shape)}; "
            f"build the model with n_outputs={k}"
        )


def _check_finite(logits: Tensor) -> None:
    if not bool(torch.isfinite(logits).all()):
        raise ShapeError("logits: expected finite values, got NaN or infinity; check the inputs")


def _check_survival(values: Tensor, time_bin: Tensor, event: Tensor) -> None:
    if values.ndim != 2:
        raise ShapeError(f"hazard logits: expected (b, k), got {tuple(values.shape)}")
    _check_index("time_bin", time_bin, values)
    if event.dtype != torch.bool or event.shape != values.shape[:1]:
        raise ShapeError(
            f"event: expected bool ({values.shape[0]},), got {event.dtype} {tuple(event.shape)}; "
            "True = the event was observed"
        )


def _check_index(name: str, index: Tensor, values: Tensor) -> None:
    b, k = values.shape
    if index.dtype != torch.int64 or index.shape != (b,) or b == 0:
        raise ShapeError(
            f"{name}: expected int64 ({b},) with one entry or more, "
            f"got {index.dtype} {tuple(index.shape)}"
        )
    low, high = torch.aminmax(index)
    if int(low) < 0 or int(high) >= k:
        raise ShapeError(f"{name}: expected values in [0, {k}), got {int(low)} to {int(high)}")
