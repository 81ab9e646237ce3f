"""All metrics of one prediction, by the name that they have in the results."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, cast

import numpy as np

from mmlego.errors import MetricError, SettingsError, ShapeError
from mmlego.learning.metrics.classification import (
    accuracy,
    auc,
    auc_hard,
    balanced_accuracy,
    binary_f1,
    class_aucs,
    macro_auc,
    macro_f1,
    weighted_f1,
    weighted_precision,
)
from mmlego.learning.metrics.survival import (
    auc_td,
    concordance_index,
    concordance_index_ipcw,
    integrated_brier,
    survival_at,
)

if TYPE_CHECKING:
    from mmlego.data.cohorts.cohort import Cohort
    from mmlego.data.cohorts.target import ClassTarget
    from mmlego.data.folds.fold import Fold
    from mmlego.data.folds.samples import Samples

__all__ = [
    "MetricWarning",
    "accuracy",
    "auc",
    "auc_hard",
    "auc_td",
    "balanced_accuracy",
    "class_aucs",
    "concordance_index",
    "concordance_index_ipcw",
    "evaluate",
    "integrated_brier",
    "macro_auc",
    "macro_f1",
    "survival_at",
]

Metrics = dict[str, Callable[[], float]]


class MetricWarning(UserWarning):
    """A metric is undefined on a part, or leaves out a class."""


def evaluate(
    prediction: Mapping[str, np.ndarray], samples: Samples, train: Samples, fold: Fold
) -> dict[str, float]:
    """Return every metric of a task for the predictions on one part.

    A metric that is undefined there, such as a C-index without comparable pair, is NaN, and a
    ``MetricWarning`` says why; whoever averages over repeats must leave it out and count it.

    Args:
        prediction: ``risk`` (n,) and ``survival`` (n, k), or ``probability`` (n, k).
        samples: The part that was predicted, usually the test part.
        train: The training part, for the censoring distribution and the time grid.
        fold: For the task and the bin edges.

    Returns:
        Survival: c_index, c_index_ipcw, integrated_brier, auc_td; the third only if there is a
        ``survival``. Classification: macro_auc, balanced_accuracy, macro_f1, accuracy, and for two
        classes auc and auc_hard.

    Raises:
        ShapeError: If a prediction is missing or does not fit the samples.
        SettingsError: If the task is unknown.
    """
    if fold.task == "survival":
        metrics = _survival(prediction, samples, train, fold)
    elif fold.task == "classification":
        metrics = _classification(prediction, samples)
    else:
        raise SettingsError(f"task: expected survival or classification, got '{fold.task}'")
    return {name: _value(name, compute) for name, compute in metrics.items()}


def _survival(
    prediction: Mapping[str, np.ndarray], samples: Samples, train: Samples, fold: Fold
) -> Metrics:
    risk = _required(prediction, "risk")
    outcome = _outcome(samples)
    both = (*_outcome(train), *outcome)
    metrics = {
        "c_index": lambda: concordance_index(*outcome, risk),
        "c_index_ipcw": lambda: concordance_index_ipcw(*both, risk),
        "auc_td": lambda: auc_td(*both, risk),
    }
    if "survival" in prediction:
        curves, edges = prediction["survival"], cast(np.ndarray, fold.bin_edges)
        metrics["integrated_brier"] = lambda: integrated_brier(*both, curves, edges)
    return metrics


def _classification(prediction: Mapping[str, np.ndarray], samples: Samples) -> Metrics:
    probability = _required(prediction, "probability")
    label = samples.target["label"].numpy()
    metrics = {
        "macro_auc": lambda: _reported_macro_auc(label, probability),
        "balanced_accuracy": lambda: balanced_accuracy(label, probability),
        "macro_f1": lambda: macro_f1(label, probability),
        "weighted_f1": lambda: weighted_f1(label, probability),
        "weighted_precision": lambda: weighted_precision(label, probability),
        "accuracy": lambda: accuracy(label, probability),
    }
    if probability.shape[1] == 2:
        metrics["auc"] = lambda: auc(label, probability[:, 1])
        metrics["f1"] = lambda: binary_f1(label, probability)
        metrics["auc_hard"] = lambda: auc_hard(label, probability)
    return metrics


def _reported_macro_auc(label: np.ndarray, probability: np.ndarray) -> float:
    areas = class_aucs(label, probability)
    absent = np.flatnonzero(np.isnan(areas)).tolist()
    if absent:
        _warn(f"macro_auc: no test sample of classes {absent}; their AUC is left out of the mean")
    return float(np.nanmean(areas))


def _value(name: str, compute: Callable[[], float]) -> float:
    try:
        return compute()
    except MetricError as problem:
        _warn(f"{name} is NaN: {problem}")
        return math.nan


def _warn(message: str) -> None:
    warnings.warn(message, MetricWarning, stacklevel=4)


def _required(prediction: Mapping[str, np.ndarray], name: str) -> np.ndarray:
    if name not in prediction:
        raise ShapeError(f"prediction: expected '{name}', got {sorted(prediction)}")
    return np.asarray(prediction[name])


def _outcome(samples: Samples) -> tuple[np.ndarray, np.ndarray]:
    return samples.target["event"].numpy(), samples.target["time"].numpy()


def main_metric(cohort: Cohort) -> str:
    """The metric that a cohort is judged by.

    C-index, AUC, or macro AUC for more than two classes.
    """
    if cohort.task == "survival":
        return "c_index"
    return "auc" if len(cast("ClassTarget", cohort.target).classes) == 2 else "macro_auc"
