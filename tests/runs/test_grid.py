from __future__ import annotations

import pytest
import yaml

from mmlego.errors import RunError, SettingsError
from mmlego.runs import grid as grids
from mmlego.runs.grid import plan, read_grid

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


def test_pages_of_the_project_lie_in_the_book(write, repository):
    runs = plan(write([{"notebook": "merge", "matrix": {"cohort": ["wdbc"]}}]))
    assert runs[0].page == repository / "book" / "runs" / "tested" / "wdbc" / "merge.ipynb"
    explicit = plan(
        write([{"notebook": "summary"}], defaults={}), results=str(repository / "results")
    )
    assert explicit[0].page == repository / "book" / "runs" / "summary.ipynb"


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


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name: [", "is no YAML file"),
        ("- a\n- b", "is no YAML file"),
        ("", "is no YAML file"),
        ("1: 2", "is no YAML file"),
        ("name: x\ndescription: y\nruns: []", "field 'runs'"),
        ("name: x\ndescription: y\nrun: []\nruns: [{notebook: merge}]", "field 'run'"),
        ("name: x\nruns: [{notebook: merge}]", "field 'description'"),
        ("name: A b\ndescription: y\nruns: [{notebook: merge}]", "field 'name'"),
        ("name: x\ndescription: y\nruns: [{notebok: merge}]", r"field 'runs\.0\."),
        ("name: x\ndescription: y\nruns: [{notebook: merge, matrix: {cohort: wdbc}}]", "matrix"),
        ("name: x\ndescription: y\nruns: [{notebook: merge, matrix: {cohort: []}}]", "matrix"),
    ],
)
def test_mistakes_in_the_file_are_one_line(tmp_path, text, message):
    path = tmp_path / "grid.yaml"
    path.write_text(text)
    with pytest.raises(RunError, match=message) as caught:
        plan(path)
    assert len(str(caught.value).splitlines()) == 1


def test_files_that_cannot_be_read(tmp_path):
    with pytest.raises(RunError, match="cannot be read"):
        read_grid(tmp_path / "nowhere.yaml")
    with pytest.raises(RunError, match="cannot be read"):
        read_grid(tmp_path)
    (tmp_path / "binary.yaml").write_bytes(b"\xff\xfe\x00\x80")
    with pytest.raises(RunError, match="is no YAML file"):
        read_grid(tmp_path / "binary.yaml")


@pytest.mark.parametrize("name", ["smoke", "quick", "paper", "icu"])
def test_grids_of_the_project_are_valid_and_complete(repository, monkeypatch, name, tmp_path):
    """Every merge and fusion finds its blocks in the same grid, and a summary ends it."""
    monkeypatch.chdir(repository)
    runs = plan(repository / "experiments" / f"{name}.yaml", results=str(tmp_path))
    assert runs[-1].notebook == "summary"
    kinds = {run.run_id: run.notebook for run in runs}
    for run in runs:
        if run.notebook in ("merge", "fuse"):
            assert [kinds[need] for need in run.needs] == ["unimodal"]


def test_expected_seconds_come_from_the_last_time(planned, tmp_path):
    run = planned({"notebook": "summary"}, defaults={})[0]
    results = tmp_path / "results"
    assert grids.expected_seconds(run, results) == 10.0
    (results / "runs").mkdir(parents=True)
    (results / "runs" / f"{run.run_id}.json").write_text('{"seconds": 7.5}')
    assert grids.expected_seconds(run, results) == 12.5
