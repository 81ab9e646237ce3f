"""The source of the book, and that making it leaves a clone as it was."""

from __future__ import annotations

import shutil
import subprocess
from types import SimpleNamespace

import nbformat
import pytest

from mmlego.book import build as building
from mmlego.book.build import build
from mmlego.book.prepare import prepare
from mmlego.book.source import assemble, source_folder
from mmlego.errors import RunError
from mmlego.runs.records.results import collect
from mmlego.runs.runner import run_notebook

NAME = "signal_interference"


def _page(path, says="1"):
    path.parent.mkdir(parents=True, exist_ok=True)
    cell = nbformat.v4.new_code_cell(says, execution_count=1)
    nbformat.write(nbformat.v4.new_notebook(cells=[cell]), path)


def _all(source):
    return {str(path.relative_to(source)) for path in source.rglob("*") if path.is_file()}


@pytest.fixture
def root(project):
    """A project with a written page and two published runs."""
    folder = project.folder
    (folder / "_config.yml").write_text("title: x\n")
    (folder / "book").mkdir()
    (folder / "book" / "index.md").write_text("# Home\n")
    _page(folder / "book" / "runs" / "quick" / "wdbc" / "merge.ipynb", "published")
    _page(folder / "book" / "runs" / "full" / "wdbc" / "fuse.ipynb", "published")
    return folder


def test_the_reader_s_page_stands_in_place_of_the_published_one(root):
    local = root / "results" / "local"
    _page(local / "pages" / "quick" / "wdbc" / "merge.ipynb", "mine")
    _page(local / "pages" / "quick" / "wdbc" / ".draft-1-fuse.ipynb", "half")
    source = assemble(root, local)
    assert _all(source) == {
        "_config.yml",
        "book/index.md",
        "book/runs/quick/wdbc/merge.ipynb",
        "book/runs/full/wdbc/fuse.ipynb",
    }
    says = {path.stem: nbformat.read(path, 4).cells[0].source for path in source.rglob("*.ipynb")}
    assert says == {"merge": "mine", "fuse": "published"}


def test_only_what_changed_is_copied_and_what_is_gone_is_deleted(root):
    local = root / "results" / "local"
    own = local / "pages" / "quick" / "wdbc" / "merge.ipynb"
    _page(own, "mine")
    source = assemble(root, local)
    home = source / "book" / "index.md"
    first = home.stat().st_ino, home.stat().st_ctime_ns
    own.unlink()
    (root / "book" / "runs" / "full" / "wdbc" / "fuse.ipynb").unlink()
    assert assemble(root, local) == source
    assert (home.stat().st_ino, home.stat().st_ctime_ns) == first
    assert _all(source) == {"_config.yml", "book/index.md", "book/runs/quick/wdbc/merge.ipynb"}
    shown = nbformat.read(source / "book" / "runs" / "quick" / "wdbc" / "merge.ipynb", 4)
    assert shown.cells[0].source == "published"
    (root / "book" / "index.md").write_text("# Changed\n")
    assemble(root, local)
    assert home.read_text() == "# Changed\n"


def test_a_source_that_cannot_be_written(root):
    (root / "_build").write_text("not a folder")
    with pytest.raises(RunError, match="cannot write"):
        assemble(root, root / "results" / "local")


def test_generated_pages_name_the_reader_s_run(root):
    _page(root / "results" / "local" / "pages" / "quick" / "wdbc" / "merge.ipynb")
    written = prepare(root)
    source = source_folder(root)
    assert all(path.is_relative_to(source) for path in written)
    assert "Merging blocks (quick, your run)" in (source / "book" / "_toc.yml").read_text()
    assert "Fusing blocks (full)" in (source / "book" / "_toc.yml").read_text()
    data = (source / "book" / "generated" / "data" / "wdbc.md").read_text()
    assert "Merging blocks (quick, your run)" in data


@pytest.fixture
def clone(root, repository, made_up_run):
    """The project as a clone, with published results and what the repository tells git to ignore.

    Returns what git sees as changed.
    """
    record = {"run_id": "merge-wdbc-1", "notebook": "merge", "data": {}, "earlier": True}
    record |= {"parameters": {"grid": "quick", "cohort": "wdbc"}, "hardware": {"device": "cpu"}}
    made_up_run(root / "results", record)
    collect(root / "results")
    shutil.copy(repository / ".gitignore", root)

    def git(*words):
        identity = ["-c", "user.name=x", "-c", "user.email=x@example.org"]
        done = subprocess.run(
            ["git", *identity, *words], cwd=root, capture_output=True, text=True, check=True
        )
        return done.stdout

    git("init", "-q")
    git("add", ".")
    git("commit", "-q", "-m", "all")
    return lambda: git("status", "--porcelain", "--untracked-files=all")


def test_running_and_building_leave_a_clone_clean(project, clone, root, monkeypatch):
    """As `make book` does it: runs, the table of results, and the book."""

    def built(command, **options):
        home = root / "_build" / "html" / "book" / "index.html"
        home.parent.mkdir(parents=True, exist_ok=True)
        home.write_text("x")
        return SimpleNamespace(returncode=0, stdout="", stderr="")

    report = run_notebook(
        NAME, {}, page=root / "results" / "local" / "pages" / "signal_interference.ipynb"
    )
    collect(root / "results" / "local")
    # nothing but Jupyter Book itself is left out, which writes where it is told
    monkeypatch.setattr(building.subprocess, "run", built)
    build(root)
    assert clone() == ""
    assert report.page.is_file()
    shown = (source_folder(root) / "book" / "_toc.yml").read_text()
    assert "Signal interference (your run)" in shown
    assert "Merging blocks (quick)" in shown


def test_only_publishing_changes_what_is_tracked(project, clone, root):
    published = {"results": str(root / "results")}
    page = root / "book" / "runs" / "signal_interference.ipynb"
    project.results = root / "results"
    project.write(project.recording())
    subprocess.run(["git", "commit", "-qam", "x"], cwd=root, check=False)
    report = run_notebook(NAME, published, page=page)
    changed = {line[3:] for line in clone().splitlines()}
    assert f"results/runs/{report.run_id}/record.json" in changed
    assert "book/runs/signal_interference.ipynb" in changed
