"""The record of a run: everything needed to trust, find and repeat it, and to draw its page again.

A record is a folder ``results/runs/<run id>``: ``record.json`` says what ran, and tables beside it
(Parquet, zstd) hold what came out: ``outcomes`` (a row each: labels, key, metrics, facts),
``predictions`` (a row per outcome and test sample), ``histories`` (a row per outcome and epoch),
and ``measured`` (what was measured on models, a file each).
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from mmlego.bench.outcome import LABELS, Outcome
from mmlego.bench.settings import MANUAL, RunSettings
from mmlego.bench.store.code import code_digest, module_digests
from mmlego.data.paths import project_root, published_below
from mmlego.errors import RunError
from mmlego.runs.files import whole_folder
from mmlego.runs.notebook_code import numeric_code
from mmlego.runs.provenance import git_revision, hardware, versions

_DIGITS = 8
# More epochs than this cannot be told apart in a learning curve, but would fill a record.
_EPOCHS = 200
_VERSION = 2
OUTCOMES, PREDICTIONS, HISTORIES = "outcomes", "predictions", "histories"


@dataclass(frozen=True)
class Record:
    """One run.

    Attributes:
        about: What ran, as builtins: ``run_id``, ``notebook``, ``parameters``, ``code``,
            ``modules``, ``revision``, ``versions``, ``hardware``, ``started``, ``finished``,
            ``seconds``, ``data``, ``extra``.
        outcomes: One row per outcome.
        predictions: outcome (row of ``outcomes``), id, and the columns of the prediction.
        histories: outcome, epoch, and what was recorded of it.
        measured: What was measured on models, by key.
    """

    about: dict[str, Any]
    outcomes: pd.DataFrame
    predictions: pd.DataFrame
    histories: pd.DataFrame
    measured: Mapping[str, pd.DataFrame] = field(default_factory=dict)

    @property
    def run_id(self) -> str:
        """Name of the run."""
        return str(self.about["run_id"])


def make_record(
    settings: RunSettings,
    outcomes: Sequence[Outcome],
    *,
    protocol: str = "",
    data: dict[str, Any] | None = None,
    started: datetime,
    device: str = "cpu",
    measured: Mapping[str, pd.DataFrame] | None = None,
    extra: dict[str, Any] | None = None,
) -> Record:
    """Put parameters, provenance, metrics, histories and predictions of a run together."""
    now = datetime.now(UTC)
    code = numeric_code(settings.notebook)
    about = {
        "version": _VERSION,
        "run_id": settings.run_id,
        "notebook": settings.notebook,
        "parameters": settings.identity(),
        "headline": settings.headline,
        "protocol": protocol,
        "code": code_digest(*code),
        "modules": module_digests(*code),
        "revision": git_revision(project_root()),
        "versions": versions(),
        "hardware": hardware(device),
        "started": started.isoformat(timespec="seconds"),
        "finished": now.isoformat(timespec="seconds"),
        "seconds": round((now - started).total_seconds(), 1),
        "data": plain(data or {}),
        "extra": plain(extra or {}),
    }
    return Record(
        about,
        _outcome_table(outcomes),
        _stacked([_prediction_rows(place, o) for place, o in enumerate(outcomes)], ["id"]),
        _stacked(
            [_history_rows(place, o) for place, o in enumerate(outcomes) if o.headline], ["epoch"]
        ),
        dict(measured or {}),
    )


def _outcome_table(outcomes: Sequence[Outcome]) -> pd.DataFrame:
    """One row per outcome: labels, key, sizes, metrics and facts as JSON text."""
    rows = [
        outcome.labels
        | {
            "modalities": outcome.modality_key,
            "repeat": outcome.repeat,
            "n_train": outcome.n_train,
            "n_test": outcome.n_test,
            "seconds": outcome.seconds,
            "key": outcome.key,
            "headline": outcome.headline,
            "metrics": json.dumps({k: _finite(v) for k, v in outcome.metrics.items()}),
            "facts": json.dumps(_builtin(outcome.facts)),
        }
        for outcome in outcomes
    ]
    columns = [*LABELS, "modalities", "repeat", "n_train", "n_test", "seconds", "key", "headline"]
    frame = pd.DataFrame(rows, columns=[*columns, "metrics", "facts"])
    return frame.astype({"tune_epochs": "Int64"})


def _prediction_rows(place: int, outcome: Outcome) -> pd.DataFrame:
    """A row per test sample: id, risk and survival by time bin, or probability by class.

    Survival by time bin is left out of outcomes that no page looks at closely.
    """
    columns: dict[str, Any] = {"outcome": np.int32(place), "id": outcome.ids.astype(str)}
    for name, values in outcome.prediction.items():
        if values.ndim == 1:
            columns[name] = values
        elif outcome.headline or name != "survival":
            columns |= {f"{name}_{k}": values[:, k] for k in range(values.shape[1])}
    return pd.DataFrame(columns)


def _history_rows(place: int, outcome: Outcome) -> pd.DataFrame:
    kept = thinned(outcome.history, outcome.facts.get("best_epoch"))
    return pd.DataFrame([{"outcome": np.int32(place), **entry} for entry in kept])


def _stacked(parts: Sequence[pd.DataFrame], columns: Sequence[str]) -> pd.DataFrame:
    full = [part for part in parts if len(part)]
    empty = pd.DataFrame(columns=["outcome", *columns])
    return pd.concat(full, ignore_index=True) if full else empty


def _finite(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None


def _builtin(value: Any) -> Any:
    """Numpy values as builtins, floats as they are, and NaN as None."""
    if isinstance(value, Mapping):
        return {str(key): _builtin(item) for key, item in value.items()}
    if isinstance(value, np.ndarray):
        return _builtin(value.tolist())
    if isinstance(value, list | tuple):
        return [_builtin(item) for item in value]
    if isinstance(value, np.generic):
        return _builtin(value.item())
    return _finite(value) if isinstance(value, float) else value


def thinned(
    history: Sequence[Mapping[str, float]], best_epoch: int | None = None
) -> list[Mapping[str, float]]:
    """The entries of a history that a record keeps.

    All of up to 200; of more, 200 evenly spaced ones with the first and the last among them, and
    that of the best epoch.
    """
    if len(history) <= _EPOCHS:
        return list(history)
    kept = set(np.linspace(0, len(history) - 1, _EPOCHS).round().astype(int).tolist())
    return [
        entry
        for place, entry in enumerate(history)
        if place in kept or (best_epoch is not None and entry["epoch"] == best_epoch)
    ]


def plain(value: Any) -> Any:
    """Turn numpy values into builtins, rounding floats to eight digits, and NaN into None."""
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, np.ndarray):
        return plain(value.tolist())
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, np.generic):
        return plain(value.item())
    if isinstance(value, float):
        return float(f"{value:.{_DIGITS}g}") if math.isfinite(value) else None
    return value


def write_record(record: Record, results: Path) -> Path:
    """Write a record to ``results/runs/<run_id>`` in one step.

    Raises:
        RunError: If the folder cannot be written.
    """
    place = results / "runs" / record.run_id
    with whole_folder(place) as draft:
        text = json.dumps(record.about, indent=1) + "\n"
        (draft / "record.json").write_text(text, encoding="utf-8")
        for name in (OUTCOMES, PREDICTIONS, HISTORIES):
            frame: pd.DataFrame = getattr(record, name)
            if len(frame):
                write_table(frame, draft / f"{name}.parquet")
        for key, frame in record.measured.items():
            (draft / "measured").mkdir(exist_ok=True)
            write_table(frame, draft / "measured" / f"{key}.parquet")
    return place


def read_record(run_id: str, results: Path) -> dict[str, Any] | None:
    """What ran and what came out, without predictions and histories; None if there is none.

    Raises:
        RunError: If a file is damaged.
    """
    place = results / "runs" / run_id
    return _load(place) if (place / "record.json").is_file() else None


def read_records(results: Path) -> list[dict[str, Any]]:
    """All records, sorted by run id; see ``read_record``.

    A reader's own are read together with the published ones, in place of those that answer the same
    question.
    """
    own = [_load(path.parent) for path in sorted((results / "runs").glob("*/record.json"))]
    below = published_below(results)
    if below is None:
        return own
    mine = {question_of(record) for record in own}
    others = [record for record in read_records(below) if question_of(record) not in mine]
    return sorted(own + others, key=lambda record: record["run_id"])


def question_of(record: Mapping[str, Any]) -> tuple[str, ...]:
    """What a record answers: notebook, cohort, kind of splits and conditions; by hand, itself."""
    values = record["parameters"]
    if values["grid"] == MANUAL:
        return (record["run_id"],)
    names = ("cohort", "split_unit", "grid")
    return (record["notebook"], *(values.get(name, "") for name in names))


def write_table(frame: pd.DataFrame, path: Path) -> None:
    """Write a table as small as it gets: bytes of numbers apart, words as a dictionary."""
    numbers = [str(name) for name in frame if frame[name].dtype.kind == "f"]
    frame.to_parquet(
        path,
        index=False,
        compression="zstd",
        compression_level=9,
        use_byte_stream_split=numbers,
        use_dictionary=[str(name) for name in frame if str(name) not in numbers],
    )


def read_table(place: Path, name: str) -> pd.DataFrame:
    """One of the tables of a record; without rows where it has none.

    Raises:
        RunError: If the file is damaged.
    """
    path = place / f"{name}.parquet"
    if not path.is_file():
        return pd.DataFrame({"outcome": pd.Series(dtype="int32")})
    try:
        return pd.read_parquet(path)
    except (OSError, ValueError) as problem:
        raise RunError(
            f"record {place.name}: {path.name} cannot be read ({problem}); delete the folder and "
            "run again"
        ) from None


def _load(place: Path) -> dict[str, Any]:
    try:
        about = json.loads((place / "record.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as problem:
        raise RunError(
            f"record {place.name}: cannot be read ({problem}); delete it and run again"
        ) from None
    return about | {"outcomes": outcome_entries(read_table(place, OUTCOMES))}


def outcome_entries(table: pd.DataFrame) -> list[dict[str, Any]]:
    """The rows of a table of outcomes as mappings, metrics and facts among them."""
    entries = table.astype(object).where(table.notna(), None).to_dict("records")
    for entry in entries:
        if "metrics" in entry:
            entry["metrics"] = json.loads(entry["metrics"])
            entry["facts"] = json.loads(entry["facts"])
    return entries if "metrics" in table else []
