"""Write everything of the book that is generated."""

from __future__ import annotations

from pathlib import Path

from mmlego.book.contents import contents_text
from mmlego.book.datasets import dataset_index, dataset_page
from mmlego.book.home import answer_page
from mmlego.book.pages import executed_pages
from mmlego.data.cards.card import Card
from mmlego.data.cards.catalog import list_cards, load_card
from mmlego.data.paths import project_root, results_folder
from mmlego.runs.files import write_text
from mmlego.runs.record import read_records


def prepare(root: Path | None = None, results: Path | None = None) -> list[Path]:
    """Write the home answer, the pages of data sets, their index, and the table of contents.

    Returns:
        The files written.
    """
    root = root or project_root()
    results = results or results_folder()
    cards, pages = shown_cards(root, results), executed_pages(root)
    generated = root / "book" / "generated"
    written = [
        write_text(generated / "answer.md", answer_page(results, generated)),
        write_text(generated / "data_index.md", dataset_index(cards, pages)),
        write_text(root / "book" / "_toc.yml", contents_text(cards, pages)),
    ]
    return written + [
        write_text(generated / "data" / f"{slug}.md", dataset_page(slug, card, pages))
        for slug, card in cards.items()
    ]


def shown_cards(root: Path, results: Path) -> dict[str, Card]:
    """Cards of all data sets of the book, and cards of one's own that shown runs were made with.

    A card of one's own goes by the name of its file, as the pages of its runs do.
    """
    cards = {card.name: card for card in list_cards()}
    shown = {page.cohort for page in executed_pages(root)}
    for record in read_records(results):
        path = root / record["parameters"].get("cohort", "")
        if path.is_file() and path.stem.lower() in shown:
            cards.setdefault(path.stem.lower(), load_card(path))
    return cards
