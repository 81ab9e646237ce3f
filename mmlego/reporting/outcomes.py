"""Turn outcomes into the tables that figures draw."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from mmlego.bench.inputs import INPUT_TITLES
from mmlego.bench.outcome import Outcome
from mmlego.data import Cohort
from mmlego.data.cards.card import published_entry
from mmlego.data.cohorts.cohort import tables_of
from mmlego.data.cohorts.target import SurvivalTarget
from mmlego.errors import MetricError
from mmlego.learning.statistics import pairing
from mmlego.methods.registry import titled
from mmlego.reporting.published import has_published, published_for, role_of
from mmlego.reporting.tables import with_published


def modality_label(modalities: Sequence[str], tables: Sequence[str]) -> str:
    """Short name of a set of modalities: all tables together are ``tabular``."""
    names = list(modalities)
    if len(tables) > 1 and set(tables) <= set(names) and len(names) > 1:
        names = ["tabular", *(name for name in names if name not in tables)]
    return " + ".join(names)


def method_label(outcome: Outcome) -> str:
    """Name of a method and its configuration, such as ``LegoFuse (stack, 2 epochs)``."""
    name = titled(outcome.method)
    words = configuration_words(outcome.labels)
    return f"{name} ({words})" if words else name


def configuration_words(labels: Mapping[str, Any]) -> str:
    """What tells an outcome from the default of its method, in words; empty for the default."""
    epochs = labels["tune_epochs"]
    words = [
        "best by validation" if labels["chosen_by"] else "",
        labels["arm"],
        "" if epochs is None or pd.isna(epochs) else pairing.counted(int(epochs), "epoch"),
        INPUT_TITLES.get(labels["inputs"], ""),
        labels["condition"],
    ]
    return ", ".join(word for word in words if word)


def label(outcome: Outcome, tables: Sequence[str] = ()) -> str:
    """Readable name of what made an outcome, such as ``LegoBlock (wrapped), rna``."""
    return f"{method_label(outcome)}, {modality_label(outcome.modalities, tables)}"


def value_table(
    outcomes: Iterable[Outcome],
    metric: str,
    name: Callable[[Outcome], object] = label,
    column: str = "label",
) -> pd.DataFrame:
    """One row per outcome: label (or ``column``), method, repeat, value, n_train, n_test.

    Outcomes for which the metric is undefined are left out.
    """
    rows = [
        {
            column: name(outcome),
            "method": outcome.method,
            "repeat": outcome.repeat,
            "value": outcome.metrics[metric],
            "n_train": outcome.n_train,
            "n_test": outcome.n_test,
        }
        for outcome in outcomes
        if np.isfinite(outcome.metrics.get(metric, np.nan))
    ]
    if not rows:
        raise MetricError(f"metric '{metric}': expected a finite value for some outcome, got none")
    return pd.DataFrame(rows)


def forest_table(
    outcomes: Sequence[Outcome],
    metric: str,
    cohort: Cohort,
    split_unit: str,
    *,
    name: Callable[[Outcome], str] | None = None,
) -> pd.DataFrame:
    """Value table with the published numbers beside those rows that they belong to.

    Rows are named by method and modalities, or by ``name`` where all rows see the same modalities.
    """
    tables = tables_of(cohort)
    name = name or (lambda outcome: label(outcome, tables))
    frame = value_table(outcomes, metric, name)
    known = published_for(published_entry(cohort.card), tables, split_unit)
    return with_published(
        frame,
        [outcome for outcome in outcomes if has_published(outcome.labels)],
        known.set_index(["method", "role"]),
        name,
        lambda outcome: (outcome.method, role_of(outcome.modalities, tables)),
    )


def history_table(
    outcomes: Iterable[Outcome],
    tables: Sequence[str] = (),
    *,
    name: Callable[[Outcome], str] | None = None,
) -> pd.DataFrame:
    """Training histories: label (by ``name`` where given), repeat, epoch, losses, kept.

    ``kept`` marks the epoch whose weights the model ended with.
    """
    name = name or (lambda outcome: label(outcome, tables))
    rows = [
        {"label": name(outcome), "repeat": outcome.repeat}
        | {name: entry[name] for name in ("epoch", "train_loss", "val_loss")}
        | {"kept": entry["epoch"] == outcome.facts.get("best_epoch")}
        for outcome in outcomes
        for entry in outcome.history
    ]
    return pd.DataFrame(rows)


def first_predictions(outcomes: Sequence[Outcome], cohort: Cohort) -> pd.DataFrame:
    """Each sample once, with its prediction from the first repeat in which it was tested.

    No sample counts twice. With splits by patient, every prediction comes from a model that never
    saw the patient.
    Columns: id, repeat, event, time, risk, high (risk above the median of that repeat's training
    risks) for survival; id, repeat, label, score for two classes.
    """
    place = {name: row for row, name in enumerate(cohort.ids)}
    rows: dict[str, dict] = {}
    for outcome in sorted(outcomes, key=lambda item: item.repeat):
        for position, name in enumerate(outcome.ids):
            if name not in rows:
                rows[name] = {"id": name, "repeat": outcome.repeat} | _facts(
                    outcome, position, cohort, place[name]
                )
    return pd.DataFrame(list(rows.values()))


def _facts(outcome: Outcome, position: int, cohort: Cohort, row: int) -> dict:
    target = cohort.target
    if isinstance(target, SurvivalTarget):
        risk = float(outcome.prediction["risk"][position])
        return {
            "event": bool(target.event[row]),
            "time": float(target.time[row]),
            "risk": risk,
            "high": risk > outcome.facts["train_risk_median"],
        }
    probability = outcome.prediction["probability"][position]
    return {"label": int(target.label[row]), "score": float(probability[1])}


def all_predictions(outcomes: Iterable[Outcome], cohort: Cohort) -> pd.DataFrame:
    """Every test prediction of every repeat of a two-class task: repeat, label, score."""
    place = {name: row for row, name in enumerate(cohort.ids)}
    frames = [
        pd.DataFrame(
            {
                "repeat": outcome.repeat,
                "label": cohort.class_target.label[[place[name] for name in outcome.ids]],
                "score": outcome.prediction["probability"][:, 1],
            }
        )
        for outcome in outcomes
    ]
    return pd.concat(frames, ignore_index=True)


def chosen_by_validation(groups: Mapping[str, Sequence[Outcome]]) -> str:
    """The group with the lowest mean validation loss: no test result decides what is shown."""
    return min(
        groups, key=lambda name: float(np.mean([o.facts["best_val_loss"] for o in groups[name]]))
    )


def grouped(outcomes: Iterable[Outcome], tables: Sequence[str] = ()) -> dict[str, list[Outcome]]:
    """Outcomes by label, repeats together."""
    found: dict[str, list[Outcome]] = {}
    for outcome in outcomes:
        found.setdefault(label(outcome, tables), []).append(outcome)
    return found
