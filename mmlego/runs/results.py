"""Tidy results: one table for all runs, made from their records."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd

from mmlego.errors import RunError
from mmlego.runs.record import read_records, write_text

COLUMNS = [
    "cohort",
    "method",
    "variant",
    "modalities",
    "repeat",
    "split_unit",
    "metric",
    "value",
    "grid",
    "n_train",
    "n_test",
    "seconds",
    "device",
    "run_id",
]


def rows_of(record: dict[str, Any]) -> list[dict[str, Any]]:
    """The rows of one record."""
    shared = {
        "cohort": record["data"].get("name", ""),
        "split_unit": record["parameters"].get("split_unit", ""),
        "grid": record["parameters"]["grid"],
        "device": record["hardware"]["device"],
        "run_id": record["run_id"],
    }
    names = ("method", "variant", "modalities", "repeat", "n_train", "n_test", "seconds")
    return [
        shared | {name: outcome[name] for name in names} | {"metric": metric, "value": value}
        for outcome in record["outcomes"]
        for metric, value in outcome["metrics"].items()
    ]


def collect(results: Path) -> pd.DataFrame:
    """Make ``results/metrics.csv`` anew from all records, and return it."""
    rows = [row for record in read_records(results) for row in rows_of(record)]
    frame = pd.DataFrame(rows, columns=COLUMNS)
    order = [
        "grid",
        "cohort",
        "split_unit",
        "method",
        "variant",
        "modalities",
        "repeat",
        "metric",
        "run_id",
    ]
    frame = frame.sort_values(order, ignore_index=True)
    write_text(results / "metrics.csv", frame.to_csv(index=False))
    return frame


def load_metrics(results: Path) -> pd.DataFrame:
    """Read ``results/metrics.csv``.

    Raises:
        RunError: If it is not there, or lacks a column.
    """
    path = results / "metrics.csv"
    if not path.is_file():
        raise RunError(
            f"{path}: expected a table of results, found none; run `mmlego run --grid` first"
        )
    frame = pd.read_csv(path, keep_default_na=True, dtype={"variant": "str", "modalities": "str"})
    absent = [column for column in COLUMNS if column not in frame.columns]
    if absent:
        raise RunError(
            f"{path}: expected columns {COLUMNS}, missing {absent}; run `mmlego results collect`"
        )
    text = ["cohort", "split_unit", "variant", "modalities"]
    return frame.assign(**{name: frame[name].fillna("") for name in text})
