"""Tables, figures and sentences of the notebook `disjoint_training`."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
from matplotlib.figure import Figure

from mmlego import figures
from mmlego.bench.common_starts import LATENT_AND_HEAD as COMMON
from mmlego.bench.outcome import Outcome
from mmlego.learning.metrics.scores import main_metric
from mmlego.learning.statistics import pairing
from mmlego.methods import names
from mmlego.methods.registry import titled
from mmlego.reporting import answers, sentences
from mmlego.reporting.rates import bullets, change_line, curve_table, curves, verdicts
from mmlego.reporting.tables import comparison_row
from mmlego.runs.session import Session
from mmlego.runs.settings import DisjointSettings
from mmlego.studies.robustness.disjoint import counts, divided, overlap_name, pair

MERGE = titled(names.LEGO_MERGE)
COMMON_MERGE = f"{MERGE} ({COMMON})"
ENSEMBLE = titled(names.ENSEMBLE)


def label(outcome: Outcome) -> str:
    """Name of a method, and of the start where it is common."""
    name = titled(outcome.method)
    return f"{name} ({COMMON})" if outcome.arm == COMMON else name


def merged_at(outcomes: Sequence[Outcome], overlap: float, repeat: int) -> Outcome:
    """LegoMerge at one overlap in one repeat."""
    return next(
        outcome
        for outcome in outcomes
        if label(outcome) == MERGE
        and outcome.facts["overlap"] == overlap
        and outcome.repeat == repeat
    )


def division(session: Session[DisjointSettings]) -> str:
    """How the training patients are divided at each overlap, as a list."""
    fold, settings = session.folds[0], session.settings
    first, second = pair(fold)
    lines = []
    for overlap in settings.overlaps:
        found = counts(divided(fold, overlap, settings), (first, second))
        lines.append(
            f"overlap {overlap:g}: {found['n_first']} training samples with `{first}` and "
            f"{found['n_second']} with `{second}`, {found['n_both']} of them with both, "
            f"{found['n_any']} in all"
        )
    test = len(fold.test.where_present((first, second), how="all"))
    return (
        f"In the first split:\n\n{bullets(lines)}\n\n"
        f"The {test} test samples with both modalities are the same for every overlap."
    )


def table(session: Session[DisjointSettings], outcomes: Sequence[Outcome]) -> pd.DataFrame:
    """All outcomes over the overlap: x, repeat, value, label, method."""
    return curve_table(session, outcomes, "overlap", label)


def figure(session: Session[DisjointSettings], outcomes: Sequence[Outcome]) -> Figure:
    """Curves of all methods over the overlap."""
    xlabel = "Share of a modality's training patients that the other has too"
    return curves(session, table(session, outcomes), xlabel)


def differences(
    session: Session[DisjointSettings], outcomes: Sequence[Outcome], first: str, second: str
) -> pd.DataFrame:
    """Two labels at each overlap: difference, interval, repeats, p, and p after Holm."""
    found = _pairs(table(session, outcomes), first, second)
    adjusted = pairing.adjust(list(found.values()))
    return pd.DataFrame(
        {
            "overlap": overlap_name(overlap),
        }
        | comparison_row(one, corrected.p_value)
        for (overlap, one), corrected in zip(found.items(), adjusted, strict=True)
    )


def _pairs(rows: pd.DataFrame, first: str, second: str) -> dict[float, pairing.Paired]:
    return {overlap: pairing.compare(part, first, second) for overlap, part in rows.groupby("x")}


def difference_figure(
    session: Session[DisjointSettings], outcomes: Sequence[Outcome], first: str, second: str
) -> Figure:
    """Two labels at each overlap: the paired differences, with their intervals."""
    rows = table(session, outcomes)
    wide = rows.pivot_table(index=["x", "repeat"], columns="label", values="value")
    minus = (wide[first] - wide[second]).unstack("x").dropna()
    reference = f"{second}, same overlap"
    shown = minus.rename(columns=lambda x: f"{first}, overlap {x:g}").assign(**{reference: 0.0})
    return figures.paired_differences(
        shown.rename_axis(columns="label").melt(ignore_index=False).reset_index(),
        reference=reference,
        metric=main_metric(session.cohort),
        test_train_ratio=sentences.ratio(session),
    )


def answer(session: Session[DisjointSettings], outcomes: Sequence[Outcome]) -> str:
    """LegoMerge beside its rivals where the patients overlap least, in two sentences."""
    rows = table(session, outcomes)
    low = rows["x"].min()
    least = rows[rows["x"] == low]
    rivals = [ENSEMBLE, *(name for name in dict.fromkeys(least["label"]) if name != MERGE)]
    where = f"at overlap {low:g}"
    return answers.against(least, main_metric(session.cohort), MERGE, rivals, where=where)


def conclusion(session: Session[DisjointSettings], outcomes: Sequence[Outcome]) -> str:
    """What overlap changes, and who wins where it is smallest."""
    rows = table(session, outcomes)
    low, high = rows["x"].min(), rows["x"].max()
    least = rows[rows["x"] == low]
    lines = [] if low == high else [change_line(rows, low, high, "overlap")]
    rivals = [name for name in dict.fromkeys(least["label"]) if name not in (MERGE, COMMON_MERGE)]
    lines += verdicts(least, MERGE, rivals, f"{MERGE} at overlap {low:g}")
    for first, second in ((MERGE, ENSEMBLE), (COMMON_MERGE, MERGE)):
        lines.append(_over_all(rows, first, second))
    return bullets(lines)


def _over_all(rows: pd.DataFrame, first: str, second: str) -> str:
    """At how many overlaps one label lies above another, by how much, and whether beyond chance."""
    found = pairing.adjust(list(_pairs(rows, first, second).values()))
    above = sum(one.mean > 0 for one in found)
    decided = sum(one.decided for one in found)
    smallest, largest = min(one.mean for one in found), max(one.mean for one in found)
    return (
        f"{first} minus {second} lies between {smallest:+.3f} and {largest:+.3f}, above zero at "
        f"{above} of {pairing.counted(len(found), 'overlap')}; "
        f"{decided} of these differences can be told from none."
    )
