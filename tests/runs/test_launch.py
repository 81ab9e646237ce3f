from __future__ import annotations

import json
import re
from io import StringIO

import pytest
import yaml
from rich.console import Console

from mmlego.errors import RunError
from mmlego.runs import launch as launching
from mmlego.runs.grid import plan
from mmlego.runs.launch import GridReport, failure_lines
from mmlego.runs.record import write_record


@pytest.fixture
def runs(tmp_path, repository, monkeypatch):
    monkeypatch.chdir(repository)
    path = tmp_path / "grid.yaml"
    content = {
        "name": "tested",
        "description": "x",
        "runs": [{"notebook": "signal_interference"}, {"notebook": "summary"}],
    }
    path.write_text(yaml.safe_dump(content))
    return plan(path, results=str(tmp_path / "results"))


def test_tickets_stand_for_finished_runs_only(runs):
    launching._prepare_tickets(runs, force=False)
    assert not any(run.ticket.exists() for run in runs)
    done = [runs[0].model_copy(update={"finished": True}), runs[1]]
    launching._prepare_tickets(done, force=False)
    assert [run.ticket.exists() for run in done] == [True, False]


def test_force_takes_away_ticket_and_mark(runs):
    """The runner goes by the mark: with the ticket alone gone, it would keep the run."""
    mark = runs[0].ticket.parents[1] / "runs" / runs[0].ticket.name
    mark.parent.mkdir(parents=True)
    mark.touch()
    done = [run.model_copy(update={"finished": True}) for run in runs]
    launching._prepare_tickets(done, force=True)
    assert not mark.exists()
    assert not any(run.ticket.exists() for run in done)


def test_a_mark_of_the_runner_is_the_one_that_force_takes_away(runs):
    from mmlego.runs.runner import done_mark, settings_for

    settings = settings_for(runs[0].notebook, runs[0].parameters)
    folder = runs[0].ticket.parents[2]
    assert done_mark(settings, folder) == folder / "artifacts" / "runs" / runs[0].ticket.name


def test_relative_results_reach_the_workflow_as_an_absolute_path(tmp_path, monkeypatch):
    seen = {}

    class Ended:
        def __init__(self, command, **options):
            seen["command"] = command

        def poll(self):
            return 0

    monkeypatch.setattr(launching.subprocess, "Popen", Ended)
    monkeypatch.setattr(launching, "plan", lambda path, results: [])
    monkeypatch.chdir(tmp_path)
    launching.run_grid("g.yaml", results="out", console=Console(file=StringIO()))
    assert f"results={tmp_path / 'out'}" in seen["command"]
    assert f"grid={tmp_path / 'g.yaml'}" in seen["command"]
    assert "--keep-going" in seen["command"]


@pytest.fixture
def kept(runs):
    """Write a record into the folder of results; returns its path and the folder."""
    folder = runs[0].ticket.parents[2]

    def write(run_id, grid):
        content = {"run_id": run_id, "parameters": {"grid": grid}, "outcomes": []}
        return write_record(content, folder)

    return write, folder


def test_records_that_a_grid_no_longer_plans_are_set_aside(runs, kept):
    write, folder = kept
    planned, other = write(runs[0].run_id, "tested"), write("unimodal-x-1", "another")
    manual, old = write("unimodal-x-2", "manual"), write("unimodal-x-3", "tested")
    content = old.read_text()
    launching._set_aside(runs, folder)
    assert [path.is_file() for path in (planned, other, manual, old)] == [True, True, True, False]
    aside = folder / "artifacts" / "superseded"
    assert {path.name: path.read_text() for path in aside.iterdir()} == {old.name: content}
    launching._set_aside(runs, folder)
    assert len(list((folder / "runs").iterdir())) == 3


def test_nothing_to_set_aside_makes_no_folder(runs, kept):
    write, folder = kept
    write(runs[0].run_id, "tested")
    launching._set_aside(runs, folder)
    assert not (folder / "artifacts" / "superseded").exists()


def test_what_only_reads_results_is_run_after_a_failure(runs, monkeypatch):
    """Snakemake skips it where a run before it failed, but the rest is worth reading."""
    asked = []
    monkeypatch.setattr(
        launching, "run_notebook", lambda name, *args, **options: asked.append((name, options))
    )
    runs[0].ticket.parent.mkdir(parents=True)
    launching._read_anyway(runs)
    assert asked == [("summary", {"page": runs[1].page, "threads": 1})]
    assert [run.ticket.is_file() for run in runs] == [False, True]
    launching._read_anyway(runs)
    assert len(asked) == 1


