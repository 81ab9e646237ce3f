"""What splits and scores are worth: the same models under the published rules and under ours."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from mmlego import figures
from mmlego.learning.statistics import pairing
from mmlego.reporting.standings import PUBLISHED_REPEATS, standing_rows
from mmlego.runs.records.results import load_metrics
from mmlego.studies.answer.contrasts import GENERATED
from mmlego.studies.answer.main_table import benchmark_records

_HARD = "balanced_accuracy"


def split_table(results: Path) -> pd.DataFrame:
    """Models of all tables under both kinds of splits, over all repeats of each.

    The first five repeats by patient are kept beside them: a pair of five and five repeats can
    differ by the luck of five test parts alone.

    Returns:
        cohort, label, method, unit (patient, row), mean, sd, n, mean_first (of the first five);
        only models that ran under both.
    """
    metrics = load_metrics(results)
    rows = []
    for record in benchmark_records(results):
        facts, values = record["data"], record["parameters"]
        part = metrics[metrics["run_id"] == record["run_id"]]
        if values["hyperparameters"] != "tuned" or facts["metric"] != "c_index" or part.empty:
            continue
        found = standing_rows(part, metric=facts["metric"], tables=facts["tables"])
        rows.append(found[found["role"] == "tabular"].assign(unit=values["split_unit"]))
    columns = ["cohort", "label", "method", "unit", "mean", "sd", "n", "mean_first"]
    if not rows:
        return pd.DataFrame(columns=columns)
    everything = pd.concat(rows)
    keys = columns[:4]
    table = everything.groupby(keys)["value"].agg(["mean", "std", "count"])
    first = everything[everything["repeat"] <= PUBLISHED_REPEATS].groupby(keys)["value"].mean()
    table = table.join(first.rename("mean_first")).reset_index()
    table = table.rename(columns={"std": "sd", "count": "n"})
    both = table.groupby(["cohort", "label"])["unit"].transform("nunique") == 2
    return table[both].reset_index(drop=True)


def split_html(table: pd.DataFrame) -> str:
    """The table of both kinds of splits, as HTML."""
    if table.empty:
        return ""
    return figures.to_html(table.round(3), caption="C-index by kind of split")


def split_figure(table: pd.DataFrame) -> Figure | None:
    """By patient and by row, model by model; None where nothing ran under both."""
    if table.empty:
        return None
    drawn = pd.DataFrame(
        {
            "task": table["cohort"].str.replace("tcga-", "").str.upper() + ", " + table["label"],
            "label": table["unit"].map({"patient": "by patient", "row": "by row"}),
            "method": table["method"],
            "value": table["mean"],
            "sd": table["sd"],
        }
    ).sort_values(["task", "label"])
    return figures.uplift_plot(drawn, xlabel="Concordance index", width=8.0)


def split_text(table: pd.DataFrame) -> str:
    """How much row-level splits add, over all repeats and over the first five of both."""
    if table.empty:
        return "No model has run under both kinds of splits yet."
    change, first = _change(table, "mean"), _change(table, "mean_first")
    by = pd.DataFrame({"all": change, "first": first}).groupby("cohort").mean()
    counts = table.groupby(["cohort", "unit"])["n"].max().unstack()
    cohorts = ", ".join(
        f"{name} {row['all']:+.3f} ({counts.loc[name, 'patient']} repeats by patient, "
        f"{counts.loc[name, 'row']} by row)"
        for name, row in by.iterrows()
    )
    luck = (by["all"] - by["first"]).abs().idxmax()
    return (
        f"Over {pairing.counted(len(change), 'pair')} of model and cohort, splits by row give "
        f"{change.mean():+.3f} on average ({change.min():+.3f} to {change.max():+.3f}); "
        f"{int((change > 0).sum())} are higher by row.\n"
        f"By cohort: {cohorts}.\n"
        "The two kinds of splits draw other test parts, so part of this is chance: with the first "
        f"five repeats by patient alone the average would be {first.mean():+.3f}, and on {luck} it "
        f"would be {by.loc[luck, 'first']:+.3f} instead of {by.loc[luck, 'all']:+.3f}.\n"
        "The models of one cohort share their splits, so they are not independent witnesses."
    )


def _change(table: pd.DataFrame, column: str) -> pd.Series:
    """By row minus by patient, by cohort and model."""
    wide = table.pivot_table(index=["cohort", "label"], columns="unit", values=column)
    return wide["row"] - wide["patient"]


def score_table(results: Path) -> pd.DataFrame:
    """Binary tasks by method: AUC from scores, and from hard labels (balanced accuracy)."""
    metrics = load_metrics(results)
    rows = []
    for record in benchmark_records(results):
        facts, values = record["data"], record["parameters"]
        if facts["metric"] != "auc" or values["split_unit"] != "patient":
            continue
        if facts["name"] in GENERATED:
            continue
        part = metrics[metrics["run_id"] == record["run_id"]]
        for metric in ("auc", _HARD):
            rows.append(
                standing_rows(part, metric=metric, tables=facts["tables"]).assign(score=metric)
            )
    if not rows:
        return pd.DataFrame(columns=["cohort", "label", "method", "score", "mean", "sd"])
    table = pd.concat(rows)
    table = table[table["group"] == "multimodal"]
    keys = ["cohort", "label", "method", "score"]
    found = table.groupby(keys)["value"].agg(["mean", "std"]).reset_index()
    return found.rename(columns={"std": "sd"})


def score_figure(table: pd.DataFrame) -> Figure | None:
    """AUC of hard labels and of scores, model by model."""
    if table.empty:
        return None
    drawn = pd.DataFrame(
        {
            "task": table["cohort"] + ", " + table["label"],
            "label": table["score"].map({"auc": "AUC of scores", _HARD: "AUC of hard labels"}),
            "method": table["method"],
            "value": table["mean"],
            "sd": table["sd"],
        }
    )
    order = {"AUC of hard labels": 0, "AUC of scores": 1}
    drawn = drawn.sort_values("label", key=lambda column: column.map(order), kind="stable")
    drawn = drawn.sort_values("task", kind="stable")
    return figures.uplift_plot(drawn, xlabel="Area under the ROC curve", width=8.0)


def score_text(table: pd.DataFrame) -> str:
    """How much hard labels hide."""
    if table.empty:
        return "No task of two classes has run yet."
    wide = table.pivot_table(index=["cohort", "label"], columns="score", values="mean")
    change = wide["auc"] - wide[_HARD]
    constant = np.isclose(wide[_HARD], 0.5, atol=5e-4)
    text = (
        f"Scoring hard labels instead of probabilities costs {change.mean():.3f} on average "
        f"({change.min():.3f} to {change.max():.3f}).\n"
        f"{int(constant.sum())} of {len(wide)} rows would have been printed as .500, the value "
        "that fills the published columns of two-class tasks"
    )
    if not constant.any():
        return text + "."
    return text + f"; their AUC from scores is {wide['auc'][constant].mean():.3f} on average."


def answer(splits: pd.DataFrame, scores: pd.DataFrame) -> str:
    """What splits by row add, and what scoring hard labels costs, in two sentences."""
    added, lost = "No model has run under both kinds of splits yet.", "No two-class task has run."
    if not splits.empty:
        change = _change(splits, "mean")
        added = (
            f"Splits by row instead of by patient add {change.mean():+.3f} to the concordance "
            f"index on average over {pairing.counted(len(change), 'pair')} of model and cohort."
        )
    if not scores.empty:
        wide = scores.pivot_table(index=["cohort", "label"], columns="score", values="mean")
        lost = (
            f"Scoring hard labels instead of probabilities costs "
            f"{(wide['auc'] - wide[_HARD]).mean():.3f} of the area under the ROC curve on average "
            f"over {pairing.counted(len(wide), 'pair')}."
        )
    return f"{added} {lost}"


def as_record(splits: pd.DataFrame, scores: pd.DataFrame) -> dict[str, Any]:
    """Both tables, for the record."""
    return {"splits": splits.to_dict("records"), "scores": scores.to_dict("records")}
