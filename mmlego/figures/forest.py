"""Forest plot: every repeat, the mean and its interval, and the published value beside it."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from mmlego.figures import checks, parts, style
from mmlego.figures.spread import describe, ends_of


@style.styled()
def forest_plot(
    table: pd.DataFrame,
    *,
    metric: str = "c_index",
    spread: str = "ci",
    test_train_ratio: float | None = None,
    chance: float | None = None,
    order: str = "given",
    published_label: str = "published (row-level split)",
    title: str | None = None,
) -> Figure:
    """Draw one row per label: dots for repeats, a mean, a whisker, a diamond if published.

    A whisker ends where the scale of the metric does.

    Args:
        table: Columns label, method, value, repeat; optional published (number or missing) and
            comparable (bool, whether the published protocol matches), constant within a label.
        metric: Name of the metric; sets the axis label and the chance line.
        spread: "ci" (95% t interval), "sd" or "bootstrap".
        test_train_ratio: n_test / n_train; widens the t interval for overlapping repeats.
        chance: Where to draw the chance line; None takes the metric's own, if it has one. At 0,
            as for differences, the legend calls it "no difference".
        order: "given" keeps the order of labels, "value" sorts by mean, best on top.
        published_label: Legend text of the diamond.
        title: Heading, left out if None.

    Raises:
        DataError: If a column is missing, the table is empty, or a repeat occurs twice.
        ShapeError: If a value is not finite.
    """
    rows = checks.table(table, ("label", "method", "value", "repeat"), name="forest_plot")
    checks.finite_columns(rows, ("value",), name="forest_plot")
    checks.one_per(rows, ("label", "repeat"), name="forest_plot")
    labels = _ordered(rows, order, metric)
    figure, ax = style.panel(height=1.35 + 0.44 * len(labels))
    methods = rows.drop_duplicates("label").set_index("label")["method"]
    line = style.chance(metric) if chance is None else chance
    ends = ends_of(metric, spread, test_train_ratio, difference=line == 0)
    parts.mean_rows(ax, rows, {label: style.color(methods[label]) for label in labels}, ends)
    for position, label in enumerate(labels):
        _published(ax, rows[rows["label"] == label], position)
    better = "lower" if metric in style.LOWER_IS_BETTER else "higher"
    ax.set_xlabel(f"{style.title(metric)} ({better} is better)")
    ax.set_title(title or "")
    style.frame_values(ax, _must_see(rows, line))
    if line is not None:
        style.tag(ax.axvline(line, **parts.REFERENCE), "chance")
    what = describe(spread, corrected=test_train_ratio is not None)
    style.legend_below(figure, *_legend(ax, what, published_label, line))
    return figure


def _must_see(rows: pd.DataFrame, line: float | None) -> np.ndarray:
    """All repeats, published values, and the reference line."""
    columns = [name for name in ("value", "published") if name in rows]
    numbers = rows[columns].to_numpy(float)
    return np.append(numbers[np.isfinite(numbers)], [] if line is None else [line])


def _ordered(rows: pd.DataFrame, order: str, metric: str) -> list[str]:
    checks.choice(order, ("given", "value"), name="forest_plot order")
    if order == "given":
        return list(dict.fromkeys(rows["label"]))
    means = rows.groupby("label", sort=False)["value"].mean()
    return list(means.sort_values(ascending=metric in style.LOWER_IS_BETTER).index)


def _published(ax: Axes, rows: pd.DataFrame, position: int) -> None:
    if "published" not in rows or rows["published"].isna().all():
        return
    value = checks.finite(rows["published"].dropna().unique(), name="forest_plot published")
    same = bool(rows["comparable"].fillna(False).all()) if "comparable" in rows else True
    for one in value:
        style.published_marker(ax, one, position, comparable=same)


def _legend(ax: Axes, spread: str, published: str, chance: float | None) -> tuple[list, list[str]]:
    gids = [artist.get_gid() for artist in (*ax.lines, *ax.collections)]
    handles = parts.mean_handles(intervals="interval" in gids)
    labels = ["one repeat", f"mean, {spread}" if "interval" in gids else "mean"]
    if "published" in gids:
        handles.append(style.published_handle())
        labels.append(published)
    if chance is not None:
        handles.append(Line2D([], [], **parts.REFERENCE))
        labels.append(f"chance ({chance:g})" if chance else "no difference")
    return handles, labels
