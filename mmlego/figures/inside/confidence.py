"""Figures of predicted confidence against the true one, by modality."""

from __future__ import annotations

from itertools import cycle
from textwrap import fill

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import PercentFormatter

from mmlego.errors import DataError
from mmlego.figures import checks, parts, style

_PREFIX = "above_"
_RIGHT, _WRONG = style.GROUPS[0], style.GROUPS[1]


@style.styled()
def confidence_error_curves(frame: pd.DataFrame, *, title: str | None = None) -> Figure:
    """Draw the share of samples whose relative error is above r, against r.

    The line is the mean of the folds, the band reaches from the lowest to the highest fold.

    Args:
        frame: Columns repeat, modality, and above_<r> for two r or more, in [0, 1]: one row per
            fold and modality, as ``mmlego.learning.metrics.confidence_error`` returns them.
        title: Heading, left out if None.

    Raises:
        DataError: If a column is missing, or a fold and modality occur twice.
        ShapeError: If a share is not finite.
    """
    name = "confidence_error_curves"
    rows = checks.table(frame, ("repeat", "modality"), name=name)
    columns = [str(column) for column in rows.columns if str(column).startswith(_PREFIX)]
    if len(columns) < 2:
        raise DataError(
            f"{name}: expected two columns or more such as above_0.1, got {columns}; make the rows "
            "with mmlego.learning.metrics.confidence_error"
        )
    checks.finite_columns(rows, columns, name=name)
    checks.one_per(rows, ("repeat", "modality"), name=name)
    figure, ax = style.panel(height=4.2)
    colors = dict(zip(rows["modality"].unique(), cycle(style.GROUPS), strict=False))
    long = rows.melt(["repeat", "modality"], columns, var_name="x").assign(
        label=lambda row: row["modality"], x=lambda row: row["x"].map(_multiple)
    )
    parts.mean_curves(ax, long, colors, ends=lambda shares: (shares.min(), shares.max()),
                      alpha=0.18, markersize=6)  # fmt: skip
    ax.set(xlabel="Relative error r (share of the true confidence)",
           ylabel="Samples with an error above r", ylim=(0, 1.02))  # fmt: skip
    ax.xaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    ax.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    handles, labels = ax.get_legend_handles_labels()
    if rows["repeat"].nunique() > 1:
        handles.append(Patch(color=style.NEUTRAL, alpha=0.18, linewidth=0))
        labels.append("lowest to highest fold")
    style.legend_below(figure, handles, labels, columns=3)
    ax.set_title(title or "")
    return figure


@style.styled()
def confidence_scatter(
    frame: pd.DataFrame, *, columns: int = 2, title: str | None = None
) -> Figure:
    """Draw predicted against true confidence, one panel per modality, one point per sample.

    The dashed line is a perfect prediction, the gray band around it an error of up to 10%.

    Args:
        frame: Columns modality, predicted, true; optional correct (1 or True where the classifier
            of the modality alone is right, 0 or False where wrong, missing where that has no
            meaning), which colors the points.
        columns: Panels side by side, at most.
        title: Heading, left out if None.

    Raises:
        DataError: If a column is missing, or correct is anything else.
        ShapeError: If a confidence is not finite.
    """
    rows = _confidences(frame, "confidence_scatter")
    known = _correct(rows)
    names = list(dict.fromkeys(rows["modality"]))
    figure, axes, _ = parts.panels(
        len(names), columns, height=lambda across, down: 1.0 + (4.0 if across == 1 else 2.8) * down,
        sharex=True, sharey=True,
    )  # fmt: skip
    low, high = rows["predicted"].min(), rows["predicted"].max()
    for ax, modality in zip(axes, names, strict=True):
        here = (rows["modality"] == modality).to_numpy()
        _scatter(ax, rows[here], known[here])
        ax.set_title(f"{modality} (n = {here.sum()})", fontsize=10.5)
        ax.set_xlabel("True confidence (probability)", fontsize=10)
        ax.tick_params(labelbottom=True)
    room = 0.04 * (max(high, 1.1) - min(low, 0.0))
    axes[0].set(xlim=(-0.03, 1.03), ylim=(min(low, 0.0) - room, max(high, 1.1) + room))
    figure.supylabel("Predicted confidence (no bounds)", fontsize=11.5)
    style.legend_below(figure, *_scatter_legend(known), columns=2)
    parts.heading(figure, title)
    return figure


def _scatter(ax: Axes, rows: pd.DataFrame, known: np.ndarray) -> None:
    line = np.array([0.0, 1.0])
    style.tag(ax.fill_between(line, 0.9 * line, 1.1 * line, color=style.NEUTRAL, alpha=0.22,
                              linewidth=0), "within")  # fmt: skip
    style.tag(ax.plot(line, line, color=style.NEUTRAL, linestyle="--", linewidth=1)[0], "equal")
    size = 14 if len(rows) < 400 else 6
    groups = ((known == 1, _RIGHT, "right"), (known == 0, _WRONG, "wrong"),
              (np.isnan(known), _RIGHT, "points"))  # fmt: skip
    for here, shade, gid in groups:
        if here.any():
            points = ax.scatter(rows["true"][here], rows["predicted"][here], s=size, color=shade,
                                alpha=0.5, linewidth=0, rasterized=True)  # fmt: skip
            style.tag(points, gid)


def _scatter_legend(known: np.ndarray) -> tuple[list, list[str]]:
    handles: list = [
        Line2D([], [], color=style.NEUTRAL, linestyle="--", linewidth=1),
        Patch(color=style.NEUTRAL, alpha=0.22, linewidth=0),
    ]
    labels = ["predicted = true", "error up to 10%"]
    if not np.isnan(known).all():
        handles += [Line2D([], [], marker="o", linestyle="none", color=shade, alpha=0.7)
                    for shade in (_RIGHT, _WRONG)]  # fmt: skip
        labels += ["modality alone is right", "modality alone is wrong"]
    return handles, labels


