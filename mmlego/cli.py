"""The command line: ``mmlego run``, ``mmlego data``, ``mmlego results``, ``mmlego book``."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated, cast

import typer

from mmlego._version import __version__
from mmlego.errors import MMLegoError, SettingsError

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Merge and fuse biomedical modalities, and compare every way of doing it.",
)
results_app = typer.Typer(no_args_is_help=True, help="Results of all runs.")
book_app = typer.Typer(no_args_is_help=True, help="The book.")


def _version(show: bool) -> None:
    if show:
        typer.echo(__version__)
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """Merge and fuse biomedical modalities, and compare every way of doing it."""


@app.command()
def run(
    notebook: Annotated[
        str | None, typer.Argument(help="Name of a notebook, such as unimodal.")
    ] = None,
    parameter: Annotated[
        list[str] | None,
        typer.Option("-p", "--parameter", help="name=value; may be given several times."),
    ] = None,
    params_file: Annotated[
        Path | None, typer.Option("-f", help="YAML file with parameters.")
    ] = None,
    grid: Annotated[
        Path | None, typer.Option(help="Run a whole grid, such as experiments/quick.yaml.")
    ] = None,
    only: Annotated[str | None, typer.Option(help="Run one run of the grid, by its id.")] = None,
    results: Annotated[
        str, typer.Option(help="Folder of results; default results/local, which git ignores.")
    ] = "",
    publish: Annotated[
        bool,
        typer.Option("--publish", help="Write to the published results and pages of the project."),
    ] = False,
    output: Annotated[
        Path | None, typer.Option("-o", help="Where the executed notebook goes.")
    ] = None,
    cores: Annotated[int, typer.Option(min=1, help="Runs side by side in a grid.")] = 2,
    force: Annotated[bool, typer.Option(help="Run even what is finished.")] = False,
    snakemake: Annotated[str, typer.Option(help="Further options for Snakemake.")] = "",
) -> None:
    """Run one notebook, or a grid of them, with papermill."""
    if (notebook is None) == (grid is None):
        raise SettingsError(
            "run: expected either the name of a notebook or --grid, got both or neither"
        )
    if grid is None and only is not None:
        raise SettingsError("run: --only names a run of a grid; give the grid with --grid")
    if grid is not None and (params_file or output):
        raise SettingsError(
            "run: -f and -o are for one notebook; -p replaces a parameter in a whole grid"
        )
    results = _where(results, publish)
    given = _from_file(params_file) | _pairs(parameter)
    if grid is not None and only is None:
        _run_grid(grid, given, results, cores, force, snakemake)
    elif grid is not None and only is not None:
        _run_planned(grid, only, given, results, force)
    elif notebook is not None:
        _run_one(notebook, given | ({"results": results} if results else {}), output, force)


def _where(results: str, publish: bool) -> str:
    """The folder of results: the given one, the published one, or the reader's own if empty."""
    from mmlego.data.paths import published_results

    if results and publish:
        raise SettingsError("--publish names the project's own results; leave out --results")
    return str(published_results()) if publish else results


def _pairs(texts: list[str] | None) -> dict[str, str]:
    """``name=value`` texts as a mapping."""
    from mmlego.runs.notebooks import given_parameters

    return given_parameters(texts or [])


def _from_file(path: Path | None) -> dict:
    if path is None:
        return {}
    import yaml

    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as problem:
        text = " ".join(str(problem).split())
        raise SettingsError(f"parameters file {path}: cannot be read ({text})") from None
    if not isinstance(values, dict):
        raise SettingsError(
            f"parameters file {path}: expected names and values, got {type(values).__name__}"
        )
    return values


def _run_one(notebook: str, given: dict, output: Path | None, force: bool) -> None:
    from mmlego.runs.runner import run_notebook

    report = run_notebook(notebook, given, page=output, force=force)
    if report.status == "kept":
        typer.echo(
            f"{report.run_id}: already finished with the same parameters and code; --force runs it "
            "again"
        )
    else:
        typer.echo(f"{report.run_id}: done in {report.seconds:.0f} s")
    typer.echo(f"executed notebook: {_short(report.page)}")


def _run_planned(grid: Path, only: str, given: dict, results: str, force: bool) -> None:
    """One run of a grid, as Snakemake calls it.

    The reason of a failure is kept for the final report.
    """
    from mmlego.data.paths import results_folder
    from mmlego.runs.files import write_text
    from mmlego.runs.grids.grid import plan
    from mmlego.runs.runner import run_notebook

    planned = {item.run_id: item for item in plan(grid, results=results, given=given)}
    if only not in planned:
        raise SettingsError(f"grid {grid}: has no run '{only}'; choose from {sorted(planned)}")
    chosen = planned[only]
    note = results_folder(results) / "logs" / f"{only}.error.json"
    note.unlink(missing_ok=True)
    try:
        run_notebook(chosen.notebook, chosen.parameters, page=chosen.page, force=force, threads=1)
    except MMLegoError as problem:
        write_text(note, json.dumps({"error": str(problem)}))
        raise


