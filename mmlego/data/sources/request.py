"""What a loader is asked for, and the steps that all loaders share."""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import pandas as pd

from mmlego.data.cards.card import Card
from mmlego.data.cards.locate import Files
from mmlego.data.cohorts.cohort import Cohort
from mmlego.data.cohorts.modality import Modality, bag_from_rows
from mmlego.data.cohorts.target import Target
from mmlego.errors import DataError, DownloadError, MMLegoError


@dataclass(frozen=True)
class Request:
    """The card, its files, and what is wanted of it.

    Attributes:
        card: The card.
        files: Where its files are.
        unit: "patient" or "row".
        modalities: Names of the wanted modalities, in the order of the card.
    """

    card: Card
    files: Files
    unit: str
    modalities: tuple[str, ...]

    def modality(
        self, name: str, values: Any, present: np.ndarray, features: Sequence[str]
    ) -> Modality:
        """Build a modality as the card has it; a matrix for a bag gives single instances."""
        part = self.card.modalities[name]
        if part.kind == "bag" and isinstance(values, np.ndarray):
            values = bag_from_rows(values.astype(np.float32), present)
        return Modality(
            name=name,
            title=part.title,
            kind=part.kind,
            values=values,
            present=present,
            features=tuple(features),
            scaling=part.scaling,
        )

    def table(self, name: str, values: np.ndarray, features: Sequence[str]) -> Modality:
        """Build a modality that a sample lacks if all of its values are NaN."""
        known = ~np.isnan(values).reshape(len(values), -1).all(axis=1)
        return self.modality(name, values, known, features)

    def path_of(self, name: str) -> Path:
        """Return the file of a modality that has one of its own."""
        return self.files.path(cast(str, self.card.modalities[name].source))

    def cohort(
        self,
        ids: np.ndarray,
        groups: np.ndarray,
        modalities: Mapping[str, Modality],
        target: Target,
        division: np.ndarray | None = None,
        task: str | None = None,
    ) -> Cohort:
        """Build the cohort with the name and title of the card; None = its task as well."""
        return Cohort(
            name=self.card.name,
            title=self.card.title,
            task=task or self.card.task,
            ids=ids,
            groups=groups,
            modalities=modalities,
            target=target,
            unit=self.unit,
            card=self.card,
            division=division,
        )


def align(table: pd.DataFrame, ids: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the rows of a table, indexed by id, in the order of ``ids``: (n, c) and present (n,).

    An id without a row, or whose row is all NaN, is absent.
    """
    values = table.reindex(ids).to_numpy(dtype=np.float32)
    return values, ~np.isnan(values).all(axis=1)


def require_columns(table: pd.DataFrame, columns: list[str], where: str) -> None:
    """Check that a table has some columns.

    Raises:
        DataError: If one is missing.
    """
    absent = [c for c in columns if c not in table.columns]
    if absent:
        shown = ", ".join(map(str, table.columns[:8]))
        raise DataError(
            f"{where}: expected the columns {', '.join(absent)}, got {shown}, ...; correct the card"
        )


def read_chunks(path: Path, types: Mapping[str, str], rows: int) -> Iterator[pd.DataFrame]:
    """Read some columns of a large CSV table, also compressed, piece by piece.

    Args:
        path: The table.
        types: Type by column, for pandas.
        rows: Rows of a piece.

    Raises:
        DownloadError: If the file is damaged.
        DataError: If a column is missing or of another type.
    """
    try:
        with pd.read_csv(path, usecols=list(types), dtype=dict(types), chunksize=rows) as pieces:
            yield from pieces
    except (OSError, EOFError, zlib.error) as error:
        raise DownloadError(
            f"'{path}': expected a CSV table, got '{error}' (truncated?); obtain it again"
        ) from error
    except ValueError as error:
        raise DataError(
            f"'{path}': expected the columns {', '.join(types)}, got '{error}'; take the "
            "published table"
        ) from error


def read_table(
    path: Path,
    columns: Sequence[str] = (),
    *,
    what: str = "a CSV table",
    remedy: str = "; restore it",
    error: type[MMLegoError] = DataError,
    **options: Any,
) -> pd.DataFrame:
    """Read a CSV table, also compressed, with the ``options`` of ``pandas.read_csv``.

    Raises:
        MMLegoError: If it cannot be read; the type is ``error``, which says ``what`` was expected
            and ends with the ``remedy``.
        DataError: If one of ``columns`` is missing.
    """
    try:
        table = pd.read_csv(path, **options)
    except (OSError, EOFError, ValueError) as problem:
        raise error(f"'{path}': expected {what}, got '{problem}'{remedy}") from problem
    require_columns(table, list(columns), f"'{path}'")
    return table


def read_columns(path: Path, columns: list[str]) -> pd.DataFrame:
    """Read some columns of a CSV table, also compressed.

    Raises:
        DownloadError: If the file is damaged.
        DataError: If a column is missing.
    """
    again = " (truncated?); obtain it again"
    return read_table(path, columns, remedy=again, error=DownloadError, low_memory=False)[columns]
