"""The source of the book as it is built: written pages, published runs, and the reader's own.

It is put together under ``_build/source``, so that building changes no file of the repository.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path

from mmlego.errors import RunError

CONTENTS = Path("book", "_toc.yml")
GENERATED = Path("book", "generated")
_RUNS = Path("book", "runs")


def source_folder(root: Path) -> Path:
    """Where the source of the book is put together."""
    return root / "_build" / "source"


def own_pages(results: Path) -> dict[Path, Path]:
    """The reader's executed notebooks: place in the book -> file."""
    folder = results / "pages"
    return {_RUNS / path.relative_to(folder): path for path in _files(folder, "*.ipynb")}


def assemble(root: Path, results: Path) -> Path:
    """Put the source of the book together, the reader's runs in place of the published ones.

    Files that did not change are left alone, so that a second build is quick.

    Args:
        root: The project.
        results: Folder of results, whose ``pages`` are the reader's.

    Returns:
        The folder of the source.

    Raises:
        RunError: If a file cannot be copied.
    """
    source = source_folder(root)
    wanted = {path.relative_to(root): path for path in _files(root / "book")}
    wanted = {place: path for place, path in wanted.items() if GENERATED not in place.parents}
    wanted |= {Path("_config.yml"): root / "_config.yml"} | own_pages(results)
    wanted.pop(CONTENTS, None)
    try:
        _mirror(wanted, source)
    except OSError as problem:
        raise RunError(
            f"book: cannot write {source} ({problem.strerror}); free some space or choose another "
            "folder for the project"
        ) from None
    return source


def _files(folder: Path, pattern: str = "*") -> list[Path]:
    """All files below a folder that are not hidden."""
    return [
        path
        for path in sorted(folder.rglob(pattern))
        if path.is_file()
        and not any(part.startswith(".") for part in path.relative_to(folder).parts)
    ]


def _mirror(wanted: Mapping[Path, Path], source: Path) -> None:
    """Copy what is new or changed, and delete what is no longer wanted."""
    for path in _files(source):
        if path.relative_to(source) not in wanted:
            path.unlink()
    for place, path in wanted.items():
        copy, stamp = source / place, path.stat()
        if copy.is_file():
            old = copy.stat()
            if (old.st_size, old.st_mtime_ns) == (stamp.st_size, stamp.st_mtime_ns):
                continue
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(path, copy)
