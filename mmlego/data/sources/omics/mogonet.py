"""MOGONET's benchmark files: three molecular tables with an official training and test part."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from mmlego.data.cohorts.cohort import Cohort
from mmlego.data.cohorts.modality import Modality
from mmlego.data.cohorts.target import ClassTarget
from mmlego.data.sources.request import Request, read_table
from mmlego.errors import DataError

PARTS = ("train", "test")


def load_mogonet(request: Request) -> Cohort:
    """Load one of MOGONET's cohorts; ROSMAP and BRCA are published in the same form.

    The card names the files ``labels_train``, ``labels_test`` and, for every modality,
    ``<name>_train``, ``<name>_test`` and ``<name>_features``: tables without header, one row per
    sample, one column per feature. Sample ids are not published, so samples are numbered by part
    ("train-001"), and each counts as a patient of its own. ``Cohort.division`` is the part.

    Raises:
        DataError: If a table holds anything but numbers, or the sizes of the files differ.

    Source: Wang et al. (2021), MOGONET.
    """
    labels = {part: _labels(request, part) for part in PARTS}
    ids = [f"{part}-{i:03d}" for part in PARTS for i in range(1, len(labels[part]) + 1)]
    division = np.repeat(PARTS, [len(labels[part]) for part in PARTS])
    modalities = {name: _modality(request, name, labels) for name in request.modalities}
    label = np.concatenate([labels[part] for part in PARTS])
    target = ClassTarget(label, request.card.target.class_names)
    return request.cohort(np.array(ids), np.array(ids), modalities, target, division)


def _modality(request: Request, name: str, labels: dict[str, np.ndarray]) -> Modality:
    features = _table(request.files.path(f"{name}_features"), dtype=str)[:, 0].tolist()
    tables = []
    for part in PARTS:
        path = request.files.path(f"{name}_{part}")
        table = _table(path)
        expected = (len(labels[part]), len(features))
        if table.shape != expected:
            raise DataError(
                f"'{path}': expected {expected[0]} samples (as there are labels) of "
                f"{expected[1]} features (as there are names), got {table.shape[0]} of "
                f"{table.shape[1]}; take all files from one revision"
            )
        tables.append(table)
    return request.table(name, np.concatenate(tables), features)


def _labels(request: Request, part: str) -> np.ndarray:
    path = request.files.path(f"labels_{part}")
    label = _table(path)[:, 0]
    if not np.equal(label, np.round(label)).all():
        raise DataError(
            f"'{path}': expected whole numbers, got {label[label != np.round(label)][0]}; restore "
            "the file"
        )
    return label.astype(np.int64)


def _table(path: Path, dtype: type = float) -> np.ndarray:
    """Read a table without header, packed or not."""
    what, remedy = "a CSV table without header", "; restore the file"
    return read_table(path, what=what, remedy=remedy, header=None, dtype=dtype).to_numpy()
