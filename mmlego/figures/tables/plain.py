"""Tables of results and cohorts, as data frames and as HTML."""

from __future__ import annotations

import html
from collections.abc import Sequence

import numpy as np
import pandas as pd

from mmlego.errors import DataError
from mmlego.figures import checks, style
from mmlego.figures.tables.sortable import EMPTY, assemble, cell, sort_key

BEST, SECOND = "★", "☆"
_NAMES = {
    "method": "Method", "variant": "Variant", "modalities": "Modalities", "cohort": "Cohort",
    "split_unit": "Split", "n": "Samples", "patients": "Patients", "events": "Events",
    "classes": "Classes", "task": "Task", "title": "Title", "name": "Cohort", "unit": "Time unit",
}  # fmt: skip


def results_table(
    metrics: pd.DataFrame,
    *,
    metric: str,
    by: Sequence[str] = ("method", "variant", "modalities"),
    digits: int = 3,
    mark: bool = True,
) -> pd.DataFrame:
    """Return mean ± standard deviation (n) of each configuration, one column per cohort.

    Args:
        metrics: Tidy results with columns cohort, repeat, metric, value and those in ``by``;
            optional published (number or missing), constant within a configuration.
        metric: Metric to show.
        by: Columns that make up a configuration, and the index of the table.
        digits: Decimals.
        mark: Put a star on the best mean of a cohort and a hollow one on the second.

    Returns:
        Text cells such as "0.634 ± 0.031 (n=5) ★"; with published values, two more columns per
        cohort: "published" and "difference" (ours minus published).

    Raises:
        DataError: If columns are missing, nothing has that metric, or a repeat occurs twice
            (different grids or split units mixed).
        ShapeError: If a value is not finite.
    """
    columns = ("cohort", "repeat", "metric", "value", *by)
    rows = checks.table(metrics, columns, name="results_table")
    rows = rows[rows["metric"] == metric]
    rows = checks.table(rows, columns, name=f"results_table of metric '{metric}'")
    checks.finite_columns(rows, ("value",), name="results_table")
    rows[list(by)] = rows[list(by)].fillna("")
    checks.one_per(rows, ("cohort", "repeat", *by), name="results_table")
    pieces = [
        _cohort_columns(part, str(cohort), metric, list(by), digits, mark)
        for cohort, part in rows.groupby("cohort", sort=False)
    ]
    table = pd.concat(pieces, axis=1).fillna(EMPTY)
    order = pd.Index(dict.fromkeys(rows.set_index(list(by)).index))
    table = table.reindex(order)
    table.index.names = list(by)
    return table.reset_index()


def _cohort_columns(
    rows: pd.DataFrame, cohort: str, metric: str, by: list[str], digits: int, mark: bool
) -> pd.DataFrame:
    summary = rows.groupby(by, sort=False)["value"].agg(["mean", "std", "count"])
    stars = _stars(summary["mean"], metric) if mark else pd.Series("", index=summary.index)
    cells = [
        format_result(one["mean"], one["std"], int(one["count"]), digits=digits) + stars[key]
        for key, one in summary.iterrows()
    ]
    table = pd.DataFrame({cohort: cells}, index=summary.index)
    if "published" in rows and rows["published"].notna().any():
        published = rows.groupby(by, sort=False)["published"].first()
        table[f"{cohort}: published"] = published.map(lambda v: format_number(v, digits))
        table[f"{cohort}: difference"] = (summary["mean"] - published).map(
            lambda v: format_number(v, digits, sign=True)
        )
    return table


def _stars(means: pd.Series, metric: str) -> pd.Series:
    ranks = means.rank(ascending=metric in style.LOWER_IS_BETTER, method="min")
    if len(means) < 2:
        return pd.Series("", index=means.index)
    return ranks.map(lambda rank: f" {BEST}" if rank == 1 else f" {SECOND}" if rank == 2 else "")


def format_number(value: float, digits: int, *, sign: bool = False) -> str:
    """Return "0.634", "+0.034" with its sign, or a dash for a missing number."""
    if pd.isna(value):
        return EMPTY
    return f"{value:+.{digits}f}" if sign else f"{value:.{digits}f}"


def format_result(mean: float, sd: float, n: int, *, digits: int = 3) -> str:
    """Return "0.634 ± 0.031 (n=5)"; without spread if there is one repeat only."""
    if n < 2 or pd.isna(sd):
        return f"{mean:.{digits}f} (n={n})"
    return f"{mean:.{digits}f} ± {sd:.{digits}f} (n={n})"


def cohort_table(cohorts: pd.DataFrame) -> pd.DataFrame:
    """Return a table of cohorts for reading: human headings, thousands apart, no NaN.

    Args:
        cohorts: One row per cohort; must have name and n. Every other column is kept.

    Raises:
        DataError: If a column is missing or a cohort occurs twice.
    """
    rows = checks.table(cohorts, ("name", "n"), name="cohort_table")
    checks.one_per(rows, ("name",), name="cohort_table")
    for column in rows.columns:
        rows[column] = rows[column].map(_cell)
    return rows.rename(columns=_heading_words)


def _heading_words(name: object) -> str:
    return _NAMES.get(str(name), str(name).replace("_", " ").capitalize())


def _cell(value: object) -> str:
    if isinstance(value, (list, tuple)):
        return ", ".join(map(str, value))
    if isinstance(value, dict):
        return ", ".join(f"{key}: {_cell(item)}" for key, item in value.items())
    if value is None or (np.isscalar(value) and pd.isna(value)):
        return EMPTY
    if isinstance(value, (bool, np.bool_)):
        return "yes" if value else "no"
    if isinstance(value, (int, np.integer)):
        return f"{value:,}"
    if isinstance(value, (float, np.floating)):
        return f"{value:,.0f}" if float(value).is_integer() else f"{value:.3g}"
    return str(value)


def to_html(table: pd.DataFrame, *, caption: str = "", sortable: bool = True) -> str:
    """Return a compact HTML table; a click on a heading sorts by it.

    Args:
        table: Any data frame; its index is not shown. Text cells are escaped. Names of methods
            and variants in columns of that name get their human names. A cell that begins with a
            number sorts by it, and empty cells come last.
        caption: Text above the table.
        sortable: Add the sorting buttons and their script (a few lines, no library).

    Raises:
        DataError: If the table has no rows or no columns.
    """
    if table.empty:
        raise DataError("to_html: expected a table with rows and columns, got an empty one")
    rows = [
        [_data(column, value) for column, value in zip(table, row, strict=True)]
        for row in table.itertuples(index=False, name=None)
    ]
    stars = any(BEST in str(value) for value in table.to_numpy().ravel())
    note = f"{BEST} best mean, {SECOND} second best." if stars else ""
    headings = [_NAMES.get(str(name), str(name)) for name in table.columns]
    return assemble(headings, rows, caption=caption, note=note, sortable=sortable)


def _data(column: object, value: object) -> str:
    words = style.title(str(value)) if column in ("method", "variant") else _cell(value)
    names = ["best"] if BEST in words else ["second"] if SECOND in words else []
    return cell(html.escape(words), key=sort_key(words), names=names)
