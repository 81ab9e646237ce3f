"""How the methods of the comparison stand: rows of the main table, ranks, and paired tests."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from mmlego.bench.inputs import JOINED, SEPARATE, TABLES
from mmlego.learning.statistics import pairing
from mmlego.methods.names import LEGO_FUSE, LEGO_MERGE
from mmlego.methods.registry import METHODS
from mmlego.reporting.published import published_for, role_of

# The published protocol has five repeats, the first five of ours.
PUBLISHED_REPEATS = 5
BEST_TITLE = "Best single block"
FOCUS = (LEGO_MERGE, LEGO_FUSE)
CLINICAL = "clin"
GROUPS = {
    "multimodal": "multimodal",
    "tabular": "tables",
    "other": "image or series",
    "part": "one table",
}


def standing_rows(
    frame: pd.DataFrame, *, metric: str, tables: Sequence[str], inputs: str | None = None
) -> pd.DataFrame:
    """The rows of the main table of one cohort, one per method, group and repeat.

    Args:
        frame: Tidy metrics of one cohort, one split unit and one grid.
        metric: The metric that the cohort is judged by.
        tables: Its tabular modalities.
        inputs: Set of modalities of the multimodal rows; default that of the published runs.

    Returns:
        The frame with the columns label, group (multimodal, tables, image or series, one table) and
        role.
    """
    frame = frame[frame["metric"] == metric].dropna(subset=["value"])
    wanted = inputs or published_inputs(frame)
    others = {name for text in frame["modalities"] for name in text.split("+")} - set(tables)
    named = ("part", "other") if len(others) > 1 else ("part",)
    rows = []
    for row in frame.to_dict("records"):
        names = row["modalities"].split("+")
        role, best = role_of(names, tables), bool(row["chosen_by"])
        if row["inputs"] == wanted:
            role = "multimodal"
        elif row["inputs"]:
            continue
        label = BEST_TITLE if best else METHODS[row["method"]].title
        label += f", {row['modalities']}" if role in named else ""
        rows.append(row | {"label": label, "role": role, "group": GROUPS[role], "best": best})
    return pd.DataFrame(rows)


def published_inputs(frame: pd.DataFrame) -> str:
    """The set of modalities that the published runs would have used."""
    offered = set(frame["inputs"])
    return next((name for name in (JOINED, SEPARATE, TABLES) if name in offered), SEPARATE)


def summarize(
    rows: pd.DataFrame, published: Mapping[str, Any] | None, tables: Sequence[str], split_unit: str
) -> pd.DataFrame:
    """Mean and spread of every row, over all repeats and the first five, with published values.

    Returns:
        label, method, group, mean, sd, n, mean_first, sd_first, published, published_sd,
        difference, comparable, why; best first within each group.
    """
    known = published_for(published, tables, split_unit).set_index(["method", "role"])
    found = []
    keys = ["label", "method", "group", "role", "best"]
    for key, part in rows.groupby(keys, sort=False):
        label, method, group, role, best = key
        first = part[part["repeat"] <= PUBLISHED_REPEATS]["value"]
        hit = known.loc[(method, role)] if (method, role) in known.index and not best else None
        mean = part["value"].mean()
        found.append(
            {
                "label": label,
                "method": method,
                "group": group,
                "mean": mean,
                "sd": part["value"].std(),
                "n": len(part),
                "mean_first": first.mean(),
                "sd_first": first.std(),
                "published": np.nan if hit is None else hit["published"],
                "published_sd": np.nan if hit is None else hit["published_sd"],
                "difference": np.nan if hit is None else mean - hit["published"],
                "comparable": hit is not None and bool(hit["comparable"]),
                "why": "" if hit is None else hit["why"],
            }
        )
    order = {group: place for place, group in enumerate(GROUPS.values())}
    table = pd.DataFrame(found)
    return table.sort_values(
        ["group", "mean"], ascending=[True, False],
        key=lambda column: column.map(order) if column.name == "group" else column,
        ignore_index=True,
    )  # fmt: skip


def against(rows: pd.DataFrame, focus: str) -> list[pairing.Paired]:
    """Every multimodal row minus one of ours, with p-values corrected for their number (Holm).

    Args:
        rows: Rows of one cohort, from ``standing_rows``.
        focus: Method that the others are compared with.
    """
    part = rows[rows["group"] == "multimodal"]
    name = METHODS[focus].title
    if name not in set(part["label"]):
        return []
    others = [label for label in part["label"].unique() if label != name]
    return pairing.adjust([pairing.compare(part, label, name) for label in others])


def verdict_table(rows: pd.DataFrame) -> pd.DataFrame:
    """Differences of all multimodal rows to LegoMerge and to LegoFuse, as text."""
    columns: dict[str, dict[str, str]] = {}
    for focus in FOCUS:
        title = METHODS[focus].title
        for pair in against(rows, focus):
            columns.setdefault(pair.first, {})[f"minus {title}"] = difference_text(pair)
    table = pd.DataFrame(columns).T.rename_axis("method").reset_index()
    return table.fillna("")


def difference_text(pair: pairing.Paired) -> str:
    """A difference with its interval and corrected p-value."""
    if not np.isfinite(pair.p_value):
        return f"{pair.mean:+.3f}"
    star = " *" if pair.decided else ""
    return f"{pair.mean:+.3f} ({pair.lower:+.3f} to {pair.upper:+.3f}), p {pair.p_value:.2g}{star}"


def conclusion(rows: pd.DataFrame, metric_title: str) -> str:
    """What the main table of one cohort says, in sentences."""
    many = rows[rows["group"] == "multimodal"]
    if many.empty:
        return "No method of several modalities ran."
    means = many.groupby("label")["value"].mean().sort_values(ascending=False)
    single = rows[(rows["group"] != "multimodal")]
    lines = [
        f"* The highest mean {metric_title} of several modalities is **{means.index[0]}** "
        f"({means.iloc[0]:.3f}), the lowest {means.index[-1]} ({means.iloc[-1]:.3f})."
    ]
    if not single.empty:
        alone = single.groupby(["label", "modalities"])["value"].mean().sort_values()
        lines.append(
            f"* The best single-modality model is {alone.index[-1][0]} with {alone.iloc[-1]:.3f}."
        )
    for focus in FOCUS:
        found = against(rows, focus)
        better = [pair.first for pair in found if pair.decided and pair.mean > 0]
        worse = [pair.first for pair in found if pair.decided and pair.mean < 0]
        if found:
            lines.append(
                f"* Against {METHODS[focus].title}, after Holm's correction: better "
                f"{_listed(better)}; worse {_listed(worse)}; "
                f"{pairing.counted(len(found) - len(better) - len(worse), 'method')} cannot be "
                "told apart."
            )
    return "\n".join(lines)


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names) if names else "none"
