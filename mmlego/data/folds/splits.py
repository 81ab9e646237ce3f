"""Repeated divisions into training, test and validation parts, at random or as published.

Splits are committed as CSV, so that everybody compares methods on the same patients.
"""

from __future__ import annotations

import gzip
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from mmlego.data.cards.catalog import card_dirs
from mmlego.data.cohorts.cohort import Cohort
from mmlego.data.folds.divisions import (
    Parts,
    donor_of,
    donor_parts,
    donors,
    official_full_parts,
    official_parts,
)
from mmlego.data.folds.strata import group_strata, stratified_order
from mmlego.errors import DataError

FRACTIONS = (0.70, 0.15, 0.15)  # train, test, validation
UNITS = ("patient", "row", "official", "official_full", "donor")
FIXED_UNIT = "official_full"  # nothing is drawn: no validation part, and nothing to commit
_GZIP_FROM_ROWS = 2000  # samples; up to here 25 repeats are usual, above 5
_ENDINGS = {"patient": "", "row": ".rows", "donor": ".donors"}


@dataclass(frozen=True, eq=False)
class Split:
    """One division of a cohort into row positions, each in exactly one part.

    Attributes:
        repeat: Number of the repeat, from 1; also its random seed.
        unit: One of ``UNITS``; all but "row" keep the samples of a patient in one part.
        train: Positions of the training part, int64.
        val: Positions of the validation part, int64; empty for "official_full".
        test: Positions of the test part, int64.
        source: "computed", or the file that the split was read from.
        held_out: Name of the donor that is the test part, for "donor"; otherwise None.
    """

    repeat: int
    unit: str
    train: np.ndarray
    val: np.ndarray
    test: np.ndarray
    source: str = "computed"
    held_out: str | None = None

    def parts(self) -> dict[str, np.ndarray]:
        """Return the positions by part: train, val, test."""
        return {"train": self.train, "val": self.val, "test": self.test}


def make_splits(
    cohort: Cohort,
    *,
    repeats: int = 5,
    unit: str = "patient",
    fractions: tuple[float, float, float] = FRACTIONS,
) -> list[Split]:
    """Draw the splits of a cohort; repeat r uses seed r, so the first five are always the same.

    "patient": patients are shuffled within strata (event and quartile of time, or class) and dealt
    out so that every part has its share of every stratum; sizes are ``int(f * n)`` for train and
    test, validation takes the rest. The result depends on the ids and targets, not on the order of
    the rows.

    "row": the rule of the published code, ``torch.randperm`` with seed r over the rows, cut in the
    order train, test, validation. Rows of one patient can then fall into different parts, which
    leaks.

    "official": the publisher's test part in every repeat, and a stratified 15/85 of the official
    training part, drawn with seed r, as validation; where the publisher has a validation part, that
    one in every repeat. "official_full": the publisher's two parts and no validation, so only for
    training without early stopping; all repeats are equal. "donor": repeat r holds out the r-th
    donor (sorted by name) for test, and a stratified fifth of the others, seed 42, is validation.
    These need a cohort with a ``division``.

    Args:
        cohort: The cohort to divide.
        repeats: Number of splits, 1 or more; by donor at most one per donor.
        unit: One of ``UNITS``.
        fractions: Shares of train, test and validation; they sum to 1.

    Raises:
        DataError: If an argument is out of range, a part would be empty, a patient would be in
            two parts, or the cohort has no division that the unit needs.

    Source: Hemker et al. (2025), five repeated random sub-samplings 70/15/15. They divide slide
    rows; dividing patients, and stratifying, is our choice.
    """
    _check_arguments(cohort, repeats, unit, fractions)
    return [
        _as_split(cohort, r, unit, _parts(cohort, r, unit, fractions))
        for r in range(1, repeats + 1)
    ]


def usual_repeats(cohort: Cohort, unit: str) -> int:
    """Return how many repeats are committed: 25 for cohorts of moderate size, and 5 for others.

    By row there are 5, by donor one per donor, and as published only 1.
    """
    if unit == FIXED_UNIT:
        return 1
    if unit == "donor":
        return len(donors(cohort))
    return 5 if unit == "row" or cohort.n > _GZIP_FROM_ROWS else 25


