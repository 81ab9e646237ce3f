"""Progenitors of blood: proteins and genes of one cell each, with a picture of a like cell."""

from __future__ import annotations

from pathlib import Path
from typing import cast

import numpy as np
import pandas as pd

from mmlego.data.cohorts.cohort import Cohort
from mmlego.data.cohorts.modality import Modality
from mmlego.data.cohorts.target import ClassTarget
from mmlego.data.sources.images.pictures import read_pictures
from mmlego.data.sources.request import Request, align, read_table
from mmlego.errors import DataError

CELL, DONOR, PICTURE = "cell_id", "donor", "file_path"
COLORS = ("red", "green", "blue")


def load_hspc(request: Request, *, size: int = 64) -> Cohort:
    """Load the cells of the replication study of multimodal dynamics, from tables of its schema.

    ``cells`` has the columns cell_id, day, donor, cell_type, technology; ``proteins`` and ``rna``
    have cell_id and one column per feature; ``pictures`` has cell_id and file_path, the place of a
    picture below the folder (or tar archive) ``images``. Tables are joined on the cell; of several
    rows of a cell the first counts, as in the published code; a cell without a row lacks the
    modality. ``Cohort.division`` is the donor.

    Args:
        request: Card, files, unit and modalities.
        size: Side of the pictures in pixels, to which all are resized (bilinear).

    Raises:
        DataError: If a column is missing, a class is unknown, a feature is no number, or a picture
            is missing or cannot be used.

    Source: Wenderoth, repository MMdynamics-evolved: the schema, the join and the classes.
    """
    cells = _read_cells(request)
    ids = cells[CELL].to_numpy(dtype=str)
    modalities = {
        name: _pictures(request, ids, size) if name == "img" else _table(request, name, ids)
        for name in request.modalities
    }
    return request.cohort(ids, ids, modalities, _target(request, cells), cells[DONOR].to_numpy())


def _read_cells(request: Request) -> pd.DataFrame:
    path = request.files.path("cells")
    table = _read(path, [DONOR, cast(str, request.card.target.label)])
    if table[DONOR].isna().any():
        raise DataError(
            f"'{path}': expected a donor for every cell, got none for "
            f"{int(table[DONOR].isna().sum())}; fill the column '{DONOR}'"
        )
    return table


def _target(request: Request, cells: pd.DataFrame) -> ClassTarget:
    target = request.card.target
    types = cells[target.label]
    strange = types[~types.isin(target.class_names)]
    if len(strange):
        raise DataError(
            f"'{request.card.name}': expected the classes {', '.join(target.class_names)} in "
            f"column '{target.label}', got '{strange.iloc[0]}' ({len(strange)} such cells); keep "
            "the cells of the published table only"
        )
    return ClassTarget(types.map(target.class_names.index).to_numpy(), target.class_names)


def _table(request: Request, name: str, ids: np.ndarray) -> Modality:
    path = request.path_of(name)
    table = _of_known(_read(path, []).set_index(CELL), ids, path)
    words = [c for c in table.columns if not pd.api.types.is_numeric_dtype(table[c])]
    if words or not len(table.columns):
        raise DataError(
            f"'{path}': expected columns of numbers beside '{CELL}', got "
            f"{repr(words[0]) if words else 'none'}; keep the features only"
        )
    values, present = align(table, ids)
    return request.modality(name, values, present, list(table.columns))


def _pictures(request: Request, ids: np.ndarray, size: int) -> Modality:
    path = request.files.path("pictures")
    table = _of_known(_read(path, [PICTURE]).set_index(CELL), ids, path)
    names = table[PICTURE].reindex(ids)
    present = names.notna().to_numpy()
    made = read_pictures(request.files.path("images"), names[present].tolist(), size)
    values = np.zeros((len(ids), *made.shape[1:]), dtype=np.float32)
    values[present] = made
    return request.modality("img", values, present, COLORS)


def _of_known(table: pd.DataFrame, ids: np.ndarray, path: Path) -> pd.DataFrame:
    if not table.index.isin(ids).any():
        raise DataError(
            f"'{path}': expected cells of the table of cells, such as '{ids[0]}', got others; use "
            "one id in all tables"
        )
    return table[~table.index.duplicated()]


def _read(path: Path, columns: list[str]) -> pd.DataFrame:
    """Read a CSV with a column of cells and some more."""
    return read_table(path, [CELL, *columns], dtype={CELL: str, DONOR: str})
