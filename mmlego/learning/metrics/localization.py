"""How well a heat-map of an image finds the lesion, against an outline made by a threshold.

Pictures of skin come without outlines here, so ``lesion_mask`` is a stand-in: it finds what is
darker or more colorful than the skin around it, and errs where skin is dark or a lesion is pale.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike
from scipy import ndimage

from mmlego.errors import ShapeError
from mmlego.learning.metrics.classification import auc

AREA = (0.02, 0.9)  # share of the image that a believable lesion covers
_BLACK = 0.25  # lightness below which a corner is the tube of the microscope, not skin
_HAIR = 16  # a hair is thinner than 1/16 of the side
_CLEAR = (
    0.66  # variance to be explained; where nothing has two sides (one normal) it is 2 / pi = 0.64
)
_RIM = 0.6  # largest share of the rim of the image that a lesion covers
_LEVELS = 256
_EMPTY = 1e-9  # a side with less than this share of the pixels has none, but for rounding


def lesion_mask(image: ArrayLike) -> np.ndarray | None:
    """Return which pixels of a picture of skin belong to its lesion, bool (h, w), or None.

    1. Hairs: a gray closing of each channel fills dark lines thinner than 1/16 of the side, and a
       light blur removes what is left.
    2. Corners: dark areas that contain a corner are the rim of the microscope's view. They and
       their soft edge are left out, for the threshold as for the lesion.
    3. Otsu's threshold on lightness, on each color, and on (1 - saturation), each as it is and
       with a slope of the light taken out; of each channel the largest connected area on the darker
       side, its edge smoothed and its holes filled.
    4. The area of the channel in which the two sides explain most of the variance, times the
       share of the rim of the image that the area leaves free: shading by the lamp is mostly rim.

    Args:
        image: (h, w, 3), uint8 or floats in [0, 1], sides of 16 pixels or more.

    Returns:
        None where there is no believable outline: in every channel the two sides explain too
        little, or the area is below 2% or above 90% of the image, or on most of its rim. That is no
        empty lesion; leave the image out.

    Raises:
        ShapeError: If the shape or the range is wrong, or a pixel is not finite.

    Source: Otsu 1979 for the threshold. It stands in for outlines by experts, which the data lack.
    """
    pixels = _without_hair(_checked(image))
    seen = ~_corners(pixels.mean(axis=2))
    if not seen.any():
        return None
    channels = _channels(pixels)
    channels += [_level(channel, seen) for channel in channels]
    masks = [mask for channel in channels for mask in _candidates(channel, seen)]
    return max(masks, key=lambda one: one[0])[1] if masks else None


def otsu(values: ArrayLike) -> tuple[float, float]:
    """Return the threshold that best divides values in two, and the variance that it explains.

    Args:
        values: Any shape, in [0, 1].

    Returns:
        The threshold (the lower side includes it) and the variance between the sides as a share of
        all variance, in [0, 1]; 0 where all values are the same.

    Source: Otsu 1979, equations 12 and 18, on a histogram of 256 levels.
    """
    counts, edges = np.histogram(np.asarray(values, dtype=float), bins=_LEVELS, range=(0.0, 1.0))
    share = counts / counts.sum()
    middle = (edges[:-1] + edges[1:]) / 2
    below = np.cumsum(share)[:-1]
    mass = np.cumsum(share * middle)
    total = (share * (middle - mass[-1]) ** 2).sum()
    spread = below * (1 - below)
    between = (mass[-1] * below - mass[:-1]) ** 2 / np.where(spread > _EMPTY, spread, np.inf)
    best = int(between.argmax())
    return float(edges[best + 1]), float(between[best] / total) if total > 0 else 0.0


def centre_prior(h: int, w: int) -> np.ndarray:
    """Return what knows only that lesions lie in the middle: float (h, w), in (0, 1].

    exp(-d^2 / 2) with d the distance from the center in quarters of the shorter side. A heat-map
    that finds lesions does better than this.

    Raises:
        ShapeError: If a side is below 1.
    """
    if h < 1 or w < 1:
        raise ShapeError(f"center prior: expected sides of 1 pixel or more, got {h} x {w}")
    y, x = (np.arange(side) - (side - 1) / 2 for side in (h, w))
    return np.exp(-(y[:, None] ** 2 + x**2) / (2 * (min(h, w) / 4) ** 2))


def heat_auc(heat: ArrayLike, mask: ArrayLike) -> float:
    """Return the chance that a pixel of the lesion is hotter than one outside; ties count one half.

    Args:
        heat: (h, w), any scale.
        mask: bool (h, w), True in the lesion.

    Raises:
        ShapeError: If shapes differ, heat is not finite, or the mask is not boolean.
        MetricError: If the mask is all lesion or has none.
    """
    heat, mask = _pair(heat, mask)
    return auc(mask.ravel().astype(int), heat.ravel())


def heat_share(heat: ArrayLike, mask: ArrayLike) -> float:
    """Return the heat in the lesion as a multiple of what even heat would put there, >= 0.

    Args:
        heat: (h, w), 0 or more.
        mask: bool (h, w), True in the lesion.

    Raises:
        ShapeError: If shapes differ, heat is not finite or negative, or there is no heat or no
            lesion.
    """
    heat, mask = _pair(heat, mask)
    if (heat < 0).any() or not heat.any() or not mask.any():
        raise ShapeError(
            f"heat_share: expected heat of 0 or more, some above, and a lesion, got heat from "
            f"{heat.min():g} to {heat.max():g} and {int(mask.sum())} pixels of lesion; pass the "
            "gate itself, and leave out images without an outline"
        )
    return float(heat[mask].sum() / heat.sum() / mask.mean())


def _pair(heat: ArrayLike, mask: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    heat, mask = np.asarray(heat, dtype=float), np.asarray(mask)
    if heat.ndim != 2 or heat.shape != mask.shape or not np.isfinite(heat).all():
        raise ShapeError(
            f"heat: expected finite heat and a mask of one shape (h, w), got {heat.shape} and "
            f"{mask.shape}; resize the map to the image"
        )
    if mask.dtype != bool:
        raise ShapeError(f"heat: expected a boolean mask, got {mask.dtype}; compare it with 0.5")
    return heat, mask


def _checked(image: ArrayLike) -> np.ndarray:
    pixels = np.asarray(image)
    if pixels.ndim != 3 or pixels.shape[2] != 3 or min(pixels.shape[:2]) < _HAIR:
        raise ShapeError(
            f"lesion_mask: expected (h, w, 3) with sides of {_HAIR} pixels or more, got "
            f"{pixels.shape}; move the channels to the end"
        )
    if pixels.dtype == np.uint8:
        return pixels / 255
    pixels = pixels.astype(float)
    # A comparison with NaN is False, so this also refuses NaN.
    if not ((pixels >= 0) & (pixels <= 1)).all():
        raise ShapeError(
            f"lesion_mask: expected finite values in [0, 1], got {pixels.min():g} to "
            f"{pixels.max():g}; undo the standardization of the pixels"
        )
    return pixels


def _without_hair(pixels: np.ndarray) -> np.ndarray:
    width = max(min(pixels.shape[:2]) // _HAIR, 3)
    closed = ndimage.grey_closing(pixels, size=(width, width, 1))
    return ndimage.gaussian_filter(closed, sigma=(width / 4, width / 4, 0))


def _corners(lightness: np.ndarray) -> np.ndarray:
    """Dark areas with a corner of the image in them, and their soft edge."""
    labels, _ = ndimage.label(lightness < _BLACK)
    at = labels[[0, 0, -1, -1], [0, -1, 0, -1]]
    dark = np.isin(labels, at[at > 0])
    return ndimage.binary_dilation(dark, iterations=min(dark.shape) // _HAIR)


def _channels(pixels: np.ndarray) -> list[np.ndarray]:
    """Lightness, red, green, blue, and lack of saturation: all lower in a lesion than in skin."""
    high, low = pixels.max(axis=2), pixels.min(axis=2)
    saturation = (high - low) / np.maximum(high, 1e-6)
    return [pixels.mean(axis=2), *np.moveaxis(pixels, 2, 0), 1 - saturation]


def _level(channel: np.ndarray, seen: np.ndarray) -> np.ndarray:
    """The channel less the plane that fits it best, at the same mean."""
    y, x = np.nonzero(seen)
    planes = np.column_stack([y - y.mean(), x - x.mean(), np.ones(len(y))])
    down, right, _ = np.linalg.lstsq(planes, channel[seen], rcond=None)[0]
    rows, columns = (np.arange(side) for side in channel.shape)
    slope = down * (rows - y.mean())[:, None] + right * (columns - x.mean())
    return np.clip(channel - slope, 0.0, 1.0)


def _candidates(channel: np.ndarray, seen: np.ndarray) -> list[tuple[float, np.ndarray]]:
    """The area of one channel with its score, if it is believable."""
    threshold, clear = otsu(channel[seen])
    mask = _largest((channel <= threshold) & seen)
    rim = np.concatenate([mask[0], mask[-1], mask[:, 0], mask[:, -1]]).mean()
    fits = clear >= _CLEAR and rim <= _RIM and AREA[0] <= mask.mean() <= AREA[1]
    return [(clear * (1 - rim), mask)] if fits else []


def _largest(mask: np.ndarray) -> np.ndarray:
    smooth = ndimage.binary_opening(mask, iterations=max(len(mask) // 64, 1))
    labels, count = ndimage.label(smooth)
    if not count:
        return smooth
    sizes = np.bincount(labels.ravel())
    sizes[0] = 0
    return ndimage.binary_fill_holes(labels == sizes.argmax())
