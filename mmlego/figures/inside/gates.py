"""Features ranked by how much of them a gate lets through."""

from __future__ import annotations

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from mmlego.errors import DataError
from mmlego.figures import checks, parts, style
from mmlego.figures.spread import interval

_LONGEST = 24  # characters of a name of a feature


@style.styled()
def feature_ranking(frame: pd.DataFrame, *, top: int = 10, title: str | None = None) -> Figure:
    """Draw the features with the highest and the lowest mean gate of each modality.

    Dots are means of folds, whiskers one standard deviation. Where a modality has more features
    than are drawn, a broken line stands for those between.

    Args:
        frame: Columns modality, feature, repeat, gate (mean over samples, in [0, 1]).
        top: Features from either end, 1 or more.
        title: Heading, left out if None.

    Raises:
        DataError: If a column is missing, a feature occurs twice in a fold, or top is below 1.
        ShapeError: If a gate is not finite.
    """
    name = "feature_ranking"
    rows = checks.table(frame, ("modality", "feature", "repeat", "gate"), name=name)
    checks.finite_columns(rows, ("gate",), name=name)
    checks.one_per(rows, ("modality", "feature", "repeat"), name=name)
    if top < 1:
        raise DataError(f"{name}: expected top of 1 or more, got {top}; 10 is usual")
    split = rows.groupby("modality", sort=False)
    groups = [(modality, *_ends(part, top)) for modality, part in split]
    lines = [len(shown) + (skipped > 0) for _, shown, skipped in groups]
    figure, axes = style.canvas(
        len(groups), 1, height=1.1 + 0.24 * sum(lines) + 0.75 * len(groups),
        gridspec_kw={"height_ratios": [n + 1 for n in lines]},
    )  # fmt: skip
    for ax, (modality, shown, skipped) in zip(axes[:, 0], groups, strict=True):
        _panel(ax, shown, skipped, top)
        total = len(shown) + skipped
        ax.set_title(f"{modality} ({total} feature{'s' * (total > 1)})", fontsize=10.5)
    axes[-1, 0].set_xlabel("Mean gate (share let through)")
    _legend(figure, rows)
    parts.heading(figure, title)
    return figure


def _ends(rows: pd.DataFrame, top: int) -> tuple[list[tuple[str, object]], int]:
    """Intervals by feature, highest first, of both ends; and how many features lie between."""
    order = rows.groupby("feature", sort=False)["gate"].mean().sort_values(
        ascending=False, kind="stable"
    ).index  # fmt: skip
    skipped = max(len(order) - 2 * top, 0)
    kept = order if not skipped else order[:top].append(order[-top:])
    values = dict(list(rows[rows["feature"].isin(kept)].groupby("feature")["gate"]))
    return [(str(feature), interval(values[feature], kind="sd")) for feature in kept], skipped


def _panel(ax: Axes, shown: list, skipped: int, top: int) -> None:
    heights = []
    for place, (_, spread) in enumerate(shown):
        low = place >= top if skipped else place >= len(shown) / 2
        height = place + (1 if skipped and low else 0)
        shade = style.GROUPS[1] if low else style.GROUPS[0]
        heights.append(height)
        parts.whisker(ax, (spread.lower, spread.upper), height, shade, within=(0.0, 1.0),
                      name="whisker", linewidth=1.6, alpha=0.6)  # fmt: skip
        parts.dot(ax, spread.mean, height, shade, markersize=5.5)
    labels = [_short(feature) for feature, _ in shown]
    if skipped:
        style.tag(ax.axhline(top, color="#999999", linestyle=(0, (2, 3)), linewidth=1.2), "between")
        heights, labels = [*heights, top], [*labels, f"… {skipped} between …"]
    ax.set_yticks(heights, labels, fontsize=9)
    ax.set_ylim(max(heights) + 0.6, -0.6)
    ax.grid(axis="y", visible=False)


def _legend(figure: Figure, rows: pd.DataFrame) -> None:
    handles = [Line2D([], [], marker="o", linestyle="none", color=shade, markersize=6)
               for shade in style.GROUPS[:2]]  # fmt: skip
    labels = ["highest", "lowest"]
    if rows["repeat"].nunique() > 1:
        handles.append(Line2D([], [], color=style.NEUTRAL, linewidth=1.6, alpha=0.6))
        labels.append("one standard deviation over folds")
    style.legend_below(figure, handles, labels, columns=3)


def _short(feature: str) -> str:
    return feature if len(feature) <= _LONGEST else feature[: _LONGEST - 1] + "…"
