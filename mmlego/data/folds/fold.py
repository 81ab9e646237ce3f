"""From a cohort and a split to scaled tensors; everything fitted sees the training part only."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, cast

import numpy as np
import torch

from mmlego.data.cohorts.cohort import Cohort
from mmlego.data.cohorts.modality import SPATIAL, Modality
from mmlego.data.cohorts.target import ClassTarget, SurvivalTarget, Target
from mmlego.data.folds.binning import assign_bins, fit_bin_edges
from mmlego.data.folds.samples import Samples, Values
from mmlego.data.folds.scaling import Scaler, fit_scaler
from mmlego.data.folds.splits import FIXED_UNIT, Split, shares_patients
from mmlego.data.folds.text import encode_texts
from mmlego.errors import DataError


@dataclass(frozen=True, eq=False)
class Fold:
    """One split of a cohort, ready for training.

    Attributes:
        cohort: Name of the cohort.
        task: "survival" or "classification".
        repeat: Number of the repeat.
        unit: What the split follows; see ``mmlego.data.folds.splits``.
        train: The training part.
        val: The validation part; without samples for unit "official_full".
        test: The test part.
        names: Names of the modalities.
        kinds: Kind by modality.
        widths: Number of features by modality.
        n_outputs: Logits that a model must give: time bins or classes.
        bin_edges: (n_bins + 1,) float64 for survival, otherwise None.
        classes: Class names for classification, otherwise None.
        time_unit: Unit of time for survival, otherwise None.
        features: Feature names by modality.
        scalers: The fitted scaler by modality.
        joined: For a modality made of others, the names of these.
        held_out: Name of the donor that is the test part, if the split is by donor.
    """

    cohort: str
    task: str
    repeat: int
    unit: str
    train: Samples
    val: Samples
    test: Samples
    names: tuple[str, ...]
    kinds: dict[str, str]
    widths: dict[str, int]
    n_outputs: int
    bin_edges: np.ndarray | None = None
    classes: tuple[str, ...] | None = None
    time_unit: str | None = None
    features: dict[str, tuple[str, ...]] = field(default_factory=dict)
    scalers: dict[str, Scaler] = field(default_factory=dict)
    joined: dict[str, tuple[str, ...]] = field(default_factory=dict)
    held_out: str | None = None

    @property
    def edges(self) -> np.ndarray:
        """Edges of the time bins, (n_bins + 1,).

        Raises:
            DataError: If the task is no survival.
        """
        if self.bin_edges is None:
            raise DataError(f"fold of {self.cohort}: expected time bins, got classes; use survival")
        return self.bin_edges

    @property
    def class_names(self) -> tuple[str, ...]:
        """Names of the classes.

        Raises:
            DataError: If the task is survival.
        """
        if self.classes is None:
            raise DataError(f"fold of {self.cohort}: expected classes, got times; use classes")
        return self.classes

    def parts(self) -> dict[str, Samples]:
        """Return the samples by part: train, val, test."""
        return {"train": self.train, "val": self.val, "test": self.test}

    def members(self, name: str) -> tuple[str, ...]:
        """Return the modalities that one is made of: itself, unless it joins others."""
        return self.joined.get(name, (name,))


def make_fold(cohort: Cohort, split: Split, *, n_bins: int = 4) -> Fold:
    """Scale a cohort for one split and cut its times into bins, fitting on the training part only.

    A text becomes a table of what ``mmlego.data.folds.text`` makes of it: its kind is then
    "tabular".

    Args:
        cohort: The cohort.
        split: Row positions of the parts, as ``make_splits`` gives them for this cohort.
        n_bins: Number of time bins; ignored for classification.

    Raises:
        DataError: If the parts overlap, are empty (validation may be, for unit "official_full") or
            leave the cohort, no event or only one class is in the training part, the time bins
            collapse, or no training sample has a modality.
    """
    _check_split(cohort, split)
    cohort = encode_texts(cohort, split.train)
    train = cohort.subset(split.train)
    scalers = {name: fit_scaler(m) for name, m in train.modalities.items()}
    edges = _fit_target(train, n_bins)
    parts: dict[str, Any] = {
        part: _as_samples(cohort.subset(index), scalers, edges)
        for part, index in split.parts().items()
        if len(index)
    }
    parts.setdefault("val", parts["train"].subset([]))
    target = cohort.target
    return Fold(
        cohort=cohort.name,
        task=cohort.task,
        repeat=split.repeat,
        unit=split.unit,
        names=cohort.names,
        kinds={name: m.kind for name, m in cohort.modalities.items()},
        widths={name: m.width for name, m in cohort.modalities.items()},
        n_outputs=(
            len(target.classes)
            if isinstance(target, ClassTarget)
            else len(cast(np.ndarray, edges)) - 1
        ),
        bin_edges=edges,
        classes=target.classes if isinstance(target, ClassTarget) else None,
        time_unit=target.unit if isinstance(target, SurvivalTarget) else None,
        features={name: m.features for name, m in cohort.modalities.items()},
        scalers=scalers,
        held_out=split.held_out,
        **parts,
    )


def _check_split(cohort: Cohort, split: Split) -> None:
    where = f"fold {split.repeat} of '{cohort.name}'"
    for part, index in split.parts().items():
        if len(index) == 0 and not (part == "val" and split.unit == FIXED_UNIT):
            raise DataError(
                f"{where}: expected samples in every part, got none in '{part}'; use more samples"
            )
    rows = np.concatenate(list(split.parts().values()))
    if rows.min() < 0 or rows.max() >= cohort.n:
        raise DataError(
            f"{where}: expected positions in 0..{cohort.n - 1}, got {rows.min()}..{rows.max()}; "
            "make the split from "
            "this very cohort"
        )
    if len(np.unique(rows)) < len(rows):
        raise DataError(
            f"{where}: expected every row in one part, got rows in two; make the split anew"
        )
    if split.unit != "row" and shares_patients(cohort, split):
        raise DataError(
            f"{where}: expected every patient in one part, got patients in two; make the split anew"
        )


def _fit_target(train: Cohort, n_bins: int) -> np.ndarray | None:
    """Return the bin edges of a survival target, or None after checking the classes."""
    if isinstance(train.target, SurvivalTarget):
        return fit_bin_edges(train.target.time, train.target.event, n_bins=n_bins)
    found = np.unique(train.target.label)
    if len(found) < 2:
        names = [train.target.classes[i] for i in found]
        raise DataError(
            f"fold of '{train.name}': expected two or more classes in the training part, got only "
            f"{names}; use more "
            "samples or another repeat"
        )
    return None


def _as_samples(cohort: Cohort, scalers: dict[str, Scaler], edges: np.ndarray | None) -> Samples:
    return Samples(
        ids=cohort.ids,
        groups=cohort.groups,
        values={name: _scaled(m, scalers[name]) for name, m in cohort.modalities.items()},
        present={name: torch.from_numpy(m.present.copy()) for name, m in cohort.modalities.items()},
        kinds={name: m.kind for name, m in cohort.modalities.items()},
        widths={name: m.width for name, m in cohort.modalities.items()},
        target=_target_tensors(cohort.target, edges),
    )


def _scaled(modality: Modality, scaler: Scaler) -> Values:
    """Scale the present samples; absent ones become zeros, or an empty bag."""
    if modality.kind == "bag":
        return _scaled_bags(modality, scaler)
    values = np.zeros(modality.values.shape, dtype=np.float32)
    here = modality.values[modality.present]
    if modality.kind in SPATIAL:
        here = np.moveaxis(scaler(np.moveaxis(here, 1, -1)), -1, 1)
    else:
        here = scaler(here)
    values[modality.present] = here
    return torch.from_numpy(values)


def _scaled_bags(modality: Modality, scaler: Scaler) -> tuple[torch.Tensor, ...]:
    sizes = [
        len(bag) if here else 0 for bag, here in zip(modality.values, modality.present, strict=True)
    ]
    rows = torch.from_numpy(scaler(modality.rows()))
    return torch.split(rows, sizes)


def _target_tensors(target: Target, edges: np.ndarray | None) -> dict[str, torch.Tensor]:
    if isinstance(target, SurvivalTarget):
        return {
            "time_bin": torch.from_numpy(assign_bins(target.time, cast(np.ndarray, edges))),
            "event": torch.from_numpy(target.event.copy()),
            "time": torch.from_numpy(target.time.copy()),
        }
    return {"label": torch.from_numpy(target.label.copy())}
