"""Text of pathology reports, by patient."""

from __future__ import annotations

from pathlib import Path

from mmlego.data.cohorts.leakage import drop_answers
from mmlego.data.sources.request import read_columns

_CASE, _TEXT = "Id", "0"


def read_reports(path: Path) -> dict[str, str]:
    """Read the questions and answers made from the report of each patient (BRCA).

    Pairs that tell the outcome are left out, see ``mmlego.data.cohorts.leakage``.
    """
    table = read_columns(path, [_CASE, _TEXT])
    return {
        str(case): drop_answers(text)
        for case, text in zip(table[_CASE], table[_TEXT].fillna(""), strict=True)
    }
