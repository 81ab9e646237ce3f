"""TCGA cohorts: mutations, copy number, expression, what is public of slides and reports."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from mmlego.data.cohorts.cohort import Cohort
from mmlego.data.cohorts.modality import Modality, bag_from_rows
from mmlego.data.cohorts.target import SurvivalTarget
from mmlego.data.sources.omics.reports import read_reports
from mmlego.data.sources.omics.slides import READERS, read_nuclei
from mmlego.data.sources.request import Request, align, require_columns
from mmlego.errors import CardError, DataError, DownloadError

_SUFFIX = {"mut": "_mut", "cnv": "_cnv", "rna": "_rnaseq"}
_CLINICAL = ["age", "is_female"]


def load_tcga(request: Request, *, image: str | None = None, without: Sequence[str] = ()) -> Cohort:
    """Load one TCGA cohort.

    With unit "patient" there is one sample per ``case_id`` (its first row; molecular values are the
    same in all rows of a patient). With unit "row" there is one sample per published slide row, as
    in the published code. Only columns that end in ``_mut``, ``_cnv``, ``_rnaseq``, and for "clin"
    age and sex, become inputs. ``censorship`` 1 means censored, so the event flag is its opposite.

    Args:
        request: Card, files, unit and modalities.
        image: Form of the slide file: "embedding", "hif", "hif_mean" or "regions".
        without: Values of ``oncotree_code`` whose rows are left out.

    Raises:
        DownloadError: If the archive is damaged.
        DataError: If a column is missing, or ``without`` names a code that does not occur.
    """
    table = read_omics(request.files.path("omics"))
    time, event, unit = request.card.target.survival_columns()
    require_columns(
        table,
        ["case_id", "slide_id", time, event],
        f"'{request.card.name}' omics table",
    )
    if without:
        table = _leave_out(table, without, request.card.name)
    if request.unit == "patient":
        table = table.drop_duplicates("case_id").reset_index(drop=True)
    cases = table["case_id"].to_numpy(dtype=str)
    ids = cases if request.unit == "patient" else table["slide_id"].to_numpy(dtype=str)
    modalities = {
        name: _modality(request, name, table, cases, image) for name in request.modalities
    }
    observed = table[event].to_numpy(dtype=float) == 0
    survival = SurvivalTarget(table[time].to_numpy(dtype=float), observed, unit)
    return request.cohort(ids, cases, modalities, survival)


def read_omics(path: Path) -> pd.DataFrame:
    """Read the single CSV inside a zip archive, whatever the member is called.

    Raises:
        DownloadError: If the archive is truncated or no zip file.
    """
    try:
        with zipfile.ZipFile(path) as archive, archive.open(archive.namelist()[0]) as member:
            return pd.read_csv(member, low_memory=False)
    except (zipfile.BadZipFile, EOFError, IndexError, OSError) as error:
        raise DownloadError(
            f"'{path}': expected a zip archive with one CSV, got '{error}' (truncated?); delete it "
            "and fetch it again"
        ) from error


def _leave_out(table: pd.DataFrame, codes: Sequence[str], name: str) -> pd.DataFrame:
    require_columns(table, ["oncotree_code"], f"'{name}' omics table")
    unknown = sorted(set(codes) - set(table["oncotree_code"]))
    if unknown:
        raise DataError(
            f"card '{name}', option 'without': expected codes of the column oncotree_code, got "
            f"{unknown}; correct the card"
        )
    return table[~table["oncotree_code"].isin(codes)].reset_index(drop=True)


def _modality(
    request: Request, name: str, table: pd.DataFrame, cases: np.ndarray, image: str | None
) -> Modality:
    if name == "img":
        return _image(request, cases, image)
    if name == "report":
        texts = read_reports(request.files.path("reports"))
        found = tuple(texts.get(case, "") for case in cases)
        return request.modality(name, found, np.isin(cases, list(texts)), ())
    if name == "nuclei":
        values, present = align(read_nuclei(request.files.path("slides")), cases)
        return request.modality(
            name, values, present, [f"nuclei_{i:02d}" for i in range(values.shape[1])]
        )
    columns = (
        _CLINICAL if name == "clin" else [c for c in table.columns if c.endswith(_SUFFIX[name])]
    )
    return request.table(name, table[columns].to_numpy(dtype=np.float32), columns)


def _image(request: Request, cases: np.ndarray, image: str | None) -> Modality:
    if image not in READERS:
        raise CardError(
            f"card '{request.card.name}': field 'loader.options.image': expected one of "
            f"{', '.join(READERS)}, got "
            f"'{image}'; name the form of the slide file"
        )
    bags, features = READERS[image](request.files.path("slides"))
    present = np.array([case in bags for case in cases])
    return request.modality("img", _in_order(bags, cases, len(features)), present, features)


def _in_order(
    bags: Mapping[str, np.ndarray], cases: np.ndarray, width: int
) -> tuple[np.ndarray, ...]:
    nothing = bag_from_rows(np.zeros((1, width), np.float32), np.array([False]))[0]
    return tuple(bags.get(case, nothing) for case in cases)
