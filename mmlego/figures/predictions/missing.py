"""Figures of a cohort: which modalities are there for how many samples, and its target."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mmlego.errors import DataError, ShapeError
from mmlego.figures import checks, parts, style
from mmlego.figures.predictions.survival import kaplan_meier_plot


def presence_patterns(present: Mapping[str, object]) -> pd.DataFrame:
    """Return one row per pattern of present modalities with its count, most frequent first.

    Args:
        present: Booleans (n,) by modality.

    Raises:
        ShapeError: If lengths differ or a value is not boolean.
        DataError: If there is no modality.
    """
    if not present:
        raise DataError("presence: expected at least one modality, got none")
    columns = {name: checks.finite(flags, name=f"presence of '{name}'")
               for name, flags in present.items()}  # fmt: skip
    checks.same_length("presence", **columns)
    for name, flags in columns.items():
        if not np.isin(flags, (0, 1)).all():
            raise ShapeError(f"presence of '{name}': expected booleans, got other values")
    frame = pd.DataFrame(columns).astype(bool)
    counts = frame.value_counts(sort=False).rename("count").reset_index()
    return counts.sort_values("count", ascending=False, kind="stable", ignore_index=True)


@style.styled()
def presence_plot(
    present: Mapping[str, object],
    *,
    sample: str = "patients",
    max_patterns: int = 12,
    title: str | None = None,
) -> Figure:
    """Draw which modalities occur together: bars of counts above a grid of dots.

    Args:
        present: Booleans (n,) by modality, True = the sample has it.
        sample: Word for one unit, in the plural.
        max_patterns: Rarer patterns are summed in the axis label.
        title: Heading, left out if None.

    Raises:
        ShapeError: If lengths differ or a value is not boolean.
        DataError: If there is no modality.
    """
    patterns = presence_patterns(present)
    shown, names = patterns.head(max_patterns), list(present)
    figure, axes = style.canvas(
        2, 1, height=2.7 + 0.3 * len(names), sharex=True,
        gridspec_kw={"height_ratios": [2.2, 0.3 * len(names) + 0.2]},
    )  # fmt: skip
    top, bottom = axes[:, 0]
    bars = top.bar(range(len(shown)), shown["count"], color=style.GROUPS[0], width=0.6)
    style.tag(list(bars), "pattern")
    top.bar_label(bars, fontsize=9.5, padding=2)
    top.set_ylabel(f"Number of {sample}")
    top.grid(axis="x", visible=False)
    top.margins(y=0.15)
    totals = {name: int(np.asarray(flags, dtype=bool).sum()) for name, flags in present.items()}
    _dots(bottom, shown[names].to_numpy(bool), [f"{name} ({totals[name]})" for name in names])
    hidden = patterns["count"].iloc[max_patterns:]
    more = f"; {len(hidden)} rarer with {hidden.sum()} {sample} not shown" if len(hidden) else ""
    bottom.set_xlabel(f"Combination of modalities (total in brackets){more}")
    top.set_title(title or "")
    return figure


def _dots(ax: Axes, grid: np.ndarray, labels: list[str]) -> None:
    for column, flags in enumerate(grid):
        rows = np.arange(flags.size)
        ax.scatter([column] * flags.size, rows, s=52, zorder=2, linewidth=0,
                   color=[style.GROUPS[0] if flag else style.GRID for flag in flags])  # fmt: skip
        if flags.sum() > 1:
            ax.plot([column] * 2, rows[flags][[0, -1]], color=style.GROUPS[0], linewidth=2)
    ax.set_yticks(range(len(labels)), labels)
    ax.set_ylim(len(labels) - 0.5, -0.5)
    ax.set_xlim(-0.6, max(len(grid), 3) - 0.4)
    ax.set_xticks([])
    parts.bare(ax)


def survival_overview(
    event: object, time: object, *, unit: str, title: str | None = None
) -> Figure:
    """Draw the survival of a whole cohort; see ``kaplan_meier_plot``."""
    return kaplan_meier_plot(event, time, unit=unit, title=title)


@style.styled()
def class_overview(
    label: object, classes: Sequence[str], *, sample: str = "patients", title: str | None = None
) -> Figure:
    """Draw how many samples each class has, with its share.

    Args:
        label: Class numbers (n,), 0 to k - 1.
        classes: The k class names.
        sample: Word for one unit, in the plural.
        title: Heading, left out if None.

    Raises:
        ShapeError: If a label is no class number.
    """
    numbers = checks.finite(label, name="label")
    if not np.isin(numbers, np.arange(len(classes))).all():
        raise ShapeError(f"label: expected class numbers 0 to {len(classes) - 1}, got others")
    counts = np.bincount(numbers.astype(int), minlength=len(classes))
    figure, ax = style.panel(height=1.1 + 0.42 * len(classes))
    words = [f"{count} ({count / numbers.size:.1%})" for count in counts]
    parts.bars(ax, classes, counts, words, style.GROUPS[0], "class")
    ax.set_xlabel(f"Number of {sample}")
    ax.set_title(title or "")
    return figure
