"""Columns of several tables of a fold, side by side as one more modality."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, cast

import torch

from mmlego.data.folds.fold import Fold
from mmlego.data.folds.samples import Samples
from mmlego.errors import ModalityError

Columns = Mapping[str, Sequence[int]]


def join_columns(fold: Fold, name: str, columns: Columns) -> Fold:
    """Add the chosen columns of tabular modalities, in the given order, as a modality of its own.

    A sample has it if it has any of the tables; a table that it lacks is filled with zeros, which
    is the training mean after standardization. Features are named ``table:feature``, and
    ``fold.joined`` tells the tables.

    Args:
        fold: The fold, which stays as it is.
        name: Name of the new modality.
        columns: Positions of the columns by table.

    Raises:
        ModalityError: If the fold already has a modality of that name.
    """
    if name in fold.names:
        raise ModalityError(
            f"fold of {fold.cohort}: already has a modality '{name}'; rename it in the data card"
        )
    features = tuple(
        f"{table}:{fold.features[table][i]}" for table, chosen in columns.items() for i in chosen
    )
    parts: dict[str, Any] = {
        part: _joined(samples, name, columns) for part, samples in fold.parts().items()
    }
    return replace(
        fold,
        names=(*fold.names, name),
        kinds=fold.kinds | {name: "tabular"},
        widths=fold.widths | {name: len(features)},
        features=fold.features | {name: features},
        joined=fold.joined | {name: tuple(columns)},
        **parts,
    )


def _joined(samples: Samples, name: str, columns: Columns) -> Samples:
    tables = {table: cast(torch.Tensor, samples.values[table]) for table in columns}
    values = [tables[table][:, list(chosen)] for table, chosen in columns.items()]
    return replace(
        samples,
        values=samples.values | {name: torch.cat(values, dim=1)},
        present=samples.present | {name: samples.has(tuple(columns), how="any")},
        kinds=samples.kinds | {name: "tabular"},
        widths=samples.widths | {name: sum(len(chosen) for chosen in columns.values())},
    )
