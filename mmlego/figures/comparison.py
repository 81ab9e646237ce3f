"""Means of several methods on several tasks: what merging gains, and a grid of all of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from mmlego.errors import DataError
from mmlego.figures import checks, parts, style

# Tints of one hue that all leave black print readable; the best is the most intense.
_TINT = LinearSegmentedColormap.from_list("tint", ["#7fb6d9", "#d5e6f1", "#ffffff"])


def with_published(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the rows with columns published, published_sd and comparable.

    Absent columns mean that nothing is published and that protocols match; within a column, a
    missing flag is read as not comparable.
    """
    defaults = {"published": np.nan, "published_sd": np.nan, "comparable": True}
    rows = rows.assign(**{name: v for name, v in defaults.items() if name not in rows})
    return rows.assign(comparable=rows["comparable"].eq(True))


@style.styled()
def uplift_plot(
    table: pd.DataFrame,
    *,
    xlabel: str = "Mean (higher is better)",
    published_label: str = "published",
    digits: int = 3,
    width: float = 5.8,
    title: str | None = None,
) -> Figure:
    """Draw per task one dot for each label, a whisker of one standard deviation, and diamonds.

    A line joins the labels of a task; in the margin stands the last label minus the first, such as
    a merge minus its best block.

    Args:
        table: Columns task, label, method, value (a mean), sd (a number or missing), one row per
            task and label; optional published (number or missing) and comparable (bool, whether
            the published protocol matches).
        xlabel: Name of the metric or metrics.
        published_label: Legend text of the diamond.
        digits: Decimals of the difference.
        width: Inches.
        title: Heading, left out if None.

    Raises:
        DataError: If a column is missing, or a pair of task and label occurs twice.
        ShapeError: If a value is not finite.
    """
    rows = checks.table(table, ("task", "label", "method", "value", "sd"), name="uplift_plot")
    rows = with_published(rows)
    checks.finite_columns(rows, ("value",), name="uplift_plot")
    checks.one_per(rows, ("task", "label"), name="uplift_plot")
    tasks, labels = list(dict.fromkeys(rows["task"])), list(dict.fromkeys(rows["label"]))
    offsets = dict(zip(labels, 0.5 * (np.arange(len(labels)) + 0.5) / len(labels) - 0.25,
                       strict=True))  # fmt: skip
    row_height = 0.3 + 0.14 * len(labels)
    figure, ax = style.panel(width=width, height=1.5 + row_height * len(tasks))
    for position, task in enumerate(tasks):
        part = rows[rows["task"] == task].set_index("label")
        heights = [position + offsets[label] for label in part.index]
        ax.plot(part["value"], heights, color=style.PUBLISHED, linewidth=1.1, zorder=1)
        for height, (_, row) in zip(heights, part.iterrows(), strict=True):
            _mean(ax, row, height, hollow=_is_hollow(row.name, labels))
        if {labels[0], labels[-1]} <= set(part.index) and len(labels) > 1:
            _difference(ax, part["value"], labels, position, digits)
    parts.name_rows(ax, tasks)
    ax.locator_params(axis="x", nbins=6)
    ax.set_xlabel(xlabel)
    if len(labels) > 1:
        ax.annotate("gain", (1, 1), xycoords="axes fraction", xytext=(6, 1), va="bottom",
                    textcoords="offset points", fontsize=9.5)  # fmt: skip
    style.legend_below(figure, *_legend(rows, labels, published_label))
    ax.set_title(title or "")
    return figure


def _is_hollow(label: str, labels: Sequence[str]) -> bool:
    """Whether a label is where the comparison starts: a hollow dot, also where colors are equal."""
    return len(labels) > 1 and label == labels[0]


def _mean(ax: Axes, row: pd.Series, height: float, *, hollow: bool) -> None:
    shade = style.color(row["method"])
    parts.whisker(ax, (row["value"] - row["sd"], row["value"] + row["sd"]), height, shade)
    rim: dict[str, Any] = {
        "markerfacecolor": "white",
        "markeredgecolor": shade,
        "markeredgewidth": 1.8,
    }
    parts.dot(ax, row["value"], height, shade, markersize=7.5, **(rim if hollow else {}))
    if pd.notna(row["published"]):
        style.published_marker(ax, float(row["published"]), height, comparable=row["comparable"])


