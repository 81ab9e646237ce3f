"""All tables of a fold side by side as one more modality: the input of a model without fusion."""

from __future__ import annotations

from mmlego.data.folds.fold import Fold
from mmlego.data.folds.joining import join_columns

TABULAR = "tabular"


def with_tabular(fold: Fold, name: str = TABULAR) -> Fold:
    """Add the concatenation of all tabular modalities, in sorted order, as a modality of its own.

    A sample has it if it has any of the tables; a table that it lacks is filled with zeros, which
    is the training mean after standardization. A fold with fewer than two tables is returned as it
    is.

    Raises:
        ModalityError: If the fold already has a modality of that name.
    """
    tables = [
        table
        for table in sorted(fold.names)
        if fold.kinds[table] == "tabular" and table not in fold.joined
    ]
    if len(tables) < 2:
        return fold
    return join_columns(fold, name, {table: range(fold.widths[table]) for table in tables})
