"""Runs of the notebook `amc` on all data sets, from their records."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from mmlego.bench.settings import MANUAL
from mmlego.errors import RunError
from mmlego.figures.spread import interval
from mmlego.methods.names import AMC
from mmlego.runs.records.record import read_records
from mmlego.runs.settings import AMCSettings
from mmlego.studies.amc.page import label_of
from mmlego.studies.amc.published import published_amc
from mmlego.studies.amc.run import ALONE as ONE
from mmlego.studies.amc.run import RULES, title_of
from mmlego.studies.answer.contrasts import GENERATED
from mmlego.studies.answer.main_table import ALIAS, CohortRun

# Groups of rows; the first is the word that the pages of the main table use.
WHOLE, ALONE = "multimodal", "one modality"
_KEYS = ["label", "method", "arm", "chosen_by", "only", "group"]
_VALUES = ["modalities", "repeat", "value", "n_train", "n_test"]
_TAKEN = ("method", "arm", "chosen_by", "modalities", "repeat", "n_train", "n_test")
# Differences are tested over cohorts, which must not share patients.
_SAME_PATIENTS = {
    "physionet2012-survival6": "physionet2012-mortality",
    "mimic4-demo": "mimic4",
    "citeseq-hspc": "citeseq",
}


@dataclass(frozen=True)
class AMCRun(CohortRun):
    """AMC and its rivals on one data set.

    Rows have label, method, arm, chosen_by, only, group, modalities, repeat, value (of the main
    metric), n_train and n_test; there is at least one.
    """

    @property
    def ratio(self) -> float:
        """Test samples per training sample."""
        return float(self.rows["n_test"].max() / self.rows["n_train"].max())


def load_studies(results: Path) -> list[AMCRun]:
    """The patient-level run of every real cohort, of each the one with the most repeats.

    Raises:
        RunError: If the notebook `amc` has not run in any grid, or no run has a value.
    """
    studies = [
        AMCRun(record["data"]["name"], record["data"], record["parameters"], rows)
        for record in latest(results, AMCSettings.notebook)
        if not (rows := _rows(record)).empty
    ]
    if not studies:
        raise RunError(
            "AMC over its data sets: expected a run of 'amc', found none; make one with: mmlego "
            "run --grid experiments/full.yaml"
        )
    return studies


def latest(results: Path, notebook: str) -> list[dict[str, Any]]:
    """Of every real cohort the patient-level record of a notebook that counts, by name.

    That with the most repeats, of these the latest. Cohorts that share patients count once.
    """
    chosen: dict[str, dict[str, Any]] = {}
    for record in read_records(results):
        values, name = record["parameters"], record["data"].get("name")
        if record["notebook"] != notebook or name in GENERATED:
            continue
        if values["grid"] == MANUAL or values["split_unit"] != "patient":
            continue
        patients = _SAME_PATIENTS.get(name, name)
        best = chosen.get(patients)
        if best is None or _weight(record) > _weight(best):
            chosen[patients] = record
    return sorted(chosen.values(), key=lambda record: record["data"]["name"])


def _weight(record: dict[str, Any]) -> tuple[int, str]:
    return record["parameters"]["repeats"], record["finished"]


def _rows(record: dict[str, Any]) -> pd.DataFrame:
    """Rows of one run; configurations of AMC other than the two rules stay on its own page."""
    metric = record["data"]["metric"]
    rows = []
    for outcome in record["outcomes"]:
        method, arm = outcome["method"], outcome["arm"]
        alone = method == AMC and arm == ONE and not outcome["chosen_by"]
        if method == AMC and arm not in (*RULES, ONE):
            continue
        label = label_of(outcome | {"modalities": outcome["modalities"].split("+")})
        rows.append(
            {
                "label": label if alone else ALIAS.get(label, label),
                "only": outcome["modalities"] if alone else "",
                "group": ALONE if alone else WHOLE,
                "value": outcome["metrics"].get(metric, np.nan),
            }
            | {name: outcome[name] for name in _TAKEN}
        )
    return pd.DataFrame(rows, columns=[*_KEYS, *_VALUES]).dropna(subset=["value"])


def summaries(studies: list[AMCRun]) -> pd.DataFrame:
    """Mean, spread and published value of every row of every data set.

    Returns:
        task, label, method, arm, chosen_by, only, group, mean, sd, n, published, published_sd,
        comparable (never, since no published input is open); best first within a data set.
    """
    found = []
    for study in studies:
        known = published_amc(study.name)
        known = known[known["metric"] == study.facts["metric"]].set_index(["method", "arm", "only"])
        for key, part in study.rows.groupby(_KEYS, sort=False):
            row = dict(zip(_KEYS, key, strict=True))
            place = (row["method"], row["arm"] if row["method"] == AMC else "", row["only"])
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


def alone_table(studies: list[AMCRun]) -> pd.DataFrame:
    """AMC on each modality alone and on all, per data set: mean and corrected 95 % interval.

    Returns:
        task, label, mean, low, high (missing with one repeat), whole (whether all modalities).
    """
    rows = []
    for study in studies:
        amc = study.rows[(study.rows["method"] == AMC) & (study.rows["chosen_by"] == "")]
        for (arm, only, group), part in amc.groupby(["arm", "only", "group"], sort=False):
            shown = interval(part["value"], test_train_ratio=study.ratio)
            whole = group == WHOLE
            label = f"all, {arm}" if whole else only
            row = {"task": study.name, "label": label, "mean": shown.mean}
            rows.append(row | {"low": shown.lower, "high": shown.upper, "whole": whole})
    table = pd.DataFrame(rows, columns=["task", "label", "mean", "low", "high", "whole"])
    return table.sort_values(["task", "whole"], kind="stable", ignore_index=True)


def rule_table(studies: list[AMCRun]) -> pd.DataFrame:
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
