"""A cohort of one's own: one card and plain tables."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from mmlego.data import load_cohort, make_fold, make_splits
from mmlego.data.cards.availability import check
from mmlego.errors import CardError, DataError, DownloadError


@pytest.fixture
def example(root):
    return root / "data/example/example.yaml"


def edit(path, change):
    table = pd.read_csv(path)
    change(table).to_csv(path, index=False)


def test_the_example_card_loads_and_makes_a_fold(example):
    assert check(example)
    cohort = load_cohort(example)
    assert (cohort.n, len(set(cohort.groups))) == (60, 58)
    assert cohort.names == ("rna", "vitals", "cells")
    assert {name: m.kind for name, m in cohort.modalities.items()} == {
        "rna": "tabular",
        "vitals": "series",
        "cells": "bag",
    }
    assert {name: int(p.sum()) for name, p in cohort.present.items()} == {
        "rna": 57,
        "vitals": 58,
        "cells": 56,
    }
    fold = make_fold(cohort, make_splits(cohort)[0])
    assert fold.widths == {"rna": 8, "vitals": 3, "cells": 3}
    assert all(x.isfinite().all() for x in fold.train.batch().inputs.values())


def test_optional_modalities_and_columns_are_honoured(example):
    clin = load_cohort(example, modalities=["clin"]).modalities["clin"]
    assert clin.features == ("age", "female")
    assert "slide" not in load_cohort(example).modalities["cells"].features


def test_long_tables_land_in_the_right_cells(example):
    cohort = load_cohort(example)
    vitals = pd.read_csv(example.parent / "vitals.csv")
    row = vitals.iloc[100]
    i = cohort.ids.tolist().index(row["sample"])
    value = cohort.modalities["vitals"].values[i, int(row["hour"]), 1]
    assert value == pytest.approx(row["systolic"])
    cells = pd.read_csv(example.parent / "cells.csv")
    assert len(cohort.modalities["cells"].values[i]) == (cells["sample"] == row["sample"]).sum()


def test_target_columns_are_never_inputs(own_cohort, card_text):
    own_cohort.write_text(card_text.replace("source: genes}", "source: people}"))
    with pytest.raises(DataError, match="expected feature columns, got none besides id and target"):
        load_cohort(own_cohort)
    own_cohort.write_text(card_text.replace("source: genes}", "source: people, columns: [died]}"))
    with pytest.raises(CardError, match="got the target column died"):
        load_cohort(own_cohort)


def test_the_order_of_rows_in_a_table_does_not_matter(own_cohort):
    before = load_cohort(own_cohort).fingerprint()
    edit(own_cohort.parent / "genes.csv", lambda t: t.sample(frac=1, random_state=0))
    assert load_cohort(own_cohort).fingerprint() == before


def test_classes_may_be_numbers_or_text(own_cohort, card_text):
    target = "target: {kind: classification, source: people, label: died, classes: [0, 1]}"
    lines = [line for line in card_text.splitlines() if not line.startswith("target")]
    text = "\n".join([*lines, target]).replace("task: survival", "task: classification")
    own_cohort.write_text(text)
    assert np.bincount(load_cohort(own_cohort).target.label).tolist() == [15, 15]
    own_cohort.write_text(text.replace("[0, 1]", "['no', 'yes']"))
    with pytest.raises(DataError, match=r"expected labels among .* got \['0', '1'\]"):
        load_cohort(own_cohort)


def test_parquet_is_read_as_well(own_cohort, card_text):
    pytest.importorskip("pyarrow")
    folder = own_cohort.parent
    before = load_cohort(own_cohort).fingerprint()
    pd.read_csv(folder / "genes.csv").to_parquet(folder / "genes.parquet")
    own_cohort.write_text(card_text.replace("genes.csv", "genes.parquet"))
    assert load_cohort(own_cohort).fingerprint() == before


@pytest.mark.parametrize(
    ("table", "change", "message"),
    [
        ("genes", lambda t: pd.concat([t, t.head(1)]), "one row per id, got several of 'p0'"),
        ("people", lambda t: pd.concat([t, t.head(1)]), "unique sample ids, got duplicates 'p0'"),
        ("genes", lambda t: t.assign(a="high"), "expected numbers in column 'a', got 'high'"),
        ("genes", lambda t: t.assign(a=np.inf), "got infinity"),
        ("genes", lambda t: t.assign(id="x"), "expected ids of the target table"),
        ("genes", lambda t: t.rename(columns={"id": "key"}), "expected the columns id"),
        ("genes", lambda t: t.iloc[:-1], "at least one modality per sample, got none for 'p29'"),
        ("people", lambda t: t.assign(months=-t["months"]), "expected finite times >= 0"),
        ("people", lambda t: t.assign(died=2), "expected event flags 0 or 1"),
        ("people", lambda t: t.drop(columns="died"), "expected the columns died"),
    ],
)
def test_broken_tables_are_refused(own_cohort, table, change, message):
    edit(own_cohort.parent / f"{table}.csv", change)
    with pytest.raises(DataError, match=message):
        load_cohort(own_cohort)


def test_an_empty_cell_is_missing_and_an_empty_row_is_absent(own_cohort):
    def blank(table):
        table = table.astype({"a": float, "b": float})
        table.loc[0, "a"] = np.nan
        return table

    edit(own_cohort.parent / "genes.csv", blank)
    rna = load_cohort(own_cohort).modalities["rna"]
    assert rna.present.all()
    assert np.isnan(rna.values[0, 0])
    edit(own_cohort.parent / "genes.csv", lambda t: t.assign(b=t["b"].where(t["id"] != "p0")))
    with pytest.raises(DataError, match="got none for 'p0'"):
        load_cohort(own_cohort)


def test_a_missing_table_and_a_truncated_one_are_named(own_cohort):
    (own_cohort.parent / "genes.csv").write_bytes(b"")
    with pytest.raises(DataError, match="genes.csv': expected a CSV or Parquet table"):
        load_cohort(own_cohort)
    (own_cohort.parent / "genes.csv").unlink()
    with pytest.raises(DownloadError, match="genes.csv': expected it below one of"):
        load_cohort(own_cohort)


def test_a_series_needs_its_step(own_cohort, card_text):
    own_cohort.write_text(card_text.replace("kind: tabular", "kind: series"))
    with pytest.raises(CardError, match="expected 'step'"):
        load_cohort(own_cohort)
    own_cohort.write_text(card_text.replace("kind: tabular", "kind: series, step: a"))
    genes = own_cohort.parent / "genes.csv"
    edit(genes, lambda t: pd.concat([t, t]))
    with pytest.raises(DataError, match="expected one row per id and 'a', got several"):
        load_cohort(own_cohort)
