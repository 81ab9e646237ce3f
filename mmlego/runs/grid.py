"""Grids: which notebooks run with which parameters, and what each needs before it."""

from __future__ import annotations

import json
from itertools import product
from pathlib import Path
from typing import Annotated, Any

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from mmlego.data.paths import project_root, results_folder
from mmlego.errors import RunError, SettingsError
from mmlego.runs.runner import READS_RESULTS_ONLY, done_mark, is_finished, settings_for
from mmlego.runs.settings import SETTINGS, BlockSettings, RunSettings, unknown_name

NEEDS_BLOCKS = ("merge", "fuse", "weight_merging")


class GridEntry(BaseModel):
    """One line of a grid: a notebook, fixed parameters, and parameters to cross."""

    model_config = ConfigDict(extra="forbid")
    notebook: str
    parameters: dict[str, Any] = Field(default_factory=dict)
    matrix: dict[str, Annotated[list[Any], Field(min_length=1)]] = Field(default_factory=dict)


class Grid(BaseModel):
    """A grid file."""

    model_config = ConfigDict(extra="forbid")
    name: str = Field(pattern=r"^[a-z0-9_-]+$")
    description: str
    defaults: dict[str, Any] = Field(default_factory=dict)
    runs: list[GridEntry] = Field(min_length=1)


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


def read_grid(path: str | Path) -> Grid:
    """Read and check a grid file.

    Raises:
        RunError: If it cannot be read, or a field is unknown or of the wrong type.
    """
    try:
        return Grid(**yaml.safe_load(Path(path).read_text(encoding="utf-8")))
    except OSError as problem:
        raise RunError(f"grid {path}: cannot be read ({problem.strerror})") from None
    except (yaml.YAMLError, UnicodeDecodeError, TypeError) as problem:
        text = " ".join(str(problem).split())
        raise RunError(f"grid {path}: is no YAML file of a grid ({text})") from None
    except ValidationError as problem:
        first = problem.errors()[0]
        field = ".".join(str(part) for part in first["loc"])
        raise RunError(f"grid {path}: field '{field}': {first['msg'].lower()}") from None


def plan(path: str | Path, *, results: str = "") -> list[Planned]:
    """Expand a grid into its runs, in an order in which each finds what it needs.

    Raises:
        SettingsError: If a parameter is unknown, of the wrong type, or out of range.
        RunError: If the grid cannot be read, or two runs would write the same page.
    """
    grid = read_grid(path)
    chosen = [settings for entry in grid.runs for settings in _expand(entry, grid, results)]
    _check_defaults(grid)
    chosen.sort(key=_turn)
    runs = [_planned(settings, chosen) for settings in chosen]
    pages = [run.page for run in runs]
    twice = sorted({str(page) for page in pages if pages.count(page) > 1})
    if twice:
        raise RunError(
            f"grid {grid.name}: several runs would write {twice[0]}; give them different cohorts "
            "or grids"
        )
    return runs


def _turn(settings: RunSettings) -> int:
    """When a run can start: at once, after those that train blocks, or after all others."""
    if settings.notebook in READS_RESULTS_ONLY:
        return 2
    return 1 if settings.notebook in NEEDS_BLOCKS else 0


def _check_defaults(grid: Grid) -> None:
    known = {
        name
        for entry in grid.runs
        for name in SETTINGS.get(entry.notebook, RunSettings).model_fields
    }
    for name in grid.defaults:
        if name not in known:
            raise SettingsError(unknown_name(f"grid '{grid.name}', defaults", name, known))


def _expand(entry: GridEntry, grid: Grid, results: str) -> list[RunSettings]:
    """All combinations of the matrix of one entry."""
    if entry.notebook not in SETTINGS:
        raise SettingsError(
            unknown_name(f"grid '{grid.name}'", entry.notebook, SETTINGS, what="notebook")
        )
    fields = SETTINGS[entry.notebook].model_fields
    shared = {name: value for name, value in grid.defaults.items() if name in fields}
    shared |= entry.parameters | {"grid": grid.name, "results": results}
    names = list(entry.matrix)
    return [
        settings_for(entry.notebook, shared | dict(zip(names, values, strict=True)))
        for values in product(*entry.matrix.values())
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
    if settings.notebook in READS_RESULTS_ONLY:
        return other.notebook not in READS_RESULTS_ONLY
    if settings.notebook not in NEEDS_BLOCKS or other.notebook != "unimodal":
        return False
    if not isinstance(settings, BlockSettings) or not isinstance(other, BlockSettings):
        return False
    return settings.block_signature() == other.block_signature()


def grid_page(settings: RunSettings, results: Path) -> Path:
    """Where the executed notebook of a grid's run goes: the book, unless results go elsewhere."""
    own = results == results_folder()
    folder = project_root() / "book" / "runs" if own else results / "pages"
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
        guesses = {"unimodal": 40.0, "merge": 20.0, "fuse": 30.0, "benchmark": 90.0}
        return guesses.get(run.notebook, 10.0)
