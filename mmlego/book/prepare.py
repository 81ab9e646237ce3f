"""Write everything of the book that is generated."""

from __future__ import annotations

from pathlib import Path

from mmlego.book.contents import contents_text
from mmlego.book.datasets import dataset_index, dataset_page
from mmlego.book.home import answer_page
from mmlego.book.pages import executed_pages
from mmlego.data.catalog import list_cards
from mmlego.experiments.paths import project_root, results_folder
from mmlego.experiments.record import write_text


def prepare(root: Path | None = None, results: Path | None = None) -> list[Path]:
    """Write the home answer, the pages of data sets, their index, and the table of contents.

    Returns:
        The files written.
    """
    root = root or project_root()
    cards, pages = list_cards(), executed_pages(root)
    generated = root / "book" / "generated"
    written = [
        write_text(generated / "answer.md", answer_page(results or results_folder(), generated)),
        write_text(generated / "data_index.md", dataset_index(cards, pages)),
        write_text(root / "book" / "_toc.yml", contents_text(cards, pages)),
    ]
    return written + [
        write_text(generated / "data" / f"{card.name}.md", dataset_page(card, pages))
        for card in cards
    ]
