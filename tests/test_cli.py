from __future__ import annotations

import sys
from pathlib import Path

import pytest
import yaml

from mmlego import __version__, cli
from mmlego.runs.records.results import TABLE


@pytest.fixture
def call(monkeypatch, capsys, repository):
    """Run the command line in this process; returns exit status, output and errors."""
    monkeypatch.chdir(repository)
    monkeypatch.delenv("MMLEGO_CARDS", raising=False)

    def run(*words: str):
        monkeypatch.setattr(sys, "argv", ["mmlego", *map(str, words)])
        status = 0
        try:
            cli.main()
        except SystemExit as ended:
            status = ended.code or 0
        said = capsys.readouterr()
        return status, said.out, said.err

    return run


def test_version(call):
    assert call("--version") == (0, f"{__version__}\n", "")


def test_plan_lists_runs_in_order(call, tmp_path):
    status, out, _ = call("plan", "experiments/smoke.yaml", "--results", tmp_path)
    lines = out.splitlines()
    assert status == 0
    assert len(lines) == 26
    assert all(line.startswith("to do") for line in lines)
    assert "summary-" in lines[-1]
    assert not list(tmp_path.iterdir())


def test_data_list(call):
    status, out, _ = call("data", "list")
    assert status == 0
    assert "transbig" in out
    assert "tcga-blca" in out


def test_results_collect(call, tmp_path):
    assert call("results", "collect", "--results", tmp_path) == (0, "0 rows from 0 runs\n", "")
    assert (tmp_path / TABLE).is_file()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["run"], "got both or neither"),
        (["run", "merge", "--grid", "experiments/smoke.yaml"], "got both or neither"),
        (["run", "merg"], "expected one of"),
        (["run", "merg"], "did you mean 'merge'"),
        (["run", "merge", "-p", "seeed=1"], "did you mean 'seed'"),
        (["run", "merge", "-p", "seed"], "expected name=value"),
        (["run", "merge", "-p", "seed=one"], "parameter 'seed'"),
        (["run", "merge", "-p", "repeats=99"], "parameter 'repeats'"),
        (["run", "merge", "-f", "no-such-file.yaml"], "cannot be read"),
        (["run", "merge", "-o", "{x}/y.ipynb"], "braces"),
        (["run", "merge", "--results", "README.md/x"], "cannot write"),
        (["run", "--grid", "no-such-grid.yaml"], "cannot be read"),
        (["run", "--grid", "no-such-grid.yaml"], "full.yaml, quick.yaml, smoke.yaml"),
        (["run", "--grid", "experiments/smoke.yaml", "--only", "x"], "has no run 'x'"),
        (["run", "merge", "--only", "x"], "--only names a run of a grid"),
        (["run", "--grid", "experiments/smoke.yaml", "-p", "sed=1"], "did you mean 'seed'"),
        (["run", "--grid", "experiments/smoke.yaml", "-p", "seed"], "expected name=value"),
        (["run", "--grid", "experiments/smoke.yaml", "-p", "cohort=wdbcc"], "did you mean 'wdbc'"),
        (["run", "--grid", "experiments/smoke.yaml", "--publish", "--results", "r"], "leave out"),
        (["results", "collect", "--publish", "--results", "r"], "leave out --results"),
        (["run", "--grid", "experiments/smoke.yaml", "-o", "x.ipynb"], "are for one notebook"),
        (["plan", "README.md"], "grid README.md"),
        (["data", "show", "transbigg"], "transbig"),
        (["data", "check", "no/such/card.yaml"], "card.yaml"),
    ],
)
def test_every_error_is_one_line_without_a_traceback(call, words, message):
    status, _, err = call(*words)
    assert status == 1
    assert err.startswith("error: ")
    assert message in err
    assert len(err.strip().splitlines()) == 1
    assert "Traceback" not in err


@pytest.mark.parametrize(
    "content",
    [b"name: [", b"- 1", b"\xff\xfe\x00\x80", b"seed: {a: 1}"],
    ids=["open", "list", "binary", "nested"],
)
def test_mistakes_in_a_file_of_parameters(call, tmp_path, content):
    (tmp_path / "p.yaml").write_bytes(content)
    status, _, err = call("run", "merge", "-f", tmp_path / "p.yaml")
    assert status == 1
    assert len(err.strip().splitlines()) == 1
    assert err.startswith("error: ")


@pytest.fixture
def launched(monkeypatch):
    """What would be handed to the launcher of grids, and to the runner."""
    from mmlego.runs.grids.launch import GridReport
    from mmlego.runs.runner import RunReport

    seen = {}

    def grid(path, **options):
        seen["grid"] = options
        return GridReport(("a",), (), 1.0)

    def notebook(name, given, **options):
        seen["notebook"] = given, options
        return RunReport(f"{name}-x", "done", 1.0, Path("p.ipynb"))

    monkeypatch.setattr("mmlego.runs.grids.launch.run_grid", grid)
    monkeypatch.setattr("mmlego.runs.runner.run_notebook", notebook)
    return seen


