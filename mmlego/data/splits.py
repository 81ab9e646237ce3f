"""Repeated random sub-sampling into training, test and validation parts, by patient or by row.

Splits are committed as CSV, so that everybody compares methods on the same patients.
"""

from __future__ import annotations

import gzip
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from mmlego.data.catalog import card_dirs
from mmlego.data.cohort import Cohort
from mmlego.data.strata import group_strata, stratified_order
from mmlego.errors import DataError

FRACTIONS = (0.70, 0.15, 0.15)  # train, test, validation
UNITS = ("patient", "row")
_GZIP_FROM_ROWS = 2000


@dataclass(frozen=True, eq=False)
class Split:
    """One division of a cohort into row positions, each in exactly one part.

    Attributes:
        repeat: Number of the repeat, from 1; also its random seed.
        unit: "patient" (no patient in two parts) or "row" (the rule of the published code).
        train: Positions of the training part, int64.
        val: Positions of the validation part, int64.
        test: Positions of the test part, int64.
        source: "computed", or the file that the split was read from.
    """

    repeat: int
    unit: str
    train: np.ndarray
    val: np.ndarray
    test: np.ndarray
    source: str = "computed"

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

    Args:
        cohort: The cohort to divide.
        repeats: Number of splits, 1 or more.
        unit: "patient" or "row".
        fractions: Shares of train, test and validation; they sum to 1.

    Raises:
        DataError: If an argument is out of range, or a part would be empty.

    Source: Hemker et al. (2025), five repeated random sub-samplings 70/15/15. They divide slide
    rows; dividing patients, and stratifying, is our choice.
    """
    _check_arguments(cohort, repeats, unit, fractions)
    draw = _patient_split if unit == "patient" else _row_split
    return [_as_split(cohort, r, unit, draw(cohort, r, fractions)) for r in range(1, repeats + 1)]


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
        unit: "patient" or "row".
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
    """Write splits as ``<folder>/<cohort>.csv`` (``.rows.csv`` by row, ``.gz`` for large cohorts).

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


def _patient_split(
    cohort: Cohort, repeat: int, fractions: tuple[float, ...]
) -> tuple[np.ndarray, ...]:
    groups, codes = group_strata(cohort)
    order = stratified_order(codes, np.random.default_rng(repeat))
    parts = _cut(groups[order], fractions)
    return tuple(np.flatnonzero(np.isin(cohort.groups, part)) for part in parts)


def _row_split(cohort: Cohort, repeat: int, fractions: tuple[float, ...]) -> tuple[np.ndarray, ...]:
    generator = torch.Generator().manual_seed(repeat)
    return _cut(torch.randperm(cohort.n, generator=generator).numpy(), fractions)


def _cut(items: np.ndarray, fractions: tuple[float, ...]) -> tuple[np.ndarray, ...]:
    # the small constant keeps int(0.15 * 20) at 3 whatever the rounding of the product
    n_train, n_test = (int(f * len(items) + 1e-9) for f in fractions[:2])
    return items[:n_train], items[n_train : n_train + n_test], items[n_train + n_test :]


def _as_split(cohort: Cohort, repeat: int, unit: str, parts: tuple[np.ndarray, ...]) -> Split:
    train, test, val = (np.asarray(p, dtype=np.int64) for p in parts)
    if min(len(train), len(test), len(val)) == 0:
        raise DataError(
            f"split of '{cohort.name}': expected three non-empty parts, got train {len(train)}, "
            f"val {len(val)}, test "
            f"{len(test)}; use more samples or other fractions"
        )
    return Split(repeat=repeat, unit=unit, train=train, val=val, test=test)


def _check_arguments(cohort: Cohort, repeats: int, unit: str, fractions: tuple[float, ...]) -> None:
    if unit not in UNITS:
        raise DataError(
            f"split of '{cohort.name}': expected unit 'patient' or 'row', got '{unit}'; choose one"
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
    return name if unit == "patient" else f"{name}.rows"


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
    positions = {part: np.flatnonzero(parts == part) for part in ("train", "val", "test")}
    return replace(computed, **positions, source=path.name)
