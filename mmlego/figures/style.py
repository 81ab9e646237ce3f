"""House style: one palette keyed by method, human names, sizes that stay readable on a phone.

Hues follow Okabe and Ito (2008), which stay apart for readers with color vision deficiency.
A method family owns a hue and its members are shades of it, as the registry says, so a method looks
the same in every figure of the book.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, cast

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_hex, to_rgb
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from numpy.typing import ArrayLike

from mmlego.methods.registry import METHODS

NEUTRAL = "#3b3b3b"
PUBLISHED = "#7f7f7f"
GRID = "#d9d9d9"
TRAIN, VALIDATION = "#56a0d3", "#c65a00"
_DIAMOND: dict[str, Any] = {
    "marker": "D", "markersize": 8, "linestyle": "none", "markerfacecolor": "none",
    "markeredgecolor": PUBLISHED, "markeredgewidth": 1.7,
}  # fmt: skip
GROUPS = ("#00507d", "#c65a00", "#006e52", "#9c3f77", "#8f7a00", "#a4262c")

# Words of figures that name no method.
_TITLES = {
    "c_index": "Concordance index", "c_index_ipcw": "Concordance index (IPCW)",
    "integrated_brier": "Integrated Brier score", "auc_td": "Time-dependent AUC",
    "auc": "Area under the ROC curve", "macro_auc": "Macro one-vs-rest AUC",
    "auc_hard": "AUC of hard labels", "balanced_accuracy": "Balanced accuracy",
    "macro_f1": "Macro F1", "accuracy": "Accuracy", "f1": "F1",
    "weighted_f1": "Weighted F1", "weighted_precision": "Weighted precision",
    "stack": "stack", "weave": "weave", "paper": "paper profile", "official": "official profile",
    "lossless": "lossless profile", "patient": "split by patient", "row": "split by row",
    "survival": "Survival", "classification": "Classification",
}  # fmt: skip
LOWER_IS_BETTER = frozenset({"integrated_brier"})
CHANCE = {
    "c_index": 0.5, "c_index_ipcw": 0.5, "auc_td": 0.5,
    "auc": 0.5, "macro_auc": 0.5, "auc_hard": 0.5,
}  # fmt: skip


def _settings() -> dict[str, Any]:
    return {
        "figure.dpi": 110, "savefig.dpi": 160, "figure.facecolor": "white",
        "font.size": 11, "axes.titlesize": 12, "axes.labelsize": 11.5, "legend.fontsize": 10,
        "axes.titleweight": "bold", "axes.titlelocation": "left",
        "axes.spines.top": False, "axes.spines.right": False, "axes.edgecolor": "#555555",
        "axes.grid": True, "axes.axisbelow": True, "grid.color": GRID, "grid.linewidth": 0.7,
        "legend.frameon": False, "lines.linewidth": 1.8, "svg.hashsalt": "mmlego",
    }  # fmt: skip


def _parameters() -> dict[str, Any]:
    """Matplotlib's settings, whose stubs know literal names only."""
    return cast("dict[str, Any]", mpl.rcParams)


def use() -> None:
    """Set the house style for a reader's own figures; the only call that changes global state."""
    _parameters().update(_settings())


@contextmanager
def styled() -> Iterator[None]:
    """Draw in the house style, whether or not ``use`` was called; also a decorator.

    Unlike ``rc_context`` it restores only what it set: the first figure of a process may load a
    backend, whose own settings must outlive it.
    """
    before = {name: _parameters()[name] for name in _settings()}
    _parameters().update(_settings())
    try:
        yield
    finally:
        _parameters().update(before)


def color(method: str) -> str:
    """Return the fixed color of a method as ``#rrggbb``.

    A method that is not in the registry (one of a reader's own) gets the neutral dark gray.
    """
    if method not in METHODS:
        return NEUTRAL
    hue, shade = METHODS[method].family.hue, METHODS[method].shade
    red, green, blue = (1 - shade) * np.array(to_rgb(hue)) + shade
    return to_hex((red, green, blue))


def family(method: str) -> str:
    """Return the name of the family of a method, "Own method" if it is not in the registry."""
    return METHODS[method].family.title if method in METHODS else "Own method"


def title(name: str) -> str:
    """Return the human name of a method, variant or metric; unknown ones lose underscores."""
    if name in METHODS:
        return METHODS[name].title
    return _TITLES.get(name, name.replace("_", " "))


def word(name: str) -> str:
    """Return the human name as it stands within a sentence."""
    text = title(name)
    return text[0].lower() + text[1:]


def chance(metric: str) -> float | None:
    """Return what guessing scores on a metric, None where that depends on the data."""
    return CHANCE.get(metric)


def canvas(
    rows: int = 1, columns: int = 1, *, width: float = 5.8, height: float = 3.8, **options: Any
) -> tuple[Figure, np.ndarray]:
    """Return a house-style figure and its axes ``(rows, columns)``.

    Width and height are in inches; 5.8 inches keep 11 point text readable at phone width.
    The figure belongs to pyplot: a notebook shows it at the end of its cell (end the line with a
    semicolon, or it appears twice), and a script closes it with ``plt.close(figure)``.
    """
    figure, axes = plt.subplots(
        rows, columns, figsize=(width, height), layout="constrained", squeeze=False, **options
    )
    return figure, axes


def panel(**size: Any) -> tuple[Figure, Axes]:
    """Return a house-style figure of one panel; see ``canvas``."""
    figure, axes = canvas(**size)
    return figure, axes[0, 0]


def frame_values(
    axes: Axes, values: ArrayLike, *, least: float = 0.05, most: float = np.inf
) -> None:
    """Frame the horizontal axis round the values, so that one wide interval cannot hide them.

    With two or three repeats a t interval can be wider than the whole scale; it is then cut off at
    the frame.

    Args:
        axes: Axes with everything drawn.
        values: Numbers that must be seen, with room of 60% of their range on both sides.
        least: Least room on each side.
        most: Where the scale of the values ends; the frame ends a little behind it.
    """
    low, high = float(np.min(values)), float(np.max(values))
    room = max(0.6 * (high - low), least)
    drawn = axes.get_xlim()
    axes.set_xlim(max(drawn[0], low - room), min(drawn[1], high + room, most + 0.4 * least))


def fan(position: float, n: int) -> np.ndarray:
    """Return n heights around a row, so that equal values stay apart without random jitter."""
    return position + 0.2 * np.linspace(-1, 1, n) * (n > 1)


def tag(artists: Any, name: str) -> None:
    """Give artists a group id, by which tests and SVG output find them."""
    for artist in artists if isinstance(artists, (list, tuple)) else [artists]:
        artist.set_gid(name)


def published_marker(axes: Axes, x: float, y: float, *, comparable: bool = True) -> Line2D:
    """Draw a published value: a hollow gray diamond, lighter where protocols differ."""
    (line,) = axes.plot([x], [y], zorder=4, alpha=1.0 if comparable else 0.55, **_DIAMOND)
    tag(line, "published")
    return line


def published_handle() -> Line2D:
    """Return the entry of a published value for a legend."""
    return Line2D([], [], **_DIAMOND)


def legend_below(figure: Figure, handles: list, labels: list[str], *, columns: int = 2) -> None:
    """Put one legend under the axes, where it hides no data."""
    if handles:
        figure.legend(
            handles, labels, loc="outside lower center", ncols=min(columns, len(handles)),
            frameon=False, fontsize=10, columnspacing=1.4, handlelength=1.8, handletextpad=0.6,
        )  # fmt: skip
