"""What several figures are made of: rows with whiskers, curves, bars, cells, panels, headings."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.text import Text
from seaborn.utils import relative_luminance

from mmlego.figures import style

MARKERS = "osD^vPX*<>"
REFERENCE: dict[str, Any] = {"color": "#555555", "linestyle": (0, (4, 3)), "linewidth": 1}
EVERYTHING = (-np.inf, np.inf)
Ends = tuple[float, float]


def heading(figure: Figure, title: str | None) -> None:
    """Write a heading over all panels, nothing if None."""
    if title:
        figure.suptitle(title, x=0.02, ha="left", fontsize=12, fontweight="bold")


def panels(
    n: int, columns: int, *, height: Callable[[int, int], float], **options: Any
) -> tuple[Figure, list[Axes], list[Axes]]:
    """Return a figure of n panels, the panels, and those with none below them.

    The height in inches is a function of how many stand side by side and how many in a column;
    options are for ``style.canvas``.
    """
    across = min(columns, n)
    down = -(-n // across)
    figure, axes = style.canvas(down, across, height=height(across, down), **options)
    for ax in axes.flat[n:]:
        ax.set_visible(False)
    shown = list(axes.flat[:n])
    for ax in shown[max(n - across, 0) :]:
        ax.tick_params(labelbottom=True)
    return figure, shown, shown[max(n - across, 0) :]


def name_rows(ax: Axes, labels: Sequence[object], **look: Any) -> None:
    """Name the rows of a figure, the first on top."""
    ax.set_yticks(range(len(labels)), [str(label) for label in labels], **look)
    ax.set_ylim(len(labels) - 0.45, -0.55)
    ax.grid(axis="y", visible=False)
    ax.tick_params(axis="y", length=0)


def bare(ax: Axes) -> None:
    """Take frame, grid and tick marks away."""
    ax.grid(visible=False)
    ax.tick_params(length=0)
    for side in ax.spines.values():
        side.set_visible(False)


def bars(
    ax: Axes, labels: Sequence[object], lengths: Any, words: Sequence[str], shade: str,
    name: str, *, room: float = 0.2, **look: Any,
) -> None:  # fmt: skip
    """Draw a bar per row with words behind it; room for them is a share of the longest bar."""
    drawn = ax.barh(range(len(labels)), lengths, color=shade, **{"height": 0.6, **look})
    style.tag(list(drawn), name)
    ax.bar_label(drawn, words, padding=3, fontsize=9.5)
    ax.margins(x=room)
    name_rows(ax, labels)


def repeats(
    ax: Axes, values: Any, height: float, shade: str, name: str = "repeats", **look: Any
) -> None:
    """Draw a dot per repeat round a row, always at the same heights."""
    array, look = np.asarray(values, dtype=float), {"s": 17, "alpha": 0.6, "linewidth": 0, **look}
    dots = ax.scatter(array, style.fan(height, array.size), color=shade, zorder=2.5, **look)
    style.tag(dots, name)


def whisker(
    ax: Axes, ends: Ends, height: float, shade: str, *, within: Ends = EVERYTHING,
    name: str = "interval", **look: Any,
) -> None:  # fmt: skip
    """Draw an interval as a line in a row, cut off where the scale ends; nothing if missing."""
    if np.isfinite(ends).all():
        (bar,) = ax.plot(np.clip(ends, *within), [height] * 2, color=shade,
                         **{"linewidth": 2, **look})  # fmt: skip
        style.tag(bar, name)


def dot(ax: Axes, x: float, height: float, shade: str, name: str = "mean", **look: Any) -> None:
    """Draw a mean in a row: a large dot with a white rim."""
    look = {"marker": "o", "markersize": 8, "markeredgecolor": "white", **look}
    (mark,) = ax.plot([x], [height], color=shade, zorder=3, **look)
    style.tag(mark, name)


def mean_rows(
    ax: Axes, rows: pd.DataFrame, colors: Mapping[str, str], ends: Callable[[Any], Ends]
) -> None:
    """Draw the repeats, the mean and the interval of every label in a row of its own.

    Rows have columns label and value; labels stand in the order of ``colors``; ``ends`` are those
    of the interval of some repeats. A single repeat has none.
    """
    for height, (label, shade) in enumerate(colors.items()):
        values = rows.loc[rows["label"] == label, "value"].to_numpy(float)
        repeats(ax, values, height, shade)
        before = len(ax.lines)
        sns.pointplot(
            x=values, y=np.full(values.size, height), orient="y", native_scale=True, errorbar=ends,
            color=shade, markersize=8.5, markeredgecolor="white", markeredgewidth=1, zorder=3,
            err_kws={"linewidth": 2.2, "zorder": 2.6}, ax=ax,
        )  # fmt: skip
        mean, bar = ax.lines[before:]
        style.tag(mean, "mean")
        if values.size > 1:
            style.tag(bar, "interval")
    name_rows(ax, list(colors))


def mean_handles(*, intervals: bool = True) -> list[Line2D]:
    """Entries of a legend for one repeat and for the mean, with its interval or without."""
    gray: dict[str, Any] = {"color": style.NEUTRAL, "marker": "o"}
    return [Line2D([], [], markersize=4, alpha=0.45, linestyle="none", **gray),
            Line2D([], [], markersize=8, linewidth=2.2 * intervals, **gray)]  # fmt: skip


def mean_curves(
    ax: Axes, rows: pd.DataFrame, colors: Mapping[str, str], *,
    ends: Callable[[Any], Ends] | None = None, alpha: float = 0.13, **look: Any,
) -> None:  # fmt: skip
    """Draw the mean of every label against x, in a band where a point has several values.

    Rows have columns x, value and label; ``ends`` are those of the band at a point, None for no
    band. Labels get marks of their own unless a marker is given.
    """
    several = (rows.groupby(["label", "x"]).size() > 1).any()
    marks = {label: MARKERS[at % len(MARKERS)] for at, label in enumerate(colors)}
    if "marker" not in look:
        look |= {"style": "label", "markers": marks, "dashes": False}
    before = len(ax.lines)
    sns.lineplot(
        rows, x="x", y="value", hue="label", hue_order=list(colors), palette=dict(colors),
        errorbar=ends if several else None, err_kws={"alpha": alpha, "linewidth": 0},
        legend=False, zorder=3, ax=ax, **look,
    )  # fmt: skip
    for line, label in zip(ax.lines[before:], colors, strict=True):
        line.set_label(str(label))
        style.tag(line, "mean")
    style.tag(list(ax.collections) if several else [], "band")


def shares(
    ax: Axes, values: object, edges: np.ndarray, shade: str, *, alpha: float = 0.75
) -> list[Patch]:
    """Draw the share of values in every bin, and return the bars, tagged "bars"."""
    before = len(ax.patches)
    sns.histplot(x=np.asarray(values, dtype=float), bins=list(edges), stat="proportion",
                 color=shade, alpha=alpha, linewidth=0, ax=ax)  # fmt: skip
    ax.set_ylabel("")
    drawn = list(ax.patches)[before:]
    style.tag(drawn, "bars")
    return drawn


def cells(
    ax: Axes, values: pd.DataFrame, words: np.ndarray, *, colorbar: Mapping | None = None,
    empty: str = "", size: float = 11, **look: Any,
) -> dict[tuple[int, int], Text]:  # fmt: skip
    """Draw a grid of shaded cells with words in each, and return the texts by row and column.

    A cell whose value is missing has no shade and the text ``empty``. Options of the color bar are
    None for no bar; further ones are for ``seaborn.heatmap``.
    """
    sns.heatmap(
        values, annot=words, fmt="", annot_kws={"fontsize": size}, cbar=colorbar is not None,
        cbar_kws=dict(colorbar or {}), xticklabels=True, yticklabels=True, ax=ax, **look,
    )  # fmt: skip
    mesh: Any = ax.collections[0]
    shade = mesh.get_facecolors().reshape(*values.shape, 4)
    texts = {(int(y), int(x)): text for text in ax.texts for x, y in [text.get_position()]}
    for place, text in texts.items():
        text.set_color("black" if relative_luminance(shade[place]) > 0.2 else "white")
    for row, column in np.argwhere(values.isna()) if empty else ():
        texts[row, column] = ax.text(column + 0.5, row + 0.5, empty, ha="center", va="center",
                                     fontsize=size)  # fmt: skip
    if mesh.colorbar:
        mesh.colorbar.outline.set_linewidth(0.8)
    ax.grid(visible=False)
    ax.tick_params(length=0)
    ax.tick_params(axis="y", rotation=0)
    ax.set(xlabel="", ylabel="")
    return texts
