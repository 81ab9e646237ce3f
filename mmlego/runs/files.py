"""Write files and folders whole or not at all."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mmlego.errors import RunError


def write_text(path: Path, text: str) -> Path:
    """Write a file whole or not at all.

    Raises:
        RunError: If it cannot be written; what was there before is still there then.
    """
    with whole_file(path) as draft:
        draft.write_text(text, encoding="utf-8")
    return path


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """A draft file to write, which takes the place of ``path`` once it is complete.

    Raises:
        RunError: If it cannot be written; what was there before is still there then.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=".draft-", dir=path.parent)
        os.close(handle)
    except OSError as problem:
        raise RunError(
            f"cannot write {path} ({problem.strerror}); choose a folder that you may write to"
        ) from None
    draft = Path(name)
    try:
        yield draft
        os.chmod(draft, 0o644)
        os.replace(draft, path)
    except OSError as problem:
        raise RunError(f"cannot write {path} ({problem.strerror}); nothing was changed") from None
    finally:
        draft.unlink(missing_ok=True)


@contextmanager
def whole_folder(path: Path) -> Iterator[Path]:
    """A draft folder to fill, which takes the place of ``path`` once everything is written.

    Raises:
        RunError: If it cannot be written; what was there before is still there then.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        draft = Path(tempfile.mkdtemp(prefix=".draft-", dir=path.parent))
    except OSError as problem:
        raise RunError(
            f"cannot write {path} ({problem.strerror}); choose a folder that you may write to"
        ) from None
    old = draft.with_name(f"{draft.name}-old")
    try:
        yield draft
        os.chmod(draft, 0o755)
        if path.exists():
            os.replace(path, old)
        os.replace(draft, path)
    except OSError as problem:
        if old.exists() and not path.exists():
            os.replace(old, path)
        raise RunError(f"cannot write {path} ({problem.strerror}); nothing was changed") from None
    finally:
        shutil.rmtree(draft, ignore_errors=True)
        shutil.rmtree(old, ignore_errors=True)
