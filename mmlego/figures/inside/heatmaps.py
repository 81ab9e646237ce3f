"""Heat-maps over images: what the gate of an image model lets through, and where."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import numpy as np
from matplotlib import patheffects
from matplotlib.axes import Axes
from matplotlib.collections import QuadMesh
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.ticker import MaxNLocator
from numpy.typing import ArrayLike

from mmlego.errors import DataError, ShapeError
from mmlego.figures import checks, parts, style

MOST = 16  # pictures that stay readable in one figure
COLORS = "viridis"


@style.styled()
def heatmap_grid(
    images: Sequence[ArrayLike],
    heats: Sequence[ArrayLike],
    titles: Sequence[str] | None = None,
    *,
    masks: Sequence[ArrayLike | None] | None = None,
    columns: int = 4,
    alpha: float = 0.6,
    title: str | None = None,
) -> Figure:
    """Draw images under their heat-maps, which share one scale of colors.

    The scale reaches from the lowest to the highest heat shown, so that flat maps can be told from
    empty ones; read its numbers before comparing figures.

    Args:
        images: Up to 16 of (h, w, 3), uint8 or floats in [0, 1].
        heats: One (h', w') each; coarser maps are spread over the image without smoothing.
        titles: One line each, None for none.
        masks: bool (h, w) each, drawn as a white outline; None for an image without one.
        columns: Images side by side.
        alpha: Opacity of the heat-map, in [0, 1].
        title: Heading, left out if None.

    Raises:
        DataError: If there is no image, there are more than 16, or numbers of arguments differ.
        ShapeError: If a shape or range is wrong, or a value is not finite.
    """
    if not 0 < len(images) <= MOST:
        raise DataError(
            f"heatmap_grid: expected 1 to {MOST} images, got {len(images)}; choose some of them"
        )
    checks.same_length("heatmap_grid", images=images, heats=heats, titles=titles, masks=masks)
    pictures = [_picture(image, "heatmap_grid") for image in images]
    maps = [checks.finite(heat, name="heat", ndim=2) for heat in heats]
    scale = {"vmin": min(one.min() for one in maps), "vmax": max(one.max() for one in maps)}
    room = 0.25 if titles else 0.05
    figure, axes, _ = parts.panels(
        len(pictures), columns,
        height=lambda across, down: (5.8 / max(across, 2) + room) * down + 0.75,
    )  # fmt: skip
    for index, (ax, picture, heat) in enumerate(zip(axes, pictures, maps, strict=True)):
        drawn = _overlay(ax, picture, heat, alpha=alpha, **scale)
        if masks is not None and masks[index] is not None:
            _outline(ax, np.asarray(masks[index]), picture)
        if titles is not None:
            ax.set_title(str(titles[index]), fontsize=8.5, fontweight="normal", pad=2)
    _color_bar(figure, drawn, figure.axes, "Heat (share of a pixel let through)")
    parts.heading(figure, title)
    return figure


@style.styled()
def mean_heatmap(
    heat: ArrayLike,
    image: ArrayLike | None = None,
    *,
    prior: ArrayLike | None = None,
    title: str | None = None,
) -> Figure:
    """Draw a mean heat-map with its scale, beside the mean image and a map to compare with.

    Args:
        heat: (h, w).
        image: Mean image (h, w, 3), uint8 or floats in [0, 1]; left out if None.
        prior: (h, w), such as ``centre_prior``, on its own scale; left out if None.
        title: Heading, left out if None.

    Raises:
        ShapeError: If a shape or range is wrong, or a value is not finite.
    """
    panels = [("Mean heat-map", checks.finite(heat, name="mean heat-map", ndim=2))]
    if image is not None:
        panels.append(("Mean image", _picture(image, "mean_heatmap")))
    if prior is not None:
        panels.append(("Center alone", checks.finite(prior, name="prior", ndim=2)))
    figure, axes = style.canvas(
        1, len(panels), height=6.2 if len(panels) == 1 else 0.85 + 5.6 / len(panels)
    )
    for ax, (name, values) in zip(axes[0], panels, strict=True):
        drawn = _show(ax, values, cmap=COLORS)
        ax.set_anchor("N")  # only some panels have a color bar below
        ax.set_title(name, fontsize=10.5)
        if values.ndim == 2:
            words = "Share let through" if name == "Mean heat-map" else "Prior (no unit)"
            _color_bar(figure, drawn, ax, words)
    parts.heading(figure, title)
    return figure


def _picture(image: ArrayLike, name: str) -> np.ndarray:
    pixels = np.asarray(image)
    if pixels.ndim != 3 or pixels.shape[2] != 3:
        raise ShapeError(
            f"{name}: expected images (h, w, 3), got {pixels.shape}; move the channels to the end"
        )
    if pixels.dtype == np.uint8:
        return pixels
    values = checks.finite(pixels, name=f"{name}, image", ndim=3)
    if values.min() < 0 or values.max() > 1:
        raise ShapeError(
            f"{name}: expected pixels in [0, 1], got {values.min():g} to {values.max():g}; undo "
            "the standardization"
        )
    return values


def _show(ax: Axes, values: np.ndarray, **options: Any) -> AxesImage:
    drawn = ax.imshow(values, interpolation="nearest", **options)
    ax.set_xticks([])
    ax.set_yticks([])
    ax.grid(visible=False)
    return drawn


def _overlay(ax: Axes, picture: np.ndarray, heat: np.ndarray, **options: Any) -> AxesImage:
    _show(ax, picture)
    h, w = picture.shape[:2]
    drawn = _show(ax, heat, cmap=COLORS, extent=(-0.5, w - 0.5, h - 0.5, -0.5), **options)
    drawn.set_gid("heat")
    return drawn


def _outline(ax: Axes, mask: np.ndarray, picture: np.ndarray) -> None:
    if mask.dtype != bool or mask.shape != picture.shape[:2]:
        raise ShapeError(
            f"heatmap_grid: expected boolean masks {picture.shape[:2]}, got {mask.dtype} "
            f"{mask.shape}; make them from the images shown"
        )
    # A rim of False closes the outline of a lesion that is cut off by the edge of the image.
    h, w = mask.shape
    lines = ax.contour(np.arange(-1, w + 1), np.arange(-1, h + 1), np.pad(mask, 1).astype(float),
                       levels=[0.5], colors="white", linewidths=1.3)  # fmt: skip
    lines.set_path_effects([patheffects.withStroke(linewidth=2.6, foreground="black")])
    style.tag(lines, "outline")
    ax.set(xlim=(-0.5, w - 0.5), ylim=(h - 0.5, -0.5))


def _color_bar(figure: Figure, drawn: AxesImage, axes: Any, words: str) -> None:
    bar = figure.colorbar(
        drawn, ax=axes, location="bottom", shrink=0.8, aspect=30, pad=0.02, panchor=False
    )
    bar.set_label(words, fontsize=10)
    bar.ax.tick_params(labelsize=9)
    cast(MaxNLocator, bar.locator).set_params(nbins=3)
    cast(QuadMesh, bar.solids).set_alpha(1.0)
