from __future__ import annotations

import json

import pandas as pd
import pytest

from mmlego.data.cards.card import published_entry
from mmlego.data.cards.catalog import list_cards, load_card
from mmlego.errors import DataError
from mmlego.methods.registry import printed_in
from mmlego.reporting import published
from mmlego.reporting.published import (
    COLUMNS,
    TABLE,
    has_published,
    published_for,
    published_table,
    role_of,
)

TCGA = ("TCGA-BLCA", "TCGA-BRCA", "TCGA-KIRP", "TCGA-UCEC")
TABLES = ["clin", "cnv", "mut", "rna"]


def _entry(dataset, tables=()):
    return {"dataset": dataset, "tables": list(tables)}


def test_every_cell_of_the_published_table_is_there_once():
    table = published_table()
    assert set(table["dataset"]) == {*TCGA, "MIMIC-ICD9", "MIMIC-MORT", "ISIC"}
    assert (table.groupby(["model", "group"])["dataset"].nunique() == 7).all()
    assert not table.duplicated(["model", "group", "dataset"]).any()
    assert table["mean"].between(0.5, 1).all()


@pytest.mark.parametrize(
    ("method", "role", "value", "spread"),
    [
        ("snn", "tabular", 0.689, 0.012),
        ("lego_block", "tabular", 0.681, 0.015),
        ("abmil", "other", 0.591, 0.057),
        ("lego_block", "other", 0.568, 0.029),
        ("lego_merge", "multimodal", 0.701, 0.021),
        ("lego_fuse", "multimodal", 0.734, 0.032),
        ("multimodn", "tabular", 0.500, 0.000),
        ("perceiver", "tabular", 0.686, 0.009),
        ("multimodn", "other", 0.520, 0.022),
        ("perceiver", "other", 0.532, 0.027),
        ("late_concat", "multimodal", 0.561, 0.000),
        ("late_bilinear", "multimodal", 0.622, 0.054),
        ("perceiver", "multimodal", 0.547, 0.060),
        ("multimodn", "multimodal", 0.524, 0.018),
        ("mcat", "multimodal", 0.702, 0.032),
        ("healnet", "multimodal", 0.714, 0.025),
    ],
)
def test_rows_of_a_cohort(method, role, value, spread):
    rows = published_for(_entry("TCGA-BLCA"), TABLES).set_index(["method", "role"])
    assert rows.index.is_unique
    assert (rows.loc[(method, role), ["published", "published_sd"]] == [value, spread]).all()


@pytest.mark.parametrize("dataset", TCGA)
def test_only_tables_under_row_splits_can_be_compared(dataset):
    entry = _entry(dataset, TABLES)
    by_row = published_for(entry, TABLES, "row").set_index(["method", "role"])
    assert set(by_row.index[by_row["comparable"]]) == {
        (name, "tabular") for name, row in printed_in(TABLE) if row.table == "unimodal_tabular"
    }
    by_patient = published_for(entry, TABLES, "patient")
    assert not by_patient["comparable"].any()
    assert by_patient.loc[by_patient["role"] == "tabular", "why"].str.contains("slide row").all()


@pytest.mark.parametrize(
    ("tables", "absent"),
    [(["clin", "rna"], "cnv, mut"), (["clin", "cnv", "mut"], "rna"), ([], ", ".join(TABLES))],
)
def test_tables_that_the_published_models_saw_must_be_there(tables, absent):
    """A model of fewer variables is another model, whatever the splits."""
    for unit in ("row", "patient"):
        rows = published_for(_entry("TCGA-BLCA", TABLES), tables, unit)
        assert not rows["comparable"].any()
        why = rows.loc[rows["role"] == "tabular", "why"]
        assert (why == f"the published models also saw {absent}").all()


def test_more_tables_than_published_do_not_hide_that_all_are_there():
    rows = published_for(_entry("TCGA-BLCA", ["clin"]), TABLES, "row")
    assert rows["comparable"].any()


def test_other_patients_are_never_compared():
    rows = published_for(_entry("MIMIC-MORT"), TABLES, "row")
    assert not rows["comparable"].any()
    assert rows["why"].str.contains("other patients").all()


@pytest.mark.parametrize("entry", [{}, None])
def test_cohort_without_published_numbers(entry):
    found = published_for(entry, TABLES)
    assert found.empty
    assert list(found.columns) == COLUMNS


def test_cards_point_at_data_sets_that_exist():
    known = set(published_table()["dataset"])
    assert published_entry(load_card("tcga-blca"))["dataset"] == "TCGA-BLCA"
    assert published_entry(load_card("transbig")) == {}
    assert published_entry(None) == {}
    for card in list_cards():
        entry = published_entry(card)
        assert not entry or entry["dataset"] in known, card.name
        assert json.loads(json.dumps(entry)) == entry, card.name


@pytest.mark.parametrize("dataset", TCGA)
def test_cards_name_tables_of_their_own(dataset):
    """A name that is no tabular modality of the card could never be there."""
    card = load_card(dataset.lower())
    tables = published_entry(card)["tables"]
    kinds = {name: modality.kind for name, modality in card.modalities.items()}
    assert tables
    assert {kinds.get(name) for name in tables} == {"tabular"}
    default = [name for name in card.default_modalities if kinds[name] == "tabular"]
    everything = [name for name, kind in kinds.items() if kind == "tabular"]
    full = published_for(published_entry(card), everything, "row")
    usual = published_for(published_entry(card), default, "row")
    assert full["comparable"].any()
    assert usual["comparable"].any() == (set(tables) <= set(default))


def test_configurations_that_the_paper_gives_no_number_for():
    usual = {"arm": "", "chosen_by": "", "tune_epochs": None}
    for labels in ({}, {"arm": "wrapped"}, {"arm": "stack", "tune_epochs": 2}):
        assert has_published(usual | labels)
        assert not has_published(usual | labels | {"chosen_by": "validation"})
    for arm, epochs in (("stack", 0), ("weave", 2), ("", 2)):
        assert not has_published(usual | {"arm": arm, "tune_epochs": epochs})
    assert has_published(usual | {"tune_epochs": pd.NA}), "as it stands in a table"


def test_table_that_is_not_there(monkeypatch, tmp_path):
    monkeypatch.setattr(published, "card_dirs", lambda: [tmp_path])
    with pytest.raises(DataError, match="not found"):
        published_table()


@pytest.mark.parametrize(
    ("modalities", "role"),
    [
        (("clin", "rna"), "tabular"),
        (("rna", "clin"), "tabular"),
        (("clin",), "part"),
        (("img",), "other"),
        (("img", "vit"), "part"),
        (("clin", "img"), "multimodal"),
        (("clin", "img", "rna"), "multimodal"),
    ],
)
def test_roles(modalities, role):
    assert role_of(modalities, ["clin", "rna"]) == role


def test_a_single_table_is_all_tables():
    assert role_of(("clin",), ["clin"]) == "tabular"
