"""Readings of token replacement compared: conflict of gradients, rules, and totals as published."""

from __future__ import annotations

from textwrap import fill

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from mmlego.errors import DataError, ShapeError
from mmlego.figures import checks, parts, style
from mmlego.figures.inside.tokens_common import (
    dashed,
    dashed_line,
    mean_line,
    percent,
    shades,
    whole,
)
from mmlego.methods.names import AMC

KINDS = ("experts", "dense")


@style.styled()
def conflict_histograms(
    conflicts: pd.DataFrame, *, bins: int = 30, title: str | None = None
) -> Figure:
    """Draw the cosine between gradients of two modalities, one panel per pair of modalities.

    Experts and the dense layer lie over each other; dashed lines are medians. 1 is full agreement,
    below 0 a step for one modality harms the other.

    Args:
        conflicts: Columns kind ("experts" or "dense"), pair, cosine in [-1, 1].
        bins: Bars over [-1, 1].
        title: Heading, left out if None.

    Raises:
        DataError: If a column is missing or a kind is unknown.
        ShapeError: If a cosine is not finite or outside [-1, 1].

    Source: AMC paper, Fig. 6. Shares of batches are drawn where the paper has numbers of them.
    """
    name = "conflict_histograms"
    rows = checks.table(conflicts, ("kind", "pair", "cosine"), name=name)
    checks.finite_columns(rows, ("cosine",), name=name)
    for kind in rows["kind"].unique():
        checks.choice(kind, KINDS, name=f"{name}, kind")
    if rows["cosine"].abs().max() > 1 + 1e-6:
        raise ShapeError(
            f"{name}: expected cosines in [-1, 1], got {rows['cosine'].min():g} to "
            f"{rows['cosine'].max():g}; divide by both norms"
        )
    rows["cosine"] = rows["cosine"].clip(-1, 1)  # rounding only, but a histogram would drop it
    groups = list(rows.groupby("pair", sort=False))
    figure, axes, lowest = parts.panels(
        len(groups), 1 if len(groups) <= 3 else 2, height=lambda _, down: 1.4 + 1.55 * down,
        sharex=True, sharey=True,
    )  # fmt: skip
    narrow = len(groups) > 3
    edges, colors = np.linspace(-1, 1, bins + 1), dict(zip(KINDS, style.GROUPS, strict=False))
    kinds = [kind for kind in KINDS if kind in set(rows["kind"])]
    for ax, (pair, part) in zip(axes, groups, strict=True):
        medians = []
        for kind in [kind for kind in kinds if kind in set(part["kind"])]:
            values = part.loc[part["kind"] == kind, "cosine"]
            style.tag(parts.shares(ax, values, edges, colors[kind], alpha=0.5), kind)
            median = float(values.median())
            dashed_line(ax, median, colors[kind], f"median {kind}")
            medians.append(f"{kind} {median:.2f}")
        gap = "\n" if narrow else ": "
        ax.set_title(f"{pair}{gap}{', '.join(medians)}", fontsize=10)
        ax.set_xlim(-1, 1)
        percent(ax)
        ax.set_xlabel("")
    for ax in lowest:
        ax.set_xlabel("Cosine of gradients", fontsize=10 if narrow else 11.5)
    figure.supylabel("Share of batches", fontsize=11.5)
    handles = [Patch(color=colors[kind], alpha=0.5) for kind in kinds]
    style.legend_below(figure, [*handles, dashed(style.NEUTRAL)], [*kinds, "median"], columns=3)
    parts.heading(figure, title)
    return figure


