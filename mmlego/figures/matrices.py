"""Matrix of modality pairs: what each pair gives merged, beside each modality alone."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from mmlego.errors import DataError
from mmlego.figures import checks, parts, style


@style.styled()
def pair_matrix(
    table: pd.DataFrame, *, metric: str = "c_index", title: str | None = None
) -> Figure:
    """Draw the merge of every pair of modalities, single modalities on the diagonal.

    The brighter a cell, the better, also where a metric is better if it is lower.

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
    figure, ax = style.panel(width=2.6 + 0.85 * size, height=1.3 + 0.75 * size)
    reverse = "_r" if metric in style.LOWER_IS_BETTER else ""
    texts = parts.cells(
        ax, matrix, matrix.map(lambda value: f"{value:.3f}").to_numpy(), cmap="cividis" + reverse,
        colorbar={"label": style.title(metric), "shrink": 0.9},
    )  # fmt: skip
    for (row, column), text in texts.items():
        style.tag(text, "single" if row == column else "pair")
        text.set_fontweight("bold" if row == column else "normal")
    ax.tick_params(axis="x", rotation=30 if size > 3 else 0)
    ax.set_xlabel("Diagonal: one modality; below: pair merged\n(brighter is better)")
    ax.set_title(title or "")
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
