"""The record of a run: everything needed to trust, find and repeat it."""

from __future__ import annotations

import json
import math
import os
import tempfile
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from mmlego.bench.outcome import Outcome
from mmlego.bench.store.code import code_digest
from mmlego.data.paths import project_root
from mmlego.errors import RunError
from mmlego.runs.provenance import git_revision, hardware, versions
from mmlego.runs.settings import RunSettings

# What decides the numbers of a notebook; a change elsewhere leaves its runs finished.
_BLOCKS = (
    "mmlego.bench.training",
    "mmlego.bench.merging",
    "mmlego.bench.fusing",
    "mmlego.studies.lego.run",
)
_NUMERIC_CODE = {
    "signal_interference": ("mmlego.studies.checks.interference", "mmlego.studies.checks.signals"),
    "benchmark": ("mmlego.bench.fold_bench", "mmlego.bench.estimators"),
    "block_ablations": ("mmlego.studies.blocks.run",),
    "robustness": ("mmlego.studies.robustness.run", "mmlego.bench.fold_bench"),
    "disjoint_training": ("mmlego.studies.robustness.disjoint",),
    "weight_merging": ("mmlego.studies.weights.run",),
    "efficiency": ("mmlego.studies.checks.efficiency",),
    "requirements": ("mmlego.studies.checks.requirements",),
    "properties": ("mmlego.studies.checks.properties",),
    "tuning": ("mmlego.bench.tuning.search",),
    "mm_dynamics": ("mmlego.studies.dynamics.run", "mmlego.models.dynamics"),
    "tcp_confidence": ("mmlego.studies.dynamics.confidences", "mmlego.models.dynamics"),
    "image_dynamics": (
        "mmlego.studies.dynamics.images",
        "mmlego.learning.metrics.localization",
        "mmlego.models.dynamics",
    ),
    "amc": ("mmlego.studies.amc.run", "mmlego.studies.amc.missing", "mmlego.models.amc"),
    "amc_ablations": ("mmlego.studies.amc.run", "mmlego.models.amc"),
    "token_rebalancing": (
        "mmlego.studies.amc.run",
        "mmlego.studies.tokens.run",
        "mmlego.studies.tokens.evidence",
        "mmlego.studies.tokens.conflicts",
        "mmlego.models.amc",
    ),
}
# Enough for every metric to be recomputed from the predictions of a record.
_DIGITS = 8
# More epochs than this cannot be told apart in a learning curve, but would fill a record.
_EPOCHS = 200


def numeric_code(notebook: str) -> tuple[ModuleType, ...]:
    """The modules that decide the numbers of a notebook; their imports count with them."""
    return tuple(import_module(name) for name in _NUMERIC_CODE.get(notebook, _BLOCKS))


def make_record(
    settings: RunSettings,
    outcomes: Sequence[Outcome],
    *,
    data: dict[str, Any] | None = None,
    started: datetime,
    device: str = "cpu",
    extra: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """Put parameters, provenance, metrics, histories and predictions of a run into builtins."""
    now = datetime.now(UTC)
    return {
        "run_id": settings.run_id,
        "notebook": settings.notebook,
        "parameters": settings.identity(),
        "code": code_digest(*numeric_code(settings.notebook)),
        "revision": git_revision(project_root()),
        "versions": versions(),
        "hardware": hardware(device),
        "started": started.isoformat(timespec="seconds"),
        "finished": now.isoformat(timespec="seconds"),
        "seconds": round((now - started).total_seconds(), 1),
        "data": data or {},
        "outcomes": [_outcome_entry(outcome) for outcome in outcomes],
        "extra": plain(extra or {}),
    }


def _outcome_entry(outcome: Outcome) -> dict[str, Any]:
    entry = {
        "method": outcome.method,
        "variant": outcome.variant,
        "modalities": outcome.joined,
        "repeat": outcome.repeat,
        "n_train": outcome.n_train,
        "n_test": outcome.n_test,
        "seconds": outcome.seconds,
        "metrics": outcome.metrics,
        "facts": outcome.facts,
        "key": outcome.key,
    }
    if outcome.headline:
        scores = outcome.prediction.get("risk", outcome.prediction.get("probability"))
        entry |= {
            "history": thinned(outcome.history, outcome.facts.get("best_epoch")),
            "ids": outcome.ids.tolist(),
            "prediction": scores,
        }
    return plain(entry)


def thinned(
    history: Sequence[dict[str, float]], best_epoch: int | None = None
) -> list[dict[str, float]]:
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


def write_record(record: dict[str, Any], results: Path) -> Path:
    """Write a record to ``results/runs/<run_id>.json`` in one step.

    Raises:
        RunError: If the folder cannot be written.
    """
    return write_text(
        results / "runs" / f"{record['run_id']}.json", json.dumps(record, indent=None) + "\n"
    )


def write_text(path: Path, text: str) -> Path:
    """Write a file whole or not at all."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, draft = tempfile.mkstemp(prefix=".draft-", dir=path.parent)
    except OSError as problem:
        raise RunError(
            f"cannot write {path} ({problem.strerror}); choose a folder that you may write to"
        ) from None
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as stream:
            stream.write(text)
        os.chmod(draft, 0o644)
        os.replace(draft, path)
    except OSError as problem:
        raise RunError(f"cannot write {path} ({problem.strerror}); nothing was changed") from None
    finally:
        Path(draft).unlink(missing_ok=True)
    return path


def read_record(run_id: str, results: Path) -> dict[str, Any] | None:
    """The record of a run, or None if there is none.

    Raises:
        RunError: If the file is damaged.
    """
    path = results / "runs" / f"{run_id}.json"
    if not path.is_file():
        return None
    return _load(path)


def read_records(results: Path) -> list[dict[str, Any]]:
    """All records, sorted by run id."""
    return [_load(path) for path in sorted((results / "runs").glob("*.json"))]


def _load(path: Path) -> dict[str, Any]:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as problem:
        raise RunError(
            f"record {path.name}: cannot be read ({problem}); delete it and run again"
        ) from None
