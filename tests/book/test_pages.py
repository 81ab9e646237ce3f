from __future__ import annotations

from mmlego.book.pages import ORDER, TITLES, executed_pages
from mmlego.runs.settings import SETTINGS, BlockSettings


def test_pages_are_found_by_where_they_lie(shelf):
    root, write = shelf
    write("summary.ipynb")
    write("paper/tcga-blca/merge-row.ipynb")
    found = {page.notebook: page for page in executed_pages(root)}
    assert (found["summary"].cohort, found["summary"].title) == ("", "Blocks, merge and fusion")
    merge = found["merge"]
    assert (merge.grid, merge.cohort, merge.unit) == ("paper", "tcga-blca", "row")
    assert merge.title == "Merging blocks (paper grid, splits by row)"
    assert merge.path.as_posix() == "book/runs/paper/tcga-blca/merge-row.ipynb"


def test_a_page_says_whose_division_it_rests_on(shelf):
    root, write = shelf
    write("a/rosmap/mm_dynamics-official_full.ipynb")
    (page,) = executed_pages(root)
    assert page.title == (
        "MM dynamics and its ablations (a grid, official split, no validation part)"
    )


def test_every_notebook_has_a_title_and_those_of_a_cohort_a_place():
    assert set(TITLES) == set(SETTINGS)
    assert len(set(TITLES.values())) == len(TITLES)
    assert set(ORDER) == {n for n, kind in SETTINGS.items() if issubclass(kind, BlockSettings)}


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
