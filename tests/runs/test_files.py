from __future__ import annotations

import os

import pytest

from mmlego.errors import RunError
from mmlego.runs import files


def _full(source, target):
    raise OSError(28, "No space left on device")


def test_text_is_written_whole_or_not_at_all(tmp_path, monkeypatch):
    path = tmp_path / "deep" / "x.txt"
    files.write_text(path, "old")
    monkeypatch.setattr(files.os, "replace", _full)
    with pytest.raises(RunError, match="cannot write .*No space left"):
        files.write_text(path, "new")
    assert path.read_text() == "old"
    assert [item.name for item in path.parent.iterdir()] == ["x.txt"]


def test_text_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError, match="choose a folder that you may write to"):
        files.write_text(tmp_path / "file" / "x.txt", "new")


def test_files_can_be_read_by_others(tmp_path):
    assert files.write_text(tmp_path / "x", "").stat().st_mode & 0o777 == 0o644


def _fill(place, text):
    with files.whole_folder(place) as draft:
        (draft / "x").write_text(text)


def test_a_folder_takes_the_place_of_the_old_one_whole(tmp_path):
    place = tmp_path / "deep" / "run"
    _fill(place, "old")
    (place / "y").write_text("of the old one")
    _fill(place, "new")
    assert {path.name: path.read_text() for path in place.iterdir()} == {"x": "new"}
    assert [path.name for path in place.parent.iterdir()] == ["run"]


def test_a_folder_that_fails_leaves_the_old_one(tmp_path, monkeypatch):
    place = tmp_path / "run"
    _fill(place, "old")

    def fail(place):
        with files.whole_folder(place) as draft:
            (draft / "x").write_text("half")
            raise ValueError("broken off")

    with pytest.raises(ValueError, match="broken off"):
        fail(place)
    assert (place / "x").read_text() == "old"
    replaced = []

    def full_at_last(source, target, replace=os.replace):
        replaced.append(target)
        if len(replaced) == 2:
            _full(source, target)
        replace(source, target)

    monkeypatch.setattr(files.os, "replace", full_at_last)
    with pytest.raises(RunError, match="nothing was changed"):
        _fill(place, "new")
    assert (place / "x").read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["run"]
