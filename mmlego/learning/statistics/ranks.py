"""Ranks of methods over many tasks: average ranks, and the tests that go with them."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from mmlego.errors import DataError, MetricError, SettingsError

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import ArrayLike


_MOST_EXACT, _MOST_FLIPPED = 50, 16


class Friedman(NamedTuple):
    """Friedman's test over k methods and N tasks, and the F test of Iman and Davenport."""

    chi2: float
    p_value: float
    f: float
    f_p_value: float
    n_methods: int
    n_tasks: int


class SignedRanks(NamedTuple):
    """Wilcoxon's signed-rank test over N tasks, one difference of means each.

    ``rank_sum`` is the sum of the ranks of positive differences minus that of negative ones: its
    sign, and not that of the mean, is the direction that the p-value speaks of.
    """

    n: int
    higher: int
    mean: float
    median: float
    rank_sum: float
    p_value: float


def signed_ranks(differences: ArrayLike) -> SignedRanks:
    """Test whether one of two methods is better over many tasks.

    Sizes count by their ranks only, so one large difference cannot decide; they should be alike in
    kind, such as shares between 0 and 1. With five tasks even differences that all have one sign
    give p = .06.

    Args:
        differences: (n,) means of the first method minus those of the second, one per task.

    Returns:
        How many differences there are and how many are positive, their mean and median, the
        difference of the sums of ranks, and the two-sided p-value: exact for up to 16 tasks, or
        50 if no two differ by the same amount, else a normal approximation. Tasks without a
        difference do not count in the sums and the p-value; where all are 0, it is 1.

    Raises:
        MetricError: If there is no difference, or one is not finite.

    Source: Demsar 2006, section 3.1.3.
    """
    values = np.asarray(differences, dtype=float).reshape(-1)
    if not len(values) or not np.isfinite(values).all():
        raise MetricError(
            f"signed ranks: expected finite differences, got {values.tolist()}; leave out tasks "
            "that lack one of the two methods"
        )
    counted = values[values != 0]
    return SignedRanks(
        len(values),
        int((values > 0).sum()),
        float(values.mean()),
        float(np.median(values)),
        float(_rank_sum(counted)),
        _signed_rank_p(counted) if len(counted) else 1.0,
    )


def _rank_sum(values: np.ndarray, axis: int = -1) -> np.ndarray:
    """Ranks of positive values minus those of negative ones, along an axis."""
    from scipy import stats

    return (np.sign(values) * stats.rankdata(np.abs(values), axis=axis)).sum(axis=axis)


def _signed_rank_p(values: np.ndarray) -> float:
    """Two-sided p-value of values that are not 0."""
    from scipy import stats

    ties = len(np.unique(np.abs(values))) < len(values)
    if ties and len(values) <= _MOST_FLIPPED:
        # Every choice of signs; the tables of the exact test do not know ties.
        flipped = stats.permutation_test(
            (values,), _rank_sum, permutation_type="samples", n_resamples=np.inf, vectorized=True
        )
        return float(flipped.pvalue)
    exact = not ties and len(values) <= _MOST_EXACT
    return float(stats.wilcoxon(values, method="exact" if exact else "approx").pvalue)


def complete_scores(table: pd.DataFrame) -> pd.DataFrame:
    """Return one row per task and one column per method that has a value on every task.

    Args:
        table: Columns task, label, value: one mean per task and method. A method without a row for
            a task, or with a missing value there, is left out, since its mean rank would rest on
            other tasks than those of its rivals.

    Returns:
        Values (N, k); tasks and methods keep the order of their first row.

    Raises:
        DataError: If a column is missing, a pair of task and method occurs twice, or fewer than two
            methods have every task.
        MetricError: If a value is infinite.
    """
    absent = [name for name in ("task", "label", "value") if name not in table.columns]
    if absent:
        raise DataError(
            f"ranks: expected columns task, label and value, missing {absent}; "
            f"got {list(map(str, table.columns))}"
        )
    twice = table[table.duplicated(["task", "label"])]
    if not twice.empty:
        raise DataError(
            f"ranks: expected one value per task and method, got several for "
            f"{twice.iloc[0][['task', 'label']].tolist()}; average over repeats first"
        )
    if np.isinf(table["value"].to_numpy(float)).any():
        raise MetricError("ranks: expected finite values, got infinite ones; leave them out")
    wide = table.pivot(index="task", columns="label", values="value").astype(float)
    wide = wide.loc[table["task"].unique(), table["label"].unique()].dropna(axis="columns")
    if wide.shape[1] < 2:
        raise DataError(
            f"ranks: expected two methods or more with a value on all {len(wide)} tasks, got "
            f"{list(wide.columns)}; leave out tasks that few methods have"
        )
    return wide