def test_parameters_and_force_reach_a_grid(call, launched):
    words = ["run", "--grid", "experiments/smoke.yaml", "-p", "device=cuda", "--force"]
    status, out, _ = call(*words, "--cores", "3")
    assert (status, out) == (0, "1 of 1 runs finished\n")
    assert launched["grid"] == {
        "results": "",
        "given": {"device": "cuda"},
        "cores": 3,
        "force": True,
        "snakemake": [],
    }


def test_only_publishing_writes_to_the_results_of_the_repository(call, launched, repository):
    call("run", "--grid", "experiments/smoke.yaml", "--publish")
    assert launched["grid"]["results"] == str(repository / "results")
    call("run", "merge", "--publish")
    assert launched["notebook"][0] == {"results": str(repository / "results")}
    call("run", "merge")
    assert launched["notebook"][0] == {}


def test_one_run_of_a_grid_with_given_parameters(call, launched, tmp_path):
    grid = ["--grid", "experiments/smoke.yaml", "-p", "epochs=2", "--results", tmp_path]
    plan = call("plan", *grid[1:])[1]
    (run_id,) = (line.split()[2] for line in plan.splitlines() if "unimodal-wdbc" in line)
    status, _, err = call("run", *grid, "--only", run_id, "--force")
    assert (status, err) == (0, "")
    given, options = launched["notebook"]
    assert (given["epochs"], given["grid"], given["cohort"]) == (2, "smoke", "wdbc")
    assert options["force"] is True
    assert call("run", *grid[:2], *grid[4:], "--only", run_id)[0] == 1, "another run without it"


def test_parameters_of_the_command_win_over_those_of_the_file(call, tmp_path, monkeypatch):
    seen = {}

    def fake(notebook, given, *, page, force):
        from mmlego.runs.runner import RunReport

        seen.update(given)
        return RunReport("merge-x", "done", 1.0, Path("p.ipynb"))

    monkeypatch.setattr("mmlego.runs.runner.run_notebook", fake)
    (tmp_path / "p.yaml").write_text(yaml.safe_dump({"seed": 3, "epochs": 2}))
    status, out, _ = call(
        "run", "merge", "-f", tmp_path / "p.yaml", "-p", "seed=4", "--results", "r"
    )
    assert status == 0
    assert seen == {"seed": "4", "epochs": 2, "results": "r"}
    assert "merge-x: done in 1 s" in out


@pytest.fixture
def tuned(monkeypatch, tmp_path):
    """Where chosen values go, instead of the folder of the project."""
    monkeypatch.setattr(
        "mmlego.studies.search.run.tuned_path", lambda name: tmp_path / f"{name}.yaml"
    )
    return tmp_path


_SMALL = {"epochs": 1, "depth": 1, "repeats": 1, "trials": 2, "device": "cpu", "methods": "snn"}


def test_tune_writes_what_it_chose(call, tuned):
    words = [word for name, value in _SMALL.items() for word in ("-p", f"{name}={value}")]
    card = "data/example/example.yaml"
    status, out, err = call("tune", card, *words, "--results", tuned / "results")
    assert (status, err) == (0, "")
    searched, written = out.splitlines()
    assert searched.startswith("snn on table: 2 trials")
    assert written == f"written: {tuned / 'example.yaml'}"
    found = yaml.safe_load((tuned / "example.yaml").read_text())
    assert set(found["studies"]) == {"snn on table"}
    assert (found["settings"]["cohort"], found["repeats"]) == (card, 1)
    assert (tuned / "results" / "artifacts" / "studies" / "example.db").is_file()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["transbigg"], "did you mean 'transbig'"),
        (["transbig", "-p", "trials=0"], "parameter 'trials'"),
        (["transbig", "-p", "trial=3"], "did you mean 'trials'"),
        (["transbig", "-p", "methods=nn"], "got ['nn']"),
    ],
)
def test_tune_refuses_and_writes_nothing(call, tuned, words, message):
    status, _, err = call("tune", *words, "--results", tuned / "results")
    assert status == 1
    assert message in err
    assert "Traceback" not in err
    assert not list(tuned.glob("*.yaml"))


def test_no_arguments_show_help(call):
    status, out, err = call()
    assert "run" in out + err
    assert "Traceback" not in out + err


def test_status_lists_every_record_and_counts_states(call, monkeypatch, tmp_path):
    from mmlego.runs.records import status

    rows = [
        status.Status("a-1", "merge", "wdbc", status.CURRENT),
        status.Status("b-2", "fuse", "wdbc", status.OUTDATED, "code changed: mmlego.lego.fuse"),
        status.Status("c-3", "fuse", "wdbc", status.OUTDATED, "data changed"),
    ]
    asked = []
    monkeypatch.setattr(status, "statuses", lambda place, data: asked.append((place, data)) or rows)
    code, said, _ = call("results", "status", "--results", str(tmp_path), "--no-data")
    assert code == 0
    assert asked == [(tmp_path, False)]
    assert "code changed: mmlego.lego.fuse" in said
    assert said.rstrip().endswith("1 current, 2 outdated")
