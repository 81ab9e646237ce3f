"""Searches for hyper-parameters: what every trial reached, and which parameters mattered."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from mmlego.errors import DataError
from mmlego.figures import checks, parts, style

_STATES = {
    "COMPLETE": ("o", style.GROUPS[0], "complete"),
    "PRUNED": ("x", style.GROUPS[1], "pruned"),
    "FAIL": ("|", style.GROUPS[5], "failed"),
}


def best_so_far(trials: pd.DataFrame) -> pd.Series:
    """Return the lowest value of the complete trials up to each, by trial number.

    Raises:
        DataError: If no trial is complete.
    """
    done = trials[trials["state"] == "COMPLETE"].sort_values("number")
    if done.empty:
        raise DataError("search_history: expected a complete trial, got none; run more trials")
    return done.set_index("number")["value"].cummin()


@style.styled()
def search_history(
    trials: pd.DataFrame,
    *,
    ylabel: str = "Validation loss",
    width: float = 5.8,
    title: str | None = None,
) -> Figure:
    """Draw the value of every trial and the best so far; lower is better.

    Values far above the rest, more than three interquartile ranges over the upper quartile of the
    complete trials, are drawn as triangles at the upper edge, so that one trial that diverged does
    not flatten the others. Failed trials are ticks on the lower edge.

    Args:
        trials: Columns number, value (missing for failed ones), state: "COMPLETE", "PRUNED" (its
            value is the last one reported), "FAIL"; others, such as running ones, are not drawn.
        ylabel: Name of the value.
        width: Inches.
        title: Heading, left out if None.

    Raises:
        DataError: If a column is missing, a number occurs twice, or no trial is complete.
        ShapeError: If a complete trial has no finite value.
    """
    rows = checks.table(trials, ("number", "value", "state"), name="search_history")
    checks.one_per(rows, ("number",), name="search_history")
    # Optuna writes its states as names or as members of an enumeration.
    rows["state"] = rows["state"].map(lambda state: str(state).rsplit(".", 1)[-1].upper())
    best = best_so_far(rows)
    done = rows[rows["state"] == "COMPLETE"]
    checks.finite_columns(done, ("value",), name="search_history, complete trials")
    low, high = np.quantile(done["value"], [0.25, 0.75])
    limit = high + 3 * (high - low) if high > low else np.inf
    figure, ax = style.panel(width=width, height=4.2)
    for state, (marker, shade, words) in _STATES.items():
        part = rows[rows["state"] == state]
        inside = part[part["value"] <= limit] if state != "FAIL" else part.assign(value=0.02)
        if inside.empty:
            continue
        place = ax.get_xaxis_transform() if state == "FAIL" else ax.transData
        (dots,) = ax.plot(inside["number"], inside["value"], marker, color=shade, markersize=5.5,
                          alpha=0.7, transform=place, label=f"{words} ({len(part)})")  # fmt: skip
        style.tag(dots, words)
    far = rows[(rows["value"] > limit) & (rows["state"] != "FAIL") & rows["state"].isin(_STATES)]
    if not far.empty:
        (above,) = ax.plot(far["number"], np.full(len(far), 0.97), "^", color=style.NEUTRAL,
                           markersize=6, transform=ax.get_xaxis_transform(),
                           label=f"above the frame ({len(far)})")  # fmt: skip
        style.tag(above, "above")
    steps = best.reindex([*best.index, rows["number"].max()]).ffill()
    (line,) = ax.step(steps.index, steps, where="post", color="black", linewidth=1.8,
                      label=f"best so far ({best.iloc[-1]:.4g})")  # fmt: skip
    style.tag(line, "best")
    ax.margins(y=0.12)
    cast(Any, ax.xaxis.get_major_locator()).set_params(integer=True)
    ax.set(xlabel="Trial", ylabel=f"{ylabel} (lower is better)")
    style.legend_below(figure, *ax.get_legend_handles_labels())
    ax.set_title(title or "")
    return figure


@style.styled()
def importance_bars(
    importances: Mapping[str, float] | pd.DataFrame,
    *,
    width: float = 5.8,
    title: str | None = None,
) -> Figure:
    """Draw how much each parameter mattered: the mean over studies as a bar, a dot per study.

    Args:
        importances: Importance by parameter, or a table with columns parameter, importance and
            optionally study. A study that did not vary a parameter has no row for it; the mean is
            over those that did.
        width: Inches.
        title: Heading, left out if None.

    Raises:
        DataError: If there is no parameter, a column is missing, a parameter of a study occurs
            twice, or an importance is negative.
        ShapeError: If an importance is not finite.
    """
    if isinstance(importances, Mapping):
        importances = pd.DataFrame({"parameter": list(importances),
                                    "importance": list(importances.values())})  # fmt: skip
    rows = checks.table(importances, ("parameter", "importance"), name="importance_bars")
    rows = rows if "study" in rows else rows.assign(study="")
    checks.finite_columns(rows, ("importance",), name="importance_bars")
    checks.one_per(rows, ("study", "parameter"), name="importance_bars")
    if (rows["importance"] < 0).any():
        raise DataError("importance_bars: expected importances of 0 or more, got negative ones")
    means = rows.groupby("parameter", sort=False)["importance"].mean()
    means = means.sort_values(ascending=False, kind="stable")
    figure, ax = style.panel(width=width, height=1.1 + 0.36 * len(means))
    n_studies = rows["study"].nunique()
    words = [f"{mean:.2f}" if n_studies == 1 else "" for mean in means]
    parts.bars(ax, [style.title(str(name)) for name in means.index], means, words, style.GROUPS[0],
               "bar", room=0.12, alpha=0.85 if n_studies == 1 else 0.45)  # fmt: skip
    for position, parameter in enumerate(means.index if n_studies > 1 else ()):
        values = rows.loc[rows["parameter"] == parameter, "importance"].to_numpy(float)
        parts.repeats(ax, values, position, "black", "studies", s=16)
    ax.set_xlim(left=0)
    many = f" (mean; dots: {n_studies} studies)" if n_studies > 1 else ""
    ax.set_xlabel(f"Importance{many}")
    ax.set_title(title or "")
    return figure
