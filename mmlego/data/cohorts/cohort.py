"""A cohort in memory: modalities by name, presence, target, and patient groups."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from mmlego.data.cards.card import Card
from mmlego.data.cards.suggest import did_you_mean
from mmlego.data.cohorts.modality import Modality
from mmlego.data.cohorts.target import ClassTarget, SurvivalTarget, Target
from mmlego.errors import DataError, ModalityError


@dataclass(frozen=True, eq=False)
class Cohort:
    """A set of samples with several modalities and one target.

    Args:
        name: Name of the card, for instance "tcga-blca".
        title: Name for tables and figures.
        task: "survival" or "classification".
        ids: (n,) sample ids, unique.
        groups: (n,) patient ids; all samples of a patient stay in one part of a patient-level
            split.
        modalities: The modalities by name, each of length n.
        target: What is predicted.
        unit: What one sample is: "patient", or "row" (for instance one slide of a patient).
        capped_from: Number of samples before a cap was applied; None without a cap.
        card: The card that the cohort was loaded from; None for one built by hand.
        division: (n,) str, how the publisher divides the samples: "train", "test" and perhaps
            "val", or the donor or batch of each; None where nothing is published. Splits by
            "official", "official_full" and "donor" follow it.

    Raises:
        DataError: If lengths differ, ids repeat, or nothing is left.
    """

    name: str
    title: str
    task: str
    ids: np.ndarray
    groups: np.ndarray
    modalities: Mapping[str, Modality]
    target: Target
    unit: str = "patient"
    capped_from: int | None = None
    card: Card | None = None
    division: np.ndarray | None = None

    def __post_init__(self) -> None:
        """Bring ids and groups to strings and check that everything has one length."""
        object.__setattr__(self, "ids", np.asarray(self.ids).astype(str))
        object.__setattr__(self, "groups", np.asarray(self.groups).astype(str))
        object.__setattr__(self, "modalities", dict(self.modalities))
        if self.division is not None:
            object.__setattr__(self, "division", np.asarray(self.division).astype(str))
        self._check_lengths()
        self._check_ids()
        if self.task != self.target.task:
            raise DataError(
                f"cohort '{self.name}': expected a {self.task} target, got a {self.target.task} "
                "target; "
                "make 'task' and 'target' agree"
            )

    @property
    def n(self) -> int:
        """Number of samples."""
        return len(self.ids)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the modalities, in the order of the card."""
        return tuple(self.modalities)

    @property
    def present(self) -> dict[str, np.ndarray]:
        """Which samples have which modality: name -> (n,) bool."""
        return {name: m.present for name, m in self.modalities.items()}

    @property
    def survival_target(self) -> SurvivalTarget:
        """Events and times.

        Raises:
            DataError: If the task is classification.
        """
        if not isinstance(self.target, SurvivalTarget):
            raise DataError(f"cohort '{self.name}': expected events and times, got {self.task}")
        return self.target

    @property
    def class_target(self) -> ClassTarget:
        """Labels and names of classes.

        Raises:
            DataError: If the task is survival.
        """
        if not isinstance(self.target, ClassTarget):
            raise DataError(f"cohort '{self.name}': expected classes, got {self.task}")
        return self.target

    def subset(self, index: Sequence[int] | np.ndarray) -> Cohort:
        """Return the samples at the positions ``index``, or where a bool mask is True."""
        index = np.asarray(index)
        index = np.flatnonzero(index) if index.dtype == bool else index.astype(np.int64)
        return replace(
            self,
            ids=self.ids[index],
            groups=self.groups[index],
            modalities={name: m.take(index) for name, m in self.modalities.items()},
            target=self.target.take(index),
            division=None if self.division is None else self.division[index],
        )

    def select(self, names: Sequence[str]) -> Cohort:
        """Return the cohort with these modalities only; samples that have none of them stay.

        They stay so that splits are the same whatever is selected; ``where_present`` drops them.

        Raises:
            ModalityError: If a name is unknown or none is given.
        """
        chosen = check_modalities(self.name, names, self.names)
        return replace(self, modalities={name: self.modalities[name] for name in chosen})

    def require_some_modality(self) -> Cohort:
        """Return the cohort itself if every sample has at least one modality.

        Raises:
            DataError: If a sample has none.
        """
        nothing = ~np.any(list(self.present.values()), axis=0)
        if nothing.any():
            raise DataError(
                f"cohort '{self.name}': expected at least one modality per sample, got none for "
                f"{_listed(self.ids[nothing])}; drop these samples from the target table"
            )
        return self

    def fingerprint(self) -> str:
        """Return a SHA-256 hex digest of ids, groups, division, target and all values."""
        digest = hashlib.sha256()
        for part in (self.ids, self.groups, () if self.division is None else self.division):
            digest.update("\x1f".join(part).encode())
        for array in _target_arrays(self.target):
            digest.update(np.ascontiguousarray(array).tobytes())
        for name, m in self.modalities.items():
            digest.update("\x1f".join((name, m.kind, m.scaling, *m.features)).encode())
            digest.update(m.present.tobytes())
            if m.kind == "text":
                digest.update("\x1f".join(m.values).encode())
                continue
            arrays = m.values if m.kind == "bag" else (m.values,)
            for array in arrays:
                digest.update(str(array.shape).encode() + np.ascontiguousarray(array).tobytes())
        return digest.hexdigest()

    def summary(self) -> pd.DataFrame:
        """Return one row per modality: kind, features, how many have it, % missing."""
        rows = [
            {
                "modality": name,
                "title": m.title,
                "kind": m.kind,
                "features": m.width,
                "scaling": m.scaling,
                "present": int(m.present.sum()),
                "missing %": round(100 * float(1 - m.present.mean()), 1),
                "missing values %": round(100 * m.missing_values(), 1),
            }
            for name, m in self.modalities.items()
        ]
        return pd.DataFrame(rows).set_index("modality")

    def describe(self) -> dict[str, Any]:
        """Return the facts of the cohort: samples, patients, events or class counts.

        "complete" counts the samples with every modality; follow-up is until event or censoring.
        """
        complete = np.all(list(self.present.values()), axis=0)
        facts: dict[str, Any] = {
            "name": self.name,
            "task": self.task,
            "unit": self.unit,
            "n": self.n,
            "patients": int(len(np.unique(self.groups))),
            "complete": int(complete.sum()),
            "capped_from": self.capped_from,
        }
        if isinstance(self.target, SurvivalTarget):
            facts |= _survival_facts(self.target)
        else:
            counts = np.bincount(self.target.label, minlength=len(self.target.classes))
            facts["classes"] = dict(zip(self.target.classes, counts.tolist(), strict=True))
        if self.division is not None:
            names, sizes = np.unique(self.division, return_counts=True)
            facts["division"] = dict(zip(names.tolist(), sizes.tolist(), strict=True))
        return facts

    def _check_lengths(self) -> None:
        lengths = {"ids": len(self.ids), "groups": len(self.groups), "target": len(self.target)}
        if self.division is not None:
            lengths["division"] = len(self.division)
        lengths |= {f"modality '{name}'": len(m) for name, m in self.modalities.items()}
        if len(set(lengths.values())) > 1:
            listed = ", ".join(f"{name}: {n}" for name, n in lengths.items())
            raise DataError(
                f"cohort '{self.name}': expected one length, got {listed}; align all tables by id"
            )
        if not self.modalities:
            raise DataError(
                f"cohort '{self.name}': expected at least one modality, got none; name one in the "
                "card"
            )
        if self.n == 0:
            raise DataError(
                f"cohort '{self.name}': expected samples, got none; check the ids of the tables"
            )

    def _check_ids(self) -> None:
        values, counts = np.unique(self.ids, return_counts=True)
        if (counts > 1).any():
            raise DataError(
                f"cohort '{self.name}': expected unique sample ids, got duplicates "
                f"{_listed(values[counts > 1])}; "
                "keep one row per id, or name another id column"
            )


