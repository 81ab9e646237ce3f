"""Forest plot: every repeat, the mean and its interval, and the published value beside it."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from mmlego.figures import checks, style
from mmlego.figures.spread import describe, interval


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
    figure, axes = style.canvas(height=1.35 + 0.44 * len(labels))
    ax = axes[0, 0]
    for position, label in enumerate(labels):
        _row(ax, rows[rows["label"] == label], position, spread, test_train_ratio)
    _finish(ax, labels, metric, title)
    line = style.chance(metric) if chance is None else chance
    style.frame_values(ax, _must_see(rows, line))
    if line is not None:
        style.tag(ax.axvline(line, color="#555555", linestyle=(0, (4, 3)), linewidth=1), "chance")
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


def _row(ax: Axes, rows: pd.DataFrame, position: int, spread: str, ratio: float | None) -> None:
    shade = style.color(rows["method"].iloc[0])
    values = rows["value"].to_numpy(float)
    heights = style.fan(position, values.size)
    style.tag(ax.scatter(values, heights, s=17, color=shade, alpha=0.6, linewidth=0), "repeats")
    mean = interval(values, kind=spread, test_train_ratio=ratio)
    if mean.n > 1:
        (bar,) = ax.plot([mean.lower, mean.upper], [position] * 2, color=shade, linewidth=2.2)
        style.tag(bar, "interval")
    (dot,) = ax.plot([mean.mean], [position], "o", color=shade, markersize=8.5, zorder=3,
                     markeredgecolor="white")  # fmt: skip
    style.tag(dot, "mean")
    _published(ax, rows, position)


def _published(ax: Axes, rows: pd.DataFrame, position: int) -> None:
    if "published" not in rows or rows["published"].isna().all():
        return
    value = checks.finite(rows["published"].dropna().unique(), name="forest_plot published")
    same = bool(rows["comparable"].fillna(False).all()) if "comparable" in rows else True
    for one in value:
        style.published_marker(ax, one, position, comparable=same)


def _finish(ax: Axes, labels: list[str], metric: str, title: str | None) -> None:
    ax.set_yticks(range(len(labels)), labels)
    ax.set_ylim(len(labels) - 0.45, -0.55)
    ax.grid(axis="y", visible=False)
    ax.tick_params(axis="y", length=0)
    better = "lower" if metric in style.LOWER_IS_BETTER else "higher"
    ax.set_xlabel(f"{style.title(metric)} ({better} is better)")
    if title:
        ax.set_title(title)


def _legend(ax: Axes, spread: str, published: str, chance: float | None) -> tuple[list, list[str]]:
    gids = [artist.get_gid() for artist in (*ax.lines, *ax.collections)]
    gray = {"color": style.NEUTRAL, "linestyle": "none"}
    handles = [Line2D([], [], marker="o", markersize=4, alpha=0.45, **gray),
               Line2D([], [], marker="o", markersize=8, **gray)]  # fmt: skip
    labels = ["one repeat", f"mean, {spread}" if "interval" in gids else "mean"]
    if "published" in gids:
        handles.append(Line2D([], [], marker="D", markersize=8, linestyle="none",
                              markerfacecolor="none", markeredgecolor=style.PUBLISHED,
                              markeredgewidth=1.7))  # fmt: skip
        labels.append(published)
    if chance is not None:
        handles.append(Line2D([], [], color="#555555", linestyle=(0, (4, 3)), linewidth=1))
        labels.append(f"chance ({chance:g})" if chance else "no difference")
    return handles, labels
