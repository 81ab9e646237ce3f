"""A book of its own with a few executed pages."""

from __future__ import annotations

from pathlib import Path

import nbformat
import pytest


@pytest.fixture
def shelf(tmp_path: Path):
    """Write executed notebooks under ``book/runs`` of a project; returns (root, write)."""

    def write(name: str, *, ran: bool = True) -> Path:
        cell = nbformat.v4.new_code_cell("1", execution_count=1 if ran else None)
        path = tmp_path / "book" / "runs" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        nbformat.write(nbformat.v4.new_notebook(cells=[cell]), path)
        return path

    (tmp_path / "book").mkdir()
    return tmp_path, write
