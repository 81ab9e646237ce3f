"""Figures and sentences of the page of the notebook `table1`, on made-up results."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from mmlego.bench.inputs import JOINED
from mmlego.bench.outcome import VALIDATION
from mmlego.methods.estimators import REGRESSION
from mmlego.methods.registry import METHODS
from mmlego.reporting.standings import BEST_TITLE
from mmlego.studies.answer import main_table_page
from mmlego.studies.answer.main_table import PUBLISHED_CONDITION, load_tasks, main_table

ALL = "clin+img+rna"
MERGE, FUSE = METHODS["lego_merge"].title, METHODS["lego_fuse"].title
ROWS = {
    MERGE: ("lego_merge", JOINED, ALL),
    FUSE: ("lego_fuse", JOINED, ALL),
    BEST_TITLE: ("lego_block", JOINED, ALL, VALIDATION),
    "cox": ("coxnet", JOINED, ALL),
    "logistic": ("logistic", JOINED, ALL),
}


@pytest.fixture
def table(results, noise):
    """Three tasks that rank three methods alike, and a fourth method on two of them."""
    levels = {MERGE: 0.6, FUSE: 0.7, BEST_TITLE: 0.5, "cox": 0.8}
    for name in ("one", "two", "three"):
        found = {ROWS[label]: value + noise for label, value in levels.items()}
        if name == "three":
            del found[ROWS["cox"]]
        results.benchmark(found | {("snn", "", "clin+rna"): 0.65 + noise}, name)
    return main_table(load_tasks(results.folder))


def test_ranks_are_over_methods_that_ran_everywhere(table):
    text = main_table_page.ranks_text(table)
    assert "Over 3 data sets and 3 methods" in text
    assert f"The best average rank is that of {FUSE} (1.00)" in text
    record = {row["label"]: row["rank"] for row in main_table_page.ranks_record(table)}
    assert record == {FUSE: 1.0, MERGE: 2.0, BEST_TITLE: 3.0}
    assert main_table_page.ranks_figure(table) is not None


@pytest.mark.parametrize("left", ["one task", "two methods"])
def test_too_little_for_ranks(table, left):
    kept = table["task"] == "one" if left == "one task" else table["label"].isin([MERGE, FUSE])
    part = table[kept]
    assert main_table_page.ranks_figure(part) is None
    assert main_table_page.ranks_record(part) == []
    assert main_table_page.ranks_text(part).startswith("Too few data sets or methods")


def test_a_label_of_two_estimators_is_ranked_once(results, noise):
    for name, estimator, metric in (("one", "cox", "c_index"), ("two", "logistic", "auc")):
        found = {ROWS[MERGE]: 0.6 + noise, ROWS[FUSE]: 0.7 + noise, ROWS[estimator]: 0.8 + noise}
        results.benchmark(found, name, metric=metric)
    table = main_table(load_tasks(results.folder))
    assert main_table_page.ranks_record(table)[0]["label"] == REGRESSION
    assert main_table_page.grid_figure(table) is not None
    assert main_table_page.ranks_figure(table) is not None


def test_sortable_table_of_a_group(table):
    html = main_table_page.ranked(table, "tables")
    assert "SNN" in html
    assert MERGE not in html
    assert "Tables: main metric" in html
    assert main_table_page.ranked(table, "image or series") == "<p>No result yet.</p>"


def test_uplift(results, noise):
    results.benchmark({ROWS[MERGE]: 0.6 + noise, ROWS[BEST_TITLE]: 0.5 + noise}, "one")
    assert main_table_page.uplift_figure(load_tasks(results.folder)) is not None


def test_ladder_of_intensive_care(results, noise, monkeypatch):
    session = SimpleNamespace(results=results.folder)
    results.write()
    assert main_table_page.ladder_figure(session) is None
    drawn = []
    monkeypatch.setattr(
        main_table_page.figures, "forest_plot", lambda table, **how: drawn.append((table, how))
    )
    where = {"cohort": "physionet2012-mortality", "grid": "icu", "metric": "auc"}
    for method, labels in (
        ("lego_fuse", {"arm": "stack", "tune_epochs": 2}),
        ("lego_fuse", {"arm": "stack", "tune_epochs": 5}),
        ("snn", {}),
        ("lego_merge", {}),
    ):
        results.add(method, 0.7 + noise, **labels, **where)
    results.add("snn", 0.9 + noise, **(where | {"grid": "quick"}))
    results.write()
    main_table_page.ladder_figure(session)
    ((table, how),) = drawn
    assert table["label"].drop_duplicates().tolist() == ["SNN, static", "LegoMerge", "LegoFuse"]
    assert len(table) == 15
    assert how["test_train_ratio"] == pytest.approx(15 / 70)


def test_tuned_minus_given_on_shared_repeats(results):
    rows = {ROWS[MERGE]: [0.7, 0.8, 0.6], ROWS["cox"]: [0.7] * 3}
    results.benchmark(rows, "one")
    given = {ROWS[MERGE]: [0.5, 0.7], ROWS["cox"]: [0.7] * 2}
    results.benchmark(given, "one", grid=PUBLISHED_CONDITION, tuned=False)
    results.benchmark(rows, "two")
    session = SimpleNamespace(results=results.folder)
    (row,) = main_table_page.tuning_table(session, load_tasks(results.folder)).to_dict("records")
    assert row == {
        "data set": "one",
        "method": MERGE,
        "given": "0.600",
        "tuned": "0.750",
        "difference": "+0.150",
        "spread": "0.071",
        "repeats": "2 repeats",
    }


@pytest.mark.parametrize("grid", ["table1", PUBLISHED_CONDITION])
def test_nothing_ran_both_ways(results, noise, grid):
    results.benchmark({ROWS[MERGE]: 0.6 + noise}, "one", grid=grid, tuned=grid == "table1")
    session = SimpleNamespace(results=results.folder)
    table = main_table_page.tuning_table(session, load_tasks(results.folder))
    assert table["data set"].tolist() == ["no data set ran both ways yet"]
