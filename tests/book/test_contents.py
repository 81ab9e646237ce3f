from __future__ import annotations

import yaml

from mmlego.book.contents import contents, contents_text
from mmlego.book.executed_notebooks import executed_pages
from mmlego.data.cards.catalog import list_cards
from mmlego.runs.catalogue import CATALOGUE

CARDS = {card.name: card for card in list_cards()}


def _files(node):
    if isinstance(node, dict):
        yield from (value for key, value in node.items() if key in ("file", "root"))
        node = list(node.values())
    if isinstance(node, list):
        for item in node:
            yield from _files(item)


def test_every_card_is_a_chapter_and_every_page_is_listed_once(shelf):
    root, write = shelf
    for name in ("summary", "signal_interference", "paper/tcga-blca/unimodal", "paper/wdbc/merge"):
        write(f"{name}.ipynb")
    pages = executed_pages(root)
    files = list(_files(contents(CARDS, pages)))
    assert len(files) == len(set(files))
    assert {page.path.with_suffix("").as_posix() for page in pages} <= set(files)
    assert {f"book/generated/data/{name}" for name in CARDS} <= set(files)


def test_pages_of_no_cohort_are_parts_of_the_answer_or_of_the_methods(shelf):
    root, write = shelf
    names = [name for name, entry in CATALOGUE.items() if not entry.has_cohort]
    for name in names:
        write(f"{name}.ipynb")
    parts = {
        part["caption"]: part["chapters"] for part in contents(CARDS, executed_pages(root))["parts"]
    }
    runs = {
        caption: [c["file"].split("/")[-1] for c in chapters if "/runs/" in c["file"]]
        for caption, chapters in parts.items()
    }
    assert runs["The answer"] == ["table1", "protocol_worth", "summary", "amc_overview"]
    assert sorted(runs["The answer"] + runs["Methods"]) == sorted(names)
    assert parts["The answer"][0]["title"] == "The main table"


def test_written_pages_exist(repository):
    files = [name for name in _files(contents(CARDS, [])) if "generated" not in name]
    missing = [name for name in files if not (repository / f"{name}.md").is_file()]
    assert missing == []


def test_every_written_page_is_in_the_contents(repository):
    files = set(_files(contents(CARDS, [])))
    written = {
        path.relative_to(repository).with_suffix("").as_posix()
        for path in (
            *(repository / "book").glob("*.md"),
            *(repository / "book/methods").glob("*.md"),
        )
    }
    assert written <= files


def test_text_reads_back(shelf):
    root, write = shelf
    write("paper/wdbc/merge.ipynb")
    pages = executed_pages(root)
    assert yaml.safe_load(contents_text(CARDS, pages)) == contents(CARDS, pages)
    assert contents_text(CARDS, pages) == contents_text(CARDS, executed_pages(root))