@style.styled()
def rule_pairs(table: pd.DataFrame, metric_title: str, *, title: str | None = None) -> Figure:
    """Draw for every configuration the mean of each replacement rule, joined by a line.

    Args:
        table: Columns configuration, rule, mean (a score of at most 1), low, high (ends of a 95%
            interval, cut off where they leave the frame, both missing if there is none): one row
            per configuration and rule, two rules or more.
        metric_title: Name of the metric.
        title: Heading, left out if None.

    Raises:
        DataError: If a column is missing, a rule occurs twice for a configuration, there is only
            one rule, or a mean lies outside its interval.
        ShapeError: If a mean is not finite.
    """
    name = "rule_pairs"
    rows = checks.table(table, ("configuration", "rule", "mean", "low", "high"), name=name)
    checks.finite_columns(rows, ("mean",), name=name)
    checks.one_per(rows, ("configuration", "rule"), name=name)
    rules = list(dict.fromkeys(rows["rule"]))
    if len(rules) < 2:
        raise DataError(f"{name}: expected two rules or more, got {rules}; there is no pair to see")
    if (rows["low"] > rows["mean"]).any() or (rows["high"] < rows["mean"]).any():
        raise DataError(f"{name}: expected low <= mean <= high in every row; check the columns")
    colors = shades(rules)
    offsets = dict(zip(rules, np.linspace(-0.14, 0.14, len(rules)), strict=True))
    groups = list(rows.groupby("configuration", sort=False))
    figure, ax = style.panel(height=1.4 + 0.5 * len(groups))
    for position, (_, part) in enumerate(groups):
        heights = [position + offsets[rule] for rule in part["rule"]]
        style.tag(ax.plot(part["mean"], heights, color=style.PUBLISHED, linewidth=1.3)[0], "join")
        for height, row in zip(heights, part.itertuples(), strict=True):
            shade = colors[row.rule]
            parts.whisker(ax, (row.low, row.high), height, shade, within=(0.0, 1.0), alpha=0.6)
            parts.dot(ax, row.mean, height, shade, marker="os"[rules.index(row.rule) % 2])
    parts.name_rows(ax, [fill(str(each), 22) for each, _ in groups])
    style.frame_values(ax, rows["mean"], most=1.0)
    ax.set_xlabel(f"{metric_title} (mean, 95% interval)")
    handles = [Line2D([], [], color=colors[rule], marker="os"[index % 2], markersize=8,
                      markeredgecolor="white") for index, rule in enumerate(rules)]  # fmt: skip
    style.legend_below(figure, handles, [str(rule) for rule in rules])
    parts.heading(figure, title)
    return figure


@style.styled()
def digitised_totals(
    published: pd.DataFrame, ours: pd.DataFrame, *, title: str | None = None
) -> Figure:
    """Draw how many tokens of an instance are replaced in all, as published and by our rules.

    Args:
        published: Columns ending in "_replaced", one per modality; one row per instance, as
            ``mmlego.studies.tokens.published_map.digitised`` reads them.
        ours: Columns rule, total (whole numbers); one row per instance.
        title: Heading, left out if None.

    Raises:
        DataError: If a column is missing or a total is no whole number from 0 up.
        ShapeError: If a number is not finite.

    Source: AMC paper, Fig. 8, digitized.
    """
    name = "digitised_totals"
    known = checks.table(published, (), name=name)
    columns = [str(each) for each in known.columns if str(each).endswith("_replaced")]
    if not columns:
        raise DataError(
            f"{name}: expected columns such as code_replaced, got {list(known.columns)}; read the "
            "published figure with mmlego.studies.tokens.published_map.digitised"
        )
    rows = checks.table(ours, ("rule", "total"), name=name)
    checks.finite_columns(known, columns, name=name)
    checks.finite_columns(rows, ("total",), name=name)
    groups = [("Published figure", known[columns].sum(axis=1), style.PUBLISHED)]
    for rule, part in rows.groupby("rule", sort=False):
        groups.append((f"Ours: {rule}", part["total"], style.color(AMC)))
    if any((values < 0).any() or (values % 1 != 0).any() for _, values, _ in groups):
        raise DataError(
            f"{name}: expected totals that are whole numbers from 0 up; pass every instance, "
            "not means"
        )
    edges = whole(int(max(values.max() for _, values, _ in groups)), most=80)
    figure, axes = style.canvas(
        len(groups), 1, height=1.1 + 1.25 * len(groups), sharex=True, sharey=False
    )
    for ax, (words, values, shade) in zip(axes[:, 0], groups, strict=True):
        parts.shares(ax, values, edges, shade)
        mean = mean_line(ax, values)
        ax.set_title(
            f"{words} (n = {len(values)}, mean {mean:.1f}, {values.min():.0f} to "
            f"{values.max():.0f})", fontsize=10.5,
        )  # fmt: skip
        percent(ax)
    axes[-1, 0].set_xlabel("Replaced tokens of an instance, all modalities")
    figure.supylabel("Share of instances", fontsize=11.5)
    style.legend_below(figure, [dashed()], ["mean"])
    parts.heading(figure, title)
    return figure
