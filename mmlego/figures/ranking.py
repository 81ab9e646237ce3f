"""Critical difference plot: average ranks of methods over many tasks, and which differ."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mmlego.errors import DataError
from mmlego.figures import checks, parts, style

_ROW, _ROW_OF_TWO = 0.24, 0.3  # inches from name to name, and where long names take two lines


def cliques(ranks: Sequence[float], distance: float) -> list[tuple[int, int]]:
    """Return first and last position of the largest runs of methods that cannot be told apart.

    Args:
        ranks: Average ranks in rising order.
        distance: Ranks that differ by this or more are told apart.

    Returns:
        Runs of two methods or more, none of which lies within another.
    """
    values = np.asarray(ranks, dtype=float)
    found: list[tuple[int, int]] = []
    for first, value in enumerate(values):
        last = int(np.searchsorted(values, value + distance, side="left")) - 1
        if last > first and (not found or last > found[-1][1]):
            found.append((first, last))
    return found


@style.styled()
def critical_difference_plot(
    ranks: pd.DataFrame, distance: float, *, width: float = 5.8, title: str | None = None
) -> Figure:
    """Draw average ranks on a line; thick bars join methods that cannot be told apart.

    Args:
        ranks: Columns label and rank (1 is best), as from ``average_ranks``; optional method for
            the color of a label.
        distance: Critical difference, as from ``nemenyi_distance``; also drawn to scale.
        width: Inches.
        title: Heading, left out if None.

    Raises:
        DataError: If a column is missing, a label occurs twice, there are fewer than two, or the
            distance is not positive.
        ShapeError: If a rank is not finite.

    Source: Demsar 2006, figure 1.
    """
    rows = checks.table(ranks, ("label", "rank"), name="critical_difference_plot")
    checks.finite_columns(rows, ("rank",), name="critical_difference_plot")
    checks.one_per(rows, ("label",), name="critical_difference_plot")
    if len(rows) < 2 or not 0 < distance < np.inf:
        raise DataError(
            "critical_difference_plot: expected two methods or more and a positive distance, got "
            f"{len(rows)} and {distance}"
        )
    rows = rows.sort_values("rank", kind="stable", ignore_index=True)
    # On a phone, long names on both sides would leave no room for the axis.
    rows["label"] = [textwrap.fill(str(x), 18 if width < 7 else 40) for x in rows["label"]]
    spacing = _ROW_OF_TWO if rows["label"].str.contains("\n").any() else _ROW
    levels = _levels(rows["rank"].to_numpy(float), cliques(rows["rank"], distance))
    # Heights are in rows of text below the axis; bars take half a row each.
    top = 0.8 + 0.5 * (1 + max((level for *_, level in levels), default=-1))
    n_rows = top + (len(rows) + 1) // 2
    figure, ax = style.panel(width=width, height=1.1 + spacing * n_rows)
    low, high = np.floor(rows["rank"].min()), np.ceil(rows["rank"].max())
    # The scale bar must fit, too.
    ends = (low, max(high, low + 1, np.ceil(low + distance)))
    _rank_axis(ax, ends, n_rows)
    for position, row in rows.iterrows():
        _leader(ax, row, int(position), len(rows), top)
    for first, last, level in levels:
        (bar,) = ax.plot([first, last], [0.55 + 0.5 * level] * 2, color="black", linewidth=4,
                         zorder=3, clip_on=False)  # fmt: skip
        style.tag(bar, "clique")
    _scale_bar(ax, ends[0], distance)
    parts.heading(figure, title)
    return figure


def _levels(ranks: np.ndarray, runs: list[tuple[int, int]]) -> list[tuple[float, float, int]]:
    """Ends of the bars as ranks, each on the first level where it overlaps no other."""
    room, placed = 0.06 * len(ranks), []
    taken: list[float] = []
    for first, last in ((ranks[a], ranks[b]) for a, b in runs):
        level = next((i for i, end in enumerate(taken) if first > end + room), len(taken))
        taken[level : level + 1] = [last]
        placed.append((float(first), float(last), level))
    return placed


def _rank_axis(ax: Axes, ends: tuple[float, float], n_rows: float) -> None:
    ax.set_xlim(ends[0] - 0.03 * np.ptp(ends), ends[1] + 0.03 * np.ptp(ends))
    ax.set_ylim(n_rows - 0.5, 0)
    ax.xaxis.tick_top()
    ax.xaxis.set_label_position("top")
    step = max(1, round(np.ptp(ends) / 5))
    ax.set_xticks(np.arange(ends[0], ends[1] + 0.5, step))
    ax.set_xlabel("Average rank (1 is best)", labelpad=26)
    ax.set_yticks([])
    ax.grid(visible=False)
    for side in ("left", "bottom"):
        ax.spines[side].set_visible(False)
    ax.spines["top"].set_visible(True)


def _leader(ax: Axes, row: pd.Series, position: int, n: int, top: float) -> None:
    """Lead from a rank down and out to its name: the better half to the left, the rest right."""
    left = position < (n + 1) // 2
    height = top + (position if left else n - 1 - position)
    shade = style.color(str(row.get("method", "")))
    edge = ax.get_xlim()[0 if left else 1]
    (line,) = ax.plot([row["rank"], row["rank"], edge], [0, height, height], color=shade,
                      linewidth=1.3, clip_on=False)  # fmt: skip
    style.tag(line, "leader")
    ax.plot([row["rank"]], [0], "o", color=shade, markersize=6, clip_on=False, zorder=4)
    side, away = ("right", -1) if left else ("left", 1)
    for words, offset, name in ((f"{row['rank']:.1f}", 4, "number"), (row["label"], 33, "name")):
        text = ax.annotate(words, (edge, height), xytext=(away * offset, 0), va="center", ha=side,
                           textcoords="offset points", fontsize=9.5, linespacing=0.95,
                           annotation_clip=False)  # fmt: skip
        style.tag(text, name)


def _scale_bar(ax: Axes, start: float, distance: float) -> None:
    """Draw the critical difference to scale, between the axis and its name."""
    transform = ax.get_xaxis_text2_transform(31)[0]
    (bar,) = ax.plot([start, start + distance], [1, 1], transform=transform, clip_on=False,
                     color="black", marker="|", markersize=8, linewidth=1.6)  # fmt: skip
    style.tag(bar, "distance")
    ax.annotate(f" critical difference {distance:.2f}", (start + distance, 1), xycoords=transform,
                va="center", fontsize=9.5, annotation_clip=False)  # fmt: skip
