from __future__ import annotations

import pytest
import yaml

from mmlego.errors import CardError, RunError, SettingsError
from mmlego.runs.catalogue import CATALOGUE
from mmlego.runs.grids import grid as grids
from mmlego.runs.grids.grid import plan
from mmlego.runs.records.record import question_of

TINY = {"repeats": 1, "epochs": 1, "device": "cpu"}


@pytest.fixture
def write(tmp_path, repository, monkeypatch):
    """Write a grid; the working directory is the project."""
    monkeypatch.chdir(repository)

    def make(runs, **fields):
        content = {"name": "tested", "description": "x", "defaults": TINY, "runs": runs} | fields
        path = tmp_path / "grid.yaml"
        path.write_text(yaml.safe_dump(content))
        return path

    return make


@pytest.fixture
def planned(write, tmp_path):
    def make(*runs, **fields):
        return plan(write(list(runs), **fields), results=str(tmp_path / "results"))

    return make


def test_matrix_is_crossed_and_defaults_reach_those_that_know_them(planned):
    runs = planned(
        {
            "notebook": "unimodal",
            "matrix": {"cohort": ["wdbc", "transbig"], "split_unit": ["patient", "row"]},
        },
        {"notebook": "signal_interference", "parameters": {"draws": 3}},
    )
    found = [(run.parameters.get("cohort"), run.parameters.get("split_unit")) for run in runs]
    assert found == [
        ("wdbc", "patient"),
        ("wdbc", "row"),
        ("transbig", "patient"),
        ("transbig", "row"),
        (None, None),
    ]
    assert all(run.parameters["epochs"] == 1 for run in runs[:4])
    assert "epochs" not in runs[4].parameters
    assert {run.parameters["grid"] for run in runs} == {"tested"}
    assert len({run.run_id for run in runs}) == 5
    assert not any(run.finished for run in runs)


def test_pages_lie_apart_and_in_the_folder_of_results(planned, tmp_path):
    runs = planned(
        {
            "notebook": "merge",
            "matrix": {"cohort": ["wdbc", "transbig"], "split_unit": ["patient", "row"]},
        },
        {"notebook": "summary"},
    )
    pages = [run.page.relative_to(tmp_path / "results" / "pages").as_posix() for run in runs]
    assert pages == [
        "tested/wdbc/merge.ipynb",
        "tested/wdbc/merge-row.ipynb",
        "tested/transbig/merge.ipynb",
        "tested/transbig/merge-row.ipynb",
        "summary.ipynb",
    ]


def test_pages_of_a_reader_lie_beside_the_reader_s_results_and_published_ones_in_the_book(
    write, repository
):
    grid = write([{"notebook": "merge", "matrix": {"cohort": ["wdbc"]}}])
    (own,), (published,) = plan(grid), plan(grid, results=str(repository / "results"))
    local = repository / "results" / "local"
    assert own.page == local / "pages" / "tested" / "wdbc" / "merge.ipynb"
    assert own.ticket.is_relative_to(local)
    assert published.page == repository / "book" / "runs" / "tested" / "wdbc" / "merge.ipynb"
    assert own.run_id == published.run_id


def test_blocks_come_first_and_the_summary_last_whatever_the_file_says(planned):
    runs = planned(
        {"notebook": "summary"},
        {"notebook": "fuse", "parameters": {"cohort": "wdbc"}},
        {"notebook": "merge", "parameters": {"cohort": "wdbc"}},
        {"notebook": "unimodal", "matrix": {"cohort": ["wdbc", "transbig"]}},
    )
    names = [run.notebook for run in runs]
    assert names == ["unimodal", "unimodal", "fuse", "merge", "summary"]
    seen = set()
    for run in runs:
        assert set(run.needs) <= seen
        seen.add(run.run_id)
    assert set(runs[-1].needs) == {run.run_id for run in runs[:-1]}


def test_a_merge_needs_the_blocks_of_its_own_signature_only(planned):
    runs = planned(
        {"notebook": "unimodal", "parameters": {"cohort": "wdbc"}},
        {"notebook": "unimodal", "parameters": {"cohort": "transbig"}},
        {"notebook": "merge", "parameters": {"cohort": "wdbc", "block_variant": "frozen"}},
        {"notebook": "fuse", "parameters": {"cohort": "wdbc", "epochs": 2}},
    )
    assert runs[2].needs == (runs[0].run_id,)
    assert runs[3].needs == ()


