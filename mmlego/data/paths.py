"""Where things lie in a project: notebooks, grids, results, executed pages."""

from __future__ import annotations

from pathlib import Path

from mmlego.errors import RunError

_MARKS = ("notebooks", "experiments")


def project_root(start: str | Path | None = None) -> Path:
    """Find the folder that holds ``notebooks/`` and ``experiments/``.

    Looks upwards from ``start`` (default: the working directory), then beside the package, so that
    it answers the same in a terminal, in a notebook opened in JupyterLab, and in a run by
    papermill.

    Raises:
        RunError: If neither place belongs to a project.
    """
    here = Path(start) if start is not None else Path.cwd()
    for folder in (here.resolve(), *here.resolve().parents, Path(__file__).resolve().parents[2]):
        if all((folder / mark).is_dir() for mark in _MARKS):
            return folder
    raise RunError(
        f"project: expected a folder with {' and '.join(_MARKS)} at or above {here}, found none; "
        "run the command inside a clone of the compendium"
    )


def published_results() -> Path:
    """The folder of the published results, which are part of the repository."""
    return project_root() / "results"


def results_folder(results: str | Path = "") -> Path:
    """The folder that a run writes to: ``results`` where given, else ``results/local``.

    What a reader runs is not part of the repository, so that a clone stays clean.
    """
    if str(results):
        return Path(results).expanduser().resolve()
    return published_results() / "local"


def published_below(results: Path) -> Path | None:
    """The published results that a reader's own are read together with; None for other folders."""
    return published_results() if results == results_folder() else None
