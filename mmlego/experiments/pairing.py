"""Paired comparisons of two methods on the same splits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from mmlego.errors import MetricError
from mmlego.learning.statistics import corrected_resampled_ttest

ALPHA = 0.05
# With fewer repeats a t-test has next to no power, and a significant one is most likely luck.
FEWEST_REPEATS = 5


@dataclass(frozen=True)
class Paired:
    """Difference of two methods over the repeats that they share.

    Attributes:
        first: Name of the first method.
        second: Name of the second, which is subtracted.
        n: Number of shared repeats.
        mean: Mean difference.
        lower: Lower end of the corrected 95 % interval.
        upper: Upper end.
        p_value: Two-sided p-value of the corrected resampled t-test; NaN for a single repeat.
    """

    first: str
    second: str
    n: int
    mean: float
    lower: float
    upper: float
    p_value: float

    @property
    def decided(self) -> bool:
        """Whether there are enough repeats, and they tell the two apart at the 5 % level."""
        return bool(self.n >= FEWEST_REPEATS and self.p_value < ALPHA)


def compare(table: pd.DataFrame, first: str, second: str) -> Paired:
    """Compare two labels of a value table (label, repeat, value, n_train, n_test).

    Raises:
        MetricError: If they share no repeat.

    Source: Nadeau and Bengio 2003, corrected resampled t-test.
    """
    wide = table.pivot_table(index="repeat", columns="label", values="value")
    absent = {first, second} - set(wide.columns)
    both = pd.DataFrame() if absent else wide[[first, second]].dropna()
    if both.empty:
        raise MetricError(
            f"comparison: '{first}' and '{second}' share no repeat; run both on the same splits"
        )
    difference = (both[first] - both[second]).to_numpy()
    sizes = table[table["label"] == first]
    if len(difference) < 2:
        value = float(difference[0])
        return Paired(first, second, 1, value, float("nan"), float("nan"), float("nan"))
    test = corrected_resampled_ttest(
        difference, round(sizes["n_train"].mean()), round(sizes["n_test"].mean())
    )
    return Paired(
        first,
        second,
        len(difference),
        float(np.mean(difference)),
        test.low,
        test.high,
        test.p_value,
    )


def sentence(found: Paired, names: Mapping[str, str] | None = None) -> str:
    """One sentence that says how large a difference is and whether it can be told from none."""
    names = names or {}
    first, second = names.get(found.first, found.first), names.get(found.second, found.second)
    head = f"{first} minus {second}: {found.mean:+.3f}"
    if found.n < 2:
        return f"{head} in a single repeat, which says nothing about the spread."
    if found.n < FEWEST_REPEATS:
        return f"{head} over {found.n} repeats, too few to say whether that is more than chance."
    verdict = (
        "the repeats tell the two apart"
        if found.decided
        else "the repeats cannot tell the two apart"
    )
    return (
        f"{head} over {found.n} repeats (95 % interval {found.lower:+.3f} to {found.upper:+.3f}, "
        f"p = {found.p_value:.2g}); {verdict}."
    )


def means(table: pd.DataFrame) -> pd.DataFrame:
    """Mean, standard deviation and number of repeats by label, best first."""
    found = table.groupby("label", sort=False)["value"].agg(["mean", "std", "count"])
    return found.sort_values("mean", ascending=False)


def pick_best(table: pd.DataFrame, labels: Sequence[str] | None = None) -> str:
    """Label with the highest mean."""
    found = means(table)
    return str(found.index[0] if labels is None else found.loc[list(labels)].index[0])