def test_reading_that_fails_too_has_no_ticket(runs, monkeypatch):
    def broken(*args, **options):
        raise RunError("no results of any grid")

    monkeypatch.setattr(launching, "run_notebook", broken)
    launching._read_anyway(runs)
    assert not runs[1].ticket.exists()


def test_lines_off_a_terminal_say_how_far_it_is(runs, monkeypatch):
    class Running:
        """Each look finds one run more finished."""

        def __init__(self):
            self.left = list(runs)

        def poll(self):
            if not self.left:
                return 0
            ticket = self.left.pop(0).ticket
            ticket.parent.mkdir(parents=True, exist_ok=True)
            ticket.touch()

    monkeypatch.setattr(launching, "_POLL_SECONDS", 0.0)
    said = StringIO()
    folder = runs[0].ticket.parents[2]
    launching._watch(Running(), runs, folder, Console(file=said, width=40), 1)
    lines = said.getvalue().splitlines()
    assert len(lines) == 2
    first = rf"done  {runs[0].run_id}  \(1 of 2, after \d+\.\d min, about \d+ min left\)"
    assert re.fullmatch(first, lines[0])
    assert re.fullmatch(rf"done  {runs[1].run_id}  \(2 of 2, after .* min, finishing\)", lines[1])


def test_reasons_are_the_errors_of_the_runs(tmp_path):
    logs = tmp_path / "logs"
    logs.mkdir()
    (logs / "a.error.json").write_text(json.dumps({"error": "cell 4: KeyError: 'x'"}))
    lines = failure_lines(GridReport((), ("a", "b"), 1.0), str(tmp_path))
    assert lines[0] == "a: cell 4: KeyError: 'x'"
    assert lines[1].startswith("b: not finished, or a run that it needs was not; see ")


def test_reasons_of_an_earlier_launch_are_forgotten(runs):
    note = runs[0].ticket.parents[2] / "logs" / f"{runs[0].run_id}.error.json"
    note.parent.mkdir(parents=True)
    note.write_text('{"error": "old"}')
    launching._prepare_tickets(runs, force=False)
    assert not note.exists()


def test_without_snakemake_it_says_what_to_install(monkeypatch):
    monkeypatch.setattr(launching.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(RunError, match=r"pip install 'mmlego\[book\]'"):
        launching.run_grid("x.yaml")


@pytest.mark.parametrize(
    ("passed", "todo", "left", "text"),
    [
        (0.0, 600.0, 600.0, "about 5 min left"),
        (60.0, 600.0, 300.0, "about 1 min left"),
        (60.0, 600.0, 0.0, "finishing"),
    ],
)
def test_time_left(passed, todo, left, text):
    assert launching._estimate(passed, todo, left, cores=2) == text


@pytest.mark.slow
def test_a_failing_run_stops_only_what_needs_it(tmp_path, launch):
    """One cohort does not exist: the rest is finished, and the report names what is not."""
    grid = tmp_path / "grid.yaml"
    tiny = {
        "repeats": 1,
        "epochs": 1,
        "depth": 1,
        "latent_channels": 2,
        "latent_dim": 4,
        "device": "cpu",
    }
    content = {
        "name": "broken",
        "description": "x",
        "defaults": tiny | {"max_samples": 90},
        "runs": [
            {"notebook": "unimodal", "matrix": {"cohort": ["no-such-cohort"]}},
            {"notebook": "merge", "matrix": {"cohort": ["no-such-cohort"]}},
            {"notebook": "signal_interference", "parameters": {"n": 64, "draws": 2}},
        ],
    }
    grid.write_text(yaml.safe_dump(content))
    done = launch(grid, tmp_path / "results")
    assert done.status == 1
    assert "1 of 3 runs finished" in done.said
    failed = [line for line in done.said.splitlines() if line.startswith("failed  ")]
    assert len(failed) == 2
    reason = "cohort 'no-such-cohort': expected one of"
    assert any("unimodal-no-such-cohort" in line and reason in line for line in failed)
    assert any("merge-no-such-cohort" in line and "not finished" in line for line in failed)
    assert "Traceback" not in done.said
    finished = {path.name.split("-")[0] for path in (tmp_path / "results" / "runs").glob("*.json")}
    assert finished == {"signal_interference"}
    assert not list((tmp_path / "results" / "runs").glob("*no-such-cohort*"))
    assert not list((tmp_path / "results" / "pages").rglob("*.draft*"))
