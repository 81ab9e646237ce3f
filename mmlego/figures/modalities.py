"""Each modality alone beside all of them together, data set by data set."""

from __future__ import annotations

from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from mmlego.errors import DataError
from mmlego.figures import checks, parts, style
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
    longest = max(len(part) for _, part in groups)
    figure, axes, lowest = parts.panels(
        len(groups), 2, height=lambda _, down: 1.1 + down * (0.55 + 0.24 * longest), sharex=True
    )
    for ax, (task, part) in zip(axes, groups, strict=True):
        _panel(ax, part)
        ax.set_title(str(task), fontsize=10)
    for ax in lowest:
        ax.set_xlabel(xlabel, fontsize=10)
    style.frame_values(axes[0], rows["mean"], most=1.0)
    style.legend_below(figure, *_legend(), columns=3)
    parts.heading(figure, title)
    return figure


def _panel(ax: Axes, part: pd.DataFrame) -> None:
    alone = part.loc[~part["whole"].astype(bool), "mean"]
    best = alone.idxmax() if len(alone) else None
    for height, (index, row) in enumerate(part.iterrows()):
        shade, look = _look(whole=bool(row["whole"]), best=index == best)
        parts.whisker(ax, (row["low"], row["high"]), height, shade, within=(0.0, 1.0), alpha=0.6)
        name = "best" if index == best else "whole" if row["whole"] else "alone"
        parts.dot(ax, row["mean"], height, shade, name, **look)
    chance = part["chance"].dropna().to_list() if "chance" in part else []
    if len(chance):
        style.tag(ax.axvline(float(chance[0]), color=style.PUBLISHED, linestyle=":",
                             linewidth=1.3), "chance")  # fmt: skip
    parts.name_rows(ax, part["label"], fontsize=9.5)


def _look(*, whole: bool, best: bool) -> tuple[str, dict[str, Any]]:
    """Color of a row, and how its mark looks: hollow for what is neither best nor whole."""
    shade = style.color(AMC) if whole else style.NEUTRAL
    face = shade if whole or best else "white"
    return shade, {"marker": "s" if whole else "o", "markersize": 7.5, "markerfacecolor": face,
                   "markeredgecolor": shade, "markeredgewidth": 1.6}  # fmt: skip


def _legend() -> tuple[list[Line2D], list[str]]:
    looks = [
        _look(whole=whole, best=best)
        for whole, best in ((False, False), (False, True), (True, False))
    ]
    handles = [Line2D([], [], linewidth=2, color=shade, **look) for shade, look in looks]
    return handles, ["one modality, 95% interval", "the best one", "all modalities"]
