"""Matrix of modality pairs: what each pair gives merged, beside each modality alone."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mmlego.errors import DataError
from mmlego.figures import checks, style


@style.styled()
def pair_matrix(
    table: pd.DataFrame, *, metric: str = "c_index", title: str | None = None
) -> Figure:
    """Draw the merge of every pair of modalities, single modalities on the diagonal.

    Args:
        table: Columns modalities ("rna" or "mut+rna") and value, one row per repeat or one mean.
        metric: Name of the metric.
        title: Heading, left out if None.

    Raises:
        DataError: If a row names more than two modalities, or columns are missing.
        ShapeError: If a value is not finite.
    """
    rows = checks.table(table, ("modalities", "value"), name="pair_matrix")
    checks.finite_columns(rows, ("value",), name="pair_matrix")
    matrix = pair_means(rows)
    size = len(matrix)
    figure, axes = style.canvas(width=2.6 + 0.85 * size, height=1.3 + 0.75 * size)
    ax = axes[0, 0]
    reverse = "_r" if metric in style.LOWER_IS_BETTER else ""
    image = ax.imshow(matrix, cmap="cividis" + reverse, aspect="auto")
    _numbers(ax, matrix.to_numpy(), image)
    ax.set_xticks(range(size), matrix.columns, rotation=30 if size > 3 else 0)
    ax.set_yticks(range(size), matrix.index)
    ax.grid(visible=False)
    figure.colorbar(image, ax=ax, label=style.title(metric), shrink=0.9)
    ax.set_xlabel("Diagonal: one modality; below: pair merged")
    if title:
        ax.set_title(title)
    return figure


def pair_means(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the mean of each single modality and pair as a lower triangle, NaN elsewhere."""
    parts = rows["modalities"].astype(str).str.split("+")
    many = rows.loc[parts.str.len() > 2, "modalities"]
    if not many.empty:
        raise DataError(
            f"pair_matrix: expected one or two modalities per row, got {many.iloc[0]!r}; "
            "filter first"
        )
    names = sorted({name for part in parts for name in part})
    matrix = pd.DataFrame(np.nan, index=names, columns=names)
    for key, value in rows.groupby("modalities")["value"].mean().items():
        first, last = min(key.split("+")), max(key.split("+"))
        matrix.loc[last, first] = value
    return matrix


def _numbers(ax: Axes, matrix: np.ndarray, image: object) -> None:
    for (row, column), value in np.ndenumerate(matrix):
        if np.isnan(value):
            continue
        red, green, blue, _ = image.cmap(image.norm(value))
        dark = 0.3 * red + 0.59 * green + 0.11 * blue < 0.5
        text = ax.text(column, row, f"{value:.3f}", ha="center", va="center",
                       color="white" if dark else "black",
                       fontweight="bold" if row == column else "normal")  # fmt: skip
        style.tag(text, "single" if row == column else "pair")
