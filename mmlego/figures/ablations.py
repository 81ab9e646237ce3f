"""Ablation figures: levels of a factor, paired differences to a reference, and sweeps."""

from __future__ import annotations

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from mmlego.errors import DataError
from mmlego.figures import checks, style
from mmlego.figures.spread import describe, interval
from mmlego.methods.names import LEGO_MERGE


@style.styled()
def ablation_bars(
    table: pd.DataFrame,
    *,
    metric: str = "c_index",
    method: str = LEGO_MERGE,
    reference: str | None = None,
    title: str | None = None,
) -> Figure:
    """Draw the mean of each level as a bar, its repeats as dots, one standard deviation as whisker.

    Bars start at chance where the metric has one, since the distance to it is what counts.

    Args:
        table: Columns label, repeat, value.
        metric: Name of the metric.
        method: Sets the color.
        reference: Label of the default level, drawn darker; None if there is none.
        title: Heading, left out if None.

    Raises:
        DataError: If a column is missing, a repeat occurs twice, or the reference is no label.
        ShapeError: If a value is not finite.
    """
    rows, labels = _levels(table, "ablation_bars", reference)
    figure, axes = style.canvas(height=1.1 + 0.46 * len(labels))
    ax, chance = axes[0, 0], style.chance(metric)
    start = chance or 0.0
    for position, label in enumerate(labels):
        values = rows.loc[rows["label"] == label, "value"].to_numpy(float)
        shade = style.color(method)
        bar = ax.barh(position, values.mean() - start, left=start, height=0.62, color=shade,
                      alpha=0.85 if label == reference else 0.45)  # fmt: skip
        style.tag(list(bar), "bar")
        spread = interval(values, kind="sd")
        if spread.n > 1:
            ax.plot([spread.lower, spread.upper], [position] * 2, color="black", linewidth=1.4)
        style.tag(ax.scatter(values, style.fan(position, values.size), s=14, color="black",
                             alpha=0.6, linewidth=0, zorder=3), "repeats")  # fmt: skip
    ax.set_yticks(range(len(labels)), labels)
    ax.invert_yaxis()
    ax.grid(axis="y", visible=False)
    ax.set_xlabel(f"{style.title(metric)} (mean, one standard deviation)")
    ax.axvline(start, color="#555555", linewidth=1)
    if title:
        ax.set_title(title)
    return figure


def _levels(
    table: pd.DataFrame, name: str, reference: str | None
) -> tuple[pd.DataFrame, list[str]]:
    rows = checks.table(table, ("label", "repeat", "value"), name=name)
    checks.finite_columns(rows, ("value",), name=name)
    checks.one_per(rows, ("label", "repeat"), name=name)
    labels = list(dict.fromkeys(rows["label"]))
    if reference is not None and reference not in labels:
        raise DataError(f"{name}: reference {reference!r} is no label; got {labels}")
    return rows, labels


def differences(table: pd.DataFrame, *, reference: str) -> pd.DataFrame:
    """Return label, repeat, difference: each level minus the reference on the same repeat.

    Raises:
        DataError: If a level and the reference do not share the same repeats.
    """
    rows, _ = _levels(table, "paired_differences", reference)
    wide = rows.pivot(index="repeat", columns="label", values="value")
    if wide.isna().any(axis=None):
        short = sorted(wide.columns[wide.isna().any()])
        raise DataError(f"paired_differences: expected every repeat for every label, {short} lack "
                        "some; pairs need the same splits")  # fmt: skip
    minus = wide.drop(columns=reference).sub(wide[reference], axis=0)
    order = [label for label in dict.fromkeys(rows["label"]) if label != reference]
    return minus[order].melt(ignore_index=False, value_name="difference").reset_index()


