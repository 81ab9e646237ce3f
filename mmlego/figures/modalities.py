"""Each modality alone beside all of them together, data set by data set."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from mmlego.errors import DataError
from mmlego.figures import checks, style
from mmlego.methods.names import AMC


@style.styled()
def modality_panels(table: pd.DataFrame, *, xlabel: str, title: str | None = None) -> Figure:
    """Draw one panel per task: a row for each modality alone, and for all of them.

    All panels share their scale. The best modality alone is filled in full color, all modalities
    are squares, and a dotted line is what guessing scores.

    Args:
        table: Columns task, label, mean (a score of at most 1), low, high (ends of a 95% interval,
            cut off where they leave the frame, both missing if there is none), whole (bool, whether
            the row has all modalities); optional chance (a number or missing), equal within a task.
        xlabel: Name of the metric or metrics.
        title: Heading, left out if None.

    Raises:
        DataError: If a column is missing, a pair of task and label occurs twice, or a mean lies
            outside its interval.
        ShapeError: If a mean is not finite.
    """
    name = "modality_panels"
    rows = checks.table(table, ("task", "label", "mean", "low", "high", "whole"), name=name)
    checks.finite_columns(rows, ("mean",), name=name)
    checks.one_per(rows, ("task", "label"), name=name)
    if (rows["low"] > rows["mean"]).any() or (rows["high"] < rows["mean"]).any():
        raise DataError(f"{name}: expected low <= mean <= high in every row; check the columns")
    groups = list(rows.groupby("task", sort=False))
    across = 1 if len(groups) == 1 else 2
    down = -(-len(groups) // across)
    longest = max(len(part) for _, part in groups)
    figure, axes = style.canvas(down, across, height=1.1 + down * (0.55 + 0.24 * longest),
                                sharex=True)  # fmt: skip
    for ax, (task, part) in zip(axes.flat, groups, strict=False):
        _panel(ax, part)
        ax.set_title(str(task), fontsize=10)
    for ax in axes.flat[len(groups) :]:
        ax.set_visible(False)
    for ax in axes.flat[max(len(groups) - across, 0) : len(groups)]:
        ax.tick_params(labelbottom=True)
        ax.set_xlabel(xlabel, fontsize=10)
    style.frame_values(axes[0, 0], rows["mean"], most=1.0)
    style.legend_below(figure, *_legend(), columns=3)
    if title:
        figure.suptitle(title, x=0.01, ha="left", fontsize=12, fontweight="bold")
    return figure


def _panel(ax: Axes, part: pd.DataFrame) -> None:
    alone = part.loc[~part["whole"].astype(bool), "mean"]
    best = alone.idxmax() if len(alone) else None
    for height, (index, row) in enumerate(part.iterrows()):
        shade, marker, hollow = _look(whole=bool(row["whole"]), best=index == best)
        if pd.notna(row["low"]) and pd.notna(row["high"]):
            (bar,) = ax.plot([row["low"], row["high"]], [height] * 2, color=shade, linewidth=2,
                             alpha=0.6)  # fmt: skip
            style.tag(bar, "interval")
        (dot,) = ax.plot([row["mean"]], [height], marker=marker, markersize=7.5, color=shade,
                         markerfacecolor="white" if hollow else shade, markeredgewidth=1.6,
                         zorder=3)  # fmt: skip
        style.tag(dot, "best" if index == best else "whole" if row["whole"] else "alone")
    chance = part["chance"].dropna() if "chance" in part else np.array([])
    if len(chance):
        style.tag(ax.axvline(float(chance.iloc[0]), color=style.PUBLISHED, linestyle=":",
                             linewidth=1.3), "chance")  # fmt: skip
    ax.set_yticks(range(len(part)), part["label"], fontsize=9.5)
    ax.set_ylim(len(part) - 0.4, -0.6)
    ax.grid(axis="y", visible=False)
    ax.tick_params(axis="y", length=0)


def _look(*, whole: bool, best: bool) -> tuple[str, str, bool]:
    """Color, marker, and whether the marker is hollow."""
    if whole:
        return style.color(AMC), "s", False
    return style.NEUTRAL, "o", not best


def _legend() -> tuple[list[Line2D], list[str]]:
    handles = []
    for whole, best in ((False, False), (False, True), (True, False)):
        shade, marker, hollow = _look(whole=whole, best=best)
        handles.append(Line2D([], [], marker=marker, markersize=7.5, linewidth=2, color=shade,
                              markerfacecolor="white" if hollow else shade,
                              markeredgewidth=1.6))  # fmt: skip
    return handles, ["one modality, 95% interval", "the best one", "all modalities"]
