"""How something grows: cost against size on logarithmic axes, and a metric against a rate."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple, cast

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import FixedFormatter, FixedLocator, NullLocator

from mmlego.errors import DataError
from mmlego.figures import checks, parts, style
from mmlego.figures.spread import describe, ends_of


class PowerLaw(NamedTuple):
    """The line value = scale x^exponent, which is straight on logarithmic axes."""

    scale: float
    exponent: float


def power_law(x: object, value: object) -> PowerLaw:
    """Fit a power law by least squares on the logarithms.

    Args:
        x: Sizes (n,), positive, two different ones or more.
        value: Measurements (n,), positive; repeats are rows of their own.

    Raises:
        ShapeError: If lengths differ or a number is not finite.
        DataError: If a number is not positive or all sizes are the same.
    """
    sizes, values = checks.finite(x, name="power law x"), checks.finite(value, name="power law")
    checks.same_length("power law", x=sizes, value=values)
    if (sizes <= 0).any() or (values <= 0).any() or np.ptp(sizes) == 0:
        raise DataError(
            "power law: expected positive numbers at two sizes or more, got sizes "
            f"{sizes.min():g} to {sizes.max():g} and values from {values.min():g}"
        )
    exponent, intercept = np.polyfit(np.log(sizes), np.log(values), 1)
    return PowerLaw(float(np.exp(intercept)), float(exponent))


@style.styled()
def scaling_plot(
    table: pd.DataFrame,
    *,
    xlabel: str,
    ylabel: str,
    fits: Mapping[str, PowerLaw] | None = None,
    width: float = 5.8,
    title: str | None = None,
) -> Figure:
    """Draw measurements against size on logarithmic axes, with power laws and their exponents.

    Args:
        table: Columns x, value (both positive), label, method; repeats are rows of their own.
        xlabel: Name and unit of the size.
        ylabel: Name and unit of the measurement.
        fits: Power law by label; None fits one to every label, and a label left out gets no line.
        width: Inches.
        title: Heading, left out if None.

    Raises:
        DataError: If a column is missing or a number is not positive.
        ShapeError: If a number is not finite.
    """
    rows = checks.table(table, ("x", "value", "label", "method"), name="scaling_plot")
    checks.finite_columns(rows, ("x", "value"), name="scaling_plot")
    labels = list(dict.fromkeys(rows["label"]))
    by_label = {label: rows[rows["label"] == label] for label in labels}
    if fits is None:
        fits = {label: power_law(part["x"], part["value"]) for label, part in by_label.items()}
    figure, ax = style.panel(width=width, height=3.7 + 0.1 * len(labels))
    ax.set(xscale="log", yscale="log", xlabel=xlabel, ylabel=ylabel)
    for index, (label, part) in enumerate(by_label.items()):
        marker = parts.MARKERS[index % len(parts.MARKERS)]
        shade, words = style.color(part["method"].iloc[0]), str(label)
        if label in fits:
            ends = np.array([part["x"].min(), part["x"].max()], dtype=float)
            line = fits[label].scale * ends ** fits[label].exponent
            style.tag(ax.plot(ends, line, color=shade, linewidth=1.6)[0], "fit")
            words += f": $x^{{{fits[label].exponent:.2f}}}$"
        dots = ax.plot(part["x"], part["value"], marker, color=shade, markersize=6, alpha=0.75,
                       markeredgewidth=0, label=words)  # fmt: skip
        style.tag(dots[0], "repeats")
    _size_ticks(ax, rows["x"].unique())
    style.legend_below(figure, *ax.get_legend_handles_labels())
    ax.set_title(title or "")
    return figure


def _size_ticks(ax: Axes, sizes: np.ndarray) -> None:
    """Name the sizes that were measured, if they are few and far enough apart to be read."""
    steps = np.diff(np.log(np.sort(sizes)))
    if 2 <= len(sizes) <= 9 and steps.min() > 0.09 * steps.sum():
        ax.xaxis.set_major_locator(FixedLocator(cast("Sequence[float]", np.sort(sizes))))
        ax.xaxis.set_major_formatter(FixedFormatter([f"{size:,g}" for size in np.sort(sizes)]))
        ax.xaxis.set_minor_locator(NullLocator())


@style.styled()
def rate_curves(
    table: pd.DataFrame,
    *,
    xlabel: str,
    metric: str = "c_index",
    spread: str = "ci",
    test_train_ratio: float | None = None,
    width: float = 5.8,
    title: str | None = None,
) -> Figure:
    """Draw the mean of a metric against a rate, one curve per label with a band over repeats.

    Args:
        table: Columns x (a rate, such as the share of missing modalities), repeat, value, label,
            method.
        xlabel: Name of the rate.
        metric: Name of the metric; sets the axis label and the chance line.
        spread: "ci" (95% t interval), "sd" or "bootstrap".
        test_train_ratio: n_test / n_train; widens the t interval for overlapping repeats.
        width: Inches.
        title: Heading, left out if None.

    Raises:
        DataError: If a column is missing or a repeat of a point occurs twice.
        ShapeError: If a number is not finite.
    """
    columns = ("x", "repeat", "value", "label", "method")
    rows = checks.table(table, columns, name="rate_curves")
    checks.finite_columns(rows, ("x", "value"), name="rate_curves")
    checks.one_per(rows, ("label", "repeat", "x"), name="rate_curves")
    labels = list(dict.fromkeys(rows["label"]))
    figure, ax = style.panel(width=width, height=3.7 + 0.1 * len(labels))
    methods = rows.drop_duplicates("label").set_index("label")["method"]
    parts.mean_curves(ax, rows, {label: style.color(methods[label]) for label in labels},
                      ends=ends_of(metric, spread, test_train_ratio), markersize=6)  # fmt: skip
    _frame_curves(ax, rows, metric)
    ax.set(xlabel=xlabel, ylabel=style.title(metric))
    handles, words = ax.get_legend_handles_labels()
    if (rows.groupby(["label", "x"]).size() > 1).any():
        handles.append(Patch(color=style.NEUTRAL, alpha=0.13, linewidth=0))
        words.append(describe(spread, corrected=test_train_ratio is not None))
    style.legend_below(figure, handles, words)
    ax.set_title(title or "")
    return figure


def _frame_curves(ax: Axes, rows: pd.DataFrame, metric: str) -> None:
    """Mark chance, and frame the repeats, so that one wide band cannot flatten all curves."""
    chance, values = style.chance(metric), list(rows["value"])
    if chance is not None:
        line = ax.axhline(chance, label=f"chance ({chance:g})", **parts.REFERENCE)
        style.tag(line, "chance")
        values.append(chance)
    room = max(0.25 * np.ptp(values), 0.02)
    drawn = ax.get_ylim()
    ax.set_ylim(max(drawn[0], min(values) - room), min(drawn[1], max(values) + room))