@style.styled()
def paired_differences(
    table: pd.DataFrame,
    *,
    reference: str,
    metric: str = "c_index",
    spread: str = "ci",
    test_train_ratio: float | None = None,
    title: str | None = None,
) -> Figure:
    """Draw each level minus the reference, paired by repeat, with its interval.

    Args:
        table: Columns label, repeat, value; optional method for the color of a label.
        reference: Label that is subtracted.
        metric: Name of the metric.
        spread: "ci", "sd" or "bootstrap".
        test_train_ratio: n_test / n_train; gives the corrected interval (Nadeau & Bengio, 2003).
        title: Heading, left out if None.

    Raises:
        DataError: If repeats do not pair up, or there is nothing beside the reference.
        ShapeError: If a value is not finite.
    """
    minus = differences(table, reference=reference)
    labels = list(dict.fromkeys(minus["label"]))
    if not labels:
        raise DataError(f"paired_differences: expected a label beside {reference!r}, got none")
    figure, axes = style.canvas(height=1.5 + 0.46 * len(labels))
    ax = axes[0, 0]
    style.tag(ax.axvline(0, color="#555555", linestyle=(0, (4, 3)), linewidth=1), "zero")
    for position, label in enumerate(labels):
        values = minus.loc[minus["label"] == label, "difference"].to_numpy(float)
        shade = style.color(_method(table, label))
        style.tag(ax.scatter(values, style.fan(position, values.size), s=18, color=shade, alpha=0.5,
                             linewidth=0), "repeats")  # fmt: skip
        mean = interval(values, kind=spread, test_train_ratio=test_train_ratio)
        style.tag(ax.plot([mean.lower, mean.upper], [position] * 2, color=shade, linewidth=2.2)[0],
                  "interval")  # fmt: skip
        style.tag(ax.plot([mean.mean], [position], "o", color=shade, markersize=8.5,
                          markeredgecolor="white", zorder=3)[0], "mean")  # fmt: skip
    ax.set_yticks(range(len(labels)), labels)
    ax.set_ylim(len(labels) - 0.45, -0.55)
    ax.grid(axis="y", visible=False)
    style.frame_values(ax, [0.0, *minus["difference"]])
    words = describe(spread, corrected=test_train_ratio is not None)
    ax.set_xlabel(f"{style.title(metric)}:\ndifference to {reference}")
    gray = {"color": style.NEUTRAL, "marker": "o"}
    handles = [Line2D([], [], markersize=4, alpha=0.45, linestyle="none", **gray),
               Line2D([], [], markersize=8, **gray)]  # fmt: skip
    style.legend_below(figure, handles, ["one repeat", f"mean, {words}"])
    if title:
        ax.set_title(title)
    return figure


def _method(table: pd.DataFrame, label: str) -> str:
    if "method" not in table:
        return LEGO_MERGE
    return str(table.loc[table["label"] == label, "method"].iloc[0])


@style.styled()
def sweep_plot(
    table: pd.DataFrame,
    *,
    xlabel: str,
    metric: str = "c_index",
    method: str = LEGO_MERGE,
    reference: float | None = None,
    title: str | None = None,
) -> Figure:
    """Draw a metric over a setting: one thin line per repeat, the mean thick.

    Args:
        table: Columns x (number), repeat, value; optional label for several curves.
        xlabel: Name and unit of the setting.
        metric: Name of the metric.
        method: Sets the color when there is one curve.
        reference: Default value of the setting, marked by a vertical line; None for no line.
        title: Heading, left out if None.

    Raises:
        DataError: If a column is missing or a point occurs twice.
        ShapeError: If a number is not finite.
    """
    rows = checks.table(table, ("x", "repeat", "value"), name="sweep_plot")
    checks.finite_columns(rows, ("x", "value"), name="sweep_plot")
    if "label" not in rows:
        rows["label"] = ""
    checks.one_per(rows, ("label", "repeat", "x"), name="sweep_plot")
    figure, axes = style.canvas()
    ax, labels = axes[0, 0], list(dict.fromkeys(rows["label"]))
    for index, label in enumerate(labels):
        one = rows[rows["label"] == label].sort_values("x")
        shade = style.color(method) if len(labels) == 1 else style.GROUPS[index % 6]
        for _, line in one.groupby("repeat"):
            style.tag(ax.plot(line["x"], line["value"], color=shade, alpha=0.35, linewidth=1)[0],
                      "repeat")  # fmt: skip
        mean = one.groupby("x")["value"].mean()
        style.tag(ax.plot(mean.index, mean, "o-", color=shade, linewidth=2.4, markersize=5,
                          label=label or "mean of repeats")[0], "mean")  # fmt: skip
    if reference is not None:
        style.tag(ax.axvline(reference, color="#555555", linestyle=(0, (1, 2)), linewidth=1.3),
                  "reference")  # fmt: skip
    ax.set(xlabel=xlabel, ylabel=style.title(metric))
    ax.legend(loc="best")
    if title:
        ax.set_title(title)
    return figure