def check_modalities(owner: str, names: Sequence[str], known: Sequence[str]) -> tuple[str, ...]:
    """Return the asked names in the order of ``known``.

    Raises:
        ModalityError: If a name is unknown, or none is given.
    """
    asked = (names,) if isinstance(names, str) else tuple(names)
    for name in asked:
        if name not in known:
            raise ModalityError(
                f"modality '{name}': expected one of {', '.join(known)} of '{owner}', got '{name}'"
                f"{did_you_mean(name, known) or '; choose among them'}"
            )
    if not asked:
        raise ModalityError(
            f"modalities of '{owner}': expected at least one name, got none; choose among {known}"
        )
    return tuple(name for name in known if name in asked)


def _survival_facts(target: SurvivalTarget) -> dict[str, Any]:
    return {
        "events": int(target.event.sum()),
        "event_rate": round(float(target.event.mean()), 4),
        "median_follow_up": round(float(np.median(target.time)), 2),
        "longest_follow_up": round(float(target.time.max()), 2),
        "time_unit": target.unit,
    }


def _target_arrays(target: Target) -> tuple[np.ndarray, ...]:
    return (target.time, target.event) if isinstance(target, SurvivalTarget) else (target.label,)


def _listed(ids: np.ndarray, most: int = 5) -> str:
    shown = ", ".join(repr(str(i)) for i in ids[:most])
    return shown + (f" and {len(ids) - most} more" if len(ids) > most else "")


def tables_of(cohort: Cohort) -> list[str]:
    """Names of the tabular modalities, sorted."""
    return sorted(
        name for name, modality in cohort.modalities.items() if modality.kind == "tabular"
    )
