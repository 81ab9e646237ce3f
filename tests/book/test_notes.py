from __future__ import annotations

import json

import pytest

from mmlego.book.notes import add_note, run_of
from mmlego.errors import RunError
from mmlego.runs.records.status import CURRENT, EARLIER, OUTDATED, SUPERSEDED, Status


@pytest.fixture
def page(tmp_path):
    """An executed notebook that ends with the lines that name its run."""
    cells = [
        {"cell_type": "markdown", "metadata": {}, "source": ["# Title\n"]},
        {"cell_type": "code", "metadata": {}, "source": ["1"],
         "outputs": [{"data": {"text/markdown": ["| Run | `merge-x-1` (quick grid) |\n"]}}]},
    ]  # fmt: skip
    path = tmp_path / "merge.ipynb"
    path.write_text(json.dumps({"cells": cells, "metadata": {}}))
    return path


def _noted(page, state, why=""):
    known = {"merge-x-1": Status("merge-x-1", "merge", "x", state, why)}
    changed = add_note(page, known)
    return changed, json.loads(page.read_text())["cells"]


def test_the_run_of_a_page(page, tmp_path):
    assert run_of(page) == "merge-x-1"
    (tmp_path / "empty.ipynb").write_text("{}")
    assert run_of(tmp_path / "empty.ipynb") == ""


@pytest.mark.parametrize(
    ("state", "why", "words"),
    [
        (EARLIER, "", "made by earlier code"),
        (OUTDATED, "code changed: mmlego.lego.merge", "code changed: mmlego.lego.merge"),
        (SUPERSEDED, "by merge-x-2", "by merge-x-2"),
    ],
)
def test_a_page_that_is_not_current_says_so_under_its_title(page, state, why, words):
    changed, cells = _noted(page, state, why)
    assert changed
    assert [cell["cell_type"] for cell in cells] == ["markdown", "markdown", "code"]
    assert words in "".join(cells[1]["source"])
    again = page.read_text()
    assert _noted(page, state, why)[0]
    assert page.read_text() == again, "one note is enough"


def test_a_current_page_and_one_without_a_record_stay_as_they_are(page):
    before = page.read_text()
    assert not _noted(page, CURRENT)[0]
    assert not add_note(page, {})
    assert page.read_text() == before


def test_what_is_no_notebook_is_named(page):
    page.write_text("| Run | `merge-x-1` |")
    with pytest.raises(RunError, match=r"page merge\.ipynb: is no notebook"):
        _noted(page, EARLIER)
