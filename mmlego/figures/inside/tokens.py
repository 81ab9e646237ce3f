"""Histograms of token replacement: how much is replaced, by whom, and how importance is spread."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from mmlego.errors import DataError, ShapeError
from mmlego.figures import checks, parts, style
from mmlego.figures.inside.tokens_common import dashed, mean_line, percent, shades, whole

_KEYS = ["repeat", "layer", "sample"]


@style.styled()
def replaced_histograms(
    counts: pd.DataFrame,
    pairs: pd.DataFrame,
    *,
    tokens: int | None = None,
    title: str | None = None,
) -> Figure:
    """Draw how many tokens of each modality are replaced in an instance, and by whom.

    Columns are the modality whose tokens are replaced; the first row holds all its replacements,
    the rows below those by one donor each. The red dashed line is the mean over instances.

    Args:
        counts: Columns repeat, layer, sample, modality, replaced (a number of tokens): one row per
            replacement and modality. Two to four modalities.
        pairs: Columns repeat, layer, sample, donor, replaced_modality, tokens; a pair without a row
            replaced nothing there.
        tokens: Tokens of a modality, the end of the axis; the most replaced if None.
        title: Heading, left out if None.

    Raises:
        DataError: If a column is missing, an entry occurs twice, there are not two to four
            modalities, ``pairs`` names another one, or a number of tokens is out of range.
        ShapeError: If a number is not finite.

    Source: AMC paper, Fig. 4. Shares of instances are drawn where the paper has numbers of them.
    """
    name = "replaced_histograms"
    rows = _counted(counts, ("modality", "replaced"), [*_KEYS, "modality"], name)
    names = list(dict.fromkeys(rows["modality"]))
    if not 2 <= len(names) <= 4:
        raise DataError(f"{name}: expected two to four modalities, got {names}; filter them first")
    keys = [*_KEYS, "donor", "replaced_modality"]
    given = _counted(pairs, ("donor", "replaced_modality", "tokens"), keys, name)
    unknown = {*given["donor"], *given["replaced_modality"]} - set(names)
    if unknown:
        raise DataError(
            f"{name}: pairs name {sorted(unknown)}, which counts lack; make both tables "
            "from the same instances"
        )
    most = int(max(rows["replaced"].max(), given["tokens"].max(), tokens or 1))
    if tokens is not None and most > tokens:
        raise DataError(f"{name}: expected up to {tokens} replaced tokens, got {most}")
    edges, colors = whole(most), shades(names)
    figure, axes = style.canvas(
        len(names), len(names), width=5.8 if len(names) < 4 else 7.2, height=1.5 * len(names) + 1.2,
        sharex=True, sharey="row",
    )  # fmt: skip
    for column, modality in enumerate(names):
        part = rows[rows["modality"] == modality]
        words = f"All →\n{style.title(modality)}"
        _panel(axes[0, column], part["replaced"], edges, colors[modality], words)
        donors = [donor for donor in names if donor != modality]
        for ax, donor in zip(axes[1:, column], donors, strict=True):
            words = f"{style.title(donor)} →\n{style.title(modality)}"
            _panel(ax, _by_donor(part, given, donor, modality), edges, colors[donor], words)
    for ax in axes[-1]:
        ax.set_xlabel("Replaced tokens", fontsize=10)
    for ax in axes[:, 0]:
        percent(ax)
    figure.supylabel("Share of instances", fontsize=11.5)
    style.legend_below(figure, [dashed()], ["mean of the instances"])
    parts.heading(figure, title)
    return figure


def _by_donor(part: pd.DataFrame, pairs: pd.DataFrame, donor: str, modality: str) -> pd.Series:
    """Tokens of a modality that come from one donor, in every instance that has the modality."""
    here = pairs[(pairs["donor"] == donor) & (pairs["replaced_modality"] == modality)]
    return part.merge(here[[*_KEYS, "tokens"]], on=_KEYS, how="left")["tokens"].fillna(0)


@style.styled()
def importance_histograms(
    counts: pd.DataFrame, scores: pd.DataFrame, *, bins: int = 30, title: str | None = None
) -> Figure:
    """Draw how importance and token scores are distributed, one column per modality.

    The dashed line is the mean, the gray one equal importance, 1 / M. Each row has one scale.

    Args:
        counts: Columns modality, importance in [0, 1]: one row per replacement and modality.
        scores: Columns modality, score, for the same modalities.
        bins: Bars over the range of all modalities.
        title: Heading, left out if None.

    Raises:
        DataError: If a column is missing or the tables name different modalities.
        ShapeError: If a number is not finite, or an importance is outside [0, 1].

    Source: AMC paper, Fig. 5. Shares are drawn where the paper has numbers.
    """
    name = "importance_histograms"
    rows = checks.table(counts, ("modality", "importance"), name=name)
    below = checks.table(scores, ("modality", "score"), name=name)
    checks.finite_columns(rows, ("importance",), name=name)
    checks.finite_columns(below, ("score",), name=name)
    names = list(dict.fromkeys(rows["modality"]))
    if set(names) != set(below["modality"]):
        raise DataError(
            f"{name}: expected the same modalities in both tables, got {names} and "
            f"{list(dict.fromkeys(below['modality']))}"
        )
    if not rows["importance"].between(0, 1).all():
        raise ShapeError(
            f"{name}: expected importance in [0, 1], got {rows['importance'].min():g} to "
            f"{rows['importance'].max():g}; divide by the sum over modalities"
        )
    colors, equal = shades(names), 1 / len(names)
    figure, axes = style.canvas(
        2, len(names), width=5.8 if len(names) < 4 else 7.2, height=4.6, sharex="row", sharey="row"
    )
    tops = np.histogram_bin_edges([*rows["importance"], equal], bins=bins)
    downs = np.histogram_bin_edges(below["score"], bins=bins)
    for column, modality in enumerate(names):
        top, down = axes[:, column]
        values = rows.loc[rows["modality"] == modality, "importance"]
        _panel(top, values, tops, colors[modality], style.title(modality), digits=3)
        style.tag(top.axvline(equal, color=style.PUBLISHED, linewidth=1.6), "equal")
        values = below.loc[below["modality"] == modality, "score"]
        _panel(down, values, downs, colors[modality], "", digits=3)
        for ax in (top, down):
            ax.locator_params(axis="x", nbins=4)
        top.set_xlabel("Importance s", fontsize=10)
        down.set_xlabel("Token score η", fontsize=10)
    for ax, words in zip(axes[:, 0], ("Share of instances", "Share of tokens"), strict=True):
        ax.set_ylabel(words, fontsize=10)
        percent(ax)
    handles = [dashed(), Line2D([], [], color=style.PUBLISHED, linewidth=1.6)]
    style.legend_below(figure, handles, ["mean", f"equal importance, 1/{len(names)}"])
    parts.heading(figure, title)
    return figure


def _counted(
    frame: pd.DataFrame, columns: Sequence[str], keys: list[str], name: str
) -> pd.DataFrame:
    """Rows with their keys; the last of ``columns`` holds numbers of tokens."""
    rows = checks.table(frame, (*_KEYS, *columns), name=name)
    checks.finite_columns(rows, (columns[-1],), name=name)
    checks.one_per(rows, keys, name=name)
    values = rows[columns[-1]]
    if (values < 0).any() or (values % 1 != 0).any():
        raise DataError(
            f"{name}: expected whole numbers of tokens in '{columns[-1]}', got {values.min():g} to "
            f"{values.max():g}; pass every instance, not means"
        )
    return rows


def _panel(
    ax: Axes, values: object, edges: np.ndarray, shade: str, words: str, *, digits: int = 1
) -> None:
    parts.shares(ax, values, edges, shade)
    mean = f"mean {mean_line(ax, values):.{digits}f}"
    ax.set_title(f"{words}\n{mean}" if words else mean, fontsize=9.5)
