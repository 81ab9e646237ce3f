"""The evidence of all runs: headline rows, and paired comparisons between them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from mmlego.bench.outcome import VALIDATION
from mmlego.bench.settings import MANUAL
from mmlego.errors import RunError
from mmlego.learning.statistics import pairing
from mmlego.methods.names import ABMIL, ENSEMBLE, LEGO_BLOCK, LEGO_FUSE, LEGO_MERGE, SNN
from mmlego.reporting.published import role_of
from mmlego.runs.catalogue import in_summary
from mmlego.runs.records.record import read_records
from mmlego.runs.records.results import load_metrics
from mmlego.runs.session import Session

# Cohorts that the package makes up: good for checking methods, no evidence about patients.
GENERATED = ("synthetic", "spots", "example")
MERGE, FUSE = "LegoMerge", "LegoFuse (stack, 2 epochs)"
BEST = "best single block"
# (method, arm, chosen by, tuning epochs) -> name of the row; these see every modality
ROWS = {
    (LEGO_BLOCK, "", VALIDATION, 0): BEST,
    (ENSEMBLE, "", "", 0): ENSEMBLE,
    (LEGO_MERGE, "", "", 0): MERGE,
    (LEGO_MERGE, "", "", 2): "LegoMerge, tuned 2 epochs",
    (LEGO_FUSE, "stack", "", 2): FUSE,
    (LEGO_FUSE, "weave", "", 2): "LegoFuse (weave, 2 epochs)",
}
_UNIMODAL = {
    (SNN, "", "", 0): "SNN",
    (ABMIL, "", "", 0): "ABMIL",
    (LEGO_BLOCK, "wrapped", "", 0): "LegoBlock (wrapped)",
}
CONTRASTS = ((MERGE, BEST), (MERGE, ENSEMBLE), (FUSE, BEST), (FUSE, MERGE))


@dataclass(frozen=True)
class Overview:
    """Headline rows of all cohorts, from the fullest grid of each, and facts about the cohorts."""

    rows: pd.DataFrame
    cohorts: dict[str, dict[str, Any]]

    def patients(self) -> pd.DataFrame:
        """Rows on patient-level splits."""
        return self.rows[self.rows["split_unit"] == "patient"]


def load(session: Session) -> Overview:
    """Read all results of a session's folder."""
    return load_from(session.results)


def load_from(results: Path) -> Overview:
    """Read all results, and of each cohort and split unit keep the grid with the most repeats.

    Runs outside any grid are left out: their settings can be anything.

    Raises:
        RunError: If there are no results of any grid.
    """
    metrics = load_metrics(results)
    metrics = metrics[(metrics["grid"] != MANUAL) & (metrics["cohort"] != "")]
    metrics = metrics[in_summary(metrics["run_id"])]
    if metrics.empty:
        raise RunError(
            "summary: no results of any grid; run `mmlego run --grid experiments/quick.yaml` first"
        )
    kept = [_fullest(part) for _, part in metrics.groupby(["cohort", "split_unit"])]
    facts = _facts(results)
    rows = pd.concat([_headline(part, facts) for part in kept], ignore_index=True)
    if rows.empty:
        raise RunError(
            "summary: no model of the comparison has a value yet; run `mmlego run --grid "
            "experiments/quick.yaml` first"
        )
    return Overview(rows, facts)


def _fullest(part: pd.DataFrame) -> pd.DataFrame:
    """Rows of the grid with the most repeats, and among these with the most training samples."""
    size = part.groupby("grid").agg(repeats=("repeat", "nunique"), samples=("n_train", "max"))
    return part[part["grid"] == size.sort_values(["repeats", "samples"]).index[-1]]


def _facts(results: Path) -> dict[str, dict[str, Any]]:
    """Facts about the data of each cohort in each grid, as its runs recorded them."""
    found: dict[str, dict[str, Any]] = {}
    for record in read_records(results):
        name = record["data"].get("name")
        if name:
            found[f"{name}/{record['parameters']['grid']}"] = record["data"]
    return found


def facts_of(facts: dict[str, dict[str, Any]], part: pd.DataFrame) -> dict[str, Any]:
    """Facts about the data that some rows of one cohort come from."""
    return facts[f"{part['cohort'].iloc[0]}/{part['grid'].iloc[0]}"]


def key_of(row: Mapping[str, Any]) -> tuple[str, str, str, int]:
    """What a row is found by in ``ROWS``; one with other inputs or conditions is in no such table.

    An untuned merge and one that was tuned for no epoch are the same.
    """
    epochs = 0 if pd.isna(row["tune_epochs"]) else int(row["tune_epochs"])
    method = "" if row["inputs"] or row["condition"] else row["method"]
    return method, row["arm"], row["chosen_by"], epochs


def _headline(part: pd.DataFrame, facts: dict[str, dict[str, Any]]) -> pd.DataFrame:
    """Name the headline rows of one cohort: role of their modalities and label."""
    known = facts_of(facts, part)
    part = part[part["metric"] == known["metric"]].dropna(subset=["value"])
    tables = known["tables"]
    everything = max(part["modalities"], key=lambda text: text.count("+"), default="")
    rows = []
    for row in part.to_dict("records"):
        names = row["modalities"].split("+")
        key = key_of(row)
        if key in ROWS and row["modalities"] == everything:
            rows.append(row | {"label": ROWS[key], "role": role_of(names, tables)})
        elif key in _UNIMODAL and (len(names) == 1 or role_of(names, tables) == "tabular"):
            name = "all tables" if len(names) > 1 else names[0]
            rows.append(
                row | {"label": f"{_UNIMODAL[key]}, {name}", "role": role_of(names, tables)}
            )
    return pd.DataFrame(rows)


def real_rows(found: Overview) -> pd.DataFrame:
    """Rows on patient-level splits of cohorts that are not made up."""
    rows = found.patients()
    return rows[~rows["cohort"].isin(GENERATED)]


def contrasts(found: Overview) -> list[tuple[str, pairing.Paired]]:
    """The paired comparisons that the summary is about, for every real cohort."""
    rows = []
    for cohort, part in real_rows(found).groupby("cohort", sort=True):
        labels = set(part["label"])
        rows += [(cohort, pairing.compare(part, a, b)) for a, b in CONTRASTS if {a, b} <= labels]
    return rows


def adjusted(rows: Sequence[tuple[str, pairing.Paired]]) -> list[float]:
    """P-values of all contrasts after Holm's correction; NaN where there was one repeat only."""
    return [pair.p_value for pair in pairing.adjust([pair for _, pair in rows])]


def with_p(rows: Sequence[tuple[str, pairing.Paired]]) -> list[tuple[str, pairing.Paired, float]]:
    """Comparisons with their p-values after Holm's correction."""
    return [(name, pair, p) for (name, pair), p in zip(rows, adjusted(rows), strict=True)]


def decided(pair: pairing.Paired, p: float) -> bool:
    """Whether there are enough repeats, and they tell the two apart after Holm's correction."""
    return bool(pair.n >= pairing.FEWEST_REPEATS and p < pairing.ALPHA)


def wins(pair: pairing.Paired, p: float) -> bool:
    """Whether the first of the two is better beyond doubt."""
    return decided(pair, p) and pair.mean > 0


def loses(pair: pairing.Paired, p: float) -> bool:
    """Whether the first of the two is worse beyond doubt."""
    return decided(pair, p) and pair.mean < 0
