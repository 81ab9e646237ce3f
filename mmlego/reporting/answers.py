"""The answer of a run in two sentences, which its page shows before anything else."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from mmlego.figures import style
from mmlego.learning.statistics import pairing
from mmlego.reporting.sentences import verdict
from mmlego.reporting.tables import mean_of


def against(
    table: pd.DataFrame,
    metric: str,
    first: str,
    rivals: Sequence[str] = (),
    *,
    fixed: bool = False,
    where: str = "",
) -> str:
    """What one row and its rivals reach, and whether it beats the first of these.

    Args:
        table: Value table: label, repeat, value, n_train, n_test.
        metric: What the values are.
        first: The label that the question is about; the best one where it did not run.
        rivals: Labels to hold it against; those that did not run are left out.
        fixed: All repeats share one test part, so that they say nothing about other patients.
        where: Under which condition, such as ``at overlap 0``; empty for the usual one.
    """
    ranked = pairing.means(table)
    if first not in ranked.index:
        first = str(ranked.index[0])
    shown = [name for name in dict.fromkeys(rivals) if name in ranked.index and name != first]
    reached = _reached(ranked, metric, [first, *shown], where)
    return f"{reached} {_compared(table, first, shown, fixed)}"


def _reached(ranked: pd.DataFrame, metric: str, names: Sequence[str], where: str) -> str:
    """The means of some rows with their spread, in one sentence."""
    values = [f"{mean_of(ranked, name)} for {name}" for name in names]
    values[0] = f"{mean_of(ranked, names[0])} for **{names[0]}**"
    count = pairing.counted(int(ranked.loc[names[0], "count"]), "repeat")
    what = " ".join(filter(None, [f"The mean {style.word(metric)} over {count}", where]))
    return f"{what} is {_listed(values)}."


def _compared(table: pd.DataFrame, first: str, rivals: Sequence[str], fixed: bool) -> str:
    if not rivals:
        return "Nothing to compare it with is part of this run."
    pair = pairing.compare(table, first, rivals[0])
    if not fixed:
        return verdict(pair, first, rivals[0])
    return (
        f"{first} minus {rivals[0]} is {pair.mean:+.3f} over "
        f"{pairing.counted(pair.n, 'seed')} on one test part, which says nothing about other "
        "patients."
    )


def _listed(parts: Sequence[str]) -> str:
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"
