"""Executed notebooks that the book shows, found by where they lie."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from mmlego.runs.catalogue import CATALOGUE, notebook_entry

UNITS = {
    "patient": "",
    "row": ", splits by row",
    "official": ", official split",
    "official_full": ", official split, no validation part",
    "donor": ", one donor held out",
}


@dataclass(frozen=True)
class Page:
    """One executed notebook.

    Attributes:
        path: File, relative to the project.
        condition: Label of the run's conditions; empty for a page without a cohort.
        cohort: Name of the cohort; empty for a page that belongs to none.
        notebook: Name of the notebook.
        unit: What splits divide, or whose they are; see ``UNITS``.
        own: Whether the reader made it, rather than the authors.
    """

    path: Path
    condition: str
    cohort: str
    notebook: str
    unit: str = "patient"
    own: bool = False

    @property
    def title(self) -> str:
        """Title in the table of contents."""
        name = notebook_entry(self.notebook).title
        about = f"{self.condition}{UNITS[self.unit]}" if self.cohort else ""
        notes = [note for note in (about, "your run" if self.own else "") if note]
        return f"{name} ({', '.join(notes)})" if notes else name


def executed_pages(root: Path, own: Collection[Path] = ()) -> list[Page]:
    """All executed notebooks under ``book/runs``, in reading order.

    Drafts of runs that were killed, and checkpoints of JupyterLab, are hidden and do not count.

    Args:
        root: The project, or the source of the book.
        own: Those of them, relative to it, that the reader made.

    Raises:
        SettingsError: If one of them is of a notebook that is not in the catalogue.
    """
    found = [path.relative_to(root) for path in (root / "book" / "runs").rglob("*.ipynb")]
    shown = [path for path in found if not any(part.startswith(".") for part in path.parts)]
    return sorted((_page(path, path in own) for path in shown), key=_rank)


def _page(path: Path, own: bool) -> Page:
    parts = path.parts[2:]
    name, _, unit = path.stem.partition("-")
    entry = notebook_entry(name, owner=f"page {path}")
    if len(parts) == 1:
        return Page(path, "", "", entry.name, own=own)
    return Page(path, parts[0], parts[1], entry.name, unit or "patient", own)


def _rank(page: Page) -> tuple:
    return (
        page.cohort,
        page.unit != "patient",
        page.condition == "quick",
        page.condition,
        list(CATALOGUE).index(page.notebook),
    )
