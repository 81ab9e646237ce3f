"""Outcomes and measurements of all records by their keys: the cache that needs no weights."""

from __future__ import annotations

import json
import math
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from mmlego.runs.records.record import HISTORIES, OUTCOMES, PREDICTIONS, read_table


class Archive:
    """The records below some folders of results.

    Args:
        folders: Folders of results; where two records have one key, the first folder counts, and
            within a folder the record that comes last by name.
    """

    def __init__(self, *folders: Path) -> None:
        """Look at nothing yet."""
        self.folders = folders
        self._read: dict[Path, dict[str, pd.DataFrame]] = {}

    @cached_property
    def _places(self) -> dict[str, Path]:
        """Record by the key of an outcome."""
        found: dict[str, Path] = {}
        for folder in reversed(self.folders):
            for path in sorted((folder / "runs").glob(f"*/{OUTCOMES}.parquet")):
                table = pd.read_parquet(path, columns=["key", "headline"])
                for key, headline in table.itertuples(index=False):
                    # Only a headline has all of its prediction and history.
                    if key and (headline or key not in found):
                        found[key] = path.parent
        return found

    @cached_property
    def _measured(self) -> dict[str, Path]:
        """File by the key of what was measured."""
        return {
            path.stem: path
            for folder in reversed(self.folders)
            for path in sorted((folder / "runs").glob("*/measured/*.parquet"))
        }

    def recall(self, key: str) -> dict[str, Any] | None:
        """Fields of ``Outcome`` that a record has under a key, or None where no record has it."""
        if key not in self._places:
            return None
        tables = self._tables(self._places[key])
        hits = tables[OUTCOMES].index[tables[OUTCOMES]["key"] == key]
        if not len(hits):  # the record was replaced meanwhile
            return None
        headlines = tables[OUTCOMES].loc[hits, "headline"]
        row = int(headlines.idxmax())
        entry = tables[OUTCOMES].loc[row]
        part = _rows(tables[PREDICTIONS], row).dropna(axis="columns", how="all")
        history = _rows(tables[HISTORIES], row)
        metrics = json.loads(entry["metrics"])
        return {
            "ids": part["id"].to_numpy(),
            "prediction": _prediction(part),
            "metrics": {k: math.nan if v is None else v for k, v in metrics.items()},
            "n_train": int(entry["n_train"]),
            "seconds": float(entry["seconds"]),
            "history": history.drop(columns="outcome", errors="ignore").to_dict("records"),
            "facts": json.loads(entry["facts"]),
            "headline": bool(entry["headline"]),
        }

    def recall_table(self, key: str) -> pd.DataFrame | None:
        """What was measured under a key, or None where no record has it."""
        path = self._measured.get(key)
        return None if path is None else pd.read_parquet(path)

    def _tables(self, place: Path) -> dict[str, pd.DataFrame]:
        """The tables of a record, all of one and the same writing of it."""
        while place not in self._read:
            stamp = _stamp(place)
            tables = {name: read_table(place, name) for name in (OUTCOMES, PREDICTIONS, HISTORIES)}
            if _stamp(place) == stamp:
                self._read[place] = tables
        return self._read[place]


def _stamp(place: Path) -> tuple[int, int]:
    """What tells one writing of a record from another one."""
    found = place.stat()
    return found.st_ino, found.st_mtime_ns


def _rows(table: pd.DataFrame, outcome: int) -> pd.DataFrame:
    """The rows of one outcome."""
    return table[table["outcome"] == outcome] if len(table) else table


def _prediction(part: pd.DataFrame) -> dict[str, np.ndarray]:
    """Arrays by name: ``risk`` (n,), ``survival`` or ``probability`` (n, k)."""
    found: dict[str, np.ndarray] = {}
    if "risk" in part:
        found["risk"] = part["risk"].to_numpy()
    for name in ("survival", "probability"):
        columns = sorted(
            (c for c in part if c.startswith(f"{name}_")), key=lambda c: int(c.rpartition("_")[2])
        )
        if columns:
            found[name] = part[columns].to_numpy()
    return found
