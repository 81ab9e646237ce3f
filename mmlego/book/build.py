"""Build the HTML of the book with Jupyter Book 1."""

from __future__ import annotations

import importlib.metadata
import subprocess
import sys
from pathlib import Path

from mmlego.book.executed_notebooks import executed_pages
from mmlego.book.prepare import prepare
from mmlego.book.source import CONTENTS, source_folder
from mmlego.data.paths import project_root
from mmlego.errors import RunError
from mmlego.runs.notebooks import failures, read_notebook


def build(root: Path | None = None) -> Path:
    """Prepare and build the book, with warnings as errors, all of it under ``_build``.

    Returns:
        The home page.

    Raises:
        RunError: If Jupyter Book 1 is not installed, a shown notebook did not run to its end, or
            the build gives a warning.
    """
    root = root or project_root()
    check_version()
    prepare(root)
    source = source_folder(root)
    check_pages(source)
    start = "from jupyter_book.cli.main import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", start, "build", *_options(source, root)],
        cwd=root,
        capture_output=True,
        text=True,
    )
    home = root / "_build" / "html" / "book" / "index.html"
    if done.returncode != 0 or not home.is_file():
        tail = "\n".join((done.stdout + done.stderr).strip().splitlines()[-25:])
        raise RunError(f"book: the build failed (exit status {done.returncode}):\n{tail}")
    return home


def _options(source: Path, root: Path) -> list[str]:
    """Where Jupyter Book reads and writes; a warning is an error."""
    places = {"--toc": source / CONTENTS, "--config": source / "_config.yml", "--path-output": root}
    named = [word for option, path in places.items() for word in (option, str(path))]
    return [str(source), *named, "-W", "--keep-going", "-q"]


def check_version() -> None:
    """Refuse Jupyter Book 2.

    It would not read the configuration, and yet exit without an error.
    """
    try:
        version = importlib.metadata.version("jupyter-book")
    except importlib.metadata.PackageNotFoundError:
        raise RunError(
            "book: Jupyter Book is not installed; install it with: pip install 'mmlego[book]'"
        ) from None
    if not version.startswith("1."):
        raise RunError(
            f"book: expected jupyter-book 1.x, got {version}; install it with: pip install "
            "'jupyter-book<2'"
        )


def check_pages(root: Path) -> None:
    """Refuse to show a notebook that has a traceback, or cells that never ran.

    Args:
        root: The project, or the source of the book.
    """
    for page in executed_pages(root):
        found = failures(read_notebook(root / page.path))
        if found:
            raise RunError(
                f"book: {page.path} did not run to its end ({found[0]}); run it again or delete it"
            )
