"""The outcome of one method on one fold.

Predictions on the test part, metrics, and how it was made.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

OUTCOME_COLUMNS = [
    "cohort",
    "method",
    "variant",
    "modalities",
    "repeat",
    "split_unit",
    "metric",
    "value",
]


@dataclass(frozen=True)
class Outcome:
    """One method, in one variant, on one fold.

    Attributes:
        method: Name in the registry, such as ``lego_merge``.
        variant: Configuration of the method, empty for its default.
        modalities: Modalities that it saw, sorted.
        repeat: Number of the split, from 1.
        ids: Samples of the test part, in the order of ``prediction``, ``(n_test,)``.
        prediction: ``risk`` and ``survival``, or ``probability``; arrays with ``n_test`` rows.
        metrics: Value of each metric on the test part.
        n_train: Samples trained on.
        seconds: Training time in seconds; 0 where nothing was trained.
        history: One entry per epoch.
        facts: Anything else worth keeping, such as the number of parameters or the validation loss.
        key: Key of the stored fit, empty if none.
        headline: Whether predictions and history go into the run's record.
    """

    method: str
    variant: str
    modalities: tuple[str, ...]
    repeat: int
    ids: np.ndarray
    prediction: dict[str, np.ndarray]
    metrics: dict[str, float]
    n_train: int
    seconds: float = 0.0
    history: Sequence[dict[str, float]] = ()
    facts: dict[str, Any] = field(default_factory=dict)
    key: str = ""
    headline: bool = True

    @property
    def n_test(self) -> int:
        """Number of test samples."""
        return len(self.ids)

    @property
    def joined(self) -> str:
        """Modalities joined by ``+``."""
        return "+".join(self.modalities)


def tidy(
    outcomes: Sequence[Outcome], *, cohort: str, split_unit: str, **constant: Any
) -> pd.DataFrame:
    """One row per outcome and metric, with the columns of ``results/metrics.csv``."""
    rows = [
        {
            "cohort": cohort,
            "method": outcome.method,
            "variant": outcome.variant,
            "modalities": outcome.joined,
            "repeat": outcome.repeat,
            "split_unit": split_unit,
            "metric": metric,
            "value": value,
            "n_train": outcome.n_train,
            "n_test": outcome.n_test,
            "seconds": round(outcome.seconds, 3),
        }
        for outcome in outcomes
        for metric, value in outcome.metrics.items()
    ]
    columns = [*OUTCOME_COLUMNS, "n_train", "n_test", "seconds"]
    return pd.DataFrame(rows, columns=columns).assign(**constant)


def tell(log: Callable[[str], None] | None, outcome: Outcome) -> None:
    """Log one line about a fit."""
    if log is None:
        return
    metric, value = next(iter(outcome.metrics.items()))
    best = outcome.facts.get("best_epoch")
    epochs = "" if best is None else f"best epoch {best:>2} of {len(outcome.history):>2}"
    log(
        f"repeat {outcome.repeat}  {outcome.method:<10} {outcome.variant:<8} {outcome.joined:<24} "
        f"{epochs:<20}  {metric} {value:.3f}  {outcome.seconds:6.1f} s"
    )
