"""The main table: every method on every task, from results only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from mmlego.bench.settings import MANUAL
from mmlego.errors import RunError
from mmlego.learning.statistics import pairing
from mmlego.methods.names import LEGO_BLOCK, LEGO_MERGE
from mmlego.methods.registry import METHODS
from mmlego.reporting.published import published_for
from mmlego.reporting.standings import BEST_TITLE, FOCUS, against, standing_rows, summarize
from mmlego.runs.records.record import read_records
from mmlego.runs.records.results import load_metrics
from mmlego.studies.answer.contrasts import GENERATED

PUBLISHED_CONDITION = "given"
# Methods that ranks count as one.
ALIAS = {method.title: method.ranked_as for method in METHODS.values() if method.ranked_as}


@dataclass(frozen=True)
class CohortRun:
    """A run on one data set, as it was recorded.

    Attributes:
        name: Name of the cohort.
        facts: What the run recorded about the data.
        parameters: Parameters of the run.
        rows: One row per model and repeat, with columns repeat, n_train and n_test among others.
    """

    name: str
    facts: dict[str, Any]
    parameters: dict[str, Any]
    rows: pd.DataFrame

    @property
    def repeats(self) -> int:
        """Number of repeats."""
        return int(self.rows["repeat"].nunique())

    def size(self) -> str:
        """How many repeats and samples there are, in words."""
        capped = self.facts.get("capped_from")
        return (
            f"{pairing.counted(self.repeats, 'repeat')} by patient, "
            f"{self.rows['n_train'].max()} training and {self.rows['n_test'].max()} test samples"
            + (f", capped from {capped}" if capped else "")
        )


@dataclass(frozen=True)
class TableCohort(CohortRun):
    """One data set of the main table; its rows are those of ``standing_rows``."""

    def summary(self) -> pd.DataFrame:
        """Mean, spread and published value of every row."""
        facts = self.facts
        return summarize(
            self.rows, facts["published"], facts["tables"], self.parameters["split_unit"]
        ).assign(task=self.name)


def load_tasks(results: Path, *, hyperparameters: str = "tuned") -> list[TableCohort]:
    """The patient-level benchmark of every real cohort, the run with the most repeats of each.

    Args:
        results: Folder of results.
        hyperparameters: ``tuned`` prefers runs with searched values and falls back on the others;
            ``given`` takes only runs under the conditions of that name, the published settings.

    Raises:
        RunError: If no benchmark has run.
    """
    found = benchmark_records(results)
    chosen: dict[str, dict[str, Any]] = {}
    for record in found:
        values = record["parameters"]
        if values["split_unit"] != "patient" or record["data"]["name"] in GENERATED:
            continue
        if hyperparameters == "given" and values["grid"] != PUBLISHED_CONDITION:
            continue
        best = chosen.get(record["data"]["name"])
        if best is None or _weight(record) > _weight(best):
            chosen[record["data"]["name"]] = record
    if not chosen:
        raise RunError(
            "main table: expected a run of 'benchmark', found none; make one with: "
            "mmlego run --grid experiments/quick.yaml"
        )
    metrics = load_metrics(results)
    return [
        _task(record, _additions(record, found), metrics) for _, record in sorted(chosen.items())
    ]


def benchmark_records(results: Path) -> list[dict[str, Any]]:
    """Records of the notebook `benchmark` that belong to a grid."""
    return [
        record
        for record in read_records(results)
        if record.get("notebook") == "benchmark" and record["parameters"]["grid"] != MANUAL
    ]


def _weight(record: dict[str, Any]) -> tuple[bool, bool, int, bool, int, str]:
    """Which run counts: a headline, searched values, repeats, all methods, most, the latest."""
    # Records of earlier code do not say whether the answer rests on them: they may.
    headline = record.get("headline", True)
    values = record["parameters"]
    tuned = values["hyperparameters"] == "tuned"
    every = not values.get("methods")
    return headline, tuned, values["repeats"], every, len(record["outcomes"]), record["finished"]


def _additions(record: dict[str, Any], found: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Later runs of single methods that differ from a run in methods and grid, and nothing else.

    A method that came later joins the table without every other one being trained again.
    """
    same = [
        other
        for other in found
        if other["run_id"] != record["run_id"]
        and other["parameters"].get("methods")
        and _conditions(other) == _conditions(record)
        and other["data"].get("fingerprint") == record["data"].get("fingerprint")
    ]
    return sorted(same, key=lambda other: other["finished"])


