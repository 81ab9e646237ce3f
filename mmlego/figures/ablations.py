"""Ablation figures: levels of a factor, paired differences to a reference, and sweeps."""

from __future__ import annotations

import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure

from mmlego.errors import DataError
from mmlego.figures import checks, parts, style
from mmlego.figures.spread import describe, ends_of
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
    figure, ax = style.panel(height=1.1 + 0.46 * len(labels))
    chance = style.chance(metric)
    start = chance or 0.0
    for position, label in enumerate(labels):
        values = rows.loc[rows["label"] == label, "value"].to_numpy(float)
        shade = style.color(method)
        bar = ax.barh(position, values.mean() - start, left=start, height=0.62, color=shade,
                      alpha=0.85 if label == reference else 0.45)  # fmt: skip
        style.tag(list(bar), "bar")
        parts.whisker(ax, ends_of(metric, "sd")(values), position, "black", linewidth=1.4)
        parts.repeats(ax, values, position, "black", s=14)
    parts.name_rows(ax, labels)
    ax.set_xlabel(f"{style.title(metric)} (mean, one standard deviation)")
    ax.axvline(start, color="#555555", linewidth=1)
    ax.set_title(title or "")
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
    figure, ax = style.panel(height=1.5 + 0.46 * len(labels))
    style.tag(ax.axvline(0, **parts.REFERENCE), "zero")
    rows = minus.rename(columns={"difference": "value"})
    parts.mean_rows(ax, rows, {label: style.color(_method(table, label)) for label in labels},
                    ends_of(metric, spread, test_train_ratio, difference=True))  # fmt: skip
    style.frame_values(ax, [0.0, *minus["difference"]])
    words = describe(spread, corrected=test_train_ratio is not None)
    ax.set_xlabel(f"{style.title(metric)}:\ndifference to {reference}")
    style.legend_below(figure, parts.mean_handles(), ["one repeat", f"mean, {words}"])
    ax.set_title(title or "")
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
        rows["label"] = "mean of repeats"
    checks.one_per(rows, ("label", "repeat", "x"), name="sweep_plot")
    figure, ax = style.panel()
    labels = list(dict.fromkeys(rows["label"]))
    shades = style.GROUPS if len(labels) > 1 else [style.color(method)]
    colors = {label: shades[index % len(shades)] for index, label in enumerate(labels)}
    sns.lineplot(rows, x="x", y="value", hue="label", palette=colors, units="repeat",
                 estimator=None, alpha=0.35, linewidth=1, legend=False, ax=ax)  # fmt: skip
    style.tag(list(ax.lines), "repeat")
    parts.mean_curves(ax, rows, colors, marker="o", markersize=6, markeredgewidth=0, linewidth=2.4)
    if reference is not None:
        style.tag(ax.axvline(reference, color="#555555", linestyle=(0, (1, 2)), linewidth=1.3),
                  "reference")  # fmt: skip
    ax.set(xlabel=xlabel, ylabel=style.title(metric))
    ax.legend(loc="best")
    ax.set_title(title or "")
    return figure
