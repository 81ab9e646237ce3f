"""Whether predicted probabilities come true, and ROC curves."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from mmlego.errors import SettingsError, ShapeError
from mmlego.learning.metrics.classification import check_binary
from mmlego.learning.metrics.survival import check_outcome
from mmlego.learning.statistics.groups import kaplan_meier

if TYPE_CHECKING:
    import pandas as pd


class RocCurve(NamedTuple):
    """A ROC curve: rates of false and true positives, and the score from which each holds."""

    false_positive: np.ndarray
    true_positive: np.ndarray
    threshold: np.ndarray


def roc_curve(label: ArrayLike, score: ArrayLike) -> RocCurve:
    """Return the ROC curve of a binary task.

    Args:
        label: (n,) of 0 and 1.
        score: (n,) probability or score of class 1.

    Raises:
        ShapeError: If shapes differ, a label is neither 0 nor 1, or a score is not finite.
        MetricError: If only one class is there.
    """
    from sklearn.metrics import roc_curve as curve

    return RocCurve(*curve(*check_binary(label, score)))


def calibration_table(
    label: ArrayLike, probability: ArrayLike, *, bins: int = 10, strategy: str = "quantile"
) -> pd.DataFrame:
    """Compare predicted probabilities with how often the class occurs, bin by bin.

    Args:
        label: (n,) of 0 and 1.
        probability: (n,) probability of class 1.
        bins: Number of bins; empty ones are left out.
        strategy: ``quantile`` (equally many samples) or ``uniform`` (equally wide).

    Returns:
        One row per bin in rising order: ``bin`` (from 1), ``predicted`` (mean), ``observed``
        (share of class 1), ``n``.

    Raises:
        ShapeError: If shapes differ, a label is neither 0 nor 1, or a probability outside [0, 1].
        MetricError: If only one class is there.
        SettingsError: If ``bins`` is below 1 or the strategy unknown.
    """
    import pandas as pd

    label, probability = check_binary(label, probability)
    _check_unit("probability", probability)
    if bins < 1 or strategy not in ("quantile", "uniform"):
        raise SettingsError(
            f"calibration: expected 1 bin or more and 'quantile' or 'uniform', "
            f"got {bins} and {strategy!r}"
        )
    steps = np.linspace(0, 1, bins + 1)
    edges = steps if strategy == "uniform" else np.quantile(probability, steps)
    # Equal probabilities share a bin, so quantiles that coincide leave bins empty.
    place = np.searchsorted(edges[1:-1], probability, side="left")
    frame = pd.DataFrame({"bin": place + 1, "predicted": probability, "observed": label})
    table = frame.groupby("bin").agg(
        predicted=("predicted", "mean"), observed=("observed", "mean"), n=("observed", "size")
    )
    return table.reset_index()


def survival_calibration(
    event: ArrayLike,
    time: ArrayLike,
    predicted: ArrayLike,
    horizon: float,
    *,
    groups: int = 4,
) -> pd.DataFrame:
    """Compare predicted survival at a horizon with the Kaplan-Meier estimate, group by group.

    Args:
        event: (n,) bool, True = observed.
        time: (n,) times.
        predicted: (n,) predicted probability of surviving the horizon (see ``survival_at``).
        horizon: Time at which survival is compared, positive.
        groups: Equally sized groups of rising prediction; ties are not torn apart.

    Returns:
        One row per group: ``group`` (from 1), ``predicted`` (mean), ``observed``, ``lower``,
        ``upper`` (Kaplan-Meier with its 95% interval), ``n``, ``events``.

    Raises:
        ShapeError: If shapes differ, event is not bool, or a prediction is outside [0, 1].
        SettingsError: If ``groups`` is below 1 or the horizon not positive.
    """
    import pandas as pd

    event, time = check_outcome(event, time)
    predicted = np.asarray(predicted, dtype=float)
    if predicted.shape != event.shape:
        raise ShapeError(f"predicted: expected {event.shape}, got {predicted.shape}")
    _check_unit("predicted", predicted)
    if groups < 1 or not horizon > 0:
        raise SettingsError(
            f"calibration: expected 1 group or more and a positive horizon, got {groups}, {horizon}"
        )
    edges = np.quantile(predicted, np.linspace(0, 1, groups + 1)[1:-1])
    place = np.searchsorted(edges, predicted, side="left")
    rows = [
        {
            "group": g + 1,
            **_observed(event[place == g], time[place == g], predicted[place == g], horizon),
        }
        for g in np.unique(place)
    ]
    return pd.DataFrame(rows)


def _observed(
    event: np.ndarray, time: np.ndarray, predicted: np.ndarray, horizon: float
) -> dict[str, float]:
    curve = kaplan_meier(event, time)
    place = np.searchsorted(curve.times, horizon, side="right")
    observed, lower, upper = (
        float(np.r_[1.0, values][place]) for values in (curve.survival, curve.lower, curve.upper)
    )
    return {
        "predicted": float(predicted.mean()),
        "observed": observed,
        "lower": lower,
        "upper": upper,
        "n": len(event),
        "events": int((event & (time <= horizon)).sum()),
    }


def _check_unit(name: str, values: np.ndarray) -> None:
    if not ((values >= 0) & (values <= 1)).all():
        raise ShapeError(f"{name}: expected values in [0, 1]; pass probabilities, not logits")
