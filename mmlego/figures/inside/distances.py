"""Distances before and after a step, against the line on which they would be kept."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from mmlego.errors import ShapeError
from mmlego.figures import checks, parts, style


@style.styled()
def distance_plot(
    table: pd.DataFrame,
    *,
    xlabel: str = "Distance before",
    ylabel: str = "Distance after",
    title: str | None = None,
) -> Figure:
    """Draw one mark per pair on logarithmic axes, and the line of equal distances.

    Args:
        table: Columns kind (what was done), before and after, both > 0 and in the same unit.
        xlabel: Label of the horizontal axis.
        ylabel: Label of the vertical axis.
        title: Heading, left out if None.

    Raises:
        DataError: If a column is missing or there is no row.
        ShapeError: If a value is not finite, or not above 0.
    """
    name = "distance_plot"
    rows = checks.table(table, ("kind", "before", "after"), name=name)
    checks.finite_columns(rows, ("before", "after"), name=name)
    values = rows[["before", "after"]].to_numpy(float)
    if (values <= 0).any():
        raise ShapeError(
            f"{name}: expected distances above 0 on logarithmic axes, got {values.min():g}; "
            "leave out pairs that coincide"
        )
    figure, ax = style.panel(height=4.2)
    ends = np.array([values.min(), values.max()])
    ax.plot(ends, ends, color=style.NEUTRAL, linewidth=1, linestyle="--", gid="equal",
            label="distance kept")  # fmt: skip
    for index, (kind, part) in enumerate(rows.groupby("kind", sort=False)):
        ax.plot(part["before"], part["after"], linestyle="none", markersize=5, alpha=0.7,
                marker=parts.MARKERS[index % 4], color=style.GROUPS[index % 6], label=str(kind),
                gid="pairs")  # fmt: skip
    ax.set(xscale="log", yscale="log", xlabel=xlabel, ylabel=ylabel)
    ax.legend(loc="best")
    ax.set_title(title or "")
    return figure
