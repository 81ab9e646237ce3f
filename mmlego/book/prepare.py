"""Write everything of the book that is generated."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from mmlego.book.contents import contents_text
from mmlego.book.datasets import dataset_index, dataset_page
from mmlego.book.executed_notebooks import Page, executed_pages
from mmlego.book.home import answer_page
from mmlego.book.notes import add_note
from mmlego.book.source import CONTENTS, GENERATED, assemble, own_pages
from mmlego.data.cards.card import Card
from mmlego.data.cards.catalog import list_cards, load_card
from mmlego.data.paths import project_root, results_folder
from mmlego.runs.files import write_text
from mmlego.runs.records.record import read_records
from mmlego.runs.records.results import collect
from mmlego.runs.records.status import statuses


def prepare(root: Path | None = None, results: Path | None = None) -> list[Path]:
    """Put the source of the book together, with its generated pages and table of contents.

    These are the answer on the home page, the pages of data sets, and their index. Nothing outside
    of ``_build`` and of the reader's own results is written.

    Args:
        root: The project; default that of the working directory.
        results: Folder of results; default the reader's own, with the published ones below it.

    Returns:
        The files generated.
    """
    root = root or project_root()
    results = results or results_folder()
    collect(results)
    source = assemble(root, results)
    pages = executed_pages(source, own_pages(results))
    known = {one.run_id: one for one in statuses(results, data=False)}
    for page in pages:
        add_note(source / page.path, known)
    cards = shown_cards(root, results, pages)
    generated = source / GENERATED
    written = [
        write_text(generated / "answer.md", answer_page(results, generated)),
        write_text(generated / "data_index.md", dataset_index(cards, pages)),
        write_text(source / CONTENTS, contents_text(cards, pages)),
    ]
    return written + [
        write_text(generated / "data" / f"{slug}.md", dataset_page(slug, card, pages))
        for slug, card in cards.items()
    ]


def shown_cards(root: Path, results: Path, pages: Sequence[Page]) -> dict[str, Card]:
    """Cards of all data sets of the book, and cards of one's own that shown runs were made with.

    A card of one's own goes by the name of its file, as the pages of its runs do.
    """
    cards = {card.name: card for card in list_cards()}
    shown = {page.cohort for page in pages}
    for record in read_records(results):
        path = root / record["parameters"].get("cohort", "")
        if path.is_file() and path.stem.lower() in shown:
            cards.setdefault(path.stem.lower(), load_card(path))
    return cards
