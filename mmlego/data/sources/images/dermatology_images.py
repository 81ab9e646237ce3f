"""Skin images out of an archive, as tokens of patches or as small pictures."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, Any, cast

import numpy as np
from einops import rearrange
from PIL import Image

from mmlego.errors import DataError, DownloadError

SIDE = 128  # pixels of a prepared image
CELLS = 4  # a patch is described by 4 x 4 mean colors
COLORS = ("red", "green", "blue")
CELL_FEATURES = tuple(
    f"r{row}c{column}_{color}"
    for row in range(CELLS)
    for column in range(CELLS)
    for color in COLORS
)


def read_images(path: Path, ids: Sequence[str] | np.ndarray) -> Iterator[np.ndarray]:
    """Yield the images of these ids, in this order, as uint8 (128, 128, 3), from a tar of JPEGs.

    Nothing is unpacked to disk.

    Raises:
        DataError: If an id has no image, or an image is damaged or of another size.
        DownloadError: If the archive itself is damaged.
    """
    try:
        with tarfile.open(path) as archive:
            members = {member.name: member for member in archive.getmembers()}
            absent = [i for i in ids if f"{i}.jpg" not in members]
            if absent:
                raise DataError(
                    f"'{path}': expected one image per row of the table, got none for "
                    f"{len(absent)}, the first '{absent[0]}.jpg'; take both files from one source"
                )
            for i in ids:
                member = members[f"{i}.jpg"]
                content = cast("IO[bytes]", archive.extractfile(member))
                yield _decode(content.read(), f"'{path}': '{member.name}'")
    except (tarfile.TarError, EOFError) as error:
        raise DownloadError(
            f"'{path}': expected a tar archive of JPEG images, got '{error}'; obtain it again"
        ) from error


def patch_tokens(image: np.ndarray, patch: int) -> np.ndarray:
    """Cut an image (h, w, 3) into patches: float32 (tokens, 48) in [0, 1], row by row.

    A token holds the 4 x 4 mean colors of its patch, row by row, and nothing else; the place of a
    patch is its place in the order.

    Args:
        image: uint8.
        patch: Side of a patch in pixels, a multiple of 4 that divides the sides of the image.
    """
    cells = area_average(image, patch // CELLS)
    return rearrange(cells, "(r y) (c x) ch -> (r c) (y x ch)", y=CELLS, x=CELLS)


def small_picture(image: np.ndarray, size: int) -> np.ndarray:
    """Shrink a square image (h, h, 3) to float32 (3, size, size) in [0, 1] by mean colors."""
    return rearrange(area_average(image, len(image) // size), "h w ch -> ch h w")


def area_average(image: np.ndarray, factor: int) -> np.ndarray:
    """Average squares of ``factor`` x ``factor`` pixels: uint8 (h, w, 3) to float32 in [0, 1]."""
    # sums of whole numbers are exact, and much faster than a mean over short axes
    rows: Any = sum(image[i::factor].astype(np.uint32) for i in range(factor))
    total: Any = sum(rows[:, i::factor] for i in range(factor))
    return (total / (255 * factor**2)).astype(np.float32)


def check_patch(patch: int) -> None:
    """Refuse sides of a patch that do not fit.

    Raises:
        DataError: If the side is no multiple of 4 that divides 128.
    """
    fitting = [n for n in range(CELLS, SIDE + 1, CELLS) if SIDE % n == 0]
    _check_side("patch", patch, fitting)


def check_size(size: int) -> None:
    """Refuse sides of a small picture that do not fit.

    Raises:
        DataError: If the side does not divide 128, or is below 8.
    """
    _check_side("size", size, [n for n in range(8, SIDE + 1) if SIDE % n == 0])


def _check_side(option: str, side: int, fitting: list[int]) -> None:
    if side not in fitting:
        raise DataError(
            f"{option}: expected one of {', '.join(map(str, fitting))} pixels for images of "
            f"{SIDE} x {SIDE}, got {side!r}; choose one"
        )


def _decode(content: bytes, where: str) -> np.ndarray:
    try:
        with Image.open(io.BytesIO(content), formats=["JPEG"]) as image:
            pixels = np.asarray(image)
    except (OSError, SyntaxError, ValueError) as error:
        raise DataError(
            f"{where}: expected a JPEG image, got '{error}'; obtain the archive again"
        ) from error
    if pixels.shape != (SIDE, SIDE, len(COLORS)):
        raise DataError(
            f"{where}: expected a color image of {SIDE} x {SIDE} pixels, got an array of shape "
            f"{pixels.shape}; prepare the archive from the official images"
        )
    return pixels
