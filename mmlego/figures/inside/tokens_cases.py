"""Token replacement up close: whose token stands where, and the extreme cases."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from textwrap import fill

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from numpy.typing import ArrayLike

from mmlego.errors import DataError, ShapeError
from mmlego.figures import checks, parts, style
from mmlego.figures.inside.tokens_common import shades

EXTREMES = ("lowest", "highest")


@style.styled()
def replacement_map(
    sources: Mapping[str, ArrayLike],
    names: Sequence[str],
    titles: Sequence[str] | None = None,
    *,
    title: str | None = None,
) -> Figure:
    """Draw whose token stands at every position of every instance after the replacements.

    One panel per modality, a column per instance and a row per position; a token of the panel's own
    color was left alone.

    Args:
        sources: By modality, whole numbers (instances, positions): the place in ``names`` of the
            modality whose token stands there. One shape for all.
        names: All modalities in the order that the numbers mean, up to six.
        titles: What to call them, in the same order; their house names if None.
        title: Heading, left out if None.

    Raises:
        DataError: If a modality has no name or there are none.
        ShapeError: If shapes differ, are not (instances, positions), or a number has no modality.

    Source: AMC paper, Fig. 8.
    """
    names = list(names)
    unknown = [name for name in sources if name not in names]
    if unknown or not sources:
        raise DataError(
            f"replacement_map: expected modalities of {names}, got {list(sources)}; name every "
            "modality that the numbers mean"
        )
    checks.same_length("replacement_map", names=names, titles=titles)
    words = list(map(style.title, names)) if titles is None else [str(each) for each in titles]
    maps = {name: _whose(values, name, len(names)) for name, values in sources.items()}
    shapes = {name: values.shape for name, values in maps.items()}
    if len(set(shapes.values())) > 1:
        raise ShapeError(f"replacement_map: expected maps of one shape, got {shapes}")
    colors = list(shades(names).values())
    figure, axes = style.canvas(len(maps), 1, height=0.9 + 1.55 * len(maps), sharex=True)
    for ax, (name, values) in zip(axes[:, 0], maps.items(), strict=True):
        image = ax.imshow(values.T, cmap=ListedColormap(colors), vmin=-0.5, vmax=len(names) - 0.5,
                          aspect="auto", interpolation="nearest")  # fmt: skip
        style.tag(image, "map")
        own = names.index(name)
        share = (values != own).mean()
        ax.set_title(f"Tokens of {words[own]}: {share:.0%} replaced", fontsize=10.5)
        ax.set_ylabel("Position", fontsize=10)
        ax.grid(visible=False)
        ax.locator_params(axis="y", nbins=4, integer=True)
    axes[-1, 0].set_xlabel("Instance")
    handles = [Patch(color=color) for color in colors]
    style.legend_below(figure, handles, [f"token of {each}" for each in words], columns=3)
    parts.heading(figure, title)
    return figure


def _whose(values: ArrayLike, name: str, known: int) -> np.ndarray:
    array = checks.finite(values, name=f"replacement_map, '{name}'", ndim=2)
    if (array % 1 != 0).any() or array.min() < 0 or array.max() >= known:
        raise ShapeError(
            f"replacement_map, '{name}': expected whole numbers 0 to {known - 1}, got "
            f"{array.min():g} to {array.max():g}; pass places in the list of modalities"
        )
    return array.astype(int)


@style.styled()
def extreme_cases(
    table: pd.DataFrame,
    *,
    of: str | None = None,
    risk_word: str = "risk",
    title: str | None = None,
) -> Figure:
    """Draw the cases in which a modality counts least and most, as stacked bars of importance.

    The number of replaced tokens K stands in each part, outcome and predicted risk at the right.

    Args:
        table: Columns case, extreme ("lowest" or "highest"), modality, importance, count, risk,
            outcome (text): one row per case and modality. The importances of a case sum to 1.
        of: The modality that is lowest and highest, for the headings; left out if None.
        risk_word: What the column risk holds.
        title: Heading, left out if None.

    Raises:
        DataError: If a column is missing, an extreme is unknown, a case has a modality twice, or
            its importances do not sum to 1.
        ShapeError: If a number is not finite.

    Source: AMC paper, Fig. 7, which shows one slide of each.
    """
    name = "extreme_cases"
    columns = ("case", "extreme", "modality", "importance", "count", "risk", "outcome")
    rows = checks.table(table, columns, name=name)
    checks.finite_columns(rows, ("importance", "count", "risk"), name=name)
    checks.one_per(rows, ("case", "extreme", "modality"), name=name)
    for extreme in rows["extreme"].unique():
        checks.choice(extreme, EXTREMES, name=f"{name}, extreme")
    sums = rows.groupby(["extreme", "case"])["importance"].sum()
    if (rows["importance"] < 0).any() or not np.allclose(sums, 1, atol=1e-3):
        raise DataError(
            f"{name}: expected importances of a case that sum to 1, got sums {sums.min():g} to "
            f"{sums.max():g}; pass all modalities of a case"
        )
    colors = shades(list(dict.fromkeys(rows["modality"])))
    groups = [(extreme, rows[rows["extreme"] == extreme]) for extreme in EXTREMES]
    groups = [(extreme, part) for extreme, part in groups if not part.empty]
    sizes = [part["case"].nunique() for _, part in groups]
    figure, axes = style.canvas(
        len(groups), 1, height=1.2 + 0.52 * sum(sizes) + 0.35 * len(groups), sharex=True,
        gridspec_kw={"height_ratios": sizes},
    )  # fmt: skip
    for ax, (extreme, part) in zip(axes[:, 0], groups, strict=True):
        _cases(ax, part, colors, risk_word)
        whose = f" of {style.title(of)}" if of else ""
        ax.set_title(f"{extreme.capitalize()} importance{whose}", fontsize=10.5)
    axes[-1, 0].set_xlabel("Importance s (K: replaced tokens)")
    handles = [Patch(color=color, alpha=0.85) for color in colors.values()]
    style.legend_below(figure, handles, list(map(style.title, colors)), columns=4)
    parts.heading(figure, title)
    return figure


def _cases(ax: Axes, rows: pd.DataFrame, colors: Mapping[str, str], risk_word: str) -> None:
    groups = list(rows.groupby("case", sort=False))
    for position, (_, part) in enumerate(groups):
        left = 0.0
        for row in part.itertuples():
            shade, wide = colors[row.modality], row.importance
            bar = ax.barh(position, wide, left=left, height=0.68, color=shade, alpha=0.85,
                          edgecolor="white")  # fmt: skip
            style.tag(list(bar), "bar")
            if wide >= 0.12:  # a narrower part has no room for words
                words = ax.text(left + wide / 2, position, f"{wide:.2f}\nK {row.count:.0f}",
                                ha="center", va="center", color="white", fontsize=8.5,
                                linespacing=1.0)  # fmt: skip
                style.tag(words, "inside")
            left += wide
        first = part.iloc[0]
        text = f"{fill(str(first['outcome']), 20)}\n{risk_word} {first['risk']:.2f}"
        style.tag(ax.text(1.02, position, text, va="center", fontsize=8.5), "outcome")
    parts.name_rows(ax, [fill(str(case), 14) for case, _ in groups])
    ax.set_xlim(0, 1)
    ax.grid(visible=False)