@style.styled()
def confidence_error_histogram(
    frame: pd.DataFrame, *, bins: int = 40, title: str | None = None
) -> Figure:
    """Draw how predicted less true confidence is distributed, one row per modality.

    Args:
        frame: Columns modality, predicted, true.
        bins: Bars over the range of all modalities, the same for each.
        title: Heading, left out if None.

    Raises:
        DataError: If a column is missing.
        ShapeError: If a confidence is not finite.
    """
    rows = _confidences(frame, "confidence_error_histogram")
    rows["error"] = rows["predicted"] - rows["true"]
    edges = np.histogram_bin_edges(rows["error"], bins=bins)
    groups = list(rows.groupby("modality", sort=False)["error"])
    figure, axes = style.canvas(
        len(groups), 1, height=1.2 + 1.5 * len(groups), sharex=True, sharey=True
    )
    for index, (ax, (modality, error)) in enumerate(zip(axes[:, 0], groups, strict=True)):
        shade = style.GROUPS[index % 6]
        parts.shares(ax, error, edges, shade)
        style.tag(ax.axvline(0, **parts.REFERENCE), "zero")
        style.tag(ax.axvline(error.mean(), color="black", linewidth=1.6), "mean")
        ax.set_title(f"{modality} (n = {len(error)}, mean {error.mean():+.3f})", fontsize=10.5)
        ax.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    axes[-1, 0].set_xlabel("Predicted less true confidence (probability)")
    figure.supylabel("Share of samples", fontsize=11.5)
    handles = [Line2D([], [], **parts.REFERENCE), Line2D([], [], color="black", linewidth=1.6)]
    style.legend_below(figure, handles, ["no error", "mean error"])
    parts.heading(figure, title)
    return figure


@style.styled()
def confidence_by_state(frame: pd.DataFrame, *, title: str | None = None) -> Figure:
    """Draw predicted confidence in real inputs and in what was put in their place.

    Boxes hold the middle half of the samples with the median, whiskers 90% of them; inputs that are
    the same for all samples give a single line. Dots are the means of folds.

    Args:
        frame: Columns modality, state (what the input was), confidence; optional repeat for the
            means of folds. The first state of a modality is drawn in another color, so put the real
            inputs first.
        title: Heading, left out if None.

    Raises:
        DataError: If a column is missing.
        ShapeError: If a confidence is not finite.
    """
    name = "confidence_by_state"
    rows = checks.table(frame, ("modality", "state", "confidence"), name=name)
    checks.finite_columns(rows, ("confidence",), name=name)
    groups = list(rows.groupby("modality", sort=False))
    states = [part["state"].nunique() for _, part in groups]
    figure, axes = style.canvas(
        len(groups), 1, height=1.3 + 0.5 * sum(states) + 0.4 * len(groups), sharex=True,
        gridspec_kw={"height_ratios": states},
    )  # fmt: skip
    for ax, (modality, part) in zip(axes[:, 0], groups, strict=True):
        _boxes(ax, part)
        ax.set_title(str(modality), fontsize=10.5)
    axes[-1, 0].set_xlabel("Predicted confidence (no bounds)")
    if "repeat" in rows:
        dot = Line2D([], [], marker="o", linestyle="none", color="black", markersize=5)
        style.legend_below(figure, [dot], ["mean of a fold"])
    parts.heading(figure, title)
    return figure


def _boxes(ax: Axes, rows: pd.DataFrame) -> None:
    groups = list(rows.groupby("state", sort=False))
    for position, (_, part) in enumerate(groups):
        shade = _WRONG if position else _RIGHT
        box = ax.boxplot(part["confidence"], positions=[position], orientation="horizontal",
                         widths=0.5, whis=(5, 95), showfliers=False, patch_artist=True,
                         boxprops={"facecolor": shade, "alpha": 0.55, "edgecolor": shade},
                         whiskerprops={"color": shade}, capprops={"color": shade},
                         medianprops={"color": "black", "linewidth": 2})  # fmt: skip
        style.tag(box["boxes"], "box")
        style.tag(box["medians"], "median")
        if "repeat" in part:
            means = part.groupby("repeat")["confidence"].mean().to_numpy()
            parts.repeats(ax, means, position, "black", "means", s=20, alpha=1, edgecolor="white",
                          linewidth=0.6)  # fmt: skip
    parts.name_rows(ax, [fill(str(state), 18) for state, _ in groups])


def _multiple(column: str) -> float:
    try:
        return float(column.removeprefix(_PREFIX))
    except ValueError as error:
        raise DataError(
            f"confidence_error_curves: expected a number behind '{_PREFIX}', got '{column}'; "
            "rename the column"
        ) from error


def _confidences(frame: pd.DataFrame, name: str) -> pd.DataFrame:
    rows = checks.table(frame, ("modality", "predicted", "true"), name=name)
    checks.finite_columns(rows, ("predicted", "true"), name=name)
    return rows


def _correct(rows: pd.DataFrame) -> np.ndarray:
    if "correct" not in rows:
        return np.full(len(rows), np.nan)
    try:
        known = rows["correct"].to_numpy(float, na_value=np.nan)
    except (TypeError, ValueError):
        known = np.full(len(rows), np.inf)
    if not (np.isin(known, (0, 1)) | np.isnan(known)).all():
        raise DataError(
            "confidence_scatter: expected column 'correct' to be 1, 0 or missing, got other "
            "values; compare the predicted with the true class"
        )
    return known
