"""Published numbers on AMC, and on which of our data sets they can stand beside ours."""

from __future__ import annotations

import pandas as pd

from mmlego.methods.names import AMC
from mmlego.methods.registry import printed_in
from mmlego.reporting.published import read_published
from mmlego.studies.amc.run import ALONE, RULES

TABLE = "amc.csv"
COLUMNS = ["method", "arm", "only", "metric", "published", "published_sd", "comparable", "why"]
_METRICS = {
    "Acc": "accuracy",
    "Acc20": "accuracy",
    "Recall": "balanced_accuracy",
    "F1": "macro_f1",
    "c_index": "c_index",
}
# A change of the published ablations, by the name that it has here; both rules get the number.
_CHANGES = {
    "AMC w/ STD": "std",
    "AMC w/ Max": "max",
    "AMC w/o Differential Attention": "softmax",
    "AMC w/ Original Token Fusion": "learned",
    "AMC w/o Contrastive Loss": "no_contrastive",
    "AMC w/o SMoE": "dense",
}
# A published modality, by the names that it has on our cards.
_ALONE = {
    "Lab": ("lab",),
    "Note": ("note",),
    "Code": ("code",),
    "Image": ("mri",),
    "Clinical": ("clin", "clinical"),
    "Genomic": ("genomic",),
    # The F1 of biospecimens is no macro F1, unlike the others.
}
# cohort -> (published data set, why its numbers are not comparable)
_STANDS_FOR = {
    "eicu": ("MIMIC-IV", "MIMIC-IV, mortality within a year"),
    "mimic4-demo": ("MIMIC-IV", "all of MIMIC-IV, with notes"),
    "mimic4": ("MIMIC-IV", "unpublished choice of patients"),
    "oasis1": ("ADNI", "ADNI, with gene variants and biospecimens"),
    "adni": ("ADNI", "unpublished choice of subjects"),
    "enrico": ("ENRICO", "MultiBench's later loader may test on training screens"),
}
_TCGA = ("tcga-ucec", "tcga-luad", "tcga-lgg", "tcga-brca", "tcga-blca")
_TCGA_WHY = "other inputs: unpublished features of slides and reports"


def stands_for(cohort: str) -> tuple[str, str] | None:
    """The published data set of a cohort, and why its numbers differ from ours; None if none."""
    if cohort in _TCGA:
        return cohort.upper(), _TCGA_WHY
    return _STANDS_FOR.get(cohort)


def published_amc(cohort: str) -> pd.DataFrame:
    """Published values that stand beside a cohort, a row per method, arm and metric; shares.

    ``only`` names the modality of a model of a single one.

    None is comparable: the features of the cancer data are not published, the test part of ENRICO
    is not certain, and the other data need an application, so that open data stand in for them.

    Source: AMC paper, tables 1 to 6, 8 and 11.
    """
    found = stands_for(cohort)
    if found is None:
        return pd.DataFrame(columns=COLUMNS)
    rows = []
    table = read_published(TABLE)
    for row in table[table["dataset"] == found[0]].itertuples():
        if row.metric not in _METRICS:
            continue
        scale = 1.0 if row.metric == "c_index" else 100.0
        for method, arm, only in _places(str(row.table), str(row.model)):
            value = [float(row.mean) / scale, float(row.std) / scale]
            rows.append([method, arm, only, _METRICS[row.metric], *value, False, found[1]])
    known = pd.DataFrame(rows, columns=COLUMNS)
    return known.drop_duplicates(["method", "arm", "only", "metric"], ignore_index=True)


def _places(table: str, model: str) -> list[tuple[str, str, str]]:
    """Method, arm and single modality here that a published row belongs to."""
    if table in ("Table1", "Table2", "Table3", "Table8"):
        method = next((name for name, row in printed_in(TABLE) if row.model == model), "")
        if method == AMC:
            return [(AMC, rule, "") for rule in RULES]
        return [(method, "", "")] if method else []
    if table in ("Table4", "Table5", "Table6"):
        if model == "AMC w/o Token Fusion":
            return [(AMC, "no_fusion", "")]
        change = _CHANGES.get(model)
        return [(AMC, f"{change}, {rule}", "") for rule in RULES] if change else []
    names = _ALONE.get(model.removeprefix("AMC unimodal "), ())
    return [(AMC, ALONE, name) for name in names] if table == "Table11" else []


def published_entropies() -> tuple[float, float]:
    """Published entropy of predictions with own and with equal importance, in nats.

    Source: AMC paper, appendix B.4, in the order of its sentence; the text around it is garbled.
    """
    table = read_published(TABLE)
    found = table[table["metric"] == "prediction_entropy"].set_index("model")["mean"].astype(float)
    words = "AMC with {} modality scores"
    return float(found[words.format("own")]), float(found[words.format("equal")])
