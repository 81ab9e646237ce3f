"""The public image features of TCGA slides, as bags by patient.

Every reader takes the columns that describe the image and nothing else: mutation burden, subtypes
and HRD scores that the same files carry are labels, never inputs.
"""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import pandas as pd

from mmlego.data.sources.request import require_columns
from mmlego.errors import DownloadError

Bags = dict[str, np.ndarray]


def read_embedding(path: Path) -> tuple[Bags, list[str]]:
    """Read one slide embedding per patient (BLCA, 2048 features): bags of one instance."""
    arrays = _arrays(path, ("X", "case"))
    values = arrays["X"].astype(np.float32)
    bags = {str(case): values[i : i + 1] for i, case in enumerate(arrays["case"])}
    return bags, [f"embedding_{i:04d}" for i in range(values.shape[1])]


def read_hif(path: Path) -> tuple[Bags, list[str]]:
    """Read human-interpretable features: columns that end in ``_HE``, one row per slide (BRCA)."""
    table = pd.read_csv(path)
    require_columns(table, ["bcr_patient_barcode"], f"'{path}'")
    features = [c for c in table.columns if c.endswith("_HE")]
    cases = table["bcr_patient_barcode"].str[:12]
    return _grouped(cases.to_numpy(dtype=str), table[features].to_numpy(dtype=np.float32)), features


def read_hif_mean(path: Path) -> tuple[Bags, list[str]]:
    """Read the same features (LUAD), averaged over the slides of a patient: bags of one instance.

    Most patients have one slide, so the mean keeps all of them comparable.
    """
    bags, features = read_hif(path)
    return {case: _mean(rows) for case, rows in bags.items()}, features


def read_regions(path: Path) -> tuple[Bags, list[str]]:
    """Read bag-of-edge histograms (KIRP): 1 to 12 regions per patient, 136 edge types each.

    Counts grow with the number of nuclei in the region, so each histogram is divided by its sum.
    """
    arrays = _arrays(path, ("img_name", "img_boe16"))
    counts = arrays["img_boe16"].astype(np.float64)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1.0)
    cases = np.array([str(name)[:12] for name in arrays["img_name"]])
    return _grouped(cases, shares.astype(np.float32)), [
        f"edge_{i:03d}" for i in range(counts.shape[1])
    ]


def read_nuclei(path: Path) -> pd.DataFrame:
    """Read 50 nuclear morphology features per patient (KIRP), indexed by patient."""
    arrays = _arrays(path, ("case", "morph"))
    return pd.DataFrame(arrays["morph"], index=arrays["case"].astype(str))


READERS = {
    "embedding": read_embedding,
    "hif": read_hif,
    "hif_mean": read_hif_mean,
    "regions": read_regions,
}


def _grouped(cases: np.ndarray, rows: np.ndarray) -> Bags:
    return {str(case): rows[cases == case] for case in np.unique(cases)}


def _mean(rows: np.ndarray) -> np.ndarray:
    """Mean of the known values of each column, (1, c); NaN where none is known."""
    known = ~np.isnan(rows)
    total = np.where(known, rows, 0.0).sum(axis=0, keepdims=True, dtype=np.float64)
    count = known.sum(axis=0, keepdims=True)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan).astype(np.float32)


def _arrays(path: Path, names: tuple[str, ...]) -> dict[str, np.ndarray]:
    """Read arrays of numbers and text; never unpickles."""
    try:
        with open(path, "rb") as file, np.load(file, allow_pickle=False) as stored:
            return {name: stored[name] for name in names}
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise DownloadError(
            f"'{path}': expected an npz file with {', '.join(names)}, got '{error}'; delete it and "
            "obtain it again"
        ) from error
