"""Write a prepared file in one step, so that no half-written one is ever met."""

from __future__ import annotations

import os
from pathlib import Path

from mmlego.errors import DataError


def write_whole(path: Path, content: bytes) -> Path:
    """Write a file by way of a temporary one beside it, and return its path.

    Raises:
        DataError: If the place cannot be written.
    """
    temporary = path.with_name(f".partial-{path.name}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_bytes(content)
        os.replace(temporary, path)
    except OSError as error:
        if temporary.parent.is_dir():
            temporary.unlink(missing_ok=True)
        raise DataError(
            f"'{path}': expected a writable place, got '{error.strerror}'; name another folder"
        ) from error
    return path
