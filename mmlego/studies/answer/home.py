"""The answer on the first page: which way of combining modalities wins, and how sure that is."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from mmlego.figures import style
from mmlego.learning.statistics import pairing
from mmlego.methods import names
from mmlego.methods.method import ESTIMATOR
from mmlego.methods.registry import METHODS
from mmlego.reporting.standings import BEST_TITLE, CLINICAL
from mmlego.reporting.tables import mean_with_sd
from mmlego.studies.answer.claims import CLASSICAL, ENSEMBLE, FUSE, MERGE, NETWORKS
from mmlego.studies.answer.main_table import TableCohort

FUSION = (*NETWORKS, MERGE, FUSE, ENSEMBLE)


def best_of(task: TableCohort, labels: Sequence[str]) -> tuple[str, float, float] | None:
    """The row of several modalities with the highest mean among some: label, mean, sd."""
    rows = task.rows[(task.rows["group"] == "multimodal") & task.rows["label"].isin(labels)]
    if rows.empty:
        return None
    means = rows.groupby("label")["value"].agg(["mean", "std"]).sort_values("mean")
    return str(means.index[-1]), float(means["mean"].iloc[-1]), float(means["std"].iloc[-1])


def headline(tasks: Sequence[TableCohort]) -> str:
    """The answer in a few sentences, for readers who read no further."""
    both = [
        (network, reference)
        for task in tasks
        if (network := best_of(task, FUSION)) and (reference := best_of(task, CLASSICAL))
    ]
    won: dict[str, int] = {}
    for task in tasks:
        best = best_of(task, FUSION)
        if best:
            won[best[0]] = won.get(best[0], 0) + 1
    winners = sorted(won.items(), key=lambda item: (-item[1], item[0]))
    first = ", ".join(f"{name} ({count})" for name, count in winners)
    text = (
        f"No way of combining modalities wins everywhere: over "
        f"{pairing.counted(len(tasks), 'real data set')}, the highest mean belongs to {first}."
        if len(won) > 1
        else f"{winners[0][0]} has the highest mean on all "
        f"{pairing.counted(len(tasks), 'real data set')}."
    )
    if both:
        ahead = sum(network[1] > reference[1] for network, reference in both)
        sure = sum(_decided(task) for task in tasks)
        text += (
            f" The best of them has a higher mean than the best regression or forest on {ahead} "
            f"of {len(both)}, and the repeats can tell the two apart on {sure}."
        )
    return text + clinical_sentence(tasks)


def clinical_alone(task: TableCohort) -> tuple[str, float, float] | None:
    """The best reference on clinical variables alone: label, mean, sd; None without such a run."""
    columns = task.rows["method"].map(lambda name: METHODS[name].kind == ESTIMATOR)
    rows = task.rows[columns & (task.rows["modalities"] == CLINICAL)]
    if rows.empty:
        return None
    means = rows.groupby("method")["value"].agg(["mean", "std"]).sort_values("mean")
    name = METHODS[str(means.index[-1])].title
    return name, float(means["mean"].iloc[-1]), float(means["std"].iloc[-1])


def clinical_sentence(tasks: Sequence[TableCohort]) -> str:
    """On how many data sets a few clinical variables alone do better than any way of combining."""
    both = [
        (task.name, alone, best)
        for task in tasks
        if (alone := clinical_alone(task)) and (best := best_of(task, FUSION))
    ]
    if not both:
        return ""
    ahead = [f"`{name}`" for name, alone, best in both if alone[1] > best[1]]
    where = f" ({', '.join(ahead)})" if ahead else ""
    return (
        f" Clinical variables alone, in a regression or a forest, have a higher mean than every "
        f"fusion of all modalities on {len(ahead)} of {len(both)} data sets{where}."
    )


def reference_pair(task: TableCohort) -> pairing.Paired | None:
    """The best network or merge minus the best reference, both chosen by their means."""
    network, reference = best_of(task, FUSION), best_of(task, CLASSICAL)
    if network is None or reference is None:
        return None
    rows = task.rows[task.rows["group"] == "multimodal"]
    return pairing.compare(rows, network[0], reference[0])


def _decided(task: TableCohort) -> bool:
    pair = reference_pair(task)
    return pair is not None and pair.decided


def answer_table(tasks: Sequence[TableCohort]) -> pd.DataFrame:
    """One row per data set: what each way of combining reaches, and what needs no network."""
    rows = []
    for task in tasks:
        rows.append(
            {
                "data set": task.name,
                "metric": style.title(task.facts["metric"]),
                "best single block": _mean(task, BEST_TITLE),
                names.ENSEMBLE: _mean(task, ENSEMBLE),
                "LegoMerge": _mean(task, MERGE),
                "LegoFuse": _mean(task, FUSE),
                "best other fusion": _named(best_of(task, NETWORKS)),
                "best reference": _named(best_of(task, CLASSICAL)),
                "clinical alone": _named(clinical_alone(task)),
                "repeats": task.repeats,
            }
        )
    return pd.DataFrame(rows)


def _mean(task: TableCohort, label: str) -> str:
    found = best_of(task, [label])
    return "" if found is None else mean_with_sd(*found[1:])


def _named(found: tuple[str, float, float] | None) -> str:
    return "" if found is None else f"{found[0]} {mean_with_sd(*found[1:])}"


def how_sure(tasks: Sequence[TableCohort]) -> str:
    """How large a difference must be to be seen on each data set, from LegoFuse and LegoMerge."""
    widths = {}
    for task in tasks:
        rows = task.rows[task.rows["group"] == "multimodal"]
        if {FUSE, MERGE} <= set(rows["label"]):
            pair = pairing.compare(rows, FUSE, MERGE)
            if np.isfinite(pair.upper):
                widths[task.name] = pair.upper - pair.mean
    if not widths:
        return "With one repeat, nothing says how large chance is."
    low, high = min(widths, key=widths.__getitem__), max(widths, key=widths.__getitem__)
    if low == high:
        return f"A difference must reach about {widths[low]:.2f} to be seen at the 5 % level."
    return (
        f"A difference between two methods must reach about {widths[low]:.2f} on `{low}` and "
        f"{widths[high]:.2f} on `{high}` to be seen at the 5 % level."
    )