def test_two_runs_with_one_page(planned):
    with pytest.raises(RunError, match=r"several runs would write .*wdbc/unimodal\.ipynb"):
        planned({"notebook": "unimodal", "matrix": {"cohort": ["wdbc"], "seed": [1, 2]}})


def test_the_same_run_twice(planned):
    entry = {"notebook": "unimodal", "parameters": {"cohort": "wdbc"}}
    with pytest.raises(RunError, match="several runs would write"):
        planned(entry, entry)


@pytest.mark.parametrize(
    ("runs", "fields", "message"),
    [
        (
            [{"notebook": "unimodl"}],
            {},
            "grid 'tested': unknown notebook 'unimodl'; did you mean 'unimodal'",
        ),
        (
            [{"notebook": "unimodal"}],
            {"defaults": {"epoch": 1}},
            "defaults: unknown parameter 'epoch'",
        ),
        (
            [{"notebook": "summary"}],
            {"defaults": {"epochs": 1}},
            "defaults: unknown parameter 'epochs'",
        ),
        (
            [{"notebook": "unimodal", "parameters": {"sed": 1}}],
            {},
            "unknown parameter 'sed'; did you mean 'seed'",
        ),
        ([{"notebook": "unimodal", "matrix": {"sed": [1]}}], {}, "unknown parameter 'sed'"),
        ([{"notebook": "unimodal", "matrix": {"repeats": ["x"]}}], {}, "parameter 'repeats'"),
        ([{"notebook": "unimodal", "parameters": {"repeats": 99}}], {}, "parameter 'repeats'"),
    ],
)
def test_wrong_settings(planned, runs, fields, message):
    with pytest.raises(SettingsError, match=message):
        planned(*runs, **fields)


def test_cohorts_are_checked_before_anything_runs(planned):
    with pytest.raises(CardError, match="did you mean 'wdbc'"):
        planned({"notebook": "unimodal", "matrix": {"cohort": ["transbig", "wdbcc"]}})


def test_given_parameters_replace_those_of_every_run_that_has_them(write, tmp_path):
    grid = write(
        [
            {"notebook": "unimodal", "matrix": {"cohort": ["wdbc", "transbig"], "seed": [1, 2]}},
            {"notebook": "fuse", "parameters": {"cohort": "wdbc", "epochs": 3, "max_orders": 2}},
            {"notebook": "signal_interference"},
        ]
    )
    given = {"epochs": "7", "seed": "5", "max_orders": "4"}
    runs = plan(grid, results=str(tmp_path), given=given)
    found = [(r.notebook, r.parameters.get("epochs"), r.parameters["seed"]) for r in runs]
    assert found == [
        ("unimodal", 7, 5),
        ("unimodal", 7, 5),
        ("signal_interference", None, 5),
        ("fuse", 7, 5),
    ]
    assert runs[-1].parameters["max_orders"] == 4
    other = plan(grid, results=str(tmp_path), given={"seed": 5})
    assert not {run.run_id for run in runs[:2]} & {run.run_id for run in other}


def test_a_grid_can_be_run_on_a_cohort_of_one_s_own(repository, monkeypatch, tmp_path):
    monkeypatch.chdir(repository)
    quick, card = repository / "experiments" / "quick.yaml", "data/example/example.yaml"
    runs = plan(quick, results=str(tmp_path), given={"cohort": card})
    trained = [run.notebook for run in runs if "cohort" in run.parameters]
    assert trained == ["unimodal", "benchmark", "fuse", "merge"]
    assert {run.parameters.get("cohort", card) for run in runs} == {card}


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"epoch": "1"}, "grid 'tested', -p: unknown parameter 'epoch'; did you mean 'epochs'"),
        ({"draws": "3"}, "-p: unknown parameter 'draws'"),
        ({"epochs": "many"}, "parameter 'epochs'"),
        ({"results": "x"}, "'results' is decided by the grid"),
        ({"grid": "x"}, "'grid' is decided by the grid"),
        ({"headline": "true"}, "'headline' is decided by the grid"),
    ],
)
def test_given_parameters_that_cannot_be_used(write, given, message):
    grid = write([{"notebook": "unimodal", "parameters": {"cohort": "wdbc"}}])
    with pytest.raises(SettingsError, match=message):
        plan(grid, given=given)


