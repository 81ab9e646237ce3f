"""What the figures of token replacement share: colors, bars in shares, and dashed lines."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
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


def bars(
    ax: Axes, values: object, edges: np.ndarray, shade: str, *, alpha: float = 0.75
) -> list[Patch]:
    """Draw the share of values in every bin, and return the bars, tagged "bars"."""
    array = np.asarray(values, dtype=float)
    _, _, drawn = ax.hist(
        array, bins=edges, weights=np.full(array.size, 1 / array.size), color=shade, alpha=alpha
    )
    style.tag(list(drawn), "bars")
    return list(drawn)


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


def heading(figure: Figure, title: str | None) -> None:
    """Write a heading over all panels, nothing if None."""
    if title:
        figure.suptitle(title, x=0.02, ha="left", fontsize=12, fontweight="bold")


def whole(highest: int, *, most: int = 40) -> np.ndarray:
    """Return edges of bins round whole numbers 0 to ``highest``, several in one above ``most``."""
    wide = -(-(highest + 1) // most)
    return np.arange(-(-(highest + 1) // wide) + 1) * wide - 0.5
