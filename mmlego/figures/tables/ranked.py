"""The complete comparison as one table: methods by tasks, published values, and average ranks."""

from __future__ import annotations

import html
from collections.abc import Sequence

import pandas as pd

from mmlego.errors import DataError
from mmlego.figures import checks
from mmlego.figures.comparison import with_published
from mmlego.figures.tables.plain import format_number
from mmlego.figures.tables.sortable import EMPTY, assemble, cell, sort_key
from mmlego.learning.statistics.ranks import average_ranks

_MARKS: dict[float, tuple[str, str]] = {1: ("<strong>", "</strong>"), 2: ("<u>", "</u>")}
_DAGGER = '<abbr title="another protocol: not comparable">†</abbr>'


def ranked_table(
    table: pd.DataFrame,
    *,
    tasks: Sequence[str] | None = None,
    higher_is_better: bool = True,
    digits: int = 3,
    caption: str = "",
    sortable: bool = True,
) -> str:
    """Return methods by tasks as HTML: mean ± standard deviation, published values, ranks.

    The best mean of a task is bold, the second underlined. Below a mean stand, in small type, the
    published value and in brackets the mean minus it, with a dagger where protocols differ. A
    heading sorts by its means. Methods that lack a task have no average rank; the column is left
    out if fewer than two methods have every task.

    Args:
        table: Columns task, label, mean, sd, n (repeats), one row per task and label. Optional:
            group, shown below the label; published and published_sd; comparable (bool, whether
            protocols match; True if there is no such column). A mean or sd may be missing.
        tasks: Tasks to show, in this order; None shows all as they come.
        higher_is_better: Whether the largest mean is best, on every task.
        digits: Decimals of means.
        caption: Text above the table.
        sortable: Make headings buttons that sort.

    Raises:
        DataError: If a column is missing, a task is unknown, a pair of task and label occurs twice,
            or no mean is there.
    """
    rows = checks.table(table, ("task", "label", "mean", "sd", "n"), name="ranked_table")
    checks.one_per(rows, ("task", "label"), name="ranked_table")
    order = list(dict.fromkeys(rows["task"]) if tasks is None else tasks)
    unknown = [task for task in order if task not in set(rows["task"])]
    if unknown:
        raise DataError(f"ranked_table: no rows for tasks {unknown}; got {sorted(set(rows.task))}")
    rows = with_published(rows[rows["task"].isin(order)])
    rows["group"] = rows["group"].fillna("") if "group" in rows else ""
    checks.table(rows.dropna(subset="mean"), (), name="ranked_table, rows with a mean")
    rows["place"] = rows.groupby("task")["mean"].rank(ascending=not higher_is_better, method="min")
    ranks = _ranks(rows, len(order), higher_is_better)
    counts = rows.loc[rows["mean"].notna(), "n"].unique()
    same_n = int(counts[0]) if len(counts) == 1 else None
    found = rows.set_index(["label", "task"])
    lines = []
    for label in dict.fromkeys(rows["label"]):
        line = [_name(label, rows.loc[rows["label"] == label, "group"].iloc[0])]
        line += [] if ranks.empty else [_rank(label, ranks)]
        for task in order:
            one = found.loc[(label, task)] if (label, task) in found.index else None
            line.append(_result(one, digits, same_n))
        lines.append(line)
    return assemble(
        ["Method", *([] if ranks.empty else ["Average rank"]), *order], lines, caption=caption,
        note=_note(rows, same_n, order, ranks), sortable=sortable, names=["mml-ranked"],
    )  # fmt: skip


def _ranks(rows: pd.DataFrame, n_tasks: int, higher_is_better: bool) -> pd.Series:
    """Average ranks by label, empty if fewer than two labels have every task."""
    counts = rows.groupby("label")["mean"].count()
    if (counts == n_tasks).sum() < 2:
        return pd.Series(dtype=float)
    found = average_ranks(rows.rename(columns={"mean": "value"}), higher_is_better=higher_is_better)
    return found.set_index("label")["rank"]


def _name(label: str, group: str) -> str:
    below = f"<br><small>{html.escape(group)}</small>" if group else ""
    return cell(f"{html.escape(str(label))}{below}", key=None, row_head=True)


def _rank(label: str, ranks: pd.Series) -> str:
    if label not in ranks:
        return cell(EMPTY, key="")
    place = ranks.rank(method="min")[label]
    return cell(_marked(f"{ranks[label]:.2f}", place), key=str(ranks[label]), names=["rank"])


def _marked(words: str, place: float) -> str:
    before, after = _MARKS.get(place, ("", ""))
    return f"{before}{words}{after}"


def _result(one: pd.Series | None, digits: int, same_n: int | None) -> str:
    if one is None:
        return cell(EMPTY, key="")
    words = _marked(format_number(one["mean"], digits), one["place"])
    if pd.notna(one["mean"]):
        words += f" ± {one['sd']:.{digits}f}" if one["n"] > 1 and pd.notna(one["sd"]) else ""
        words += "" if same_n else f" <small>(n={one['n']:.0f})</small>"
    if pd.notna(one["published"]):
        words += f"<br><small>{_published(one, digits)}</small>"
    return cell(words, key=sort_key(format_number(one["mean"], digits)))


def _published(one: pd.Series, digits: int) -> str:
    words = format_number(one["published"], digits)
    if pd.notna(one["published_sd"]):
        words += f" ± {one['published_sd']:.{digits}f}"
    if pd.notna(one["mean"]):
        words += f" ({format_number(one['mean'] - one['published'], digits, sign=True)})"
    return words if one["comparable"] else words + _DAGGER


def _note(rows: pd.DataFrame, same_n: int | None, tasks: list[str], ranks: pd.Series) -> str:
    """Say what marks and small type mean, as far as the table has them."""
    of = "" if same_n is None else f" of {same_n} repeat{'s' * (same_n > 1)}"
    notes = [
        f"Mean ± standard deviation{of}; best <strong>bold</strong>, second <u>underlined</u>."
    ]
    printed = rows[rows["published"].notna()]
    if not printed.empty:
        notes.append("Small type: published value, in brackets the mean minus it.")
    if not printed["comparable"].all():
        notes.append("† Published under another protocol, so the two are not comparable.")
    if not ranks.empty:
        partial = rows["label"].nunique() - len(ranks)
        left = f" {partial} method{'s' * (partial > 1)} that lack a task left out."
        notes.append(f"Average rank of {len(ranks)} methods over {len(tasks)} tasks, 1 is best."
                     + left * bool(partial))  # fmt: skip
    return " ".join(notes)
