"""Laboratory values of an admission of MIMIC-IV, for a fixed list of measurements."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pandas as pd

from mmlego.data.cards.fetch import sha256
from mmlego.data.cohorts.cache import read_arrays, write_arrays
from mmlego.data.sources.request import read_chunks

# By name in the table of items. These are the routine panels of blood (chemistry, liver, blood
# count with its differential, clotting, blood gas): chosen for what they are, without a look at how
# often anybody has them, so that the list owes nothing to a test part.
LABS = {
    50983: "Sodium",
    50971: "Potassium",
    50902: "Chloride",
    50882: "Bicarbonate",
    50868: "Anion Gap",
    51006: "Urea Nitrogen",
    50912: "Creatinine",
    50931: "Glucose",
    50893: "Calcium, Total",
    50960: "Magnesium",
    50970: "Phosphate",
    50861: "Alanine Aminotransferase (ALT)",
    50878: "Asparate Aminotransferase (AST)",
    50863: "Alkaline Phosphatase",
    50885: "Bilirubin, Total",
    50862: "Albumin",
    50954: "Lactate Dehydrogenase (LD)",
    51301: "White Blood Cells",
    51279: "Red Blood Cells",
    51222: "Hemoglobin",
    51221: "Hematocrit",
    51265: "Platelet Count",
    51250: "MCV",
    51248: "MCH",
    51249: "MCHC",
    51277: "RDW",
    51256: "Neutrophils",
    51244: "Lymphocytes",
    51254: "Monocytes",
    51200: "Eosinophils",
    51146: "Basophils",
    51274: "PT",
    51237: "INR(PT)",
    51275: "PTT",
    50813: "Lactate",
    50820: "pH",
    50818: "pCO2",
    50821: "pO2",
    50802: "Base Excess",
    50808: "Free Calcium",
}
STATISTICS = ("first", "last", "mean")
_FORM = "v1"  # change with the rules below, so that older prepared values are not used
_COLUMNS = {"subject_id": "int64", "itemid": "int32", "charttime": "str", "valuenum": "float64"}
_CHUNK = 2_000_000  # rows; the full table has more than a hundred million


def lab_values(path: Path, index: pd.DataFrame, statistic: str) -> pd.DataFrame:
    """Return one value per patient and measurement, (n, 40), NaN where it was not made.

    A measurement counts if it is a number and was taken between admission and discharge, whether
    or not it names the admission. The values are kept in the cache.

    Args:
        path: The table of measurements.
        index: subject_id, admittime and dischtime, one row per patient.
        statistic: "first", "last" or "mean" by time.

    Raises:
        DataError: If a column is missing or cannot be read.
        DownloadError: If the file is damaged.
    """
    stays = index[["subject_id", "admittime", "dischtime"]]
    state = hashlib.sha256(stays.to_csv(index=False).encode()).hexdigest()
    key = f"mimic4-labs-{_FORM}-{statistic}-{sha256(path)[:16]}-{state[:16]}"
    stored = read_arrays(key)
    if stored is None:
        stored = {"values": _reduced(_taken(path, stays), stays, statistic)}
        write_arrays(key, stored)
    return pd.DataFrame(stored["values"], index=stays["subject_id"].to_numpy())


def _taken(path: Path, stays: pd.DataFrame) -> pd.DataFrame:
    """Return the measurements of the list that were taken during the stays, in order of time."""
    kept = []
    for rows in read_chunks(path, _COLUMNS, _CHUNK):
        rows = rows[rows["itemid"].isin(list(LABS)) & rows["valuenum"].notna()]
        rows = rows.merge(stays, on="subject_id")
        rows = rows.assign(charttime=pd.to_datetime(rows["charttime"], format="ISO8601"))
        kept.append(rows[rows["charttime"].between(rows["admittime"], rows["dischtime"])])
    return pd.concat(kept).sort_values(["charttime", "valuenum"], kind="stable")


def _reduced(taken: pd.DataFrame, stays: pd.DataFrame, statistic: str) -> np.ndarray:
    table = taken.groupby(["subject_id", "itemid"])["valuenum"].agg(statistic).unstack()
    table = table.reindex(index=stays["subject_id"], columns=list(LABS))
    return table.to_numpy(dtype=np.float32)
