"""Classification figures: ROC curves, reliability of probabilities, confusion matrix."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mmlego.errors import DataError, ShapeError
from mmlego.figures import checks, parts, style

COLUMNS = ("repeat", "label", "score")


@style.styled()
def roc_plot(predictions: pd.DataFrame, *, method: str = "", title: str | None = None) -> Figure:
    """Draw the ROC curve of each repeat thin, and their mean thick.

    Args:
        predictions: Columns repeat, label (0 or 1), score (higher = class 1), one row per sample.
        method: Sets the color.
        title: Heading, left out if None.

    Raises:
        DataError: If a column is missing, or a repeat holds one class only.
        ShapeError: If a score is not finite.
    """
    rows = _scores(predictions, "roc_plot")
    grid = np.linspace(0, 1, 201)
    figure, ax = style.panel(width=4.6, height=4.4)
    shade = style.color(method)
    heights, areas = [], []
    for _, one in rows.groupby("repeat"):
        false, true, area = _roc(one["label"].to_numpy(int), one["score"].to_numpy(float))
        style.tag(ax.plot(false, true, color=shade, alpha=0.4, linewidth=1)[0], "repeat")
        heights.append(np.interp(grid, false, true))
        areas.append(area)
    mean = np.r_[0.0, np.mean(heights, axis=0)[1:]]
    (line,) = ax.plot(grid, mean, color=shade, linewidth=2.6, label=_area_words(areas))
    style.tag(line, "mean")
    _diagonal(ax, "False positive rate", "True positive rate")
    ax.legend(loc="lower right")
    ax.set_title(title or "")
    return figure


def _area_words(areas: list[float]) -> str:
    if len(areas) == 1:
        return f"AUC {areas[0]:.3f}, one repeat"
    return f"mean of {len(areas)} repeats\nAUC {np.mean(areas):.3f} ± {np.std(areas, ddof=1):.3f}"


def _scores(predictions: pd.DataFrame, name: str) -> pd.DataFrame:
    rows = checks.table(predictions, COLUMNS, name=name)
    checks.finite_columns(rows, ("label", "score"), name=name)
    if not rows["label"].isin((0, 1)).all():
        raise DataError(f"{name}: expected labels 0 and 1, got {sorted(rows['label'].unique())}")
    classes = rows.groupby("repeat")["label"].nunique()
    if (classes < 2).any():
        raise DataError(f"{name}: repeat {classes.idxmin()} holds one class only; "
                        "a curve needs both")  # fmt: skip
    return rows


def _roc(label: np.ndarray, score: np.ndarray) -> tuple[np.ndarray, np.ndarray, float]:
    from sklearn.metrics import roc_auc_score, roc_curve

    false, true, _ = roc_curve(label, score, drop_intermediate=False)
    return false, true, float(roc_auc_score(label, score))


def _diagonal(ax: Axes, x: str, y: str) -> None:
    style.tag(ax.plot([0, 1], [0, 1], **parts.REFERENCE)[0], "chance")
    ax.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), xlabel=x, ylabel=y)


@style.styled()
def reliability_plot(
    predictions: pd.DataFrame, *, method: str = "", n_bins: int = 8, title: str | None = None
) -> Figure:
    """Draw how often class 1 occurred against how probable it was said to be.

    Args:
        predictions: Columns repeat, label (0 or 1), score: a probability in [0, 1].
        method: Sets the color.
        n_bins: Equally populated bins per repeat; tied bin edges are joined.
        title: Heading, left out if None.

    Raises:
        DataError: If a column is missing or a repeat holds one class only.
        ShapeError: If a score is not a probability.
    """
    rows = _scores(predictions, "reliability_plot")
    if not rows["score"].between(0, 1).all():
        raise ShapeError("reliability_plot, column 'score': expected probabilities in [0, 1]; "
                         "apply the softmax first")  # fmt: skip
    figure, ax = style.panel(width=4.6, height=4.4)
    shade = style.color(method)
    for repeat, one in rows.groupby("repeat"):
        # A model that says the same of everybody has one bin, which qcut would leave empty.
        same = one["score"].nunique() == 1
        bins = one["score"] if same else pd.qcut(one["score"], n_bins, duplicates="drop")
        means = one.groupby(bins, observed=True)[["score", "label"]].mean()
        (line,) = ax.plot(means["score"], means["label"], "o-", color=shade, alpha=0.55,
                          linewidth=1, markersize=4, label=f"repeat {repeat}")  # fmt: skip
        style.tag(line, "repeat")
    _diagonal(ax, "Predicted probability of class 1", "Observed share of class 1")
    brier = float(((rows["score"] - rows["label"]) ** 2).groupby(rows["repeat"]).mean().mean())
    ax.text(0.04, 0.92, f"Brier score {brier:.3f}", transform=ax.transAxes, fontsize=10)
    ax.set_title(title or "")
    return figure


@style.styled()
def confusion_plot(counts: object, classes: Sequence[str], *, title: str | None = None) -> Figure:
    """Draw a confusion matrix: shade = share of the true class, number = count.

    Args:
        counts: Counts (k, k), rows = true class, columns = predicted class.
        classes: The k class names.
        title: Heading, left out if None.

    Raises:
        ShapeError: If it is not square, does not fit the classes, or holds negative counts.
    """
    matrix = checks.finite(counts, name="confusion counts", ndim=2)
    if matrix.shape != (len(classes), len(classes)) or (matrix < 0).any():
        raise ShapeError(f"confusion counts: expected non-negative ({len(classes)}, "
                         f"{len(classes)}), got {matrix.shape}")  # fmt: skip
    share = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    figure, ax = style.panel(width=1.9 + 0.75 * len(classes), height=1.5 + 0.62 * len(classes))
    table = pd.DataFrame(share, index=list(classes), columns=list(classes))
    parts.cells(ax, table, np.array([[f"{count:g}" for count in row] for row in matrix]),
                cmap="Blues", vmin=0, vmax=1)  # fmt: skip
    ax.set_xticks(ax.get_xticks(), classes, rotation=30, ha="right")
    ax.set(xlabel="Predicted class", ylabel="True class")
    ax.set_title(title or "")
    return figure
