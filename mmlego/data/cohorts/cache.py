"""Keep prepared arrays between runs; a cache that fails only costs time."""

from __future__ import annotations

import os
import tempfile
import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import numpy as np

from mmlego.data.cards.locate import cache_dir

_warned: set[str] = set()


def read_arrays(key: str) -> dict[str, np.ndarray] | None:
    """Return the arrays stored under a key, or None where there are none or the file is damaged."""
    path = _path(key)
    try:
        with open(path, "rb") as file, np.load(file, allow_pickle=False) as stored:
            return {name: stored[name] for name in stored.files}
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return None


def write_arrays(key: str, arrays: Mapping[str, np.ndarray]) -> Path | None:
    """Store arrays (no objects) under a key; returns the path, or None where it cannot be written.

    The file is written beside its place and then moved there, so that a reader meets the whole of
    it or nothing. The first failure in a folder warns; later ones are silent.
    """
    path = _path(key)
    temporary: str | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=".partial-", suffix=".npz")
        with os.fdopen(handle, "wb") as file:
            _save(file, arrays)
        os.replace(temporary, path)
    except OSError as error:
        if temporary is not None:
            Path(temporary).unlink(missing_ok=True)
        _warn_once(path.parent, error)
        return None
    return path


def _save(file: Any, arrays: Mapping[str, np.ndarray]) -> None:
    np.savez(file, **cast(Any, arrays))


def _path(key: str) -> Path:
    return cache_dir() / "prepared" / f"{key}.npz"


def _warn_once(folder: Path, error: OSError) -> None:
    if str(folder) in _warned:
        return
    _warned.add(str(folder))
    warnings.warn(
        f"cache '{folder}': expected to store prepared arrays, got '{error.strerror or error}'; "
        "going on without, so "
        "loading takes longer each time. Let MMLEGO_CACHE point at a writable folder with space.",
        stacklevel=3,
    )