def shares_patients(cohort: Cohort, split: Split) -> bool:
    """Return whether a patient has samples in more than one part."""
    patients = [set(cohort.groups[index]) for index in split.parts().values()]
    return len(set().union(*patients)) < sum(len(p) for p in patients)


def leak_rate(cohort: Cohort, split: Split) -> float:
    """Return the share of test rows whose patient also has a training row, in [0, 1]."""
    return float(np.isin(cohort.groups[split.test], cohort.groups[split.train]).mean())


def load_splits(
    cohort: Cohort, repeats: int = 5, unit: str = "patient", *, folder: str | Path | None = None
) -> list[Split]:
    """Return the committed splits of a cohort where they cover exactly its ids, else compute them.

    ``Split.source`` says which: the name of the file, or "computed" with the reason.

    Args:
        cohort: The cohort.
        repeats: Number of splits; those beyond the file are computed.
        unit: One of ``UNITS``.
        folder: Folder of the split files; None looks into ``splits/`` beside the cards.

    Raises:
        DataError: If a file is damaged, or an argument is out of range.
    """
    computed = make_splits(cohort, repeats=repeats, unit=unit)
    path = find_split_file(cohort.name, unit, folder)
    if path is None:
        return [replace(s, source="computed (no split file for this cohort)") for s in computed]
    table = _read(path)
    if not _covers(table, cohort):
        return [replace(s, source=f"computed ({path.name} lists other samples)") for s in computed]
    table = table.set_index("id").loc[cohort.ids]
    return [_from_column(table, s, path) for s in computed]


def save_splits(cohort: Cohort, splits: Sequence[Split], folder: str | Path) -> Path:
    """Write splits as ``<folder>/<cohort>.csv`` (``.gz`` for large cohorts).

    The name ends in ``.rows.csv`` by row, ``.donors.csv`` by donor, ``.official.csv`` for the
    publisher's test part.

    The first columns are id and group, then one column ``repeat_<r>`` of train, val or test per
    split. Equal content gives equal bytes.

    Raises:
        DataError: If there is no split, or the folder cannot be written.
    """
    if not splits:
        raise DataError(
            f"splits of '{cohort.name}': expected one or more to write, got none; make them first"
        )
    columns = {"id": cohort.ids, "group": cohort.groups}
    for split in splits:
        part_of = np.empty(cohort.n, dtype="U5")
        for part, index in split.parts().items():
            part_of[index] = part
        columns[f"repeat_{split.repeat}"] = part_of
    text = pd.DataFrame(columns).to_csv(index=False, lineterminator="\n").encode()
    packed = cohort.n > _GZIP_FROM_ROWS
    path = Path(folder) / (_stem(cohort.name, splits[0].unit) + (".csv.gz" if packed else ".csv"))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(gzip.compress(text, mtime=0) if packed else text)
    except OSError as error:
        raise DataError(
            f"'{path}': expected a writable folder, got '{error.strerror}'; name another one"
        ) from error
    return path


def find_split_file(name: str, unit: str, folder: str | Path | None = None) -> Path | None:
    """Return the split file of a cohort, or None."""
    folders = [Path(folder)] if folder is not None else [d / "splits" for d in card_dirs()]
    for place in folders:
        for ending in (".csv", ".csv.gz"):
            path = place / (_stem(name, unit) + ending)
            if path.is_file():
                return path
    return None


def _parts(cohort: Cohort, repeat: int, unit: str, fractions: tuple[float, float, float]) -> Parts:
    if unit == "donor":
        return donor_parts(cohort, repeat)
    if unit == FIXED_UNIT:
        return official_full_parts(cohort)
    draw = {"patient": _patient_split, "row": _row_split, "official": official_parts}[unit]
    return draw(cohort, repeat, fractions)


