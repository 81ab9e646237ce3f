"""Data sets inside scikit-survival and scikit-learn: something real without a network."""

from __future__ import annotations

from typing import cast

import numpy as np
import pandas as pd

from mmlego.data.cohorts.cohort import Cohort
from mmlego.data.cohorts.modality import Modality
from mmlego.data.cohorts.target import ClassTarget, SurvivalTarget
from mmlego.data.sources.request import Request

_GRADES = {
    "grade_well": "well differentiated",
    "grade_intermediate": "intermediate",
    "grade_poor": "poorly differentiated",
}
_FAMILIES = {"mean": "mean ", "error": " error", "worst": "worst "}


def load_transbig(request: Request) -> Cohort:
    """Load TRANSBIG: clinical variables, 76 genes, time to distant metastasis in days."""
    from sksurv.datasets import load_breast_cancer

    table, outcome = load_breast_cancer()
    n = len(table)
    genes = [c for c in table.columns if c.startswith("X")]
    tables = {"clin": _transbig_clinical(table), "genes": table[genes]}
    ids = np.array([f"transbig-{i:03d}" for i in range(n)])
    unit = cast(str, request.card.target.unit)
    target = SurvivalTarget(outcome["t.tdm"], outcome["e.tdm"], unit)
    return request.cohort(ids, ids, _tabular(request, tables), target)


def load_wdbc(request: Request) -> Cohort:
    """Load the Wisconsin breast masses: mean, error and worst of ten nuclear features."""
    from sklearn.datasets import load_breast_cancer

    bunch = load_breast_cancer()
    table = pd.DataFrame(bunch.data, columns=list(bunch.feature_names))
    tables = {
        name: table[[c for c in table.columns if part in c]] for name, part in _FAMILIES.items()
    }
    ids = np.array([f"wdbc-{i:03d}" for i in range(len(table))])
    # scikit-learn codes malignant as 0; here the positive class is the malignant one
    target = ClassTarget(1 - bunch.target.astype(np.int64), request.card.target.class_names)
    return request.cohort(ids, ids, _tabular(request, tables), target)


def _transbig_clinical(table: pd.DataFrame) -> pd.DataFrame:
    """Return age, size, receptor status (1 = positive), and grade as three 0/1 columns or NaN."""
    clinical = table[["age", "size"]].copy()
    clinical["er_positive"] = (table["er"].astype(str) == "positive").astype(float)
    grade = table["grade"].astype(str)
    for column, value in _GRADES.items():
        clinical[column] = (grade == value).astype(float).where(grade.isin(_GRADES.values()))
    return clinical


def _tabular(request: Request, tables: dict[str, pd.DataFrame]) -> dict[str, Modality]:
    return {
        name: request.table(name, tables[name].to_numpy(np.float32), list(tables[name].columns))
        for name in request.modalities
    }
