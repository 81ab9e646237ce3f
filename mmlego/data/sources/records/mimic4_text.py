"""Codes and discharge notes of MIMIC-IV as texts, without what tells the outcome."""

from __future__ import annotations

import re
from pathlib import Path

import pandas as pd

from mmlego.data.cohorts.leakage import drop_entries
from mmlego.data.sources.request import read_chunks

_NOTE = {"hadm_id": "Int64", "note_seq": "Int64", "text": "str"}
_CHUNK = 20_000  # notes
_DIAGNOSIS = {"subject_id": "int64", "hadm_id": "int64", "icd_code": "str", "icd_version": "int64"}
_ROWS = 2_000_000
_SENTENCE = re.compile(r"(?<=[.?!;])\s+")
_PARAGRAPH = re.compile(r"\n\s*\n")
# Where a patient goes is a judgment of how long he or she will live. Without the words for it,
# what is left of this entry would still say that there were some: so it always goes, to its end.
_DISPOSITION = re.compile(
    r"^[ \t]*discharge disposition[ \t]*:\s*.*(?:\n[ \t]*\S.*)*", re.IGNORECASE | re.MULTILINE
)


def read_diagnoses(path: Path) -> pd.DataFrame:
    """Read the table of diagnoses; codes stay texts, as they may begin with zeros.

    Raises:
        DataError: If a column is missing.
        DownloadError: If the file is damaged.
    """
    return pd.concat(read_chunks(path, _DIAGNOSIS, _ROWS))


def code_items(diagnoses: pd.DataFrame, admissions: pd.DataFrame, index: pd.DataFrame) -> pd.Series:
    """Return the diagnoses of the index admission and of earlier ones, by patient.

    An item is version and code, as in "ICD10 I50.9"; each counts once. Codes that tell the outcome
    (palliative care, not to be resuscitated) are left out, and patients without any code.

    Args:
        diagnoses: subject_id, hadm_id, icd_code, icd_version.
        admissions: hadm_id and dischtime.
        index: subject_id and dischtime of the index admission, one row per patient.
    """
    ends = admissions.set_index("hadm_id")["dischtime"]
    last = index.set_index("subject_id")["dischtime"]
    early = diagnoses["hadm_id"].map(ends) <= diagnoses["subject_id"].map(last)
    known = diagnoses[early & diagnoses["icd_code"].notna()]
    items = [
        f"ICD{version} {dotted(code.strip(), version)}"
        for code, version in zip(known["icd_code"], known["icd_version"], strict=True)
    ]
    by_patient = pd.Series(items, dtype=object).groupby(known["subject_id"].to_numpy())
    texts = by_patient.agg(lambda codes: "\n".join(drop_entries(sorted(set(codes)))))
    return texts[texts != ""]


def dotted(code: str, version: int) -> str:
    """Return a code with its point: after three characters, after four in ICD-9's E codes."""
    head = 4 if version == 9 and code.startswith("E") else 3
    return f"{code[:head]}.{code[head:]}" if len(code) > head else code


def note_texts(path: Path, index: pd.DataFrame) -> pd.Series:
    """Return the cleaned discharge note of the index admission, by patient; several are joined.

    Args:
        path: The table of discharge notes.
        index: subject_id and hadm_id, one row per patient.

    Raises:
        DataError: If a column is missing.
        DownloadError: If the file is damaged.
    """
    patient_of = index.set_index("hadm_id")["subject_id"]
    chunks = read_chunks(path, _NOTE, _CHUNK)
    notes = pd.concat([rows[rows["hadm_id"].isin(patient_of.index)] for rows in chunks])
    notes = notes.dropna(subset="text").sort_values(["hadm_id", "note_seq"])
    patients = notes["hadm_id"].astype("int64").map(patient_of).to_numpy()
    return notes["text"].map(clean_note).groupby(patients).agg("\n".join)


def clean_note(text: str) -> str:
    """Return a note without the sentences that tell the outcome, one paragraph per line.

    Lists have no full stops, and lines of running text are broken in the middle of sentences. So,
    first, what tells the outcome goes line by line; then, with the lines joined, sentence by
    sentence, where its words were on two lines. The entry "Discharge Disposition" always goes.
    """
    paragraphs = _PARAGRAPH.split(_DISPOSITION.sub("", text))
    return "\n".join(kept for p in paragraphs if (kept := _clean_paragraph(p)))


def _clean_paragraph(paragraph: str) -> str:
    lines = (" ".join(line.split()) for line in paragraph.splitlines())
    pieces = [piece for line in lines for piece in _SENTENCE.split(line) if piece]
    joined = " ".join(drop_entries(pieces))
    return " ".join(drop_entries(_SENTENCE.split(joined)))