def _patient_split(cohort: Cohort, repeat: int, fractions: tuple[float, ...]) -> Parts:
    groups, codes = group_strata(cohort)
    order = stratified_order(codes, np.random.default_rng(repeat))
    parts = _cut(groups[order], fractions)
    train, test, val = (np.flatnonzero(np.isin(cohort.groups, part)) for part in parts)
    return train, test, val


def _row_split(cohort: Cohort, repeat: int, fractions: tuple[float, ...]) -> Parts:
    generator = torch.Generator().manual_seed(repeat)
    return _cut(torch.randperm(cohort.n, generator=generator).numpy(), fractions)


def _cut(items: np.ndarray, fractions: tuple[float, ...]) -> Parts:
    # the small constant keeps int(0.15 * 20) at 3 whatever the rounding of the product
    n_train, n_test = (int(f * len(items) + 1e-9) for f in fractions[:2])
    return items[:n_train], items[n_train : n_train + n_test], items[n_train + n_test :]


def _as_split(cohort: Cohort, repeat: int, unit: str, parts: tuple[np.ndarray, ...]) -> Split:
    train, test, val = (np.asarray(p, dtype=np.int64) for p in parts)
    if min(len(train), len(test)) == 0 or (len(val) == 0 and unit != FIXED_UNIT):
        raise DataError(
            f"split of '{cohort.name}': expected three non-empty parts, got train {len(train)}, "
            f"val {len(val)}, test "
            f"{len(test)}; use more samples or other fractions"
        )
    held_out = donor_of(cohort, repeat) if unit == "donor" else None
    split = Split(repeat=repeat, unit=unit, train=train, val=val, test=test, held_out=held_out)
    if unit != "row" and shares_patients(cohort, split):
        raise DataError(
            f"split of '{cohort.name}' by {unit}: expected every patient in one part of the "
            "published division, got patients in two; use unit 'patient'"
        )
    return split


def _check_arguments(cohort: Cohort, repeats: int, unit: str, fractions: tuple[float, ...]) -> None:
    if unit not in UNITS:
        raise DataError(
            f"split of '{cohort.name}': expected unit to be one of {', '.join(UNITS)}, got "
            f"'{unit}'; choose one"
        )
    if repeats < 1:
        raise DataError(
            f"split of '{cohort.name}': expected 1 or more repeats, got {repeats}; the usual "
            "number is 5"
        )
    if len(fractions) != 3 or min(fractions) <= 0 or abs(sum(fractions) - 1) > 1e-6:
        raise DataError(
            f"split of '{cohort.name}': expected three positive shares that sum to 1 (train, test, "
            "val), got "
            f"{fractions}; the usual shares are (0.70, 0.15, 0.15)"
        )


def _stem(name: str, unit: str) -> str:
    return name + _ENDINGS.get(unit, f".{unit}")


def _read(path: Path) -> pd.DataFrame:
    try:
        table = pd.read_csv(path, dtype=str)
    except (OSError, EOFError, ValueError) as error:
        raise DataError(
            f"'{path}': expected a CSV of splits, got '{error}'; restore the file"
        ) from error
    parts = table.drop(columns=["id", "group"], errors="ignore")
    if not {"id", "group"} <= set(table.columns) or not parts.isin(["train", "val", "test"]).all(
        axis=None
    ):
        raise DataError(
            f"'{path}': expected columns id, group and repeat_1, repeat_2, ... of train, val, "
            "test, got others; "
            "restore the file"
        )
    return table


def _covers(table: pd.DataFrame, cohort: Cohort) -> bool:
    listed = dict(zip(table["id"], table["group"], strict=True))
    return len(table) == cohort.n and listed == dict(zip(cohort.ids, cohort.groups, strict=True))


def _from_column(table: pd.DataFrame, computed: Split, path: Path) -> Split:
    column = f"repeat_{computed.repeat}"
    if column not in table.columns:
        return replace(computed, source=f"computed ({path.name} has no {column})")
    parts = table[column].to_numpy()
    positions: dict[str, Any] = {
        part: np.flatnonzero(parts == part) for part in ("train", "val", "test")
    }
    return replace(computed, **positions, source=path.name)
