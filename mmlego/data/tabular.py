"""All tables of a fold side by side as one more modality: the input of a model without fusion."""

from __future__ import annotations

from dataclasses import replace

import torch

from mmlego.data.fold import Fold
from mmlego.data.samples import Samples
from mmlego.errors import ModalityError

TABULAR = "tabular"


def with_tabular(fold: Fold, name: str = TABULAR) -> Fold:
    """Add the concatenation of all tabular modalities, in sorted order, as a modality of its own.

    A sample has it if it has any of the tables; a table that it lacks is filled with zeros, which
    is the training mean after standardization. A fold with fewer than two tables is returned as it
    is.

    Raises:
        ModalityError: If the fold already has a modality of that name.
    """
    tables = sorted(table for table in fold.names if fold.kinds[table] == "tabular")
    if len(tables) < 2:
        return fold
    if name in fold.names:
        raise ModalityError(
            f"fold of {fold.cohort}: already has a modality '{name}'; rename it in the data card"
        )
    width = sum(fold.widths[table] for table in tables)
    features = tuple(f"{table}:{feature}" for table in tables for feature in fold.features[table])
    return replace(
        fold,
        names=(*fold.names, name),
        kinds=fold.kinds | {name: "tabular"},
        widths=fold.widths | {name: width},
        features=fold.features | {name: features},
        joined=fold.joined | {name: tuple(tables)},
        **{part: _joined(samples, tables, name, width) for part, samples in fold.parts().items()},
    )


def _joined(samples: Samples, tables: list[str], name: str, width: int) -> Samples:
    values = torch.cat([samples.values[table] for table in tables], dim=1)
    return replace(
        samples,
        values=samples.values | {name: values},
        present=samples.present | {name: samples.has(tables, how="any")},
        kinds=samples.kinds | {name: "tabular"},
        widths=samples.widths | {name: width},
    )
