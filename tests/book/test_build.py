from __future__ import annotations

import importlib.metadata
from types import SimpleNamespace

import pytest

from mmlego.book import build as building
from mmlego.errors import RunError


def test_version_2_of_jupyter_book_is_refused(monkeypatch):
    monkeypatch.setattr(building.importlib.metadata, "version", lambda name: "2.1.0")
    with pytest.raises(RunError, match=r"expected jupyter-book 1\.x, got 2\.1\.0"):
        building.check_version()


def test_no_jupyter_book(monkeypatch):
    def missing(name):
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(building.importlib.metadata, "version", missing)
    with pytest.raises(RunError, match=r"pip install 'mmlego\[book\]'"):
        building.check_version()


def test_the_installed_version_is_right():
    building.check_version()


def test_a_page_that_did_not_run_is_refused(shelf):
    root, write = shelf
    write("paper/a/unimodal.ipynb")
    building.check_pages(root)
    write("paper/a/merge.ipynb", ran=False)
    with pytest.raises(RunError, match=r"paper/a/merge\.ipynb did not run to its end \(cell 1"):
        building.check_pages(root)


def test_a_build_that_fails_shows_why(shelf, monkeypatch):
    root, _ = shelf
    monkeypatch.setattr(building, "prepare", lambda root: [])
    seen = []

    def failing(command, **options):
        seen.append((command, options["cwd"]))
        return SimpleNamespace(returncode=2, stdout="one\n", stderr="two: wrong\n")

    monkeypatch.setattr(building.subprocess, "run", failing)
    with pytest.raises(RunError, match=r"(?s)failed \(exit status 2\).*two: wrong"):
        building.build(root)
    ((command, folder),) = seen
    assert folder == root
    source = root / "_build" / "source"
    assert str(source) in command
    assert command[command.index("--toc") + 1] == str(source / "book" / "_toc.yml")
    assert command[command.index("--path-output") + 1] == str(root)
    assert "-W" in command
