"""Figures and sentences of the page of the notebook `table1`."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from mmlego import figures
from mmlego.learning.statistics import pairing, ranks
from mmlego.methods.method import ESTIMATOR
from mmlego.methods.names import ABMIL, ENSEMBLE, LEGO_FUSE, LEGO_MERGE, SNN
from mmlego.methods.registry import METHODS
from mmlego.runs.records.results import load_metrics
from mmlego.runs.session import Session
from mmlego.studies.answer import main_table
from mmlego.studies.answer.contrasts import key_of
from mmlego.studies.answer.main_table import TableCohort

_LADDER_COHORT, _LADDER_CONDITION = "physionet2012-mortality", "icu"
# (method, arm, chosen by, tuning epochs) -> step of the ladder of Figure 4
_LADDER = {
    (SNN, "", "", 0): "SNN, static",
    (ABMIL, "", "", 0): "ABMIL, series",
    (ENSEMBLE, "", "", 0): "Ensemble",
    (LEGO_MERGE, "", "", 0): "LegoMerge",
    (LEGO_MERGE, "", "", 2): "LegoMerge, tuned",
    (LEGO_FUSE, "stack", "", 2): "LegoFuse",
}


def ranked(table: pd.DataFrame, group: str) -> str:
    """The sortable table of one group of rows, as HTML."""
    part = table[table["group"] == group]
    if part.empty:
        return "<p>No result yet.</p>"
    return figures.ranked_table(
        part.drop(columns="group"),
        tasks=sorted(part["task"].unique()),
        caption=f"{group.capitalize()}: main metric of each data set",
    )


def grid_figure(table: pd.DataFrame) -> Figure:
    """Heat map of methods and data sets."""
    part = main_table.rank_table(table)
    width = max(5.8, 2.6 + 1.0 * part["task"].nunique())
    return figures.method_task_plot(part.drop(columns="method"), width=width)


def ranks_figure(table: pd.DataFrame) -> Figure | None:
    """Critical-difference diagram; None with fewer than two data sets or three methods."""
    found = _ranks(table)
    if found is None:
        return None
    distance = ranks.nemenyi_distance(len(found), int(found["n_tasks"].iloc[0]))
    return figures.critical_difference_plot(found, distance, width=8.0)


def _ranks(table: pd.DataFrame) -> pd.DataFrame | None:
    part = main_table.rank_table(table)
    complete = part.groupby("label")["task"].nunique() == part["task"].nunique()
    if part["task"].nunique() < 2 or complete.sum() < 3:
        return None
    # A label stands for two estimators where the task decides which: one color then.
    first = part.groupby("label")["method"].first()
    return ranks.average_ranks(part.assign(method=part["label"].map(first)))


def ranks_text(table: pd.DataFrame) -> str:
    """Friedman's test, the critical difference, and what follows."""
    found = _ranks(table)
    if found is None:
        return "Too few data sets or methods for a test of ranks."
    test = ranks.friedman(main_table.rank_table(table).drop(columns="method"))
    distance = ranks.nemenyi_distance(test.n_methods, test.n_tasks)
    best = found.iloc[0]
    apart = found[found["rank"] - best["rank"] >= distance]["label"].tolist()
    return (
        f"Over {test.n_tasks} data sets and {test.n_methods} methods, the Friedman test gives "
        f"p = {test.p_value:.2g} (Iman and Davenport: {test.f_p_value:.2g}).\n"
        f"The best average rank is that of {best['label']} ({best['rank']:.2f}).\n"
        f"Two methods differ if their ranks are {distance:.2f} or more apart: "
        + (
            f"{best['label']} can be told from {', '.join(apart)}."
            if apart
            else f"{best['label']} cannot be told from any other."
        )
    )


