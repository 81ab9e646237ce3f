"""Checks that stop a figure or table before it shows something wrong."""

from __future__ import annotations

from collections.abc import Sequence, Sized

import numpy as np
import pandas as pd

from mmlego.errors import DataError, ShapeError


def table(frame: pd.DataFrame, columns: Sequence[str], *, name: str) -> pd.DataFrame:
    """Return a copy of ``frame`` that has rows and all of ``columns``.

    Args:
        frame: Any table.
        columns: Names that must be there.
        name: What the caller draws; opens the message.

    Raises:
        DataError: If it is no table, is empty, or lacks a column.
    """
    if not isinstance(frame, pd.DataFrame):
        raise DataError(f"{name}: expected a pandas DataFrame, got {type(frame).__name__}")
    absent = [column for column in columns if column not in frame.columns]
    if absent:
        raise DataError(
            f"{name}: expected columns {list(columns)}, missing {absent}; "
            f"got {list(map(str, frame.columns))}"
        )
    if frame.empty:
        raise DataError(f"{name}: expected at least one row, got none; check the filter before it")
    return frame.copy()


def finite(values: object, *, name: str, ndim: int | None = 1) -> np.ndarray:
    """Return ``values`` as a float array without NaN or infinity.

    Args:
        values: Numbers or booleans.
        name: What the numbers are; opens the message.
        ndim: Number of axes expected, None for any.

    Raises:
        ShapeError: If it is empty, not numeric, of another rank, or not finite.
    """
    try:
        array = np.asarray(values, dtype=float)
    except (TypeError, ValueError) as error:
        raise ShapeError(f"{name}: expected numbers, got {type(values).__name__}") from error
    if ndim is not None and array.ndim != ndim:
        raise ShapeError(f"{name}: expected {ndim} axis(es), got shape {array.shape}")
    if array.size == 0:
        raise ShapeError(f"{name}: expected at least one value, got none")
    bad = int((~np.isfinite(array)).sum())
    if bad:
        raise ShapeError(
            f"{name}: expected finite values, got {bad} NaN or infinite of {array.size}; "
            "leave undefined repeats out and say how many"
        )
    return array


def finite_columns(frame: pd.DataFrame, columns: Sequence[str], *, name: str) -> None:
    """Raise if one of ``columns`` holds anything but finite numbers."""
    for column in columns:
        finite(frame[column].to_numpy(), name=f"{name}, column '{column}'")


def same_length(name: str, **arrays: Sized | None) -> None:
    """Raise if the arrays do not have one entry per sample each.

    Raises:
        ShapeError: Naming the lengths that were found.
    """
    lengths = {key: len(value) for key, value in arrays.items() if value is not None}
    if len(set(lengths.values())) > 1:
        raise ShapeError(f"{name}: expected arrays of one length, got {lengths}")


def one_per(frame: pd.DataFrame, keys: Sequence[str], *, name: str) -> None:
    """Raise if a combination of ``keys`` occurs twice, which would count a repeat double.

    Raises:
        DataError: Naming the first combination that occurs twice.
    """
    twice = frame[frame.duplicated(list(keys), keep=False)]
    if not twice.empty:
        first = twice.iloc[0][list(keys)].to_dict()
        raise DataError(
            f"{name}: expected one row per {list(keys)}, got several for {first}; "
            "filter to one grid, split unit and configuration first"
        )


def choice(value: str, allowed: Sequence[str], *, name: str) -> str:
    """Return ``value`` if it is one of ``allowed``.

    Raises:
        DataError: Otherwise, naming what is allowed.
    """
    if value not in allowed:
        raise DataError(f"{name}: expected one of {list(allowed)}, got {value!r}")
    return value
