from __future__ import annotations

import json
import re
import shlex
import subprocess
from io import StringIO

import pytest
import yaml
from rich.console import Console

from mmlego.errors import RunError
from mmlego.runs.grids import launch as launching
from mmlego.runs.grids.grid import plan
from mmlego.runs.grids.launch import GridReport, failure_lines


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
    monkeypatch.setattr(launching, "plan", lambda path, results, given: [])
    monkeypatch.chdir(tmp_path)
    launching.run_grid("g.yaml", results="out", console=Console(file=StringIO()))
    assert f"results={tmp_path / 'out'}" in seen["command"]
    assert f"grid={tmp_path / 'g.yaml'}" in seen["command"]
    assert "--keep-going" in seen["command"]


def test_given_parameters_and_force_reach_the_workflow(tmp_path, runs, monkeypatch):
    seen = {}

    class Ended:
        def __init__(self, command, **options):
            seen["command"] = command

        def poll(self):
            return 0

    monkeypatch.setattr(launching.subprocess, "Popen", Ended)
    monkeypatch.setattr(launching, "_read_anyway", lambda runs: None)
    launching.run_grid(
        tmp_path / "grid.yaml",
        results=str(tmp_path / "results"),
        given={"n": "64", "draws": 3},
        force=True,
        console=Console(file=StringIO()),
    )
    assert 'parameters=["n=64", "draws=3"]' in seen["command"]
    assert "force=1" in seen["command"]


def test_words_of_a_job():
    words = launching.job_words("g.yaml", "x-1", results="", given={}, force=False)
    assert words == ["--grid", "g.yaml", "--only", "x-1"]
    given = {"methods": "[snn, abmil]"}
    more = launching.job_words("g.yaml", "x-1", results="r", given=given, force=True)
    assert more == [*words, "--results", "r", "-p", "methods=[snn, abmil]", "--force"]


@pytest.mark.slow
def test_a_job_gets_every_word_as_it_was_given(tmp_path, repository, monkeypatch):
    """Spaces, quotes and signs of the shell in names and values come through, and run nothing."""
    monkeypatch.chdir(repository)
    folder, odd = tmp_path / "a b'c", "x y; \"$HOME\" `date` 'z' {params}"
    folder.mkdir()
    grid = folder / "g.yaml"
    entry = {"notebook": "benchmark", "parameters": {"cohort": "wdbc"}}
    grid.write_text(yaml.safe_dump({"name": "odd", "description": "x", "runs": [entry]}))
    given = {"pathways": odd, "methods": "[snn, coxnet]"}
    (run,) = plan(grid, results=str(folder / "r"), given=given)
    assert run.parameters["pathways"] == odd
    config = {
        "grid": grid,
        "results": folder / "r",
        "parameters": json.dumps([f"{name}={value}" for name, value in given.items()]),
        "force": 1,
    }
    command = launching._command(config, 1, ["--dry-run", "--printshellcmds"])
    done = subprocess.run(command, cwd=repository, capture_output=True, text=True, check=True)
    (line,) = {
        line.split("mmlego run ", 1)[1]
        for line in (done.stdout + done.stderr).splitlines()
        if "mmlego run " in line
    }
    wanted = launching.job_words(
        str(grid), run.run_id, results=str(folder / "r"), given=given, force=True
    )
    assert shlex.split(line) == wanted


@pytest.fixture
def kept(runs, made_up_run):
    """Write a record into the folder of results; returns its path and the folder."""
    folder = runs[0].ticket.parents[2]

    def write(run_id, grid, notebook="signal_interference"):
        content = {"run_id": run_id, "notebook": notebook, "parameters": {"grid": grid}}
        return made_up_run(folder, content)

    return write, folder


def test_records_that_a_grid_makes_anew_with_other_settings_are_set_aside(runs, kept):
    write, folder = kept
    planned, other = write(runs[0].run_id, "tested"), write("signal_interference-1", "another")
    manual, old = write("signal_interference-2", "manual"), write("signal_interference-3", "tested")
    elsewhere = write("properties-4", "tested", notebook="properties")
    content = (old / "record.json").read_text()
    launching._set_aside(runs, folder)
    left = [place.is_dir() for place in (planned, other, manual, elsewhere, old)]
    assert left == [True, True, True, True, False]
    aside = folder / "artifacts" / "superseded"
    moved = {place.name: (place / "record.json").read_text() for place in aside.iterdir()}
    assert moved == {old.name: content}
    launching._set_aside(runs, folder)
    assert len(list((folder / "runs").iterdir())) == 4


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
    """One run asks for a table that is not there: the rest is finished, and the report says so."""
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
            {"notebook": "unimodal", "parameters": {"cohort": "wdbc", "modalities": ["none"]}},
            {"notebook": "merge", "parameters": {"cohort": "wdbc", "modalities": ["none"]}},
            {"notebook": "signal_interference", "parameters": {"n": 64, "draws": 2}},
        ],
    }
    grid.write_text(yaml.safe_dump(content))
    done = launch(grid, tmp_path / "results")
    assert done.status == 1
    assert "1 of 3 runs finished" in done.said
    failed = [line for line in done.said.splitlines() if line.startswith("failed  ")]
    assert len(failed) == 2
    assert any("unimodal-wdbc" in line and "modality 'none'" in line for line in failed)
    assert any("merge-wdbc" in line and "not finished" in line for line in failed)
    assert "Traceback" not in done.said
    finished = {path.name.split("-")[0] for path in (tmp_path / "results" / "runs").iterdir()}
    assert finished == {"signal_interference"}
    assert not list((tmp_path / "results" / "runs").glob("*wdbc*"))
    assert not list((tmp_path / "results" / "pages").rglob("*.draft*"))
