"""Pictures named by a table, out of a folder or a tar archive of it, brought to one size."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from PIL import Image

from mmlego.errors import DataError, DownloadError

FORMATS = ("JPEG", "PNG", "TIFF")
_MODES = {"RGB": "color", "L": "gray"}
Read = Callable[[str], bytes | None]


def read_pictures(path: Path, names: Sequence[str], size: int) -> np.ndarray:
    """Return the pictures of these names as float32 (n, 3, size, size) in [0, 1].

    They may have any size; they are resized with Pillow's bilinear filter, which averages where it
    shrinks, and the ratio of their sides is not kept. Nothing is unpacked to disk.

    Args:
        path: A folder, or a tar archive of it.
        names: Paths below the folder.
        size: Side in pixels, 8 or more.

    Raises:
        DataError: If the size is out of range, or a picture is missing, damaged, of another format
            than JPEG, PNG or TIFF, or not in color (RGB).
        DownloadError: If the archive is damaged.
    """
    if isinstance(size, bool) or not isinstance(size, int) or size < 8:
        raise DataError(f"size: expected 8 pixels or more, got {size!r}; the usual size is 64")
    made = np.empty((len(names), 3, size, size), dtype=np.float32)
    with opened(path) as read:
        for i, name in enumerate(names):
            content = read(name)
            if content is None:
                raise DataError(
                    f"'{path}': expected a picture '{name}', as the table of images says, got none "
                    "of that name; complete the pictures, or take table and pictures from one "
                    "source"
                )
            picture = decoded(content, "RGB", f"'{path}': '{name}'")
            small = np.asarray(picture.resize((size, size), Image.Resampling.BILINEAR))
            made[i] = np.moveaxis(small, -1, 0).astype(np.float32) / 255
    return made


@contextmanager
def opened(path: Path) -> Iterator[Read]:
    """Give a function that returns the content of a file of a folder, or of a tar archive of it.

    The function takes a path below the folder and returns None where there is no such file.

    Raises:
        DownloadError: If the archive is damaged.
    """
    if path.is_dir():
        yield lambda name: (path / name).read_bytes() if (path / name).is_file() else None
        return
    try:
        with tarfile.open(path) as archive:
            members = {m.name.removeprefix("./"): m for m in archive.getmembers() if m.isfile()}
            top = f"{path.name.split('.')[0]}/"  # an archive may hold the folder, or what is in it

            def read(name: str) -> bytes | None:
                member = members.get(name) or members.get(top + name)
                found = archive.extractfile(member) if member else None
                return found.read() if found else None

            yield read
    except (tarfile.TarError, EOFError) as error:
        raise DownloadError(
            f"'{path}': expected a folder of pictures or a tar archive of it, got '{error}'; pack "
            "it again"
        ) from error


def decoded(content: bytes, mode: str, where: str) -> Image.Image:
    """Return the picture that a file holds.

    Args:
        content: The bytes of the file.
        mode: "RGB" or "L".
        where: What to call the file in an error.

    Raises:
        DataError: If it is damaged, of another format than JPEG, PNG or TIFF, or of another mode.
    """
    try:
        with Image.open(io.BytesIO(content), formats=FORMATS) as image:
            picture = image.copy()
    except (OSError, SyntaxError, ValueError) as error:
        raise DataError(
            f"{where}: expected a picture as {', '.join(FORMATS)}, got '{error}'; restore it"
        ) from error
    if picture.mode != mode:
        raise DataError(
            f"{where}: expected a {_MODES[mode]} picture (mode {mode}), got mode {picture.mode}; "
            f"convert it to {mode}"
        )
    return picture
