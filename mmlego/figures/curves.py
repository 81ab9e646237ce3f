"""Learning curves: training and validation loss of every repeat, with the epoch that was kept."""

from __future__ import annotations

from textwrap import fill
from typing import Any, cast

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from mmlego.figures import checks, parts, style

COLUMNS = ("label", "repeat", "epoch", "train_loss", "val_loss")


@style.styled()
def learning_curves(
    histories: pd.DataFrame, *, loss: str = "Loss per sample", columns: int = 2
) -> Figure:
    """Draw one panel per label, one thin pair of lines per repeat, and mark the best epoch.

    Args:
        histories: Columns label, repeat, epoch (1-based), train_loss, val_loss, kept (bool), the
            epoch whose weights were kept; without it, that of the lowest val_loss. A label whose
            val_loss is missing throughout was trained without validation; it gets no marks.
        loss: Label of the vertical axis.
        columns: Panels side by side, at most.

    Raises:
        DataError: If a column is missing or an epoch occurs twice.
        ShapeError: If a loss is not finite.
    """
    rows = checks.table(histories, COLUMNS, name="learning_curves")
    checks.finite_columns(rows, ("epoch", "train_loss"), name="learning_curves")
    checks.one_per(rows, ("label", "repeat", "epoch"), name="learning_curves")
    labels = list(dict.fromkeys(rows["label"]))
    figure, axes, _ = parts.panels(
        len(labels), columns,
        height=lambda across, down: 0.7 + (3.0 if across == 1 else 2.3) * down,
    )  # fmt: skip
    for ax, label in zip(axes, labels, strict=True):
        _panel(ax, rows[rows["label"] == label], str(label))
        if cast(Any, ax.get_subplotspec()).is_first_col():
            ax.set_ylabel(loss)
    style.legend_below(figure, *_legend(), columns=2)
    return figure


def _panel(ax: Axes, rows: pd.DataFrame, label: str) -> None:
    watched = not rows["val_loss"].isna().all()
    if watched:
        checks.finite_columns(rows, ("val_loss",), name=f"learning_curves, label '{label}'")
    for _, one in rows.sort_values("epoch").groupby("repeat", sort=True):
        (line,) = ax.plot(one["epoch"], one["train_loss"], color=style.TRAIN, linewidth=1.2)
        style.tag(line, "train")
        if watched:
            (line,) = ax.plot(one["epoch"], one["val_loss"], color=style.VALIDATION, linewidth=1.2)
            style.tag(line, "validation")
            best = one.loc[_kept(one)]
            (mark,) = ax.plot([best["epoch"]], [best["val_loss"]], "o", color=style.VALIDATION,
                              markersize=6, markeredgecolor="white", zorder=3)  # fmt: skip
            style.tag(mark, "best")
    ax.set(xlabel="Epoch")
    ax.set_title(fill(str(label), 28), fontsize=10.5)
    cast(MaxNLocator, ax.xaxis.get_major_locator()).set_params(integer=True)


def _legend() -> tuple[list, list[str]]:
    handles = [
        Line2D([], [], color=style.TRAIN),
        Line2D([], [], color=style.VALIDATION),
        Line2D([], [], color=style.VALIDATION, marker="o", linestyle="none"),
    ]
    return handles, ["training", "validation", "epoch kept"]


def _kept(rows: pd.DataFrame) -> object:
    """Index of the epoch whose weights were kept."""
    if "kept" in rows and rows["kept"].any():
        return rows["kept"].idxmax()
    return rows["val_loss"].idxmin()
