"""What the figures of token replacement share: colors, scales, and dashed lines."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import PercentFormatter

from mmlego.errors import DataError
from mmlego.figures import style

MEAN = "#d00000"  # red, as in the published figures
_DASHES = (0, (4, 2.5))


def shades(names: Sequence[str]) -> dict[str, str]:
    """Return the color of every modality, by its place in ``names``.

    Raises:
        DataError: If there are more than six, which no palette keeps apart.
    """
    if len(names) > len(style.GROUPS):
        raise DataError(
            f"token figures: expected up to {len(style.GROUPS)} modalities, got {len(names)}; "
            "draw some of them"
        )
    return dict(zip(names, style.GROUPS, strict=False))


def mean_line(ax: Axes, values: object) -> float:
    """Draw the red dashed line at the mean, tagged "mean", and return the mean."""
    mean = float(np.mean(np.asarray(values, dtype=float)))
    dashed_line(ax, mean, MEAN, "mean")
    return mean


def percent(ax: Axes) -> None:
    """Write the vertical axis in whole percents."""
    ax.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    ax.locator_params(axis="y", nbins=4, steps=[1, 2, 5, 10])


def dashed_line(ax: Axes, at: float, shade: str, name: str) -> None:
    """Draw a dashed line over the bars, on a white one that keeps it apart from them."""
    style.tag(ax.axvline(at, color="white", linewidth=2.4, alpha=0.6), "rim")
    style.tag(ax.axvline(at, color=shade, linestyle=_DASHES, linewidth=1.8), name)


def dashed(shade: str = MEAN) -> Line2D:
    """Return the entry of a dashed line for a legend."""
    return Line2D([], [], color=shade, linestyle=_DASHES, linewidth=1.7)


def whole(highest: int, *, most: int = 40) -> np.ndarray:
    """Return edges of bins round whole numbers 0 to ``highest``, several in one above ``most``."""
    wide = -(-(highest + 1) // most)
    return np.arange(-(-(highest + 1) // wide) + 1) * wide - 0.5
