"""What a page shows of the fold that it works through: shapes, and whether numbers agree."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from torch import Tensor

from mmlego.bench.outcome import Outcome
from mmlego.bench.trained import TrainedModel
from mmlego.data.folds.fold import Fold
from mmlego.errors import RunError
from mmlego.figures import style
from mmlego.learning.metrics.scores import main_metric
from mmlego.runs.session import Session

# A C-index moves by steps that are larger than this; rounding moves a Brier score by less.
_SAME = 1e-5


def parts(fold: Fold) -> pd.DataFrame:
    """The parts of a fold: samples, events or classes, and samples that have each modality."""
    rows = []
    for name, part in fold.parts().items():
        row: dict[str, object] = {"part": name, "samples": len(part)}
        if fold.task == "survival":
            row["events"] = int(part.target["event"].sum())
        else:
            counts = np.bincount(part.target["label"].numpy(), minlength=len(fold.classes or ()))
            row |= {str(c): int(n) for c, n in zip(fold.classes or (), counts, strict=True)}
        row |= {f"with {one}": int(part.present[one].sum()) for one in part.names}
        rows.append(row)
    return pd.DataFrame(rows)


def shapes(tensors: Mapping[str, Tensor]) -> pd.DataFrame:
    """Name, shape and type of some tensors, such as the inputs of a batch."""
    return pd.DataFrame(
        {
            "tensor": name,
            "shape": " x ".join(map(str, value.shape)),
            "type": str(value.dtype).removeprefix("torch."),
        }
        for name, value in tensors.items()
    )


def agreement(session: Session, model: TrainedModel | Outcome, metrics: Mapping[str, float]) -> str:
    """Whether what was computed step by step is what the results of the run hold.

    Args:
        session: The run.
        model: The model of the fold that was worked through, or its outcome.
        metrics: What came out, by name of the metric.

    Raises:
        RunError: If the results of the run do not hold this model.
    """
    found = in_results(session, model)
    metric = main_metric(session.cohort)
    name = style.title(metric)
    here, there = metrics[metric], found.metrics[metric]
    text = (
        f"{name} step by step: **{here:.3f}**; in the results of repeat {found.repeat}: "
        f"**{there:.3f}**. "
    )
    apart = largest_difference(metrics, found)
    if apart <= _SAME:
        return f"{text}All {len(metrics)} metrics are the same."
    return (
        f"{text}The largest difference of a metric is {apart:.1e}: the results were made on "
        "another machine or device, which rounds otherwise."
    )


def in_results(session: Session, model: TrainedModel | Outcome) -> Outcome:
    """The outcome of a model among those of the run.

    Raises:
        RunError: If it is not there.
    """
    for outcome in session.outcomes:
        if outcome.key == model.key:
            return outcome
    raise RunError(
        f"worked fold: expected this model of {model.method} among the {len(session.outcomes)} "
        "outcomes of this run, got none with its key; add it first"
    )


def largest_difference(metrics: Mapping[str, float], outcome: Outcome) -> float:
    """Largest difference of a metric to that of an outcome; one that both lack counts as none."""
    apart = [
        abs(value - outcome.metrics[name])
        for name, value in metrics.items()
        if not (np.isnan(value) and np.isnan(outcome.metrics[name]))
    ]
    return float(max(apart, default=0.0))
