"""How sure a comparison is: paired tests over repeats, corrections, and bootstrap intervals."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from mmlego.errors import MetricError, SettingsError, ShapeError
from mmlego.learning.metrics.calibration import calibration_table, roc_curve, survival_calibration
from mmlego.learning.seeding import check_seed
from mmlego.learning.statistics.groups import KaplanMeier, kaplan_meier, logrank_test, risk_groups

__all__ = [
    "Interval",
    "KaplanMeier",
    "PairedTest",
    "bootstrap_ci",
    "bootstrap_metric",
    "calibration_table",
    "corrected_resampled_ttest",
    "holm",
    "kaplan_meier",
    "logrank_test",
    "risk_groups",
    "roc_curve",
    "survival_calibration",
]


class PairedTest(NamedTuple):
    """A paired comparison over repeats: mean difference, its interval, and the test."""

    mean: float
    statistic: float
    p_value: float
    low: float
    high: float


class Interval(NamedTuple):
    """An estimate with its bootstrap interval, and how many resamples it rests on."""

    estimate: float
    low: float
    high: float
    n_used: int


def corrected_resampled_ttest(
    differences: ArrayLike, n_train: int, n_test: int, *, level: float = 0.95
) -> PairedTest:
    """Test whether the mean difference over repeated random splits is 0.

    Repeats share training samples, so their differences are not independent and the plain t-test
    rejects far too often. The variance of the mean is taken as (1/J + n_test/n_train) s^2 over J
    repeats, with J - 1 degrees of freedom. Differences that are all equal have no variance: the
    p-value is then 1 if they are 0, and 0 otherwise.

    Args:
        differences: (J,) differences of a metric on the same splits, J of 2 or more.
        n_train: Samples in a training part.
        n_test: Samples in a test part.
        level: Coverage of the interval, in (0, 1).

    Raises:
        MetricError: If there are fewer than two differences, or one is not finite.
        SettingsError: If a size is below 1 or the level outside (0, 1).

    Source: Nadeau & Bengio 2003, section 3.3.
    """
    from scipy import stats

    values = _sample(differences, at_least=2)
    _check_level(level)
    if n_train < 1 or n_test < 1:
        raise SettingsError(f"t-test: expected sizes of 1 or more, got {n_train} and {n_test}")
    mean, dof = float(values.mean()), len(values) - 1
    error = math.sqrt((1 / len(values) + n_test / n_train) * float(values.var(ddof=1)))
    if error == 0.0:
        statistic = 0.0 if mean == 0.0 else math.copysign(math.inf, mean)
    else:
        statistic = mean / error
    half = float(stats.t.ppf((1 + level) / 2, dof)) * error
    p_value = float(2 * stats.t.sf(abs(statistic), dof))
    return PairedTest(mean, statistic, p_value, mean - half, mean + half)


def holm(p_values: ArrayLike) -> np.ndarray:
    """Return p-values adjusted for their number, in the order given.

    An undefined comparison (NaN) stays NaN and does not count.

    Args:
        p_values: (m,) in [0, 1], or NaN.

    Raises:
        MetricError: If a p-value is outside [0, 1].

    Source: Holm 1979.
    """
    p = np.asarray(p_values, dtype=float)
    known = np.flatnonzero(~np.isnan(p))
    if p.ndim != 1 or not ((p[known] >= 0) & (p[known] <= 1)).all():
        raise MetricError(f"holm: expected p-values (m,) in [0, 1], got {p.tolist()}")
    order = known[np.argsort(p[known], kind="stable")]
    adjusted = np.full(len(p), np.nan)
    # The smallest of m is multiplied by m, the next by m - 1; none may fall below its predecessor.
    scaled = p[order] * np.arange(len(order), 0, -1)
    adjusted[order] = np.minimum(np.maximum.accumulate(scaled), 1.0)
    return adjusted


def bootstrap_ci(
    values: ArrayLike, *, n: int = 2000, level: float = 0.95, seed: int = 0
) -> Interval:
    """Return the mean with its percentile bootstrap interval.

    Args:
        values: (j,) numbers, 2 or more.
        n: Number of resamples.
        level: Coverage, in (0, 1).
        seed: Seed of the resampling.

    Raises:
        MetricError: If there are fewer than two values, or one is not finite.
        SettingsError: If ``n``, the level or the seed is out of range.
    """
    values = _sample(values, at_least=2)
    return bootstrap_metric(lambda x: float(x.mean()), [values], n=n, level=level, seed=seed)


def bootstrap_metric(
    metric: Callable[..., float],
    arrays: Sequence[ArrayLike],
    *,
    n: int = 1000,
    level: float = 0.95,
    seed: int = 0,
) -> Interval:
    """Return a metric with the percentile interval over resampled rows.

    Resampling rows of a test part, one row per patient, shows how much a metric depends on who
    happens to be in it; it does not show how much training varies.

    Args:
        metric: Called with the arrays in their order, such as ``concordance_index``.
        arrays: Arrays with equal numbers of rows, such as event, time and risk.
        n: Number of resamples.
        level: Coverage, in (0, 1).
        seed: Seed of the resampling.

    Returns:
        The estimate on all rows, the bounds, and the number of resamples on which the metric was
        defined (one without an event, say, is left out).

    Raises:
        ShapeError: If numbers of rows differ or are below 2.
        MetricError: If the metric is undefined on the data, or on half of the resamples.
        SettingsError: If ``n``, the level or the seed is out of range.
    """
    _check_level(level)
    check_seed(seed)
    if n < 1:
        raise SettingsError(f"bootstrap: expected 1 resample or more, got {n}")
    columns = [np.asarray(a) for a in arrays]
    sizes = {len(a) for a in columns}
    if len(sizes) != 1 or min(sizes) < 2:
        raise ShapeError(f"bootstrap: expected arrays of equal length (2 or more), got {sizes}")
    estimate = float(metric(*columns))
    found = _resampled(metric, columns, n, np.random.default_rng(seed))
    if len(found) <= n / 2:
        raise MetricError(
            f"bootstrap: the metric is undefined on {n - len(found)} of {n} resamples; "
            "use a larger part"
        )
    low, high = np.quantile(found, [(1 - level) / 2, (1 + level) / 2])
    return Interval(estimate, float(low), float(high), len(found))


def _resampled(
    metric: Callable[..., float], columns: list[np.ndarray], n: int, rng: np.random.Generator
) -> list[float]:
    rows, found = len(columns[0]), []
    for _ in range(n):
        pick = rng.integers(rows, size=rows)
        try:
            value = float(metric(*(a[pick] for a in columns)))
        except MetricError:
            continue
        if math.isfinite(value):
            found.append(value)
    return found


def _sample(values: ArrayLike, *, at_least: int) -> np.ndarray:
    array = np.asarray(values, dtype=float)
    if array.ndim != 1 or len(array) < at_least or not np.isfinite(array).all():
        raise MetricError(
            f"repeats: expected {at_least} finite values or more, got {array.tolist()}; "
            "leave out undefined repeats, or run more"
        )
    return array


def _check_level(level: float) -> None:
    if not 0.0 < level < 1.0:
        raise SettingsError(f"level: expected a coverage in (0, 1), got {level}; usual is 0.95")
