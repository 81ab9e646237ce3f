"""eICU: laboratory values, structured notes and diagnoses of the first day in intensive care."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd

from mmlego.data.cohorts.cohort import Cohort
from mmlego.data.cohorts.leakage import drop_entries, tells_outcome
from mmlego.data.cohorts.target import ClassTarget
from mmlego.data.sources.request import Request, align, read_columns
from mmlego.errors import DataError

FIRST_DAY = 1440  # minutes since the admission to intensive care
FLAGS = ("intubated", "vent", "dialysis")  # never missing, 0 where nothing was recorded
LAB = (
    *FLAGS,
    *("eyes", "motor", "verbal", "meds", "urine", "wbc", "temperature", "respiratoryrate"),
    *("sodium", "heartrate", "meanbp", "ph", "hematocrit", "creatinine", "albumin", "pao2"),
    *("pco2", "bun", "glucose", "bilirubin", "fio2"),
)
CLIN = ("age", "is_female")
STAY = "patientunitstayid"
TRIPLE = ("lab", "note", "code")
_STATUS = {"Alive": 0, "Expired": 1}
_OLDEST = 90.0  # ages above 89 are published as "> 89"
# how the form was used, not what was found
_MECHANICS = r"^notes/Shared/|/View Options/|/Include Rx/|/Skip Screen Options"


def load_eicu(request: Request) -> Cohort:
    """Load one intensive-care stay per patient with hospital mortality as the label.

    The stay is the first one (``unitvisitnumber``) of the first hospitalization, by year of
    discharge and then by the publisher's number, since nothing else orders the hospitalizations of
    a patient. Patients whose status at discharge is missing there, or for whom none of laboratory
    values, notes and codes is recorded, are left out. Inputs are of the first 24 hours, and of the
    time before the patient left intensive care or the hospital where that was sooner: the forms are
    filled in after a death as well. Discharge, length of stay, APACHE's predictions and all later
    entries are never inputs.

    Raises:
        DownloadError: If a file is damaged.
        DataError: If a column is missing, or a status is unknown.
    """
    stays = first_stays(_read(request, "patient", _PATIENT))
    ids = stays[STAY].to_numpy()
    made = {name: _MODALITIES[name](request, stays) for name in {*TRIPLE, *request.modalities}}
    modalities = {
        name: request.modality(name, *made[name])
        for name in request.card.modalities
        if name in made
    }
    cohort = request.cohort(
        ids.astype(str),
        stays["uniquepid"].to_numpy(dtype=str),
        modalities,
        ClassTarget(
            stays["hospitaldischargestatus"].map(_STATUS).to_numpy(),
            request.card.target.class_names,
        ),
    )
    recorded = np.any([cohort.present[name] for name in TRIPLE], axis=0)
    return cohort.subset(recorded).select(request.modalities)


def first_stays(patients: pd.DataFrame) -> pd.DataFrame:
    """Return the row of the first stay of every patient, where the status at discharge is known.

    Raises:
        DataError: If a status is neither "Alive" nor "Expired".
    """
    order = ["hospitaldischargeyear", "patienthealthsystemstayid", "unitvisitnumber", STAY]
    stays = patients.sort_values(order).drop_duplicates("uniquepid")
    stays = stays[stays["hospitaldischargestatus"].notna()]
    unknown = set(stays["hospitaldischargestatus"]) - set(_STATUS)
    if unknown:
        raise DataError(
            f"eicu, column hospitaldischargestatus: expected {' or '.join(_STATUS)}, got "
            f"{sorted(unknown)}; restore the table"
        )
    return stays.sort_values(STAY, ignore_index=True)


def is_early(entered: pd.Series, stay: pd.Series, left: pd.Series) -> pd.Series:
    """Say which entries were made in the first day and before the patient left.

    Args:
        entered: Minutes from admission to intensive care, one per entry.
        stay: Stay of each entry.
        left: Minutes from admission to the end of the stay or the hospitalization, by stay; entries
            of other stays are not early.
    """
    return (entered <= FIRST_DAY) & (entered < stay.map(left))


def note_lines(table: pd.DataFrame, kind: str, left: pd.Series) -> pd.Series:
    """Return the entries of structured notes of the first day, by stay; see ``is_early``.

    An entry is its path, which ends with its value. Entries about the form itself (views, copies,
    skipped pages) and those that tell the outcome are left out, repetitions too.

    Args:
        table: "note" or "pasthistory" table.
        kind: Its name, with which its columns begin.
        left: When patients left, by stay.
    """
    # entries may be dated back: what counts is when they were entered
    table = table[is_early(table[f"{kind}enteredoffset"], table[STAY], left)]
    paths = table[f"{kind}path"]
    kept = table[~paths.str.contains(_MECHANICS)].sort_values([f"{kind}offset", f"{kind}id"])
    lines = kept[f"{kind}path"].str.removeprefix("notes/").str.removeprefix("Progress Notes/")
    return _without_outcome(lines, kept[STAY])


def code_items(diagnoses: pd.DataFrame, admissions: pd.DataFrame, left: pd.Series) -> pd.Series:
    """Return the diagnoses of the first day, by stay; see ``is_early``.

    A diagnosis is its first code ("ICD 486"), or its text where it has none; the diagnosis at
    admission is that of APACHE ("APACHE ...").
    """
    early = diagnoses[is_early(diagnoses["diagnosisoffset"], diagnoses[STAY], left)]
    early = early.sort_values("diagnosisid")
    codes = "ICD " + early["icd9code"].str.split(",").str[0].str.strip()
    items = codes.fillna(early["diagnosisstring"])
    # the text decides what is left out, and a code alone would hide it
    told = early["diagnosisstring"].map(tells_outcome)
    main = admissions["admitdxpath"].str.contains("|All Diagnosis|", regex=False)
    entered = admissions["admitdxenteredoffset"]
    admitted = admissions[main & is_early(entered, admissions[STAY], left)]
    return _without_outcome(
        pd.concat(["APACHE " + admitted["admitdxname"], items[~told]]),
        pd.concat([admitted[STAY], early.loc[~told, STAY]]),
    )


def _without_outcome(entries: pd.Series, stays: pd.Series) -> pd.Series:
    """Return distinct entries that tell no outcome, joined by line breaks, by stay."""
    by_stay = entries.groupby(stays.to_numpy(), sort=True)
    return by_stay.agg(lambda lines: "\n".join(drop_entries(dict.fromkeys(lines))))


def _lab(request: Request, stays: pd.DataFrame) -> tuple[object, ...]:
    table = _read(request, "lab", [STAY, *LAB]).set_index(STAY)
    table = table.replace(-1, np.nan)
    measured = table.drop(columns=list(FLAGS)).notna().any(axis=1)
    return *align(table[measured], stays[STAY].to_numpy()), LAB


def _note(request: Request, stays: pd.DataFrame) -> tuple[object, ...]:
    lines = [
        note_lines(_read(request, kind, _note_columns(kind)), kind, _left(stays))
        for kind in ("note", "pasthistory")
    ]
    both = pd.concat(lines)
    return _texts(both.groupby(level=0).agg("\n".join), stays)


def _code(request: Request, stays: pd.DataFrame) -> tuple[object, ...]:
    items = code_items(
        _read(request, "diagnosis", _DIAGNOSIS),
        _read(request, "admission", _ADMISSION),
        _left(stays),
    )
    return _texts(items, stays)


def _left(stays: pd.DataFrame) -> pd.Series:
    """Minutes from admission to the end of the stay or of the hospitalization, by stay."""
    return stays.set_index(STAY)[["unitdischargeoffset", "hospitaldischargeoffset"]].min(axis=1)


def _clin(request: Request, stays: pd.DataFrame) -> tuple[object, ...]:
    years = pd.to_numeric(stays["age"].replace("> 89", _OLDEST))
    female = stays["gender"].map({"Female": 1.0, "Male": 0.0})
    values = np.column_stack([years, female]).astype(np.float32)
    return values, ~np.isnan(values).all(axis=1), CLIN


def _texts(by_stay: pd.Series, stays: pd.DataFrame) -> tuple[object, ...]:
    texts = by_stay.reindex(stays[STAY].to_numpy(), fill_value="")
    return tuple(texts), np.ones(len(texts), dtype=bool), ()


_MODALITIES: dict[str, Callable[[Request, pd.DataFrame], tuple[Any, ...]]] = {
    "lab": _lab,
    "note": _note,
    "code": _code,
    "clin": _clin,
}
_PATIENT = [STAY, "patienthealthsystemstayid", "uniquepid", "unitvisitnumber", "gender", "age"]
_PATIENT += ["hospitaldischargeyear", "hospitaldischargestatus"]
_PATIENT += ["unitdischargeoffset", "hospitaldischargeoffset"]
_DIAGNOSIS = ["diagnosisid", STAY, "diagnosisoffset", "diagnosisstring", "icd9code"]
_ADMISSION = [STAY, "admitdxenteredoffset", "admitdxpath", "admitdxname"]


def _note_columns(kind: str) -> list[str]:
    return [STAY, *(f"{kind}{part}" for part in ("id", "offset", "enteredoffset", "path"))]


def _read(request: Request, key: str, columns: list[str]) -> pd.DataFrame:
    return read_columns(request.files.path(key), columns)
