"""Published numbers on MM dynamics, and on which of our data sets they can stand beside ours."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from mmlego.methods.registry import printed_in
from mmlego.reporting.published import read_published

TABLE = "mmdynamics.csv"
_METRICS = {
    "F1_weighted": "weighted_f1",
    "F1_macro": "macro_f1",
    "Precision_weighted": "weighted_precision",
    "Accuracy": "accuracy",
    "Balanced_accuracy": "balanced_accuracy",
    "ACC": "accuracy",
    "F1": "f1",
    "AUC": "auc",
}
# Tables of the file that are about the runs on two tables, on images, and on ROSMAP.
_CHECKPOINT = "Computed_here_from_official_checkpoint"
_TABULAR = ("Reproduction_RNA_protein", "Ablation_figure_digitised_R+P")
_IMAGE = ("Image_dynamics", "Masked_image_test")
_ORIGINAL = (_CHECKPOINT,)
# The published checkpoint on its own 106 test samples of ROSMAP, by modality.
CHECKPOINT_ERRORS = {
    "mrna": {"mean_true": 0.646, "mean_predicted": 0.669, "mae": 0.108, "above_0.1": 0.585,
             "above_0.5": 0.123, "above_1.0": 0.057},
    "meth": {"mean_true": 0.584, "mean_predicted": 0.753, "mae": 0.216, "above_0.1": 0.745,
             "above_0.5": 0.349, "above_1.0": 0.208},
    "mirna": {"mean_true": 0.608, "mean_predicted": 0.668, "mae": 0.147, "above_0.1": 0.698,
              "above_0.5": 0.179, "above_1.0": 0.028},
}  # fmt: skip
COLUMNS = ["method", "arm", "metric", "published", "published_sd", "comparable", "why"]
_OTHER_CELLS = "other cells (CD34+ progenitors of three donors, four types)"


_ROSMAP, _CELLS_AND = {"mrna", "meth", "mirna"}, {"prot", "rna"}
_DONORS = 3


def published_dynamics(
    cohort: str,
    split_unit: str,
    *,
    modalities: Sequence[str] = (),
    whole: bool = True,
    repeats: int = _DONORS,
    images: bool = False,
) -> pd.DataFrame:
    """Published values for a cohort, one row per method, arm and metric; shares, not percent.

    Args:
        cohort: Name of the cohort.
        split_unit: How it was divided.
        modalities: What the models saw.
        whole: Whether no sample was left out for a small machine.
        repeats: Number of repeats, of which there are three with a donor held out.
        images: The runs with images rather than those of two tables.

    Source: Wenderoth 2024 (arXiv 2411.00725), tables, and its ablation figure, read off with an
        error of about .0006; for ROSMAP, the checkpoint of Han et al. 2022, evaluated by us.
    """
    seen = set(modalities)
    donors = cohort == "citeseq-hspc" and split_unit == "donor" and repeats == _DONORS and whole
    tables: tuple[str, ...]
    if images:
        tables, same = _IMAGE, donors and seen == _CELLS_AND | {"img"}
        why = "" if same else "another task: cells of bone marrow beside RNA and protein"
    elif cohort == "rosmap":
        tables = _ORIGINAL
        same = split_unit == "official_full" and seen == _ROSMAP and whole
        why = "" if same else "another training part, or other inputs"
    elif cohort.startswith("citeseq"):
        tables, same = _TABULAR, donors and seen == _CELLS_AND
        why = "" if same else _OTHER_CELLS
    else:
        return pd.DataFrame(columns=COLUMNS)
    known = {
        (row.table, row.model): (name, row.arm)
        for name, row in printed_in(TABLE)
        if row.table in tables
    }
    rows = []
    for row in read_published(TABLE).itertuples():
        if (row.table, row.model) in known and row.metric in _METRICS:
            scale = 1.0 if row.table == _CHECKPOINT else 100.0
            method, arm = known[row.table, row.model]
            values = [row.mean / scale, row.std / scale, same, why]
            rows.append([method, arm, _METRICS[row.metric], *values])
    return pd.DataFrame(rows, columns=COLUMNS)
