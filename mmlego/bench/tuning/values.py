"""Hyper-parameters that were chosen on validation parts, in versioned files that runs read.

One file per cohort, ``experiments/tuned/<cohort>.yaml``, written by ``mmlego tune``.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from mmlego.data.paths import project_root
from mmlego.errors import RunError

FIT_NAMES = ("learning_rate", "l1", "weight_decay")


@dataclass(frozen=True)
class Hyperparameters:
    """What was chosen for one method: training settings, and options of the model."""

    fit: Mapping[str, Any] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict)


GIVEN = Hyperparameters()


def tuned_path(cohort: str) -> Path:
    """Where the chosen values of a cohort lie."""
    return project_root() / "experiments" / "tuned" / f"{cohort}.yaml"


def study_name(method: str, role: str) -> str:
    """Name of the search of one method on ``table``, ``bag``, or ``all`` modalities."""
    return method if role == "all" else f"{method} on {role}"


def split_values(values: Mapping[str, Any]) -> Hyperparameters:
    """Divide chosen values into those of training and those of the model."""
    return Hyperparameters(
        {name: value for name, value in values.items() if name in FIT_NAMES},
        {name: value for name, value in values.items() if name not in FIT_NAMES},
    )


@dataclass(frozen=True)
class TunedValues:
    """The values in force for a run: those of the settings, or those of a file."""

    studies: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    def of(self, method: str, role: str) -> Hyperparameters:
        """Values of one method; none where the settings are in force."""
        study = self.studies.get(study_name(method, role))
        return split_values(study["values"]) if study else GIVEN


def load_values(hyperparameters: str, cohort: str) -> TunedValues:
    """The values that a run uses.

    Args:
        hyperparameters: ``given`` for those of the run's settings, ``tuned`` for the file.
        cohort: Name of the cohort.

    Raises:
        RunError: If there is no file for the cohort, or it cannot be read.
    """
    if hyperparameters == "given":
        return TunedValues()
    path = tuned_path(cohort)
    try:
        return TunedValues(yaml.safe_load(path.read_text(encoding="utf-8"))["studies"])
    except FileNotFoundError:
        raise RunError(
            f"tuned values of '{cohort}': expected {path}, found none; make it with: "
            f"mmlego tune {cohort}, or run with hyperparameters=given"
        ) from None
    except (OSError, yaml.YAMLError, KeyError, TypeError, UnicodeDecodeError) as problem:
        raise RunError(f"tuned values of '{cohort}': {path} cannot be read ({problem})") from None


def values_digest(cohort: str) -> str:
    """Hash of the values that were chosen for a cohort; empty where there are none."""
    try:
        studies = load_values("tuned", cohort).studies
    except RunError:
        return ""
    text = json.dumps({name: study["values"] for name, study in studies.items()}, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:12]
