"""The main table over all cohorts, on made-up results."""

from __future__ import annotations

import json

import numpy as np
import pytest

from mmlego.bench.inputs import JOINED
from mmlego.bench.outcome import VALIDATION
from mmlego.errors import RunError
from mmlego.methods.estimators import REGRESSION
from mmlego.methods.registry import METHODS
from mmlego.reporting.published import published_table
from mmlego.reporting.standings import BEST_TITLE
from mmlego.studies.answer import main_table as league
from mmlego.studies.answer.contrasts import GENERATED
from mmlego.studies.answer.main_table import load_tasks, main_table, rank_table, uplift, verdicts

ALL = "clin+img+rna"
MERGED = ("lego_merge", JOINED, ALL)
BEST = ("lego_block", JOINED, ALL, VALIDATION)
FUSED = ("lego_fuse", JOINED, ALL)
MERGE = METHODS["lego_merge"].title


def _change(results, run_id, **about):
    """Change what a record says about its run."""
    path = results.folder / "runs" / run_id / "record.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | about))


def _value(tasks, name):
    (task,) = [task for task in tasks if task.name == name]
    return task.rows.loc[task.rows["method"] == "lego_merge", "value"].iloc[0]


def test_searched_values_are_preferred_even_with_fewer_repeats(results):
    results.benchmark({MERGED: [0.6] * 9}, tuned=False)
    results.benchmark({MERGED: [0.7] * 2})
    assert _value(load_tasks(results.folder), "toy") == 0.7


def test_runs_at_the_published_settings_alone(results):
    """Other runs without a search have settings of their own."""
    results.benchmark({MERGED: [0.6] * 9}, grid="table1", tuned=False)
    results.benchmark({MERGED: [0.7] * 2}, grid=league.PUBLISHED_CONDITION, tuned=False)
    results.benchmark({MERGED: [0.8] * 9}, grid="table1")
    assert _value(load_tasks(results.folder, hyperparameters="given"), "toy") == 0.7


@pytest.mark.parametrize("tuned", [True, False])
def test_the_run_with_the_most_repeats_counts(results, tuned):
    results.benchmark({MERGED: [0.6] * 5}, grid="a", tuned=tuned)
    results.benchmark({MERGED: [0.7] * 9}, grid="b", tuned=tuned)
    results.benchmark({MERGED: [0.8] * 2}, grid="c", tuned=tuned)
    (task,) = load_tasks(results.folder)
    assert (_value([task], "toy"), task.repeats) == (0.7, 9)


def test_a_supporting_run_counts_where_nothing_else_is_there(results):
    _change(results, results.benchmark({MERGED: [0.6] * 9}, grid="b"), headline=False)
    assert _value(load_tasks(results.folder), "toy") == 0.6
    _change(results, results.benchmark({MERGED: [0.7] * 2}, grid="a"), headline=True)
    assert _value(load_tasks(results.folder), "toy") == 0.7


def test_of_equal_runs_the_newest_counts(results):
    for grid, finished in (("b", "2026-01-01"), ("a", "2026-02-01")):
        run_id = results.benchmark({MERGED: [0.6 if grid == "b" else 0.7] * 2}, grid=grid)
        _change(results, run_id, finished=finished)
    assert _value(load_tasks(results.folder), "toy") == 0.7


def test_what_is_no_evidence_is_left_out(results):
    results.benchmark({MERGED: [0.6] * 2}, "real")
    results.benchmark({MERGED: [0.9] * 9}, "real", unit="row")
    results.benchmark({MERGED: [0.9] * 9}, "real", grid="manual")
    for name in GENERATED:
        results.benchmark({MERGED: [0.9] * 9}, name)
    tasks = load_tasks(results.folder)
    assert [task.name for task in tasks] == ["real"]
    assert _value(tasks, "real") == 0.6


def test_rows_of_other_runs_of_the_same_grid_stay_out(results):
    """Notebooks such as `merge` write rows of the same methods."""
    results.benchmark({MERGED: [0.6] * 2})
    results.add("lego_merge", [0.9] * 2, inputs=JOINED, modalities=ALL)
    results.write()
    (task,) = load_tasks(results.folder)
    assert task.rows["value"].tolist() == [0.6, 0.6]


def test_no_benchmark_says_how_to_get_one(results):
    results.facts()
    results.write()
    with pytest.raises(RunError, match="'benchmark', found none; .*mmlego run --grid"):
        load_tasks(results.folder)