def answer(table: pd.DataFrame) -> str:
    """Which way of combining stands first over all data sets, and how sure that is."""
    part = main_table.rank_table(table)
    if part.empty:
        return "No method of several modalities has run yet. Run a grid first."
    places = part.groupby("task")["value"].rank(ascending=False, method="min")
    first = part[places == 1]["label"].value_counts()
    tasks = pairing.counted(part["task"].nunique(), "data set")
    found = _ranks(table)
    if found is None:
        return (
            f"**{first.index[0]}** has the highest mean on {first.iloc[0]} of {tasks}. "
            "These are too few data sets, or methods that ran on all of them, for a test of ranks."
        )
    best = found.iloc[0]
    distance = ranks.nemenyi_distance(len(found), int(found["n_tasks"].iloc[0]))
    apart = int((found["rank"] - best["rank"] >= distance).sum())
    return (
        f"Over {tasks}, **{best['label']}** has the best average rank of {len(found)} ways of "
        f"combining modalities that ran on all of them ({best['rank']:.2f}), and "
        f"{first.index[0]} has the highest mean most often (on {first.iloc[0]}). "
        f"The best one can be told from {apart} of the {len(found) - 1} others."
    )


def ranks_record(table: pd.DataFrame) -> list[dict[str, Any]]:
    """Average ranks, for the record."""
    found = _ranks(table)
    return [] if found is None else found.to_dict("records")


def uplift_figure(tasks: list[TableCohort]) -> Figure:
    """Best single block and merge, task by task."""
    return figures.uplift_plot(
        main_table.uplift(tasks),
        xlabel="C-index, AUC or macro AUC",
        published_label="published (other splits and images)",
    )


def ladder_figure(session: Session) -> Figure | None:
    """Figure 4 on intensive-care mortality; None where those runs are not there."""
    metrics = load_metrics(session.results)
    part = metrics[
        (metrics["cohort"] == _LADDER_COHORT)
        & (metrics["grid"] == _LADDER_CONDITION)
        & (metrics["metric"] == "auc")
    ]
    rows = []
    for row in part.to_dict("records"):
        label = _LADDER.get(key_of(row))
        if label is not None:
            rows.append(
                {"label": label, "method": row["method"]}
                | {name: row[name] for name in ("repeat", "value", "n_train", "n_test")}
            )
    if not rows:
        return None
    # A merge that `fuse` tunes for no epoch is the very merge of `merge`.
    table = pd.DataFrame(rows).drop_duplicates(["label", "repeat"])
    order = {label: place for place, label in enumerate(_LADDER.values())}
    table = table.sort_values("label", key=lambda column: column.map(order), kind="stable")
    ratio = float(table["n_test"].max() / table["n_train"].max())
    return figures.forest_plot(table, metric="auc", test_train_ratio=ratio)


def tuning_table(session: Session, tasks: list[TableCohort]) -> pd.DataFrame:
    """Tuned minus given settings for every method of several modalities, on shared repeats."""
    given = {task.name: task for task in _given(session)}
    rows = []
    for task in tasks:
        other = given.get(task.name)
        if other is None or task.parameters["hyperparameters"] != "tuned":
            continue
        rows += _gains(task, other)
    if not rows:
        return pd.DataFrame([{"data set": "no data set ran both ways yet"}])
    return pd.DataFrame(rows)


def _given(session: Session) -> list[TableCohort]:
    grids = {r["parameters"]["grid"] for r in main_table.benchmark_records(session.results)}
    if main_table.PUBLISHED_CONDITION not in grids:
        return []
    return main_table.load_tasks(session.results, hyperparameters="given")


def _gains(task: TableCohort, other: TableCohort) -> list[dict[str, str]]:
    both = pd.concat(
        [
            task.rows[task.rows["group"] == "multimodal"].assign(how="tuned"),
            other.rows[other.rows["group"] == "multimodal"].assign(how="given"),
        ]
    )
    found = []
    for label, part in both.groupby("label", sort=False):
        wide = part.pivot_table(index="repeat", columns="how", values="value").dropna()
        columns = METHODS[part["method"].iloc[0]].kind == ESTIMATOR
        if {"tuned", "given"} <= set(wide.columns) and len(wide) and not columns:
            change = wide["tuned"] - wide["given"]
            found.append(
                {
                    "data set": task.name,
                    "method": label,
                    "given": f"{wide['given'].mean():.3f}",
                    "tuned": f"{wide['tuned'].mean():.3f}",
                    "difference": f"{change.mean():+.3f}",
                    "spread": f"{change.std():.3f}" if np.isfinite(change.std()) else "",
                    "repeats": pairing.counted(len(wide), "repeat"),
                }
            )
    return found
