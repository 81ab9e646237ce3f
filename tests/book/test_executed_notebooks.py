from __future__ import annotations

import pytest

from mmlego.book.executed_notebooks import executed_pages
from mmlego.errors import SettingsError


def test_pages_are_found_by_where_they_lie(shelf):
    root, write = shelf
    write("summary.ipynb")
    write("paper/tcga-blca/merge-row.ipynb")
    found = {page.notebook: page for page in executed_pages(root)}
    assert (found["summary"].cohort, found["summary"].title) == ("", "Blocks, merge and fusion")
    merge = found["merge"]
    assert (merge.condition, merge.cohort, merge.unit) == ("paper", "tcga-blca", "row")
    assert merge.title == "Merging blocks (paper, splits by row)"
    assert merge.path.as_posix() == "book/runs/paper/tcga-blca/merge-row.ipynb"


def test_a_page_says_whose_division_it_rests_on(shelf):
    root, write = shelf
    write("a/rosmap/mm_dynamics-official_full.ipynb")
    (page,) = executed_pages(root)
    assert page.title == ("MM dynamics and its ablations (a, official split, no validation part)")


def test_a_page_of_the_reader_says_so(shelf):
    root, write = shelf
    mine = write("quick/wdbc/merge.ipynb").relative_to(root)
    write("quick/wdbc/fuse.ipynb")
    alone = write("table1.ipynb").relative_to(root)
    titles = {page.notebook: page.title for page in executed_pages(root, {mine, alone})}
    assert titles == {
        "merge": "Merging blocks (quick, your run)",
        "fuse": "Fusing blocks (quick)",
        "table1": "The main table (your run)",
    }


def test_a_page_of_an_unknown_notebook_is_an_error(shelf):
    root, write = shelf
    write("paper/a/forgotten.ipynb")
    with pytest.raises(SettingsError, match=r"forgotten\.ipynb: unknown notebook 'forgotten'"):
        executed_pages(root)


def test_reading_order(shelf):
    root, write = shelf
    for name in (
        "paper/a/tuning",
        "paper/a/robustness",
        "paper/a/benchmark",
        "quick/a/unimodal",
        "paper/a/fuse",
        "paper/a/unimodal",
        "paper/a/merge",
        "paper/a/merge-row",
    ):
        write(f"{name}.ipynb")
    order = [
        page.path.relative_to("book/runs").with_suffix("").as_posix()
        for page in executed_pages(root)
    ]
    assert order == [
        "paper/a/benchmark",
        "paper/a/unimodal",
        "paper/a/merge",
        "paper/a/fuse",
        "paper/a/robustness",
        "paper/a/tuning",
        "quick/a/unimodal",
        "paper/a/merge-row",
    ]


def test_drafts_and_checkpoints_are_no_pages(shelf):
    """A run that is killed leaves its draft, and JupyterLab its checkpoints."""
    root, write = shelf
    write("paper/a/unimodal.ipynb")
    write("paper/a/.draft-77-merge.ipynb", ran=False)
    write("paper/a/.ipynb_checkpoints/fuse-checkpoint.ipynb")
    assert [page.notebook for page in executed_pages(root)] == ["unimodal"]


def test_empty_shelf(tmp_path):
    assert executed_pages(tmp_path) == []