@pytest.fixture
def tasks(results, noise):
    """Two survival tasks, on which merging wins and loses, and one of classes."""
    for name, shift in (("one", 0.1), ("two", -0.1)):
        results.benchmark(
            {
                MERGED: 0.7 + shift + noise,
                BEST: 0.7 + noise[::-1],
                FUSED: 0.7 + shift - noise,
                ("coxnet", JOINED, ALL): 0.6 + noise,
                ("snn", "", "clin+rna"): 0.65 + noise,
                ("snn", "", "clin"): 0.5 + noise,
            },
            name,
            published={"dataset": "TCGA-BLCA", "tables": []},
        )
    results.benchmark(
        {MERGED: 0.8 + noise, BEST: 0.8 - noise, ("logistic", JOINED, ALL): 0.9 + noise},
        "three",
        metric="auc",
        capped_from=500,
    )
    return load_tasks(results.folder)


def test_all_rows_but_single_tables(tasks):
    table = main_table(tasks)
    assert set(table["task"]) == {"one", "two", "three"}
    assert set(table["group"]) == {"multimodal", "tables"}
    assert not table["label"].str.contains("clin").any()


def test_penalized_regression_is_one_column_of_the_ranks(tasks):
    ranks = rank_table(main_table(tasks))
    part = ranks[ranks["label"] == REGRESSION]
    assert set(part["task"]) == {"one", "two", "three"}
    assert set(part["method"]) == {"coxnet", "logistic"}
    assert set(ranks["label"]) == {
        REGRESSION, MERGE, BEST_TITLE, METHODS["lego_fuse"].title,
    }  # fmt: skip
    value = ranks.set_index(["task", "label"])["value"]
    assert value["three", REGRESSION] == pytest.approx(0.9, abs=0.01)


def test_verdicts_count_tasks(tasks):
    found = verdicts(tasks).set_index(["method", "against"])
    row = found.loc[(BEST_TITLE, MERGE)]
    assert row["tasks"] == 3
    assert (row["better (Holm)"], row["worse (Holm)"]) == (1, 1)
    assert found.loc[(REGRESSION, MERGE), "tasks"] == 3
    assert found.loc[(MERGE, METHODS["lego_fuse"].title), "tasks"] == 2
    assert (found["higher mean"] >= found["better (Holm)"]).all()


def test_uplift_has_the_published_pair(tasks):
    table = uplift(tasks).set_index(["task", "label"])
    known = published_table()
    known = known[known["dataset"] == "TCGA-BLCA"]
    best = known.loc[known["model"] == "LegoBlock", "mean"].max()
    assert table.loc[("one", BEST_TITLE), "published"] == best
    merged = known.loc[known["model"] == "LegoMerge", "mean"].item()
    assert table.loc[("one", MERGE), "published"] == merged
    assert np.isnan(table.loc[("three", MERGE), "published"])
    assert not table["comparable"].any()
    assert len(table) == 6


def test_scope_says_what_each_task_rests_on(tasks):
    lines = league.scope(tasks).splitlines()
    assert len(lines) == 3
    assert lines[0].startswith("* `one`: 5 repeats by patient, 70 training and 15 test samples")
    assert "capped from 500" in next(line for line in lines if "`three`" in line)
    assert all("hyper-parameters tuned, grid `paper`" in line for line in lines)


def test_of_two_runs_alike_the_one_with_more_methods_counts(results, noise):
    many = {MERGED: 0.7 + noise, FUSED: 0.6 + noise}
    results.benchmark({MERGED: 0.5 + noise}, grid="small")
    results.benchmark(many, grid="full")
    (task,) = load_tasks(results.folder)
    assert task.parameters["grid"] == "full"


def test_a_method_that_came_later_joins_the_table(results, noise):
    late, other = ("mm_dynamics", JOINED, MERGED[2]), ("mm_static", *MERGED[1:])
    results.benchmark({MERGED: 0.7 + noise, FUSED: 0.6 + noise})
    results.benchmark(
        {late: 0.5 + noise, MERGED: 0.1 + noise}, methods=["mm_dynamics"], grid="later"
    )
    results.benchmark({other: 0.4 + noise}, methods=["mm_static"], tuned=False)
    (task,) = load_tasks(results.folder)
    means = task.rows.groupby("method")["value"].mean()
    assert means["mm_dynamics"] == pytest.approx(0.5 + noise.mean())
    assert means["lego_merge"] == pytest.approx(0.7 + noise.mean()), "its own run counts"
    assert "mm_static" not in means, "a run with other settings stays out"
