"""Runs of the notebook `amc` on all data sets, from their records."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from mmlego.errors import RunError
from mmlego.experiments.amc import AMC, RULES, is_alone, title_of
from mmlego.experiments.amc_published import published_amc
from mmlego.experiments.amc_story import label_of
from mmlego.experiments.evidence import GENERATED, MANUAL
from mmlego.experiments.league import ALIAS
from mmlego.experiments.record import read_records
from mmlego.figures.spread import interval

# Groups of rows; the first is the word that the pages of the main table use.
WHOLE, ALONE = "multimodal", "one modality"
BEST_ALONE = "AMC, best modality alone"
_KEYS = ["label", "method", "variant", "group"]


@dataclass(frozen=True)
class Study:
    """AMC and its rivals on one data set.

    Attributes:
        name: Name of the cohort.
        facts: What the run recorded about the data.
        parameters: Parameters of the run.
        rows: label, method, variant, group, modalities, repeat, value (of the main metric),
            n_train, n_test and loss (validation loss of the kept weights), one row per fit.
    """

    name: str
    facts: dict[str, Any]
    parameters: dict[str, Any]
    rows: pd.DataFrame

    @property
    def repeats(self) -> int:
        """Number of repeats."""
        return int(self.rows["repeat"].nunique())

    @property
    def ratio(self) -> float:
        """Test samples per training sample."""
        return float(self.rows["n_test"].max() / self.rows["n_train"].max())


def load_studies(results: Path) -> list[Study]:
    """The patient-level run of every real cohort, of each the one with the most repeats.

    Raises:
        RunError: If the notebook `amc` has not run in any grid.
    """
    chosen: dict[str, dict[str, Any]] = {}
    for record in read_records(results):
        values, name = record["parameters"], record["data"].get("name")
        if record["notebook"] != "amc" or values["grid"] == MANUAL or name in GENERATED:
            continue
        if values["split_unit"] != "patient":
            continue
        best = chosen.get(name)
        if best is None or _weight(record) > _weight(best):
            chosen[name] = record
    if not chosen:
        raise RunError(
            "AMC over its data sets: expected a run of 'amc', found none; make one with: mmlego "
            "run --grid experiments/amc.yaml"
        )
    return [
        Study(name, record["data"], record["parameters"], _rows(record))
        for name, record in sorted(chosen.items())
    ]


def _weight(record: dict[str, Any]) -> tuple[int, int, str]:
    return record["parameters"]["repeats"], len(record["outcomes"]), record["finished"]


def _rows(record: dict[str, Any]) -> pd.DataFrame:
    """Rows of one run; configurations of AMC other than the two rules stay on its own page."""
    metric = record["data"]["metric"]
    rows = []
    for outcome in record["outcomes"]:
        method, variant = outcome["method"], outcome["variant"]
        alone = method == AMC and is_alone(variant)
        if method == AMC and not alone and variant not in RULES:
            continue
        label = label_of(method, variant)
        rows.append(
            {
                "label": label if alone else ALIAS.get(label, label),
                "group": ALONE if alone else WHOLE,
                "value": outcome["metrics"].get(metric, np.nan),
                "loss": outcome["facts"].get("best_val_loss", np.nan),
            }
            | {
                name: outcome[name]
                for name in ("method", "variant", "modalities", "repeat", "n_train", "n_test")
            }
        )
    table = pd.DataFrame(rows).dropna(subset=["value"])
    return pd.concat([table, _best_alone(table)], ignore_index=True)


def _best_alone(table: pd.DataFrame) -> pd.DataFrame:
    """Of each repeat the modality whose network has the lowest validation loss."""
    alone = table[table["group"] == ALONE].dropna(subset=["loss"])
    best = alone.loc[alone.groupby("repeat")["loss"].idxmin()]
    return best.assign(label=BEST_ALONE, variant="best by validation", group=WHOLE)


def summaries(studies: list[Study]) -> pd.DataFrame:
    """Mean, spread and published value of every row of every data set.

    Returns:
        task, label, method, variant, group, mean, sd, n, published, published_sd, comparable
        (never, since no published input is open); best first within a data set.
    """
    found = []
    for study in studies:
        known = published_amc(study.name)
        known = known[known["metric"] == study.facts["metric"]].set_index(["method", "variant"])
        for key, part in study.rows.groupby(_KEYS, sort=False):
            row = dict(zip(_KEYS, key, strict=True))
            place = (row["method"], row["variant"] if row["method"] == AMC else "")
            hit = known.loc[place] if place in known.index else None
            found.append(
                {"task": study.name, **row}
                | {"mean": part["value"].mean(), "sd": part["value"].std(), "n": len(part)}
                | {
                    name: np.nan if hit is None else hit[name]
                    for name in ("published", "published_sd")
                }
            )
    table = pd.DataFrame(found).assign(comparable=False)
    return table.sort_values(["task", "mean"], ascending=[True, False], ignore_index=True)


def alone_table(studies: list[Study]) -> pd.DataFrame:
    """AMC on each modality alone and on all, per data set: mean and corrected 95 % interval.

    Returns:
        task, label, mean, low, high (missing with one repeat), whole (whether all modalities).
    """
    rows = []
    for study in studies:
        amc = study.rows[(study.rows["method"] == AMC) & (study.rows["label"] != BEST_ALONE)]
        for (variant, group), part in amc.groupby(["variant", "group"], sort=False):
            shown = interval(part["value"], test_train_ratio=study.ratio)
            whole = group == WHOLE
            label = f"all, {variant}" if whole else variant.removeprefix("only ")
            row = {"task": study.name, "label": label, "mean": shown.mean}
            rows.append(row | {"low": shown.lower, "high": shown.upper, "whole": whole})
    table = pd.DataFrame(rows)
    return table.sort_values(["task", "whole"], kind="stable", ignore_index=True)


def rule_table(studies: list[Study]) -> pd.DataFrame:
    """Both rules on every data set that has both, as ``figures.rule_pairs`` takes them."""
    rows = []
    for study in studies:
        found = {rule: study.rows[study.rows["label"] == title_of(rule)] for rule in RULES}
        if any(part.empty for part in found.values()):
            continue
        for rule, part in found.items():
            shown = interval(part["value"], test_train_ratio=study.ratio)
            row = {"configuration": study.name, "rule": rule, "mean": shown.mean}
            rows.append(row | {"low": shown.lower, "high": shown.upper})
    return pd.DataFrame(rows, columns=["configuration", "rule", "mean", "low", "high"])
