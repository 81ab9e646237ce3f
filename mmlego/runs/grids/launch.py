"""Run a grid through Snakemake and show how far it is."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from mmlego.data.paths import project_root, results_folder
from mmlego.errors import MMLegoError, RunError
from mmlego.runs.grids.grid import Planned, expected_seconds, plan
from mmlego.runs.records.record import question_of, read_records
from mmlego.runs.records.results import collect
from mmlego.runs.runner import run_notebook

_POLL_SECONDS = 0.5


@dataclass(frozen=True)
class GridReport:
    """What became of a grid: ids of the runs that are finished, and of those that are not."""

    finished: tuple[str, ...]
    failed: tuple[str, ...]
    seconds: float


def run_grid(
    path: str | Path,
    *,
    results: str = "",
    given: Mapping[str, Any] | None = None,
    cores: int = 2,
    force: bool = False,
    snakemake: Sequence[str] = (),
    console: Console | None = None,
) -> GridReport:
    """Run whatever of a grid is not finished yet; a failing run stops only those that need it.

    Args:
        path: Grid file.
        results: Folder of results; default the reader's own.
        given: Parameters that replace those of the grid, in every run that has them.
        cores: Runs side by side, one thread each.
        force: Run everything again.
        snakemake: Further options for Snakemake, such as ``--executor slurm``.
        console: Where progress goes.

    Raises:
        SettingsError: If a parameter of the grid, or a given one, cannot be used.
        CardError: If a cohort of the grid cannot be used.
        RunError: If Snakemake is not installed, or the grid cannot be read.
    """
    if importlib.util.find_spec("snakemake") is None:
        raise RunError(
            "grid: Snakemake is not installed; install it with: pip install 'mmlego[book]'"
        )
    console = console or Console()
    started = time.monotonic()
    given = dict(given or {})
    runs = plan(path, results=results, given=given)
    folder = results_folder(results)
    _prepare_tickets(runs, force)
    _set_aside(runs, folder)
    config = {
        "grid": str(Path(path).resolve()),
        "results": str(folder) if results else "",
        "parameters": json.dumps([f"{name}={value}" for name, value in given.items()]),
        "force": int(force),
    }
    command = _command(config, cores, snakemake)
    log = folder / "logs" / "grid.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("w", encoding="utf-8") as stream:
        environment = os.environ | {
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        }
        process = subprocess.Popen(
            command, cwd=project_root(), stdout=stream, stderr=subprocess.STDOUT, env=environment
        )
        try:
            _watch(process, runs, folder, console, cores)
        except BaseException:
            process.terminate()
            process.wait(timeout=30)
            raise
    _read_anyway(runs)
    collect(folder)
    done = tuple(run.run_id for run in runs if run.ticket.is_file())
    failed = tuple(run.run_id for run in runs if not run.ticket.is_file())
    return GridReport(done, failed, time.monotonic() - started)


def _prepare_tickets(runs: Sequence[Planned], force: bool) -> None:
    """A run has a ticket if and only if it is finished, so that Snakemake and the runner agree."""
    for run in runs:
        run.ticket.parent.mkdir(parents=True, exist_ok=True)
        if run.finished and not force:
            run.ticket.touch()
            continue
        run.ticket.unlink(missing_ok=True)
        # The runner goes by its own mark, and the report at the end by the note of a failure.
        artifacts = run.ticket.parents[1]
        (artifacts / "runs" / run.ticket.name).unlink(missing_ok=True)
        (artifacts.parent / "logs" / f"{run.run_id}.error.json").unlink(missing_ok=True)


def _set_aside(runs: Sequence[Planned], folder: Path) -> None:
    """Move records out of the results that answer a question of this grid with other settings.

    They are left from an earlier version of the grid, and would be averaged with the new ones.
    """
    planned = {question_of(run.model_dump()): run.run_id for run in runs}
    for record in read_records(folder):
        place = folder / "runs" / record["run_id"]
        new = planned.get(question_of(record))
        # Published ones, which are read together with the reader's own, stay where they are.
        if new is not None and new != record["run_id"] and place.is_dir():
            old = folder / "artifacts" / "superseded"
            old.mkdir(parents=True, exist_ok=True)
            shutil.rmtree(old / record["run_id"], ignore_errors=True)
            os.replace(place, old / place.name)


def _read_anyway(runs: Sequence[Planned]) -> None:
    """Run what only reads results even if a run before it failed: the rest is worth reading."""
    for run in runs:
        if run.reads_results and not run.ticket.is_file():
            with contextlib.suppress(MMLegoError):
                run_notebook(run.notebook, run.parameters, page=run.page, threads=1)
                run.ticket.touch()


def job_words(
    grid: str, run_id: str, *, results: str, given: Mapping[str, Any], force: bool
) -> list[str]:
    """Words after ``mmlego run`` that make one run of a grid."""
    words = ["--grid", grid, "--only", run_id]
    words += ["--results", results] if results else []
    words += [word for name, value in given.items() for word in ("-p", f"{name}={value}")]
    return words + (["--force"] if force else [])


def _command(config: Mapping[str, object], cores: int, options: Sequence[str]) -> list[str]:
    return [
        sys.executable,
        "-m",
        "snakemake",
        "--snakefile",
        str(project_root() / "experiments" / "Snakefile"),
        "--cores",
        str(cores),
        "--keep-going",
        "--rerun-triggers",
        "params",
        "--nolock",
        "--config",
        *(f"{name}={value}" for name, value in config.items()),
        *options,
    ]


def _watch(
    process: subprocess.Popen, runs: Sequence[Planned], folder: Path, console: Console, cores: int
) -> None:
    """Show runs done, current runs, time passed, and an estimate, until Snakemake ends."""
    weights = {run.run_id: expected_seconds(run, folder) for run in runs}
    waiting = [run for run in runs if not run.ticket.is_file()]
    todo = sum(weights[run.run_id] for run in waiting)
    started = time.monotonic()
    bar = Progress(
        TextColumn("[bold]runs"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.fields[left]}"),
        TextColumn("[dim]{task.fields[current]}"),
        console=console,
    )
    task = bar.add_task(
        "runs", total=len(runs), completed=len(runs) - len(waiting), left="", current="starting"
    )
    shown = console.is_terminal
    with Live(bar, console=console, refresh_per_second=4) if shown else _Quiet():
        while process.poll() is None:
            time.sleep(_POLL_SECONDS)
            still = [run for run in waiting if not run.ticket.is_file()]
            finished = [run.run_id for run in waiting if run not in still]
            passed = time.monotonic() - started
            left = _estimate(passed, todo, sum(weights[run.run_id] for run in still), cores)
            for name in finished:
                count = f"{len(runs) - len(still)} of {len(runs)}, after {passed / 60:.1f} min"
                console.print(f"done  {name}  ({count}, {left})", soft_wrap=True)
            waiting = still
            bar.update(
                task, completed=len(runs) - len(still), left=left, current=_current(still, folder)
            )


class _Quiet:
    """Stands in for the live display where output is not a terminal."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, *_: object) -> None:
        return None


def _estimate(passed: float, todo: float, left: float, cores: int) -> str:
    """Time left: at the pace so far once something is done, at last time's pace before."""
    pace = passed / (todo - left) if todo > left else 1.0 / cores
    return f"about {max(1, round(left * pace / 60))} min left" if left else "finishing"


def _current(waiting: Sequence[Planned], folder: Path) -> str:
    """The runs whose log has been opened, which are the ones that run now."""
    logs = {run.run_id: folder / "logs" / f"{run.run_id}.log" for run in waiting}
    recent = [
        name
        for name, log in logs.items()
        if log.is_file() and time.time() - log.stat().st_mtime < 900
    ]
    return ", ".join(recent[:2]) or "starting"


def failure_lines(report: GridReport, results: str = "") -> list[str]:
    """Why each unfinished run is unfinished, one line each."""
    folder = results_folder(results)
    lines = []
    for run_id in report.failed:
        note = folder / "logs" / f"{run_id}.error.json"
        reason = f"not finished, or a run that it needs was not; see {folder / 'logs' / 'grid.log'}"
        if note.is_file():
            reason = json.loads(note.read_text(encoding="utf-8"))["error"]
        lines.append(f"{run_id}: {reason}")
    return lines
