"""Mean and interval of a few repeats, for figures and tables."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from scipy import stats

from mmlego.errors import DataError
from mmlego.figures import checks

# Metrics that lie in [0, 1]; where repeats are few, an interval of their mean can reach beyond.
_SHARES = frozenset(
    {"c_index", "c_index_ipcw", "integrated_brier", "auc_td", "auc", "macro_auc", "auc_hard",
     "balanced_accuracy", "macro_f1", "accuracy", "f1", "weighted_f1", "weighted_precision"}
)  # fmt: skip


class Interval(NamedTuple):
    """Mean with lower and upper end, and how many repeats are behind it."""

    mean: float
    lower: float
    upper: float
    n: int


def interval(
    values: object, *, kind: str = "ci", test_train_ratio: float | None = None, level: float = 0.95
) -> Interval:
    """Return the mean of repeats with its interval.

    Args:
        values: One value per repeat, shape (r,).
        kind: "ci" for a t interval of the mean, "sd" for one sample standard deviation,
            "bootstrap" for percentiles of the resampled mean (2000 draws, fixed seed).
        test_train_ratio: n_test / n_train of the repeats. When given, the t interval uses the
            corrected variance (1/r + ratio) s^2, because repeated sub-samples share patients.
        level: Coverage of the interval, in (0, 1).

    Returns:
        An interval; with one repeat lower and upper are NaN, since one value has no spread.

    Raises:
        DataError: If the kind is unknown or the ratio is not positive.

    Source: Nadeau & Bengio (2003), corrected resampled variance.
    """
    array = checks.finite(values, name="interval values")
    checks.choice(kind, ("ci", "sd", "bootstrap"), name="interval kind")
    if test_train_ratio is not None and not test_train_ratio > 0:
        raise DataError(f"test_train_ratio: expected a positive number, got {test_train_ratio}")
    mean, n = float(array.mean()), array.size
    if n == 1:
        return Interval(mean, np.nan, np.nan, 1)
    if kind == "bootstrap":
        rng = np.random.default_rng(0)
        draws = rng.choice(array, size=(2000, n)).mean(axis=1)
        lower, upper = np.quantile(draws, [(1 - level) / 2, (1 + level) / 2])
        return Interval(mean, float(lower), float(upper), n)
    half = array.std(ddof=1)
    if kind == "ci":
        half *= np.sqrt(1 / n + (test_train_ratio or 0.0)) * stats.t.ppf((1 + level) / 2, n - 1)
    return Interval(mean, float(mean - half), float(mean + half), n)


def ends_of(
    metric: str, kind: str, test_train_ratio: float | None = None, *, difference: bool = False
) -> Callable[[object], tuple[float, float]]:
    """Return what gives the ends of the interval of some repeats, within the metric's scale."""
    lowest, highest = (-1 if difference else 0, 1) if metric in _SHARES else (-np.inf, np.inf)

    def ends(values: object) -> tuple[float, float]:
        _, *found, _ = interval(values, kind=kind, test_train_ratio=test_train_ratio)
        return tuple(np.clip(found, lowest, highest))

    return ends


def describe(kind: str, *, corrected: bool = False) -> str:
    """Return the words that name an interval in a legend."""
    words = {"ci": "95% interval of the mean", "sd": "one standard deviation",
             "bootstrap": "95% bootstrap interval"}[kind]  # fmt: skip
    return f"{words} (corrected)" if corrected and kind == "ci" else words
