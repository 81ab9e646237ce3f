"""OASIS-1: three slices of a brain with age, sex, schooling and volumes; rating of dementia."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from mmlego.data.cohorts.cohort import Cohort
from mmlego.data.cohorts.modality import Modality
from mmlego.data.cohorts.target import ClassTarget
from mmlego.data.sources.images.pictures import Read, decoded, opened
from mmlego.data.sources.request import Request, read_table
from mmlego.errors import DataError

# of the published table, which comes without a header; "Delay" tells of a second scan
COLUMNS = (
    "ID",
    "sex",
    "hand",
    "age",
    "education",
    "SES",
    "MMSE",
    "CDR",
    "eTIV",
    "nWBV",
    "ASF",
    "Delay",
)
RATINGS = (0.0, 0.5, 1.0)
LEAST_AGE = 60  # years
CLINICAL = ("age", "male", "education", "SES", "eTIV", "nWBV", "ASF")
SCREENING = ("MMSE",)
PLANES = {"axial": (208, 176), "coronal": (176, 176), "sagittal": (176, 208)}  # (h, w), 1 mm
SIDE = 208  # pixels; every plane fits into a square of this side


def load_oasis(request: Request, *, size: int = 64) -> Cohort:
    """Load the subjects of 60 years or more with a rating of 0, 0.5 or 1, one sample each.

    Younger people and second scans come without a rating, or, if rated, without slices and all
    without dementia; two subjects rated 2 have no slices. In either group, to lack the pictures
    would tell the class, so all of them are left out.

    Args:
        request: Card, files, unit and modalities.
        size: Side of the slices in pixels, 8 to 208.

    Raises:
        DataError: If the size is out of range, the table has another form, or a slice is missing,
            damaged or of another size.
        DownloadError: If the archive of slices is damaged.
    """
    if isinstance(size, bool) or not isinstance(size, int) or not 8 <= size <= SIDE:
        raise DataError(f"size: expected 8 to {SIDE} pixels, got {size!r}; the usual size is 64")
    table = read_subjects(request.files.path("table"))
    ids = table["ID"].to_numpy(dtype=str)
    modalities = {
        name: _slices(request, ids, size) if name == "mri" else _numbers(request, name, table)
        for name in request.modalities
    }
    label = np.searchsorted(RATINGS, table["CDR"].to_numpy())
    target = ClassTarget(label, request.card.target.class_names)
    # "OAS1_0001_MR1" is a session of the subject "OAS1_0001"
    subjects = table["ID"].str.rpartition("_")[0].to_numpy(dtype=str)
    return request.cohort(ids, subjects, modalities, target)


def read_subjects(path: Path) -> pd.DataFrame:
    """Read the published table, and keep the subjects of the cohort, sorted by id.

    Raises:
        DataError: If it cannot be read, or an entry is no number, sex or rating.
    """
    table = read_table(path, header=None)
    if table.shape[1] != len(COLUMNS):
        raise DataError(
            f"'{path}': expected the {len(COLUMNS)} columns {', '.join(COLUMNS)}, got "
            f"{table.shape[1]}; take the published table"
        )
    table.columns = COLUMNS
    texts = [c for c in COLUMNS[3:] if not pd.api.types.is_numeric_dtype(table[c])]
    if texts:
        raise DataError(
            f"'{path}': expected numbers in column '{texts[0]}', got {table[texts[0]].iloc[0]!r}; "
            "take the table without its header"
        )
    _check_among(path, table, "sex", ("F", "M"))
    _check_among(path, table.dropna(subset="CDR"), "CDR", (*RATINGS, 2.0))
    kept = table["CDR"].isin(RATINGS) & (table["age"] >= LEAST_AGE)
    return table[kept].sort_values("ID", ignore_index=True)


def slices_of(read: Read, name: str, size: int, where: str) -> np.ndarray:
    """Return the three slices of a subject as float32 (3, size, size) in [0, 1].

    A slice is centered in a black square of 208 pixels, so that a millimeter is equally long in all
    three, and shrunk with Pillow's bilinear filter, which averages. The channels show different
    planes: pixels of the same place are not the same place of the brain.

    Args:
        read: Gives the content of a file by its name.
        name: Id of the session.
        size: Side in pixels.
        where: What to call the folder of the slices in an error.

    Raises:
        DataError: If a slice is missing, damaged or of another size.
    """
    made = np.empty((len(PLANES), size, size), dtype=np.float32)
    for channel, (plane, shape) in zip(made, PLANES.items(), strict=True):
        file = f"{plane}/{name}_{plane[0]}.jpg"
        content = read(file)
        if content is None:
            raise DataError(
                f"{where}: expected a slice '{file}', got none of that name; take table and slices "
                "from one source"
            )
        pixels = np.asarray(decoded(content, "L", f"{where}: '{file}'"))
        if pixels.shape != shape:
            raise DataError(
                f"{where}: '{file}': expected {shape[0]} x {shape[1]} pixels, got "
                f"{pixels.shape[0]} x {pixels.shape[1]}; take the slices of the atlas space"
            )
        margins = [((SIDE - side) // 2, (SIDE - side) // 2) for side in shape]
        square = Image.fromarray(np.pad(pixels, margins))
        channel[:] = np.asarray(square.resize((size, size), Image.Resampling.BILINEAR))
    return made / 255


def _slices(request: Request, ids: np.ndarray, size: int) -> Modality:
    path = request.files.path("slices")
    with opened(path) as read:
        values = np.stack([slices_of(read, name, size, f"'{path}'") for name in ids])
    return request.modality("mri", values, np.ones(len(ids), dtype=bool), list(PLANES))


def _numbers(request: Request, name: str, table: pd.DataFrame) -> Modality:
    features = {"clin": CLINICAL, "mmse": SCREENING}[name]
    values = table.assign(male=(table["sex"] == "M"))[list(features)].to_numpy(dtype=np.float32)
    return request.table(name, values, features)


def _check_among(path: Path, table: pd.DataFrame, column: str, known: tuple[object, ...]) -> None:
    strange = table.loc[~table[column].isin(known), column]
    if len(strange):
        raise DataError(
            f"'{path}': expected {', '.join(map(str, known))} in column '{column}', got "
            f"'{strange.iloc[0]}'; take the published table"
        )
