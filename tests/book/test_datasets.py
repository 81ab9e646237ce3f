from __future__ import annotations

from pathlib import Path

import pytest

from mmlego.book.datasets import dataset_index, dataset_page
from mmlego.book.executed_notebooks import Page
from mmlego.data.cards.catalog import card_paths, list_cards, load_card

NAMES = sorted(card_paths())
CARDS = {card.name: card for card in list_cards()}


@pytest.mark.parametrize("name", NAMES)
def test_a_page_says_what_the_card_says(name):
    card = load_card(name)
    text = dataset_page(name, card, [])
    assert text.startswith(f"# {card.title}\n")
    for modality in card.modalities:
        assert f"| `{modality}` |" in text
    assert card.licence in text
    assert all(note in text for note in card.notes)
    assert f"mmlego run unimodal -p cohort={name}" in text
    assert "None" not in text
    if card.expected:
        assert f"| samples | {card.expected.samples:,} |" in text


def test_a_page_links_to_the_results_of_its_own_cohort_only():
    pages = [
        Page(Path("book/runs/paper/wdbc/merge.ipynb"), "paper", "wdbc", "merge"),
        Page(Path("book/runs/paper/transbig/merge.ipynb"), "paper", "transbig", "merge"),
    ]
    text = dataset_page("wdbc", load_card("wdbc"), pages)
    assert "book/runs/paper/wdbc/merge.ipynb" in text
    assert "transbig" not in text


def test_tables_are_whole():
    """Every row of a table has as many cells as its head, so nothing in a card breaks it."""
    texts = [dataset_page(name, card, []) for name, card in CARDS.items()]
    texts.append(dataset_index(CARDS, []))
    for text in texts:
        for block in text.split("\n\n"):
            rows = [line for line in block.splitlines() if line.startswith("|")]
            assert len({line.count("|") for line in rows}) <= 1, rows


def test_index_has_a_row_per_card():
    pages = [Page(Path("x"), "paper", "wdbc", "merge")] * 2
    text = dataset_index(CARDS, pages)
    rows = [line for line in text.splitlines() if line.startswith("| [")]
    assert len(rows) == len(NAMES)
    assert next(row for row in rows if "wdbc" in row).endswith("| 2 |")
