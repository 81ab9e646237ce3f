"""Plans of grids: what each run of a grid is, and what it needs before it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from itertools import product
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from mmlego.bench.settings import BlockSettings, RunSettings
from mmlego.data.paths import project_root, published_results, results_folder
from mmlego.errors import RunError
from mmlego.runs.catalogue import notebook_entry
from mmlego.runs.grids.grid_file import Grid, GridEntry, read_grid
from mmlego.runs.runner import check_cohort, done_mark, is_finished, settings_for


class Planned(BaseModel):
    """One run of a grid; the ticket is the file by which Snakemake sees it as done."""

    model_config = ConfigDict(frozen=True)
    run_id: str
    notebook: str
    parameters: dict[str, Any]
    page: Path
    ticket: Path
    needs: tuple[str, ...]
    finished: bool

    @property
    def reads_results(self) -> bool:
        """Whether it reads the results of the others and trains nothing."""
        return notebook_entry(self.notebook).reads_results


def plan(
    path: str | Path, *, results: str = "", given: Mapping[str, Any] | None = None
) -> list[Planned]:
    """Expand a grid into its runs, in an order in which each finds what it needs.

    Args:
        path: Grid file.
        results: Folder of results; default the reader's own.
        given: Parameters that replace those of the grid, in every run that has them.

    Raises:
        SettingsError: If a notebook or parameter is unknown, of the wrong type, or out of range.
        CardError: If a cohort is unknown or its card has a fault.
        RunError: If the grid cannot be read, or two runs would write the same page.
    """
    grid, given = read_grid(path), given or {}
    grid.check_names(given)
    chosen = [settings for entry in grid.runs for settings in _expand(entry, grid, results, given)]
    _check_cohorts(chosen)
    chosen.sort(key=_turn)
    runs = [_planned(settings, chosen) for settings in chosen]
    pages = [run.page for run in runs]
    twice = sorted({str(page) for page in pages if pages.count(page) > 1})
    if twice:
        raise RunError(
            f"grid {grid.name}: several runs would write {twice[0]}; give them different cohorts "
            "or conditions"
        )
    return runs


def _turn(settings: RunSettings) -> int:
    """When a run can start: at once, after those that train blocks, or after all others."""
    entry = notebook_entry(settings.notebook)
    return 2 if entry.reads_results else int(entry.needs_blocks)


def _check_cohorts(chosen: list[RunSettings]) -> None:
    """Look at the card of every cohort once."""
    by_cohort = {getattr(settings, "cohort", ""): settings for settings in chosen}
    for settings in by_cohort.values():
        check_cohort(settings)


def _expand(
    entry: GridEntry, grid: Grid, results: str, given: Mapping[str, Any]
) -> list[RunSettings]:
    """All combinations of the matrix of one entry."""
    fields = notebook_entry(entry.notebook).settings.model_fields
    decided = {"grid": grid.label(entry), "headline": entry.headline, "results": results}
    shared = {name: value for name, value in grid.shared(entry).items() if name in fields}
    forced = {name: value for name, value in given.items() if name in fields}
    shared |= entry.parameters
    crossed = {name: values for name, values in entry.matrix.items() if name not in given}
    return [
        settings_for(
            entry.notebook, shared | dict(zip(crossed, values, strict=True)) | forced | decided
        )
        for values in product(*crossed.values())
    ]


def _planned(settings: RunSettings, chosen: list[RunSettings]) -> Planned:
    results = results_folder(settings.results)
    page = grid_page(settings, results)
    return Planned(
        run_id=settings.run_id,
        notebook=settings.notebook,
        parameters=settings.model_dump(),
        page=page,
        ticket=results / "artifacts" / "tickets" / done_mark(settings, results).name,
        needs=tuple(other.run_id for other in chosen if _is_needed(settings, other)),
        finished=is_finished(settings, page),
    )


def _is_needed(settings: RunSettings, other: RunSettings) -> bool:
    """Whether ``other`` must be finished before ``settings`` can run."""
    entry = notebook_entry(settings.notebook)
    if entry.reads_results:
        return not notebook_entry(other.notebook).reads_results
    if not entry.needs_blocks or other.notebook != "unimodal":
        return False
    if not isinstance(settings, BlockSettings) or not isinstance(other, BlockSettings):
        return False
    return settings.block_signature() == other.block_signature()


def grid_page(settings: RunSettings, results: Path) -> Path:
    """Where the executed notebook of a grid's run goes: the book, unless results are not published.

    The reader's own pages lie beside the reader's own results.
    """
    published = results == published_results()
    folder = project_root() / "book" / "runs" if published else results / "pages"
    name = settings.notebook
    if isinstance(settings, BlockSettings):
        folder = folder / settings.grid / settings.cohort_slug
        name += "" if settings.split_unit == "patient" else f"-{settings.split_unit}"
    return folder / f"{name}.ipynb"


def expected_seconds(run: Planned, results: Path) -> float:
    """How long a run took last time it was made, or a guess where it never was."""
    path = results / "runs" / run.run_id / "record.json"
    try:
        return float(json.loads(path.read_text(encoding="utf-8"))["seconds"]) + 5.0
    except (OSError, ValueError, KeyError):
        return notebook_entry(run.notebook).seconds
