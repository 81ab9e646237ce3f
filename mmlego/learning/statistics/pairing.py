"""Paired comparisons of two methods on the same splits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from mmlego.errors import MetricError
from mmlego.learning.statistics.resampling import corrected_resampled_ttest, holm

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


def adjust(found: Sequence[Paired]) -> list[Paired]:
    """Correct the p-values of comparisons that are read together.

    A comparison of a single repeat has no p-value and does not count.

    Source: Holm 1979.
    """
    raw = np.array([pair.p_value for pair in found])
    known = np.isfinite(raw)
    if known.any():
        raw[known] = holm(raw[known])
    return [replace(pair, p_value=float(p)) for pair, p in zip(found, raw, strict=True)]


def sentence(found: Paired) -> str:
    """One sentence that says how large a difference is and whether it can be told from none."""
    head = f"{found.first} minus {found.second}: {found.mean:+.3f} over "
    head += counted(found.n, "repeat")
    if found.n < FEWEST_REPEATS:
        return f"{head}, too few to say whether that is more than chance."
    word = "tell" if found.decided else "cannot tell"
    return (
        f"{head} (95 % interval {found.lower:+.3f} to {found.upper:+.3f}, "
        f"p = {found.p_value:.2g}); the repeats {word} the two apart."
    )


def sentences(found: Sequence[Paired]) -> str:
    """A list of comparisons, with p-values corrected for their number."""
    lines = [f"* {sentence(pair)}" for pair in adjust(found)]
    if sum(pair.n >= FEWEST_REPEATS for pair in found) > 1:
        lines.append("\nP-values are corrected for the number of comparisons in this list (Holm).")
    return "\n".join(lines)


def counted(number: int, word: str) -> str:
    """A number with its word, such as ``1 repeat`` or ``5 repeats``."""
    return f"{number} {word}" + ("" if number == 1 else "s")


def means(table: pd.DataFrame) -> pd.DataFrame:
    """Mean, standard deviation and number of repeats by label, best first."""
    found = table.groupby("label", sort=False)["value"].agg(["mean", "std", "count"])
    return found.sort_values("mean", ascending=False)
