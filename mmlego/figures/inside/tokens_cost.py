"""What models that read the same tokens cost, with the encoders that they share and without."""

from __future__ import annotations

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from mmlego.errors import DataError
from mmlego.figures import checks, parts, style

_PANELS = {"gflops": "prediction, GFLOP", "step_ms": "training step, ms"}
_BARE = "_without_encoders"


@style.styled()
def token_cost_bars(table: pd.DataFrame, *, title: str | None = None) -> Figure:
    """Draw operations and time of every model: pale as a whole, dark inside without encoders.

    Models stand in the order of their operations, the most on top.

    Args:
        table: Columns method (name), gflops, step_ms, and both with ``_without_encoders``, as
            ``mmlego.studies.amc.costs.token_costs`` returns them.
        title: Heading, left out if None.

    Raises:
        DataError: If a column is missing, a method occurs twice, or a cost is not above 0.
        ShapeError: If a cost is not finite.

    Source: AMC paper, Table 10.
    """
    name, costs = "token_cost_bars", [*_PANELS, *(f"{column}{_BARE}" for column in _PANELS)]
    rows = checks.table(table, ("method", *costs), name=name)
    checks.finite_columns(rows, costs, name=name)
    checks.one_per(rows, ("method",), name=name)
    if (rows[costs] <= 0).any(axis=None):
        raise DataError(f"{name}: expected costs above 0, got one that is not; measure it again")
    rows = rows.sort_values("gflops", kind="stable")
    figure, axes = style.canvas(1, 2, height=1.5 + 0.34 * len(rows), sharey=True)
    places, colors = range(len(rows)), [style.color(method) for method in rows["method"]]
    for ax, (column, words) in zip(axes[0], _PANELS.items(), strict=True):
        for values, tag, look in (
            (rows[column], "whole", {"height": 0.74, "alpha": 0.35}),
            (rows[f"{column}{_BARE}"], "bare", {"height": 0.36}),
        ):
            style.tag(list(ax.barh(places, values, color=colors, **look)), tag)
        ax.set_xlabel(words)
        ax.locator_params(axis="x", nbins=4)
        ax.grid(axis="y", visible=False)
    axes[0, 0].set_yticks(places, [style.title(method) for method in rows["method"]])
    figure.align_xlabels()
    handles = [Patch(color=style.NEUTRAL, alpha=0.35), Patch(color=style.NEUTRAL)]
    style.legend_below(figure, handles, ["as a whole", "without encoders"])
    parts.heading(figure, title)
    return figure
