"""Tables, figures and sentences of the page of the notebook `tuning`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from mmlego import figures
from mmlego.bench.settings import TuningSettings
from mmlego.bench.tuning.search import FinishedSearch, storage_path
from mmlego.learning.statistics import pairing
from mmlego.runs.session import Session


def storage(session: Session[TuningSettings]) -> Path:
    """Where the searches of this session lie."""
    return storage_path(session.results, session.cohort.name)


def chosen_table(studies: Sequence[FinishedSearch]) -> pd.DataFrame:
    """One row per search: losses before and after, and the chosen values."""
    return pd.DataFrame(
        {
            "search": study.task.name,
            "trials": len(study.trials),
            "loss as given": f"{study.given:.4f}",
            "loss of the best": f"{study.loss:.4f}",
            "gain": f"{study.given - study.loss:.4f}",
        }
        | {name: _short(value) for name, value in study.values.items()}
        for study in studies
    ).fillna("")


def _short(value: object) -> str:
    return f"{value:.2g}" if isinstance(value, float) else str(value)


def conclusion(studies: Sequence[FinishedSearch]) -> str:
    """How often the search found something better than what was given, and what mattered."""
    gained = [study for study in studies if study.loss < study.given]
    text = (
        f"The search found a lower validation loss than the given settings for {len(gained)} of "
        f"{pairing.counted(len(studies), 'method')}"
    )
    if gained:
        most = max(gained, key=lambda study: study.given - study.loss)
        text += f", most of all for {most.task.name} ({most.given:.3f} to {most.loss:.3f})"
    shares = importance_table(studies)
    if shares.empty:
        return text + ".\nThere were too few trials to say which hyper-parameter matters."
    means = shares.groupby("parameter")["importance"].mean().sort_values(ascending=False)
    return text + f".\nWhat mattered most is `{means.index[0]}` ({means.iloc[0]:.0%} on average)."


def history_figure(studies: Sequence[FinishedSearch]) -> Figure | None:
    """Median loss of every trial, relative to that of the given settings, over all methods.

    Methods differ in their losses, so each is divided by its own first trial. None if no search has
    a loss for the given settings.
    """
    rows = [
        study.trials.assign(value=study.trials["value"] / study.given, study=study.task.name)
        for study in studies
        if np.isfinite(study.given)
    ]
    if not rows:
        return None
    table = pd.concat(rows, ignore_index=True)
    done = table[table["state"] == "COMPLETE"]
    means = done.groupby("number")["value"].median().reset_index().assign(state="COMPLETE")
    return figures.search_history(means, ylabel="Validation loss / that of the given settings")


def importance_table(studies: Sequence[FinishedSearch]) -> pd.DataFrame:
    """Importances: study, parameter, importance."""
    return pd.DataFrame(
        [
            {"study": study.task.name, "parameter": name, "importance": share}
            for study in studies
            for name, share in study.importances.items()
        ],
        columns=["study", "parameter", "importance"],
    )


def importance_figure(studies: Sequence[FinishedSearch]) -> Figure | None:
    """Bars of importances; None with too few trials."""
    table = importance_table(studies)
    return None if table.empty else figures.importance_bars(table)


def as_record(studies: Sequence[FinishedSearch]) -> list[dict[str, Any]]:
    """All trials, for the record of the run."""
    return [
        {
            "search": study.task.name,
            "values": study.values,
            "loss": study.loss,
            "given": study.given,
            "trials": study.trials.to_dict("records"),
        }
        for study in studies
    ]