def _difference(
    ax: Axes, values: pd.Series, labels: Sequence[str], position: int, digits: int
) -> None:
    gain = values[labels[-1]] - values[labels[0]]
    text = ax.annotate(f"{gain:+.{digits}f}", (1, position), va="center", fontsize=9.5,
                       xycoords=ax.get_yaxis_transform(), xytext=(6, 0),
                       textcoords="offset points", annotation_clip=False)  # fmt: skip
    style.tag(text, "gain")


def _legend(
    rows: pd.DataFrame, labels: Sequence[str], published: str
) -> tuple[list[Line2D], list[str]]:
    methods = rows.drop_duplicates("label").set_index("label")["method"]
    handles = [Line2D([], [], marker="o", markersize=7.5, linewidth=2, markeredgewidth=1.8,
                      markerfacecolor="white" if _is_hollow(label, labels) else None,
                      color=style.color(methods[label])) for label in labels]  # fmt: skip
    words = [f"{label}, one SD" if rows["sd"].notna().any() else label for label in labels]
    printed = rows[rows["published"].notna()]
    if not printed.empty:
        handles.append(style.published_handle())
        mixed = printed["comparable"].nunique() > 1
        words.append(f"{published} (pale: other protocol)" if mixed else published)
    if len(labels) > 1:
        handles.append(Line2D([], [], linestyle="none"))
        words.append(f"gain: {labels[-1]} minus {labels[0]}")
    return handles, words


@style.styled()
def method_task_plot(
    table: pd.DataFrame,
    *,
    higher_is_better: bool = True,
    reach: float = 0.1,
    digits: int = 3,
    width: float = 5.8,
    title: str | None = None,
) -> Figure:
    """Draw methods by tasks as a grid of means, tinted by how close each is to the task's best.

    Args:
        table: Columns task, label, value: one mean per task and label; an absent pair is left gray.
        higher_is_better: Whether the largest value of a task is best.
        reach: Distance from the best at which the tint has faded to white.
        digits: Decimals.
        width: Inches; below 0.5 inches per task the numbers shrink.
        title: Heading, left out if None.

    Raises:
        DataError: If a column is missing, a pair occurs twice, or ``reach`` is not positive.
        ShapeError: If a value is not finite.
    """
    rows = checks.table(table, ("task", "label", "value"), name="method_task_plot")
    checks.finite_columns(rows, ("value",), name="method_task_plot")
    checks.one_per(rows, ("task", "label"), name="method_task_plot")
    if not reach > 0:
        raise DataError(f"method_task_plot: expected a positive reach, got {reach}")
    grid = rows.pivot(index="label", columns="task", values="value")
    grid = grid.loc[rows["label"].unique(), rows["task"].unique()]
    behind = (grid.max() - grid) if higher_is_better else (grid - grid.min())
    figure, ax = style.panel(width=width, height=1.6 + 0.29 * len(grid))
    longest = max(grid.index.astype(str).str.len())
    best = behind.to_numpy() == 0
    end = "max" if (behind > reach).any(axis=None) else "neither"
    texts = parts.cells(
        ax, behind, grid.map(lambda value: f"{value:.{digits}f}").to_numpy(), cmap=_TINT, vmin=0,
        vmax=reach, linewidths=2, linecolor="white", empty="–",
        size=float(np.clip(20 * (width - 0.085 * longest - 0.3) / grid.shape[1], 6, 9.5)),
        colorbar={"location": "bottom", "shrink": 0.6, "aspect": 30, "extend": end,
                  "ticks": [0.0, reach / 2, reach], "label": "Distance to the best of the task"},
    )  # fmt: skip
    for place, text in texts.items():
        style.tag(text, "best" if best[place] else "value")
        text.set_fontweight("bold" if best[place] else "normal")
    slanted = max(len(str(task)) for task in grid.columns) > 6
    ax.set_facecolor("#e9e9e9")
    ax.xaxis.tick_top()
    ax.tick_params(labelsize=9.5, length=0)
    ax.set_xticks(ax.get_xticks(), grid.columns, rotation=40 if slanted else 0,
                  ha="left" if slanted else "center", rotation_mode="anchor")  # fmt: skip
    parts.heading(figure, title)
    return figure
