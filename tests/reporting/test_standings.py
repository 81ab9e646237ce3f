"""Rows of the main table of one cohort, on made-up results."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from mmlego.bench.inputs import JOINED, PATHWAYS, SEPARATE, TABLES
from mmlego.bench.outcome import VALIDATION
from mmlego.learning.statistics import pairing
from mmlego.learning.statistics.pairing import Paired
from mmlego.methods.registry import METHODS
from mmlego.reporting import standings
from mmlego.reporting.published import published_for, published_table
from mmlego.reporting.standings import BEST_TITLE, standing_rows, summarize

TABLES_IN = ["clin", "rna"]
ALL, BOTH = "clin+img+rna", "clin+rna"
MERGE, FUSE = METHODS["lego_merge"].title, METHODS["lego_fuse"].title


def _frame(values, metric="c_index"):
    """Tidy metrics of values by (method, inputs, modalities, chosen by)."""
    return pd.DataFrame(
        {
            "method": method,
            "arm": "wrapped" if method == "lego_block" and not chosen else "",
            "inputs": inputs,
            "chosen_by": "".join(chosen),
            "modalities": modalities,
            "repeat": repeat,
            "metric": metric,
            "value": value,
            "n_train": 70,
            "n_test": 15,
        }
        for (method, inputs, modalities, *chosen), found in values.items()
        for repeat, value in enumerate(found, start=1)
    )


def _rows(values, **options):
    return standing_rows(_frame(values), metric="c_index", tables=TABLES_IN, **options)


@pytest.fixture
def rows(noise):
    """Seven repeats; merging is clearly above the best block and below HEALNet."""
    long = np.concatenate([noise, [0.002, -0.002]])
    return _rows(
        {
            ("lego_merge", JOINED, ALL): 0.7 + long,
            ("lego_block", JOINED, ALL, VALIDATION): 0.6 + long[::-1],
            ("healnet", JOINED, ALL): 0.8 - long,
            ("ensemble", JOINED, ALL): 0.7 - long[::-1],
            ("lego_fuse", JOINED, ALL): 0.7 - long,
            ("lego_fuse", SEPARATE, ALL): 0.9 + long,
            ("snn", "", BOTH): 0.65 + long,
            ("lego_block", "", BOTH): 0.64 + long,
            ("coxnet", "", "clin"): 0.66 + long,
            ("abmil", "", "img"): 0.5 + long,
        }
    )


def test_groups_of_rows(rows):
    found = rows.groupby("label")["group"].first().to_dict()
    assert found == {
        MERGE: "multimodal",
        FUSE: "multimodal",
        BEST_TITLE: "multimodal",
        "HEALNet": "multimodal",
        "Ensemble": "multimodal",
        "SNN": "tables",
        "LegoBlock": "tables",
        "Cox (elastic net), clin": "one table",
        "ABMIL": "image or series",
    }
    assert len(rows) == 9 * 7


def test_only_the_main_set_of_inputs_is_multimodal(rows):
    assert rows.loc[rows["label"] == FUSE, "value"].max() < 0.75
    many = rows[rows["group"] == "multimodal"]
    assert set(many["inputs"]) == {JOINED}
    assert set(many["chosen_by"]) == {"", VALIDATION}


def test_another_set_of_inputs_may_be_asked_for():
    values = {
        ("healnet", JOINED, ALL): [0.7],
        ("healnet", SEPARATE, ALL): [0.8],
        ("healnet", TABLES, BOTH): [0.9],
    }
    for inputs, value in ((JOINED, 0.7), (SEPARATE, 0.8), (TABLES, 0.9)):
        assert _rows(values, inputs=inputs)["value"].tolist() == [value]


@pytest.mark.parametrize(
    ("offered", "inputs"),
    [
        ([JOINED, SEPARATE, TABLES], JOINED),
        ([SEPARATE, TABLES], SEPARATE),
        ([TABLES, "", PATHWAYS], TABLES),
        ([""], SEPARATE),
    ],
)
def test_the_set_of_the_published_runs_where_it_ran(offered, inputs):
    assert standings.published_inputs(pd.DataFrame({"inputs": offered})) == inputs


def test_tables_fused_are_no_model_of_tables_alone():
    """Their modalities are the same, and only the inputs tell one from the other."""
    found = _rows({("healnet", SEPARATE, BOTH): [0.7], ("snn", "", BOTH): [0.6]})
    assert found.groupby("label")["group"].first().to_dict() == {
        "HEALNet": "multimodal",
        "SNN": "tables",
    }


def test_two_modalities_that_are_no_table_are_told_apart():
    found = _rows({("abmil", "", "img"): [0.6], ("abmil", "", "vitals"): [0.8]})
    assert found["label"].tolist() == ["ABMIL, img", "ABMIL, vitals"]
    assert set(found["group"]) == {"image or series"}
    assert summarize(found, {}, TABLES_IN, "patient")["n"].tolist() == [1, 1]


def test_other_metrics_and_undefined_values_are_left_out():
    frame = pd.concat(
        [
            _frame({("snn", "", BOTH): [0.6, np.nan, 0.7]}),
            _frame({("snn", "", BOTH): [0.9]}, metric="auc_td"),
        ]
    )
    found = standing_rows(frame, metric="c_index", tables=TABLES_IN)
    assert found["repeat"].tolist() == [1, 3]


# --- summary


def _summary(rows, dataset=None, unit="patient"):
    entry = {"dataset": dataset, "tables": TABLES_IN} if dataset else {}
    return summarize(rows, entry, TABLES_IN, unit).set_index(["label", "group"])


def test_mean_and_spread_of_all_repeats_and_of_the_first_five(rows):
    found = _summary(rows).loc[(MERGE, "multimodal")]
    values = rows[rows["label"] == MERGE].sort_values("repeat")["value"]
    assert (found["n"], found["mean"]) == (7, pytest.approx(values.mean()))
    assert found["sd"] == pytest.approx(values.std(ddof=1))
    assert found["mean_first"] == pytest.approx(values[:5].mean())
    assert found["sd_first"] == pytest.approx(values[:5].std(ddof=1))
    assert found["mean_first"] != pytest.approx(found["mean"], abs=1e-9)


def test_best_first_within_each_group(rows):
    table = summarize(rows, {}, TABLES_IN, "patient")
    assert table["group"].drop_duplicates().tolist() == [
        "multimodal",
        "tables",
        "image or series",
        "one table",
    ]
    for _, part in table.groupby("group"):
        assert part["mean"].is_monotonic_decreasing
    assert table["published"].isna().all()
    assert not table["comparable"].any()


def test_published_values_stand_by_their_own_method_and_group(rows):
    table = _summary(rows, "TCGA-BLCA")
    known = published_table()
    known = known[known["dataset"] == "TCGA-BLCA"].set_index(["model", "group"])["mean"]
    for (label, group), (model, theirs) in {
        (MERGE, "multimodal"): ("LegoMerge", "multimodal"),
        (FUSE, "multimodal"): ("LegoFuse (2 epochs)", "multimodal"),
        ("HEALNet", "multimodal"): ("HEALNet", "multimodal"),
        ("SNN", "tables"): ("SNN", "unimodal_tabular"),
        ("LegoBlock", "tables"): ("LegoBlock", "unimodal_tabular"),
        ("ABMIL", "image or series"): ("ABMIL", "unimodal_image_or_timeseries"),
    }.items():
        row = table.loc[(label, group)]
        assert row["published"] == known[model, theirs], label
        assert row["difference"] == pytest.approx(row["mean"] - row["published"])
    for label, group in (
        (BEST_TITLE, "multimodal"),
        ("Ensemble", "multimodal"),
        ("Cox (elastic net), clin", "one table"),
    ):
        assert np.isnan(table.loc[(label, group), "published"]), label


@pytest.mark.parametrize("unit", ["patient", "row"])
def test_what_can_be_compared_is_said_by_the_published_table(rows, unit):
    table = _summary(rows, "TCGA-BLCA", unit)
    known = published_for({"dataset": "TCGA-BLCA", "tables": TABLES_IN}, TABLES_IN, unit)
    known = known.set_index(["method", "role"])
    row, cell = table.loc[("SNN", "tables")], known.loc[("snn", "tabular")]
    assert row["comparable"] == cell["comparable"] == (unit == "row")
    assert row["why"] == cell["why"]
    assert not table.loc[(MERGE, "multimodal"), "comparable"]


# --- paired tests


def test_every_row_is_compared_and_p_values_are_corrected(rows):
    found = {pair.first: pair for pair in standings.against(rows, "lego_merge")}
    assert set(found) == {BEST_TITLE, "HEALNet", "Ensemble", FUSE}
    raw = {name: pairing.compare(rows, name, MERGE) for name in found}
    order = sorted(raw, key=lambda name: raw[name].p_value)
    corrected = 0.0
    for place, name in enumerate(order):
        corrected = max(corrected, min(1.0, raw[name].p_value * (len(order) - place)))
        assert found[name].p_value == pytest.approx(corrected)
        assert found[name].mean == pytest.approx(raw[name].mean)
    assert found["HEALNet"].decided
    assert found["HEALNet"].mean == pytest.approx(0.1, abs=0.01)
    assert found[BEST_TITLE].mean < 0


def test_nothing_to_compare_with(rows):
    assert standings.against(rows[rows["label"] != FUSE], "lego_fuse") == []


def test_verdicts_as_text(rows):
    table = standings.verdict_table(rows).set_index("method")
    assert set(table.columns) == {f"minus {MERGE}", f"minus {FUSE}"}
    assert table.loc["HEALNet", f"minus {MERGE}"].startswith("+0.1")
    assert table.loc["HEALNet", f"minus {MERGE}"].endswith(" *")
    assert table.loc[MERGE, f"minus {MERGE}"] == ""
    assert standings.verdict_table(rows[rows["group"] != "multimodal"]).empty


@pytest.mark.parametrize(
    ("pair", "text"),
    [
        (Paired("a", "b", 7, 0.05, 0.01, 0.09, 0.02), "+0.050 (+0.010 to +0.090), p 0.02 *"),
        (Paired("a", "b", 7, -0.05, -0.2, 0.1, 0.3), "-0.050 (-0.200 to +0.100), p 0.3"),
        (Paired("a", "b", 4, 0.05, 0.01, 0.09, 0.02), "+0.050 (+0.010 to +0.090), p 0.02"),
        (Paired("a", "b", 1, 0.05, np.nan, np.nan, np.nan), "+0.050"),
    ],
)
def test_a_difference_as_text(pair, text):
    assert standings.difference_text(pair) == text


def test_conclusion_names_the_best_and_counts_what_is_decided(rows):
    text = standings.conclusion(rows, "concordance index")
    assert "The highest mean concordance index of several modalities is **HEALNet** (0.8" in text
    assert f"lowest {BEST_TITLE}" in text
    assert "best single-modality model is Cox (elastic net), clin" in text
    line = next(line for line in text.splitlines() if f"Against {MERGE}" in line)
    assert "better HEALNet" in line
    assert f"worse {BEST_TITLE}" in line
    assert "2 methods cannot be told apart" in line


def test_conclusion_without_several_modalities(rows):
    text = standings.conclusion(rows[rows["group"] == "tables"], "AUC")
    assert text == "No method of several modalities ran."