@pytest.fixture
def conditions():
    """Two conditions, of which one is like the other."""
    return {
        "long": {"description": "x", "parameters": {"epochs": 50, "depth": 3}},
        "short": {"description": "y", "like": "long", "parameters": {"epochs": 2}},
    }


def test_conditions_are_written_once_and_label_their_runs(planned, conditions, tmp_path):
    entry = {"notebook": "unimodal", "parameters": {"cohort": "wdbc"}}
    long, short, changed, plain = planned(
        entry | {"condition": "long", "headline": True},
        entry | {"condition": "short"},
        {
            "notebook": "unimodal",
            "condition": "short",
            "parameters": {"cohort": "transbig", "depth": 1},
        },
        {"notebook": "signal_interference"},
        conditions=conditions,
    )
    values = [[r.parameters.get(n) for n in ("epochs", "depth")] for r in (long, short, changed)]
    assert values == [[50, 3], [2, 3], [2, 1]]
    assert [r.parameters["grid"] for r in (long, short, plain)] == ["long", "short", "tested"]
    assert [r.parameters["headline"] for r in (long, short, plain)] == [True, False, False]
    pages = tmp_path / "results" / "pages"
    assert long.page == pages / "long" / "wdbc" / "unimodal.ipynb"
    assert short.page == pages / "short" / "wdbc" / "unimodal.ipynb"
    assert long.parameters["repeats"] == 1, "defaults still count"


def test_a_condition_with_a_parameter_that_no_notebook_has(planned, conditions):
    conditions["long"]["parameters"]["epoch"] = 1
    with pytest.raises(SettingsError, match="condition 'long': unknown parameter 'epoch'"):
        planned({"notebook": "unimodal", "condition": "short"}, conditions=conditions)


@pytest.mark.parametrize("name", ["smoke", "quick", "full"])
def test_grids_of_the_project_are_valid_and_complete(repository, monkeypatch, name, tmp_path):
    """Every merge and fusion finds its blocks in the same grid, and what reads results ends it."""
    monkeypatch.chdir(repository)
    runs = plan(repository / "experiments" / f"{name}.yaml", results=str(tmp_path))
    assert runs[-1].notebook == "summary"
    kinds = {run.run_id: run.notebook for run in runs}
    for run in runs:
        if run.notebook in ("merge", "fuse"):
            assert [kinds[need] for need in run.needs] == ["unimodal"]
    if name != "smoke":
        assert not [run.run_id for run in runs if run.parameters.get("device", "auto") != "auto"]
    if name != "quick":
        assert {run.notebook for run in runs} == set(CATALOGUE)


def test_the_full_grid_has_the_blocks_of_the_quick_one(repository, monkeypatch, tmp_path):
    """These are the same runs, written down in both."""
    monkeypatch.chdir(repository)
    quick, full = (
        {r.run_id: r.parameters for r in plan(f"experiments/{n}.yaml", results=str(tmp_path))}
        for n in ("quick", "full")
    )
    shared = {run_id for run_id in quick if run_id.split("-")[0] in ("unimodal", "merge", "fuse")}
    assert len(shared) == 9
    assert shared <= set(full)
    assert all(full[run_id] == quick[run_id] for run_id in shared)


def test_no_two_entries_of_the_full_grid_answer_one_question(repository, monkeypatch, tmp_path):
    monkeypatch.chdir(repository)
    runs = plan("experiments/full.yaml", results=str(tmp_path))
    asked = [question_of(run.model_dump()) for run in runs]
    assert len(asked) == len(set(asked))
    answered = [
        (run.notebook, run.parameters["cohort"])
        for run in runs
        if run.notebook == "benchmark" and run.parameters["headline"]
    ]
    assert len(answered) == len(set(answered)) == 10, "one answer per cohort"


def test_expected_seconds_come_from_the_last_time(planned, tmp_path):
    run = planned({"notebook": "summary"}, defaults={})[0]
    results = tmp_path / "results"
    assert grids.expected_seconds(run, results) == 10.0
    (results / "runs" / run.run_id).mkdir(parents=True)
    (results / "runs" / run.run_id / "record.json").write_text('{"seconds": 7.5}')
    assert grids.expected_seconds(run, results) == 12.5