def _run_grid(
    grid: Path, given: dict, results: str, cores: int, force: bool, snakemake: str
) -> None:
    import shlex

    from mmlego.runs.grids.launch import failure_lines, run_grid

    report = run_grid(
        grid,
        results=results,
        given=given,
        cores=cores,
        force=force,
        snakemake=shlex.split(snakemake),
    )
    typer.echo(
        f"{len(report.finished)} of {len(report.finished) + len(report.failed)} runs finished"
    )
    if report.failed:
        for line in failure_lines(report, results):
            typer.echo(f"failed  {line}", err=True)
        raise typer.Exit(1)


@app.command()
def plan(
    grid: Annotated[Path, typer.Argument(help="Grid file.")],
    parameter: Annotated[
        list[str] | None,
        typer.Option("-p", "--parameter", help="name=value, for every run that has the name."),
    ] = None,
    results: Annotated[str, typer.Option(help="Folder of results.")] = "",
    publish: Annotated[bool, typer.Option("--publish", help="The published results.")] = False,
) -> None:
    """Show the runs of a grid, and which are finished, without running anything."""
    from mmlego.runs.grids.grid import plan as plan_of

    for item in plan_of(grid, results=_where(results, publish), given=_pairs(parameter)):
        typer.echo(
            f"{'finished' if item.finished else 'to do':<9} {item.run_id}  {_short(item.page)}"
        )


@app.command()
def tune(
    cohort: Annotated[str, typer.Argument(help="Name of a data card, or path to your own.")],
    parameter: Annotated[
        list[str] | None,
        typer.Option("-p", "--parameter", help="name=value; may be given several times."),
    ] = None,
    params_file: Annotated[
        Path | None, typer.Option("-f", help="YAML file with parameters.")
    ] = None,
    results: Annotated[str, typer.Option(help="Folder of results.")] = "",
) -> None:
    """Search hyper-parameters on validation parts, and write the file that runs read.

    A search that was cut short goes on where it stopped.
    """
    from mmlego.bench.settings import TuningSettings
    from mmlego.bench.tuning.search import search, storage_path
    from mmlego.runs.runner import settings_for
    from mmlego.runs.session import Session
    from mmlego.studies.search.run import write_chosen

    given = _from_file(params_file) | _pairs(parameter) | {"cohort": cohort}
    session = Session(settings_for("tuning", given | ({"results": results} if results else {})))
    settings = cast(TuningSettings, session.settings)
    storage = storage_path(session.results, session.cohort.name)
    studies = search(session.folds, settings, storage, log=typer.echo)
    typer.echo(f"written: {_short(write_chosen(session.cohort.name, studies, settings))}")


@results_app.command("collect")
def results_collect(
    results: Annotated[str, typer.Option(help="Folder of results.")] = "",
    publish: Annotated[bool, typer.Option("--publish", help="The published results.")] = False,
) -> None:
    """Make the table of results anew from the records of all runs, by default in results/local."""
    from mmlego.data.paths import results_folder
    from mmlego.runs.records.results import collect

    frame = collect(results_folder(_where(results, publish)))
    typer.echo(f"{len(frame)} rows from {frame['run_id'].nunique()} runs")


@results_app.command("status")
def results_status(
    results: Annotated[str, typer.Option(help="Folder of results.")] = "",
    data: Annotated[bool, typer.Option(help="Load cohorts to see whether data changed.")] = True,
) -> None:
    """Say of every published record whether it is current, outdated (and why), or superseded."""
    from collections import Counter

    from rich.console import Console
    from rich.table import Table

    from mmlego.data.paths import published_results
    from mmlego.runs.records.status import statuses

    found = statuses(Path(results) if results else published_results(), data=data)
    table = Table("run", "state", "why", box=None)
    for one in found:
        table.add_row(one.run_id, one.state, one.why)
    Console().print(table)
    counts = Counter(one.state for one in found)
    typer.echo(", ".join(f"{count} {state}" for state, count in sorted(counts.items())))


@book_app.command("prepare")
def book_prepare() -> None:
    """Put the source of the book together under _build/source, with all that is generated."""
    from mmlego.book.prepare import prepare

    for path in prepare():
        typer.echo(_short(path))


@book_app.command("build")
def book_build() -> None:
    """Build the book from the executed notebooks, with warnings as errors."""
    from mmlego.book.build import build

    typer.echo(f"Open {build()} in a browser")


def _short(path: Path) -> str:
    """A path relative to the working directory where that is shorter."""
    try:
        return str(path.resolve().relative_to(Path.cwd()))
    except ValueError:
        return str(path)


def _mount() -> None:
    from mmlego.data.commands import app as data_app

    app.add_typer(data_app, name="data")
    app.add_typer(results_app, name="results")
    app.add_typer(book_app, name="book")


def main() -> None:
    """Entry point: an error of this package is one line, not a traceback."""
    _mount()
    try:
        app()
    except MMLegoError as problem:
        typer.echo(f"error: {problem}", err=True)
        sys.exit(1)
