from __future__ import annotations

import pytest

from mmlego.data import paths
from mmlego.errors import RunError


def test_root_is_found_from_below(project):
    deep = project.folder / "notebooks" / "deep"
    deep.mkdir()
    assert paths.project_root(deep) == project.folder
    assert paths.published_results() == project.folder / "results"
    assert paths.results_folder() == project.folder / "results" / "local"


def test_root_is_found_from_anywhere_in_a_checkout(tmp_path, monkeypatch, repository):
    monkeypatch.chdir(tmp_path)
    assert paths.project_root() == repository


def test_no_project(tmp_path, monkeypatch):
    monkeypatch.setattr(paths, "_MARKS", ("no-such-folder",))
    with pytest.raises(RunError, match="inside a clone"):
        paths.project_root(tmp_path)


def test_given_results_are_absolute(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert paths.results_folder("out") == tmp_path / "out"


def test_only_a_reader_s_own_results_lie_over_the_published_ones(project, tmp_path):
    assert paths.published_below(paths.results_folder()) == paths.published_results()
    assert paths.published_below(paths.published_results()) is None
    assert paths.published_below(tmp_path) is None
