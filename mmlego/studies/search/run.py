"""Write what a search chose to the file that runs read."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from pathlib import Path

import optuna
import yaml

from mmlego.bench.settings import TuningSettings
from mmlego.bench.tuning.search import FinishedSearch
from mmlego.bench.tuning.values import tuned_path
from mmlego.runs.files import write_text
from mmlego.runs.provenance import versions
from mmlego.runs.records.record import plain

_HEAD = "# Chosen on validation parts by `mmlego tune`; read by runs with hyperparameters=tuned.\n"


def _comments(path: Path) -> list[str]:
    """The lines at the head of a file that are comments."""
    lines = path.read_text(encoding="utf-8").splitlines()
    return list(itertools.takewhile(lambda line: line.startswith("#"), lines))


def write_chosen(cohort: str, studies: Sequence[FinishedSearch], settings: TuningSettings) -> Path:
    """Write what was chosen to the file that runs read, with how it was found.

    What an earlier search found for other methods stays, with the settings of its own.
    """
    path = tuned_path(cohort)
    earlier = (yaml.safe_load(path.read_text(encoding="utf-8")) if path.is_file() else None) or {}
    found = {
        study.task.name: {
            "values": plain(study.values),
            "validation_loss": round(study.loss, 5),
            "validation_loss_given": None if math.isnan(study.given) else round(study.given, 5),
            "trials": len(study.trials),
        }
        for study in studies
    }
    about = {
        "cohort": cohort,
        "repeats": settings.repeats,
        "settings": settings.identity(),
        "versions": versions() | {"optuna": optuna.__version__},
    }
    head = _HEAD
    others = {k: v for k, v in earlier.get("studies", {}).items() if k not in found}
    if others:
        # what somebody noted about the earlier search
        head = "".join(f"{line}\n" for line in _comments(path))
        about = {name: earlier.get(name) for name in about} | {
            "later": [*earlier.get("later", []), about | {"studies": sorted(found)}]
        }
    text = yaml.safe_dump(about | {"studies": others | found}, sort_keys=True, allow_unicode=True)
    return write_text(path, head + text)