def _conditions(record: dict[str, Any]) -> dict[str, Any]:
    """What must be equal for rows of two runs to stand in one table."""
    return {n: v for n, v in record["parameters"].items() if n not in ("methods", "grid")}


def _task(
    record: dict[str, Any], additions: Sequence[dict[str, Any]], metrics: pd.DataFrame
) -> TableCohort:
    facts = record["data"]
    part = metrics[metrics["run_id"] == record["run_id"]]
    if part.empty:
        raise RunError(
            f"main table: expected rows of {record['run_id']} in the table, found none; renew it "
            "with: mmlego results collect"
        )
    for other in additions:
        rows = metrics[metrics["run_id"] == other["run_id"]]
        part = pd.concat([part, rows[~rows["method"].isin(part["method"].unique())]])
    rows = standing_rows(
        part,
        metric=facts["metric"],
        tables=facts["tables"],
    )
    return TableCohort(facts["name"], facts, record["parameters"], rows)


def main_table(tasks: list[TableCohort]) -> pd.DataFrame:
    """All rows of all tasks, as ``ranked_table`` takes them, but for single tables of several."""
    table = pd.concat([task.summary() for task in tasks], ignore_index=True)
    table = table[table["group"] != "one table"].reset_index(drop=True)
    table["label"] = table["label"].replace(ALIAS)
    return table


def rank_table(table: pd.DataFrame) -> pd.DataFrame:
    """Means of the rows of several modalities by task: what average ranks are made of."""
    part = table[(table["group"] == "multimodal")].rename(columns={"mean": "value"})
    return part[["task", "label", "method", "value"]]


def scope(tasks: list[TableCohort]) -> str:
    """What each task of the table rests on."""
    lines = []
    for task in tasks:
        values = task.parameters
        lines.append(
            f"* `{task.name}`: {task.size()}, hyper-parameters {values['hyperparameters']}, grid "
            f"`{values['grid']}`"
        )
    return "\n".join(lines)


def verdicts(tasks: list[TableCohort]) -> pd.DataFrame:
    """How often each method is above, below, or not to be told from LegoMerge and LegoFuse.

    P-values are corrected within each task.
    """
    rows: dict[tuple[str, str], dict[str, int]] = {}
    for task in tasks:
        for focus in FOCUS:
            for pair in against(task.rows, focus):
                key = (ALIAS.get(pair.first, pair.first), METHODS[focus].title)
                counts = rows.setdefault(
                    key, dict.fromkeys(("tasks", "higher", "better", "worse"), 0)
                )
                counts["tasks"] += 1
                counts["higher"] += pair.mean > 0
                counts["better"] += pair.decided and pair.mean > 0
                counts["worse"] += pair.decided and pair.mean < 0
    return pd.DataFrame(
        {
            "method": method,
            "against": rival,
            "tasks": counts["tasks"],
            "higher mean": counts["higher"],
            "better (Holm)": counts["better"],
            "worse (Holm)": counts["worse"],
        }
        for (method, rival), counts in sorted(rows.items())
    )


def uplift(tasks: list[TableCohort]) -> pd.DataFrame:
    """Best single block and LegoMerge on every task, with the published pair (Figure 3)."""
    rows = []
    for task in tasks:
        table = task.summary()
        known = published_for(
            task.facts["published"], task.facts["tables"], task.parameters["split_unit"]
        )
        blocks = known[(known["method"] == LEGO_BLOCK)]["published"].max()
        for label in (BEST_TITLE, METHODS[LEGO_MERGE].title):
            part = table[(table["label"] == label) & (table["group"] == "multimodal")]
            if part.empty:
                continue
            row = part.iloc[0]
            rows.append(
                {
                    "task": task.name,
                    "label": label,
                    "method": row["method"],
                    "value": row["mean"],
                    "sd": row["sd"],
                    "published": blocks if label == BEST_TITLE else row["published"],
                    "comparable": False,
                }
            )
    return pd.DataFrame(rows)
