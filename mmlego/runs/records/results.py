"""Tidy results: one table for all runs, made from their records."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from mmlego.bench.outcome import LABELS, OUTCOME_COLUMNS
from mmlego.bench.settings import MANUAL
from mmlego.data.paths import published_below
from mmlego.errors import RunError
from mmlego.runs.files import whole_file
from mmlego.runs.records.record import read_records, write_table

TABLE = "metrics.parquet"
# Values are kept to eight digits.
_SAME = 1e-7
COLUMNS = [*OUTCOME_COLUMNS, "grid", "n_train", "n_test", "seconds", "device", "run_id"]
KEY = ["cohort", "split_unit", "protocol", "grid", *LABELS, "modalities", "repeat", "metric"]
_TEXT = ["cohort", "split_unit", "arm", "inputs", "condition", "chosen_by", "modalities"]


def rows_of(record: dict[str, Any]) -> list[dict[str, Any]]:
    """The rows of one record."""
    shared = {
        "cohort": record["data"].get("name", ""),
        "split_unit": record["parameters"].get("split_unit", ""),
        "protocol": record.get("protocol", ""),
        "grid": record["parameters"]["grid"],
        "device": record["hardware"]["device"],
        "run_id": record["run_id"],
    }
    names = (*LABELS, "modalities", "repeat", "n_train", "n_test", "seconds")
    return [
        shared | {name: outcome[name] for name in names} | {"metric": metric, "value": value}
        for outcome in record["outcomes"]
        for metric, value in outcome["metrics"].items()
    ]


def collect(results: Path) -> pd.DataFrame:
    """Make the table of results anew from all records, and return it."""
    rows = [row for record in read_records(results) for row in rows_of(record)]
    frame = pd.DataFrame(rows, columns=COLUMNS).astype({"tune_epochs": "Int64"})
    order = ["grid", "cohort", "split_unit", *LABELS, "modalities", "repeat", "metric", "run_id"]
    frame = frame.sort_values(order, ignore_index=True)
    with whole_file(results / TABLE) as draft:
        write_table(frame, draft)
    return frame


def load_metrics(results: Path) -> pd.DataFrame:
    """Read the table of results.

    Raises:
        RunError: If it is not there, damaged, or lacks a column.
    """
    path = results / TABLE
    if not path.is_file() and published_below(results) is not None:
        collect(results)
    if not path.is_file():
        raise RunError(
            f"{path}: expected a table of results, found none; run `mmlego run --grid` first"
        )
    try:
        frame = pd.read_parquet(path)
    except (OSError, ValueError) as problem:
        raise RunError(
            f"{path}: cannot be read ({problem}); run `mmlego results collect`"
        ) from None
    absent = [column for column in COLUMNS if column not in frame.columns]
    if absent:
        raise RunError(
            f"{path}: expected columns {COLUMNS}, missing {absent}; run `mmlego results collect`"
        )
    return frame.assign(**{name: frame[name].fillna("").astype(str) for name in _TEXT})


def contradictions(metrics: pd.DataFrame) -> pd.DataFrame:
    """Pairs of runs that give one key two values: one of them is out of date.

    Args:
        metrics: Table of results, see ``load_metrics``.

    Returns:
        one, other (run ids, each pair in both orders) and rows (keys with two values).
    """
    shared = metrics[[*KEY, "run_id", "value"]].astype({"value": float}).dropna(subset=["value"])
    shared = shared[shared["grid"] != MANUAL]
    shared = shared[shared.duplicated(KEY, keep=False)]
    pairs = shared.merge(shared, on=KEY, suffixes=("", "_other"))
    unlike = ~np.isclose(pairs["value"], pairs["value_other"], rtol=0, atol=_SAME)
    counted = pairs[unlike].groupby(["run_id", "run_id_other"]).size().reset_index(name="rows")
    return counted.rename(columns={"run_id": "one", "run_id_other": "other"})
