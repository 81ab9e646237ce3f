"""MIMIC-IV: laboratory values, ICD codes and discharge notes; death within a year of discharge."""

from __future__ import annotations

import pandas as pd

from mmlego.data.cohorts.cohort import Cohort
from mmlego.data.cohorts.modality import Modality
from mmlego.data.cohorts.target import ClassTarget
from mmlego.data.sources.records.mimic4_labs import LABS, STATISTICS, lab_values
from mmlego.data.sources.records.mimic4_text import code_items, note_texts, read_diagnoses
from mmlego.data.sources.request import Request, align, read_columns
from mmlego.errors import DataError

HORIZON = 365  # days after discharge
_ADMISSIONS = ["subject_id", "hadm_id", "admittime", "dischtime", "deathtime"]
_ADMISSIONS += ["hospital_expire_flag"]


def load_mimic4(request: Request, *, lab: str = "last") -> Cohort:
    """Load one admission per patient, the last one that was left alive, with one-year mortality.

    Inputs end with the discharge of that admission: laboratory values within it, diagnoses of it
    and of earlier ones, and its discharge note. Patients without a diagnosis are left out.

    Args:
        request: Card, files, unit and modalities.
        lab: Which value of an admission counts: "first", "last" or "mean".

    Raises:
        DataError: If the option is unknown, or a table cannot be used.
        DownloadError: If a file is damaged.

    Source: Peng et al. 2025 (AMC) for task and modalities. They do not say which admission counts,
    which laboratory values, or how 9,003 patients were chosen: all of these are our choices.
    """
    if lab not in STATISTICS:
        raise DataError(
            f"lab: expected one of {', '.join(STATISTICS)}, got '{lab}'; choose one of them"
        )
    files = request.files
    admissions = _with_times(read_columns(files.path("admissions"), _ADMISSIONS))
    patients = _with_times(read_columns(files.path("patients"), ["subject_id", "dod"]))
    index = index_admissions(admissions, patients)
    codes = code_items(read_diagnoses(files.path("diagnoses")), admissions, index)
    index = index[index["subject_id"].isin(codes.index)].reset_index(drop=True)
    modalities = {name: _modality(request, name, index, codes, lab) for name in request.modalities}
    ids = index["subject_id"].to_numpy().astype(str)
    target = ClassTarget(index["died"].to_numpy(), request.card.target.class_names)
    return request.cohort(ids, ids, modalities, target)


def index_admissions(admissions: pd.DataFrame, patients: pd.DataFrame) -> pd.DataFrame:
    """Return the last admission that every patient left alive, by patient.

    One that ends with a death, or after the recorded day of death, was not left alive; a patient
    without any other is left out. "died" is 1 where the day of death is at most 365 days after the
    day of discharge, and 0 where it is later or none is recorded: deaths outside the hospital are
    recorded for one year after the last discharge, so nobody is lost within the year.

    Args:
        admissions: subject_id, hadm_id, admittime, dischtime, deathtime, hospital_expire_flag.
        patients: subject_id, dod.

    Returns:
        subject_id, hadm_id, admittime, dischtime, died.

    Raises:
        DataError: If an admission belongs to no patient.
    """
    strange = ~admissions["subject_id"].isin(patients["subject_id"])
    if strange.any():
        raise DataError(
            f"mimic4: expected every admission to belong to a patient, got {int(strange.sum())} "
            "that do not; take both tables from one version"
        )
    table = admissions.merge(patients, on="subject_id")
    days = (table["dod"].dt.normalize() - table["dischtime"].dt.normalize()).dt.days
    died_there = (table["hospital_expire_flag"] == 1) | table["deathtime"].notna() | (days < 0)
    table = table.assign(died=(days <= HORIZON).astype("int64"))[~died_there]
    last = table.sort_values(["subject_id", "dischtime", "hadm_id"])
    last = last.drop_duplicates("subject_id", keep="last", ignore_index=True)
    return last[["subject_id", "hadm_id", "admittime", "dischtime", "died"]]


def _modality(
    request: Request, name: str, index: pd.DataFrame, codes: pd.Series, lab: str
) -> Modality:
    patients = index["subject_id"].to_numpy()
    path = request.path_of(name)
    if name == "lab":
        return request.modality(
            name, *align(lab_values(path, index, lab), patients), list(LABS.values())
        )
    texts = codes if name == "code" else note_texts(path, index)
    listed = texts.reindex(patients, fill_value="")
    return request.modality(name, tuple(listed), (listed != "").to_numpy(), ())


def _with_times(table: pd.DataFrame) -> pd.DataFrame:
    times = [c for c in table.columns if c.endswith("time") or c == "dod"]
    try:
        return table.assign(**{c: pd.to_datetime(table[c], format="ISO8601") for c in times})
    except (ValueError, TypeError) as error:
        raise DataError(
            f"mimic4: expected dates in the columns {', '.join(times)}, got '{error}'; take the "
            "published tables"
        ) from error
