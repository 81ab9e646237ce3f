"""Published numbers beside ours, each with a word on whether the two can be compared."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from mmlego.bench.fusing import STACK
from mmlego.data import Cohort
from mmlego.data.cards.catalog import card_dirs
from mmlego.errors import DataError
from mmlego.learning.metrics.scores import main_metric
from mmlego.methods.registry import printed_in

TABLE = "mmlego_table1.csv"

# Group in the published table -> role of the modalities here.
_ROLES = {
    "unimodal_tabular": "tabular",
    "unimodal_image_or_timeseries": "other",
    "multimodal": "multimodal",
}
COLUMNS = ["method", "role", "published", "published_sd", "comparable", "why"]


def published_table() -> pd.DataFrame:
    """All cells of the published comparison, as printed.

    Source: Hemker et al. 2025, Table 1 (values of the poster).
    """
    return read_published(TABLE)


def read_published(name: str) -> pd.DataFrame:
    """Read a file of published numbers, as printed.

    Raises:
        DataError: If the file is not installed.
    """
    for folder in card_dirs():
        path = folder / "published" / name
        if path.is_file():
            # "None" is the name of a model and not a gap
            return pd.read_csv(path, keep_default_na=False, na_values=[""])
    raise DataError(
        f"published numbers: {name} not found in {[str(f) for f in card_dirs()]}; reinstall mmlego"
    )


def published_for(
    published: Mapping[str, Any] | None, tables: Sequence[str], split_unit: str = "patient"
) -> pd.DataFrame:
    """Published rows for a cohort, one per method and role of modalities; empty if there are none.

    A row counts as comparable only if it was made from the same columns under the same splits: the
    tables of the four TCGA cohorts split by slide row. Images differ everywhere, and patient-level
    splits remove the leakage that the published ones have.

    Args:
        published: The entry ``published`` of a data card, as ``published_entry`` gives it.
        tables: Tabular modalities of the run.
        split_unit: ``patient`` or ``row``.
    """
    if not published:
        return pd.DataFrame(columns=COLUMNS)
    table = published_table()
    absent = sorted(set(published["tables"]) - set(tables))
    rows = {(row.model, row.table): name for name, row in printed_in(TABLE)}
    found = []
    for row in table[table["dataset"] == published["dataset"]].itertuples():
        if (row.model, row.group) not in rows:
            continue
        method, role = rows[row.model, row.group], _ROLES[row.group]
        why = _why_not(published["dataset"], role, split_unit, absent)
        found.append(
            [method, role, row.mean, row.std, not why, why or "same tables, same kind of split"]
        )
    return pd.DataFrame(found, columns=COLUMNS)


def has_published(labels: Mapping[str, Any]) -> bool:
    """Whether a configuration is one that the paper gives a number for.

    Of what is tuned that is a stack; nothing that was chosen among several models is.
    """
    if labels["chosen_by"]:
        return False
    epochs = labels["tune_epochs"]
    return epochs is None or pd.isna(epochs) or (labels["arm"] == STACK and epochs > 0)


def ablation_metric(cohort: Cohort) -> str:
    """The metric of the published ablations of classes, macro F1; the main one for survival."""
    return main_metric(cohort) if cohort.task == "survival" else "macro_f1"


def _why_not(dataset: str, role: str, split_unit: str, absent: Sequence[str]) -> str:
    """Why a published number cannot be compared with ours; empty if it can."""
    if not dataset.startswith("TCGA"):
        return "other patients and other variables stand in for the published data"
    if role != "tabular":
        return "the published images are whole slides; other image features stand in for them here"
    if absent:
        return f"the published models also saw {', '.join(absent)}"
    if split_unit == "patient":
        return "the published splits are by slide row, so patients can be in training and test"
    return ""


def role_of(modalities: Sequence[str], tables: Sequence[str]) -> str:
    """Role of a set of modalities.

    ``tabular`` (all tables), ``other`` (one that is no table), ``multimodal``.
    """
    tables_in = set(modalities) & set(tables)
    others = set(modalities) - set(tables)
    if tables_in and others:
        return "multimodal"
    if not others:
        return "tabular" if tables_in == set(tables) else "part"
    return "other" if len(others) == 1 else "part"
