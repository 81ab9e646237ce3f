"""Outcomes over a rate or a share: tables, curves, and sentences that compare methods there."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import pandas as pd
from matplotlib.figure import Figure

from mmlego import figures
from mmlego.bench.outcome import Outcome
from mmlego.learning.metrics.scores import main_metric
from mmlego.learning.statistics import pairing
from mmlego.reporting import outcomes as outcome_tables
from mmlego.reporting import sentences
from mmlego.runs.session import Session


def curve_table(
    session: Session,
    outcomes: Sequence[Outcome],
    fact: str,
    name: Callable[[Outcome], str],
) -> pd.DataFrame:
    """Outcomes over a number among their facts: x, repeat, value, label, method."""
    metric = main_metric(session.cohort)
    table = outcome_tables.value_table(outcomes, metric, lambda o: o.facts[fact], column="x")
    return table.assign(label=outcome_tables.value_table(outcomes, metric, name)["label"])


def curves(session: Session, table: pd.DataFrame, xlabel: str) -> Figure:
    """Draw a table of curves; bands are one standard deviation.

    Intervals of so many means would hide each other, and say little about differences, which are
    paired by repeat.
    """
    metric = main_metric(session.cohort)
    return figures.rate_curves(table, xlabel=xlabel, metric=metric, spread="sd")


def change_line(table: pd.DataFrame, start: float, end: float, what: str) -> str:
    """How far the mean of every label moves between two places of a table of curves."""
    means = table.pivot_table(index="label", columns="x", values="value", sort=False)
    change = (means[end] - means[start]).sort_values()
    listed = ", ".join(f"{name} {value:+.3f}" for name, value in change.items())
    return f"Change of the mean from {what} {start:g} to {end:g}: {listed}."


def verdicts(
    table: pd.DataFrame, first: str, rivals: Sequence[str] | Mapping[str, str], what: str
) -> list[str]:
    """The first label against each rival that the table has, corrected for their number.

    Args:
        table: As ``value_table`` makes it.
        first: Label that is compared.
        rivals: Labels, or the words for each label.
        what: Words for the first label.
    """
    names = set(table["label"])
    words = rivals if isinstance(rivals, Mapping) else {name: name for name in rivals}
    there = [name for name in words if {first, name} <= names]
    found = pairing.adjust([pairing.compare(table, first, name) for name in there])
    if found and max(pair.n for pair in found) < pairing.FEWEST_REPEATS:
        listed = ", ".join(
            f"{pair.mean:+.3f} against {words[name]}"
            for pair, name in zip(found, there, strict=True)
        )
        count = pairing.counted(found[0].n, "repeat")
        return [f"{what}: {listed}; over {count}, too few to conclude anything; run more."]
    return [
        sentences.verdict(pair, what, words[name]) for pair, name in zip(found, there, strict=True)
    ]


def bullets(lines: Sequence[str]) -> str:
    """Lines as a list."""
    return "\n".join(f"* {line}" for line in lines)
