"""The table of contents of the book.

Fixed chapters, and a chapter for every cohort that has a card.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import yaml

from mmlego.book.executed_notebooks import Page
from mmlego.data.cards.card import Card
from mmlego.methods.registry import method_pages
from mmlego.runs.catalogue import names_in_order

_HOW = ["reproduce", "run_one", "own_cohort", "library", "api", "glossary", "references"]


def contents(cards: Mapping[str, Card], pages: Sequence[Page]) -> dict[str, Any]:
    """Table of contents in the format of Jupyter Book 1; cards by the name of their files."""
    alone = {page.notebook: page for page in pages if not page.cohort}
    answer = [_entry(alone[name]) for name in names_in_order("answer") if name in alone]
    extra = [_entry(alone[name]) for name in names_in_order("checks") if name in alone]
    return {
        "format": "jb-book",
        "root": "book/index",
        "parts": [
            {
                "caption": "The answer",
                "chapters": [*answer, {"file": "book/how_sure"}, {"file": "book/protocol"}],
            },
            {
                "caption": "Results by data set",
                "chapters": [{"file": "book/data"}, *_cohorts(cards, pages)],
            },
            {
                "caption": "Methods",
                "chapters": [*({"file": page} for page in _method_pages()), *extra],
            },
            {"caption": "Do it yourself", "chapters": [{"file": f"book/{name}"} for name in _HOW]},
        ],
    }


def _method_pages() -> tuple[str, ...]:
    return (*method_pages(), "book/methods/contradictions")


def _entry(page: Page) -> dict[str, str]:
    return {"file": page.path.with_suffix("").as_posix(), "title": page.title}


def _cohorts(cards: Mapping[str, Card], pages: Sequence[Page]) -> list[dict[str, Any]]:
    """One chapter per card, with the executed notebooks of that cohort as sections."""
    chapters = []
    for slug in cards:
        chapter: dict[str, Any] = {"file": f"book/generated/data/{slug}"}
        sections = [_entry(page) for page in pages if page.cohort == slug]
        chapters.append(chapter | ({"sections": sections} if sections else {}))
    return chapters


def contents_text(cards: Mapping[str, Card], pages: Sequence[Page]) -> str:
    """The table of contents as the text of a file."""
    head = "# Written by `mmlego book prepare` from the cards and the executed notebooks.\n"
    return head + yaml.safe_dump(contents(cards, pages), sort_keys=False, allow_unicode=True)
