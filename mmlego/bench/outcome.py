"""The outcome of one method on one fold.

Predictions on the test part, metrics, and how it was made.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pandas as pd

# What tells the outcomes of one cohort and repeat apart; nothing of it is ever taken to pieces.
LABELS = ("method", "arm", "inputs", "condition", "chosen_by", "tune_epochs")
OUTCOME_COLUMNS = [
    "cohort",
    *LABELS,
    "protocol",
    "modalities",
    "repeat",
    "split_unit",
    "metric",
    "value",
]
VALIDATION = "validation"  # what a choice was made by


@dataclass(frozen=True)
class Outcome:
    """One method, in one configuration, on one fold.

    Attributes:
        method: Name in the registry, such as ``lego_merge``.
        modalities: Modalities that it saw, sorted.
        repeat: Number of the split, from 1.
        ids: Samples of the test part, in the order of ``prediction``, ``(n_test,)``.
        prediction: ``risk`` and ``survival``, or ``probability``; arrays with ``n_test`` rows.
        metrics: Value of each metric on the test part.
        n_train: Samples trained on.
        arm: Configuration of the method, empty for its default.
        inputs: How columns are divided into modalities, a key of ``INPUT_TITLES``; empty for a
            model of a single modality.
        condition: Under which condition it was trained or tested, empty for the usual one.
        chosen_by: ``validation`` for a model that was chosen among several, else empty.
        tune_epochs: Epochs of tuning after a merge or fusion; None where there is no tuning.
        seconds: Training time in seconds; 0 where nothing was trained.
        history: One entry per epoch.
        facts: Anything else worth keeping, such as the number of parameters, the validation loss,
            or the level of what an ablation varies.
        key: Everything that decides it as a hash, empty if it is not kept.
        headline: Whether its history, and all of its prediction, go into the run's record.
    """

    method: str
    modalities: tuple[str, ...]
    repeat: int
    ids: np.ndarray
    prediction: dict[str, np.ndarray]
    metrics: dict[str, float]
    n_train: int
    arm: str = ""
    inputs: str = ""
    condition: str = ""
    chosen_by: str = ""
    tune_epochs: int | None = None
    seconds: float = 0.0
    history: Sequence[Mapping[str, float]] = ()
    facts: Mapping[str, Any] = field(default_factory=dict)
    key: str = ""
    headline: bool = True

    @property
    def n_test(self) -> int:
        """Number of test samples."""
        return len(self.ids)

    @property
    def modality_key(self) -> str:
        """Modalities joined by ``+``."""
        return "+".join(self.modalities)

    @property
    def labels(self) -> dict[str, Any]:
        """What tells it from other outcomes of its repeat."""
        return {name: getattr(self, name) for name in LABELS}

    def relabelled(self, **labels: Any) -> Outcome:
        """The same outcome under other labels, with facts added to those that it has.

        Args:
            labels: Fields of ``LABELS``, ``headline``, ``seconds``, or ``facts``.
        """
        facts = dict(self.facts) | dict(labels.pop("facts", {}))
        return replace(self, facts=facts, **labels)


def tidy(
    outcomes: Sequence[Outcome],
    *,
    cohort: str,
    split_unit: str,
    protocol: str = "",
    **constant: Any,
) -> pd.DataFrame:
    """One row per outcome and metric, with the columns of the table of results."""
    rows = [
        outcome.labels
        | {
            "cohort": cohort,
            "protocol": protocol,
            "modalities": outcome.modality_key,
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
    frame = pd.DataFrame(rows, columns=columns).assign(**constant)
    return frame.astype({"tune_epochs": "Int64"})


def log_outcome(log: Callable[[str], None] | None, outcome: Outcome) -> None:
    """Log one line about a fit."""
    if log is None:
        return
    metric, value = next(iter(outcome.metrics.items()))
    best = outcome.facts.get("best_epoch")
    epochs = "" if best is None else f"best epoch {best:>2} of {len(outcome.history):>2}"
    words = ", ".join(word for word in (outcome.arm, outcome.inputs, outcome.condition) if word)
    log(
        f"repeat {outcome.repeat}  {outcome.method:<10} {words:<8} {outcome.modality_key:<24} "
        f"{epochs:<20}  {metric} {value:.3f}  {outcome.seconds:6.1f} s"
    )