def average_ranks(table: pd.DataFrame, *, higher_is_better: bool = True) -> pd.DataFrame:
    """Rank the methods on every task and average the ranks; 1 is best and ties share a rank.

    Args:
        table: Columns task, label, value: one mean per task and method; optional method, which is
            kept. Methods that lack a task are left out.
        higher_is_better: Whether the largest value of a task gets rank 1.

    Returns:
        Columns label, rank (in [1, k]), n_tasks, and method if it was given; best first.

    Raises:
        DataError: If the table is not one value per task and method, or fewer than two methods have
            every task.
        MetricError: If a value is infinite.

    Source: Demsar 2006, section 3.2.2.
    """
    scores = complete_scores(table)
    ranks = scores.rank(axis="columns", ascending=not higher_is_better, method="average")
    found = ranks.mean().rename("rank").rename_axis("label").reset_index()
    found["n_tasks"] = len(scores)
    if "method" in table:
        found["method"] = found["label"].map(table.groupby("label")["method"].first())
    return found.sort_values("rank", kind="stable", ignore_index=True)


def friedman(table: pd.DataFrame) -> Friedman:
    """Test whether all methods have the same expected rank.

    The chi-square statistic is conservative, so that of Iman and Davenport,
    F = (N - 1) chi2 / (N (k - 1) - chi2) with k - 1 and (k - 1)(N - 1) degrees of freedom, stands
    beside it. Which end of the scale is better makes no difference. If all tasks rank the methods
    alike and without ties, F is infinite and its p-value 0.

    Args:
        table: Columns task, label, value, as for ``average_ranks``; three methods or more, two
            tasks or more.

    Raises:
        DataError: If the table is not one value per task and method, or too small.
        MetricError: If a value is infinite, or all methods tie on every task.

    Source: Iman & Davenport 1980; Demsar 2006, section 3.2.2. The chi-square of scipy is divided by
    the correction for ties, which Demsar's formula leaves out; without ties they are the same.
    """
    from scipy import stats

    scores = complete_scores(table)
    n, k = scores.shape
    if k < 3 or n < 2:
        raise DataError(
            f"friedman: expected three methods or more on two tasks or more, got {k} methods with "
            f"a value on all {n} tasks; with two methods use a paired test"
        )
    if (scores.nunique(axis="columns") == 1).all():
        raise MetricError("friedman: expected methods that differ on a task, got ties everywhere")
    chi2, p_value = map(float, stats.friedmanchisquare(*scores.to_numpy().T))
    rest = n * (k - 1) - chi2
    # Perfect agreement leaves rounding error where there should be 0.
    f = math.inf if rest < 1e-9 * n * k else (n - 1) * chi2 / rest
    return Friedman(chi2, p_value, f, float(stats.f.sf(f, k - 1, (k - 1) * (n - 1))), k, n)


def nemenyi_distance(n_methods: int, n_tasks: int, *, alpha: float = 0.05) -> float:
    """Return by how much two average ranks must differ to be told apart, all pairs considered.

    Args:
        n_methods: Methods compared, k of 2 or more.
        n_tasks: Tasks, N of 1 or more.
        alpha: Chance of one false difference or more among all pairs, in (0, 1).

    Returns:
        q sqrt(k (k + 1) / (6 N)), with q the quantile of the studentized range for k groups and
        infinite degrees of freedom, divided by sqrt(2).

    Raises:
        SettingsError: If a number is out of range.

    Source: Demsar 2006, section 3.2.2 and table 5a.
    """
    from scipy.stats import studentized_range

    if n_methods < 2 or n_tasks < 1:
        raise SettingsError(
            "nemenyi: expected two methods or more and one task or more, "
            f"got {n_methods} and {n_tasks}"
        )
    if not 0.0 < alpha < 1.0:
        raise SettingsError(f"nemenyi: expected alpha in (0, 1), got {alpha}; usual is 0.05")
    q = float(studentized_range.ppf(1 - alpha, n_methods, np.inf)) / math.sqrt(2)
    return q * math.sqrt(n_methods * (n_methods + 1) / (6 * n_tasks))
