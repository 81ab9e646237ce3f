"""PhysioNet/CinC Challenge 2012: 12,000 intensive-care stays, static variables and series."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from mmlego.data.cards.fetch import sha256
from mmlego.data.cohorts.cache import read_arrays, write_arrays
from mmlego.data.cohorts.cohort import Cohort
from mmlego.data.cohorts.modality import Modality
from mmlego.data.cohorts.target import ClassTarget
from mmlego.data.sources.records.physionet_arrays import CHANNELS, STATIC, stay_arrays
from mmlego.data.sources.request import Request, read_table, require_columns
from mmlego.errors import DataError, DownloadError

_FORM = (
    "v1"  # change with the rules in physionet_arrays.py, so that older prepared arrays are not used
)
_HORIZONS = (1, 2, 3, 7, 365)  # days
OUTCOMES = ("mortality", "survival6")


def load_physionet(request: Request, *, outcome: str) -> Cohort:
    """Load all stays of sets a, b and c; one sample per record, as there is no patient id.

    Inputs are the first 24 of the 48 hours. Outcome columns (survival, length of stay, SAPS-I,
    SOFA) are never inputs.

    Args:
        request: Card, files, unit and modalities.
        outcome: "mortality" (died in hospital) or "survival6" (six classes of survival time).

    Raises:
        DataError: If the outcome is unknown, or the two files list different stays.
    """
    if outcome not in OUTCOMES:
        raise DataError(
            f"outcome: expected one of {', '.join(OUTCOMES)}, got '{outcome}'; choose one"
        )
    arrays = _prepared(request.files.path("series"))
    table = pd.read_csv(request.files.path("outcomes"))
    require_columns(
        table, ["RecordID", "Survival", "In-hospital_death"], f"'{request.card.name}' outcomes"
    )
    if not np.array_equal(np.sort(table["RecordID"]), arrays["record"]):
        raise DataError(
            f"'{request.card.name}': expected the same stays in both files, got "
            f"{len(arrays['record'])} and {len(table)}; "
            "prepare both from the same official files"
        )
    table = table.set_index("RecordID").loc[arrays["record"]]
    ids = arrays["record"].astype(str)
    modalities = {name: _modality(request, name, arrays) for name in request.modalities}
    label = (
        table["In-hospital_death"].to_numpy()
        if outcome == "mortality"
        else survival_class(table["Survival"])
    )
    return request.cohort(ids, ids, modalities, ClassTarget(label, request.card.target.class_names))


def survival_class(days: pd.Series | np.ndarray) -> np.ndarray:
    """Return the class of survival, (n,) int64: the first horizon that saw the death, or 0.

    1: within 1 day of admission to intensive care, 2: 2 days, 3: 3 days, 4: one week, 5: one year,
    0: later, or no death on record (negative days).

    Source: the six-class mortality task of MultiBench (Liang et al. 2021): the first positive of
    five horizons, else 0.
    """
    days = np.asarray(days, dtype=np.float64)
    first = np.searchsorted(_HORIZONS, days, side="left") + 1
    return np.where((days < 0) | (first > len(_HORIZONS)), 0, first).astype(np.int64)


def _modality(request: Request, name: str, arrays: dict[str, np.ndarray]) -> Modality:
    features = {"static": STATIC, "series": tuple(CHANNELS)}[name]
    return request.table(name, arrays[name], features)


def _prepared(path: Path) -> dict[str, np.ndarray]:
    """Return the arrays of all stays, from the cache if prepared from this very file."""
    key = f"physionet2012-{_FORM}-{sha256(path)[:16]}"
    arrays = read_arrays(key)
    if arrays is None:
        arrays = stay_arrays(_read_long(path))
        write_arrays(key, arrays)
    return arrays


def _read_long(path: Path) -> pd.DataFrame:
    types = {"RecordID": "int32", "minute": "int32", "Parameter": "category", "Value": "float32"}
    return read_table(
        path,
        what=f"a table of {', '.join(types)}",
        remedy=" (truncated?); obtain it again",
        error=DownloadError,
        usecols=list(types),
        dtype=types,
    )
