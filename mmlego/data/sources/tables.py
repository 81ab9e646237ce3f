"""Cohorts of one's own: plain CSV or Parquet tables, described by a card."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, cast

import numpy as np
import pandas as pd

from mmlego.data.cards.card import ModalityCard
from mmlego.data.cohorts.cohort import Cohort
from mmlego.data.cohorts.modality import Modality
from mmlego.data.cohorts.target import ClassTarget, SurvivalTarget, Target
from mmlego.data.sources.request import Request, align, require_columns
from mmlego.errors import CardError, DataError


def load_tables(request: Request) -> Cohort:
    """Load a cohort from tables keyed by one id column.

    The target table has one row per sample: id, optional group, and time and event, or a label. A
    tabular modality has one row per sample; a series is long (id, step, variables); a bag is long
    (id, features of one instance). A text is one column; several rows of an id are joined by line
    breaks, so a list of codes may have one code per row. Samples are those of the target table; one
    that does not occur in a modality's table lacks that modality. Columns that belong to the target
    are never inputs.

    Raises:
        CardError: If the card names no table where one is needed.
        DataError: If a table, column, id or value cannot be used.
    """
    ids, groups, target = read_samples(request)
    modalities = {name: read_modality(request, name, ids) for name in request.modalities}
    return request.cohort(ids, groups, modalities, target)


def read_samples(request: Request) -> tuple[np.ndarray, np.ndarray, Target]:
    """Read ids (n,), groups (n,) and target out of the target table; see ``load_tables``.

    Raises:
        CardError: If the card names no such table.
        DataError: If the table or a value cannot be used.
    """
    card = request.card
    table = _read(request, "target", card.target.source)
    require_columns(table, [c for c in (card.id, card.group) if c], _where(request, "target"))
    ids = table[card.id].to_numpy(dtype=str)
    groups = table[card.group].to_numpy(dtype=str) if card.group else ids
    return ids, groups, _target(request, table)


def _read(request: Request, what: str, source: str | None) -> pd.DataFrame:
    if source is None:
        raise CardError(
            f"{_where(request, what)}: expected 'source', the key of a file, got none; add it to "
            "the card"
        )
    path = request.files.path(source)
    try:
        if path.suffix == ".parquet":
            table = pd.read_parquet(path)
        else:
            table = pd.read_csv(path, dtype={request.card.id: str})
    except (OSError, EOFError, ValueError, ImportError) as error:
        raise DataError(
            f"'{path}': expected a CSV or Parquet table, got '{error}'; check the file"
        ) from error
    require_columns(table, [request.card.id], f"'{path}'")
    if table[request.card.id].isna().any():
        raise DataError(
            f"'{path}': expected an id in every row, got empty ones; fill '{request.card.id}'"
        )
    return table.assign(**{request.card.id: table[request.card.id].astype(str)})


def _target(request: Request, table: pd.DataFrame) -> Target:
    target = request.card.target
    where = _where(request, "target")
    if target.kind == "survival":
        time, event, unit = target.survival_columns()
        require_columns(table, [time, event], where)
        return SurvivalTarget(
            _numbers(table, [time], where)[:, 0], _numbers(table, [event], where)[:, 0], unit
        )
    classes, column = target.class_names, cast(str, target.label)
    require_columns(table, [column], where)
    labels = _as_text(table[column])
    unknown = sorted(set(labels) - set(classes))
    if unknown:
        raise DataError(
            f"{where}: expected labels among {target.classes}, got {unknown[:5]}; list every class "
            "in the card, or drop "
            "the samples without one"
        )
    return ClassTarget(np.array([classes.index(v) for v in labels]), classes)


def read_modality(request: Request, name: str, ids: np.ndarray) -> Modality:
    """Read the table of a modality, for the samples with these ids; see ``load_tables``.

    Raises:
        CardError: If the card does not say what is needed, or the kind is none of tables.
        DataError: If the table, a column or a value cannot be used.
    """
    part = request.card.modalities[name]
    where = _where(request, f"modality '{name}'")
    table = _read(request, f"modality '{name}'", part.source)
    if not table[request.card.id].isin(ids).any():
        raise DataError(
            f"{where}: expected ids of the target table, such as '{ids[0]}', got "
            f"'{table[request.card.id].iloc[0]}'; "
            "use one id in all tables"
        )
    columns = _feature_columns(request, part, table, where)
    if part.kind == "text":
        values, present = _texts(table, columns, request.card.id, ids, where)
        return request.modality(name, values, present, ())
    numbers = pd.DataFrame(_numbers(table, columns, where), index=table[request.card.id])
    shapes: dict[str, Callable[..., tuple[Any, np.ndarray]]]
    shapes = {"tabular": _tabular, "bag": _bag, "series": _series}
    shape = shapes.get(part.kind)
    if shape is None:
        raise CardError(
            f"{where}: expected kind tabular, bag, series or text, got '{part.kind}'; tables "
            "hold no images"
        )
    shaped, present = shape(numbers, table, part, ids, where)
    return request.modality(name, shaped, present, columns)


def _feature_columns(
    request: Request, part: ModalityCard, table: pd.DataFrame, where: str
) -> list[str]:
    if part.columns is not None:
        require_columns(table, part.columns, where)
    target = request.card.target
    outcome = {target.time, target.event, target.label}
    never = {request.card.id, request.card.group, part.step, *part.exclude}
    asked = part.columns if part.columns is not None else list(table.columns)
    leaking = [c for c in part.columns or [] if c in outcome]
    if leaking:
        raise CardError(
            f"{where}: expected inputs, got the target column {leaking[0]}; remove it from "
            "'columns'"
        )
    chosen = [c for c in asked if c not in never | outcome]
    if not chosen:
        raise DataError(
            f"{where}: expected feature columns, got none besides id and target; check 'columns'"
        )
    return chosen


def _tabular(
    numbers: pd.DataFrame, table: pd.DataFrame, part: ModalityCard, ids: np.ndarray, where: str
) -> tuple[np.ndarray, np.ndarray]:
    if numbers.index.has_duplicates:
        twice = numbers.index[numbers.index.duplicated()][0]
        raise DataError(
            f"{where}: expected one row per id, got several of '{twice}'; keep one, or use kind "
            "'bag'"
        )
    return align(numbers, ids)


def _bag(
    numbers: pd.DataFrame, table: pd.DataFrame, part: ModalityCard, ids: np.ndarray, where: str
) -> tuple[tuple[np.ndarray, ...], np.ndarray]:
    rows = numbers.to_numpy(dtype=np.float32)
    places = numbers.groupby(level=0).indices
    bags = tuple(rows[places.get(i, [])] for i in ids)
    return bags, np.array([len(bag) > 0 for bag in bags])


def _series(
    numbers: pd.DataFrame, table: pd.DataFrame, part: ModalityCard, ids: np.ndarray, where: str
) -> tuple[np.ndarray, np.ndarray]:
    if part.step is None:
        raise CardError(
            f"{where}: expected 'step', the column of the time step, got none; add it to the card"
        )
    require_columns(table, [part.step], where)
    steps, step_of = np.unique(table[part.step].to_numpy(), return_inverse=True)
    row_of = pd.Index(ids).get_indexer(numbers.index)
    known = row_of >= 0
    if pd.MultiIndex.from_arrays([row_of[known], step_of[known]]).has_duplicates:
        raise DataError(
            f"{where}: expected one row per id and '{part.step}', got several; average them first"
        )
    values = np.full((len(ids), len(steps), numbers.shape[1]), np.nan, dtype=np.float32)
    values[row_of[known], step_of[known]] = numbers.to_numpy(dtype=np.float32)[known]
    return values, ~np.all(np.isnan(values), axis=(1, 2))


def _texts(
    table: pd.DataFrame, columns: list[str], key: str, ids: np.ndarray, where: str
) -> tuple[tuple[str, ...], np.ndarray]:
    if len(columns) > 1:
        raise CardError(
            f"{where}: expected one column of text, got {', '.join(columns)}; name one under "
            "'columns'"
        )
    rows = table[[key, *columns]].dropna()
    joined = {
        i: "\n".join(_as_text(column)) for i, column in rows.groupby(key, sort=False)[columns[0]]
    }
    return tuple(joined.get(i, "") for i in ids), np.isin(ids, list(joined))


def _numbers(table: pd.DataFrame, columns: Sequence[str], where: str) -> np.ndarray:
    for column in columns:
        if not pd.api.types.is_numeric_dtype(table[column]):
            example = next((v for v in table[column].dropna() if not _is_number(v)), None)
            raise DataError(
                f"{where}: expected numbers in column '{column}', got {example!r}; recode text as "
                "0/1 columns, or leave "
                "the column out with 'exclude'"
            )
    return table[list(columns)].to_numpy(dtype=np.float64)


def _is_number(value: Any) -> bool:
    try:
        float(value)
    except (TypeError, ValueError):
        return False
    return True


def _as_text(column: pd.Series) -> list[str]:
    """Return values as text; whole numbers without a decimal point, whatever their type."""
    return [
        str(int(v)) if isinstance(v, float) and v.is_integer() else str(v) for v in column.tolist()
    ]


def _where(request: Request, what: str) -> str:
    return f"card '{request.card.name}', {what}"
