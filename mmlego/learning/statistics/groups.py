"""Survival of groups: Kaplan-Meier curves, the log-rank test, and groups by predicted risk."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from mmlego.errors import MetricError, SettingsError, ShapeError
from mmlego.learning.metrics.survival import check_outcome


class KaplanMeier(NamedTuple):
    """A survival curve: its times, values, interval, and the number at risk at any time."""

    times: np.ndarray
    survival: np.ndarray
    lower: np.ndarray
    upper: np.ndarray
    at_risk: Callable[[float], int]


def kaplan_meier(event: ArrayLike, time: ArrayLike, *, level: float = 0.95) -> KaplanMeier:
    """Estimate the survival curve of a group.

    Args:
        event: (n,) bool, True = observed.
        time: (n,) non-negative times.
        level: Coverage of the pointwise (log-log) interval, in (0, 1).

    Returns:
        Distinct times in rising order, events and censorings alike, with the survival from each on.
        A group without any event has a constant curve of 1 with an interval of [1, 1].
        ``at_risk(t)`` counts the samples with a time of t or later.

    Raises:
        ShapeError: If shapes differ, event is not bool, or a time is negative or not finite.
        SettingsError: If the level is outside (0, 1).

    Source: Kaplan & Meier 1958, as implemented in scikit-survival.
    """
    from sksurv.nonparametric import kaplan_meier_estimator

    event, time = check_outcome(event, time)
    if not 0.0 < level < 1.0:
        raise SettingsError(f"level: expected a coverage in (0, 1), got {level}; usual is 0.95")

    def at_risk(moment: float) -> int:
        return int((time >= moment).sum())

    if not event.any():
        times = np.unique(time)
        survival, lower, upper = np.ones((3, len(times)))
        return KaplanMeier(times, survival, lower, upper, at_risk)
    times, survival, (lower, upper) = kaplan_meier_estimator(
        event, time, conf_level=level, conf_type="log-log"
    )
    return KaplanMeier(times, survival, lower, upper, at_risk)


def logrank_test(event: ArrayLike, time: ArrayLike, group: ArrayLike) -> tuple[float, float]:
    """Test whether groups have the same survival; return chi-squared and the p-value.

    Args:
        event: (n,) bool, True = observed.
        time: (n,) non-negative times.
        group: (n,) group of each sample, two groups or more.

    Raises:
        ShapeError: If shapes differ, event is not bool, or a time is negative or not finite.
        MetricError: If there is one group only, or no event.
    """
    from sksurv.compare import compare_survival
    from sksurv.util import Surv

    event, time = check_outcome(event, time)
    group = np.asarray(group)
    if group.shape != event.shape:
        raise ShapeError(f"group: expected {event.shape}, got {group.shape}")
    if len(np.unique(group)) < 2 or not event.any():
        raise MetricError(
            f"log-rank: expected two groups and an event, got {len(np.unique(group))} groups and "
            f"{int(event.sum())} events"
        )
    outcome = Surv.from_arrays(event=event, time=time)
    statistic, p_value = compare_survival(outcome, group)
    return float(statistic), float(p_value)


def risk_groups(risk: ArrayLike, train_risk: ArrayLike) -> np.ndarray:
    """Split samples at the median risk of the training part.

    Args:
        risk: (n,) risks of the samples to split.
        train_risk: (n_train,) risks that the same model gives to its training part, or a threshold.
            A median of the test part would depend on who else is tested.

    Returns:
        (n,) bool, True = above the threshold: high risk.

    Raises:
        ShapeError: If there is no risk, or one is not finite.
    """
    risk, reference = np.asarray(risk, dtype=float), np.asarray(train_risk, dtype=float)
    for name, values in (("risk", risk), ("train_risk", reference)):
        if values.size == 0 or not np.isfinite(values).all():
            raise ShapeError(f"{name}: expected finite values, got {values.shape} with some not")
    return risk > np.median(reference)
