"""Figures of executed pages in few colors: a quarter of the size, and the same to the eye."""

from __future__ import annotations

import struct
import zlib
from io import BytesIO

import numpy as np
from PIL import Image

COLORS = (32, 64, 128, 256)
# Differences of a channel, of 255. Every single color must stay close to its own, however rare: a
# mean alone would let the dots of a method take the color of another one. Plain surfaces, which
# hold a thousandth of the picture or more, such as the cells of a heat map, must stay closer.
MOST_OF_A_COLOR, MOST_OF_A_SURFACE, MOST_ON_AVERAGE = 24, 6, 0.75


def with_palette(png: bytes) -> bytes:
    """Return a picture as PNG with a palette, or as it is where that is not smaller or not equal.

    The smallest palette is taken in which no color moves by more than ``MOST_OF_A_COLOR``, none of
    a surface by more than ``MOST_OF_A_SURFACE``, and the pixels by no more than
    ``MOST_ON_AVERAGE``. A picture that has a palette or transparent parts stays as it is, and so
    does a photograph that no palette suits.

    Args:
        png: A PNG file.
    """
    with Image.open(BytesIO(png)) as picture:
        if picture.mode not in ("RGB", "RGBA") or _is_transparent(picture):
            return png
        rgb = picture.convert("RGB")
    pixels = np.asarray(rgb).astype(np.uint32) @ np.array([65536, 256, 1], np.uint32)
    codes, places, counts = np.unique(pixels, return_inverse=True, return_counts=True)
    known = np.stack([codes >> 16, codes >> 8 & 255, codes & 255], axis=1).astype(int)
    for n in COLORS:
        palette = _palette(rgb, n, places, counts, known)
        nearest = _nearest(known, palette)
        if _looks_equal(np.abs(known - palette[nearest]), counts):
            small = _png(nearest[places].reshape(pixels.shape), palette)
            return min(png, small, key=len)
    return png


def _looks_equal(moved: np.ndarray, counts: np.ndarray) -> bool:
    """Whether colors that moved by so much (u, 3) and occur so often (u,) look as before."""
    surfaces = moved[counts >= counts.sum() / 1000]
    return bool(
        moved.max() <= MOST_OF_A_COLOR
        and surfaces.max(initial=0) <= MOST_OF_A_SURFACE
        and np.average(moved.mean(axis=1), weights=counts) <= MOST_ON_AVERAGE
    )


def _is_transparent(picture: Image.Image) -> bool:
    return picture.mode == "RGBA" and bool((np.asarray(picture.getchannel("A")) < 255).any())


def _palette(
    rgb: Image.Image, n: int, places: np.ndarray, counts: np.ndarray, known: np.ndarray
) -> np.ndarray:
    """Colors (n, 3) that cover all hues: of each group of similar colors the most frequent one.

    So the background and every plain surface keep their color exactly.
    """
    groups = rgb.quantize(n, method=Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE)
    group = np.empty(len(known), dtype=int)
    group[places.ravel()] = np.asarray(groups).ravel()
    palette, rising = np.zeros((n, 3), dtype=int), np.argsort(counts, kind="stable")
    palette[group[rising]] = known[rising]  # the last, most frequent one stays
    return palette


def _nearest(known: np.ndarray, palette: np.ndarray) -> np.ndarray:
    """Place in the palette of the color that is nearest to each, in parts that fit in memory."""
    parts = np.array_split(known, -(-len(known) // 2000))
    return np.concatenate(
        [((part[:, None] - palette) ** 2).sum(axis=-1).argmin(axis=1) for part in parts]
    )


def _png(places: np.ndarray, palette: np.ndarray) -> bytes:
    """Encode a picture (h, w) of places in a palette (n, 3).

    Rows are not filtered, which Pillow would do: places are no brightness, so filters only harm.
    """
    height, width = places.shape
    rows = np.concatenate([np.zeros((height, 1), int), places], axis=1).astype(np.uint8).tobytes()
    tries = [zlib.compressobj(9, zlib.DEFLATED, 15, 9, how) for how in range(2)]
    packed = min((one.compress(rows) + one.flush() for one in tries), key=len)
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        for name, data in (
            (b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 3, 0, 0, 0)),
            (b"PLTE", palette.astype(np.uint8).tobytes()),
            (b"IDAT", packed),
            (b"IEND", b""),
        )
    )
