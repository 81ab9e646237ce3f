"""Executed notebooks that the book shows, found by where they lie."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

ORDER = (
    "benchmark",
    "unimodal",
    "merge",
    "fuse",
    "robustness",
    "disjoint_training",
    "block_ablations",
    "weight_merging",
    "mm_dynamics",
    "tcp_confidence",
    "image_dynamics",
    "amc",
    "amc_ablations",
    "token_rebalancing",
    "tuning",
)
UNITS = {
    "patient": "",
    "row": ", splits by row",
    "official": ", official split",
    "official_full": ", official split, no validation part",
    "donor": ", one donor held out",
}
TITLES = {
    "benchmark": "Every method",
    "unimodal": "One modality at a time",
    "merge": "Merging blocks",
    "fuse": "Fusing blocks",
    "robustness": "Missing modalities, imbalance, extension",
    "disjoint_training": "Training on different patients",
    "block_ablations": "Taking the block apart",
    "weight_merging": "Merging weights instead",
    "mm_dynamics": "MM dynamics and its ablations",
    "tcp_confidence": "What predicted confidence is worth",
    "image_dynamics": "MM dynamics with images",
    "amc": "AMC and its rivals",
    "amc_ablations": "Taking AMC apart",
    "token_rebalancing": "Which tokens are replaced",
    "tuning": "Searching hyper-parameters",
    "table1": "The main table",
    "protocol_worth": "What the protocol is worth",
    "summary": "Blocks, merge and fusion",
    "amc_overview": "AMC over its data sets",
    "signal_interference": "Signal interference",
    "properties": "Properties of the transform",
    "requirements": "Five requirements, checked",
    "efficiency": "Time, memory and scaling",
}


@dataclass(frozen=True)
class Page:
    """One executed notebook.

    Attributes:
        path: File, relative to the project.
        grid: Name of the grid; empty for a page that belongs to none.
        cohort: Name of the cohort; empty for a page that belongs to none.
        notebook: Name of the notebook.
        unit: What splits divide, or whose they are; see ``UNITS``.
    """

    path: Path
    grid: str
    cohort: str
    notebook: str
    unit: str = "patient"

    @property
    def title(self) -> str:
        """Title in the table of contents."""
        name = TITLES.get(self.notebook, self.notebook)
        if not self.cohort:
            return name
        return f"{name} ({self.grid} grid{UNITS.get(self.unit, '')})"


def executed_pages(root: Path) -> list[Page]:
    """All executed notebooks under ``book/runs``, in reading order.

    Drafts of runs that were killed, and checkpoints of JupyterLab, are hidden and do not count.
    """
    found = [path.relative_to(root) for path in (root / "book" / "runs").rglob("*.ipynb")]
    shown = [path for path in found if not any(part.startswith(".") for part in path.parts)]
    return sorted(map(_page, shown), key=_rank)


def _page(path: Path) -> Page:
    parts = path.parts[2:]
    notebook, _, unit = path.stem.partition("-")
    if len(parts) == 1:
        return Page(path, "", "", path.stem)
    return Page(path, parts[0], parts[1], notebook, unit or "patient")


def _rank(page: Page) -> tuple:
    place = ORDER.index(page.notebook) if page.notebook in ORDER else len(ORDER)
    return (
        page.cohort,
        page.unit != "patient",
        page.grid == "quick",
        page.grid,
        place,
        page.notebook,
    )
