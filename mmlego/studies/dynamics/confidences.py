"""Predicted and true confidences of trained models, how far off they are, and what they choose."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import pandas as pd

from mmlego.bench.configurations import Configuration
from mmlego.bench.outcome import Outcome
from mmlego.bench.store.fits import FitStore
from mmlego.bench.trained import TrainedModel
from mmlego.data.folds.fold import Fold
from mmlego.data.folds.samples import Samples
from mmlego.errors import SettingsError
from mmlego.learning.metrics.confidence_error import confidence_error, which_to_trust
from mmlego.models.dynamics.confidence import true_confidence
from mmlego.runs.settings import ConfidenceSettings
from mmlego.studies.dynamics.run import ARMS, BOTH, NONE, WITH_CONFIDENCE, arms_for, explain_part

COLUMNS = ["arm", "repeat", "modality", "id", "predicted", "true", "correct"]
CHOSEN, CONSTANT = "right", "constant"
# Shares of ordered pairs can be exactly zero; a choice among modalities needs them all the same.
_TINY = 1e-12


def arms_of(folds: Sequence[Fold], settings: ConfidenceSettings) -> list[Configuration]:
    """The arms of the page: those with a confidence, and the one without any weighting.

    Raises:
        SettingsError: If arms are named and MM dynamics itself is not among them.
    """
    wanted = settings.arms or [n for n in (NONE, *WITH_CONFIDENCE) if ARMS[n].is_for(folds[0].task)]
    if BOTH not in wanted:
        raise SettingsError(f"arms: expected '{BOTH}' among them, got {wanted}; add it")
    return arms_for(folds, wanted)


def without_predictions(runs: Iterable[TrainedModel]) -> list[Outcome]:
    """Outcomes whose predictions and histories the page `mm_dynamics` records."""
    return [trained.outcome.relabelled(headline=False) for trained in runs]


def confidences(runs: Iterable[TrainedModel], store: FitStore) -> pd.DataFrame:
    """Predicted and true confidence of every test sample in every modality that it has.

    Returns:
        arm, repeat, modality, id, predicted, true, correct (1 where the unimodal classifier is
        right, 0 where not, missing for survival); every fold is judged by its own model. Samples
        without a true confidence, which only Cox risks can have, are left out.
    """
    frames = [
        trained.measured(store, confidences, lambda it: _of_part(it, it.test))
        for trained in runs
        if trained.arm in WITH_CONFIDENCE
    ]
    if not frames:
        return pd.DataFrame(columns=COLUMNS)
    return pd.concat(frames, ignore_index=True).dropna(subset=["true"]).reset_index(drop=True)


def _of_part(trained: TrainedModel, part: Samples) -> pd.DataFrame:
    told = explain_part(trained.model, part)
    frames = []
    for name, predicted in told.confidence.items():
        here = part.present[name]
        target = {key: value[here] for key, value in part.target.items()}
        logits = told.unimodal[name][here]
        # single precision would round a very small probability to zero
        true = true_confidence(logits.double(), target).double().numpy()
        right = (
            (logits.argmax(dim=1) == target["label"]).double().numpy()
            if "label" in target
            else np.nan
        )
        frames.append(
            pd.DataFrame(
                {
                    "arm": trained.arm,
                    "repeat": trained.fold.repeat,
                    "modality": name,
                    "id": part.ids[here.numpy()],
                    "predicted": predicted[here].double().numpy(),
                    "true": true,
                    "correct": right,
                }
            )
        )
    return pd.concat(frames, ignore_index=True)


def favorites(runs: Iterable[TrainedModel], store: FitStore) -> dict[tuple[str, int], str]:
    """The modality with the highest mean true confidence, by arm and repeat.

    Judged on the validation part, or on the training part where there is no other: what somebody
    would trust who never looks at predicted confidences.
    """
    found = {}
    for trained in (run for run in runs if run.arm in WITH_CONFIDENCE):
        table = trained.measured(store, favorites, _means)
        best = table.set_index("modality")["true"].idxmax()
        found[trained.arm, trained.fold.repeat] = str(best)
    return found


def _means(trained: TrainedModel) -> pd.DataFrame:
    """Mean true confidence by modality, where the test part is not seen."""
    fold, names = trained.fold, sorted(trained.names)
    part = (fold.val if len(fold.val) else fold.train).select(names).where_present(names)
    table = _of_part(trained, part).dropna(subset=["true"])
    return table.groupby("modality")["true"].mean().reset_index()


def errors(table: pd.DataFrame) -> pd.DataFrame:
    """Error statistics by arm, repeat and modality: separate lists, each fold's own model.

    A true confidence of zero, which only Cox risks can have, is left out, and ``left_out`` counts
    it: nothing can be relative to zero.
    """
    rows = []
    for key, part in table.groupby(["arm", "repeat", "modality"], sort=False):
        known = part[part["true"] > 0]
        if len(known):
            rows.append(
                dict(zip(("arm", "repeat", "modality"), key, strict=True))
                | confidence_error(known["predicted"].to_numpy(), known["true"].to_numpy())
                | {"left_out": len(part) - len(known)}
            )
    return pd.DataFrame(rows)


def trust(table: pd.DataFrame, favorite: Mapping[tuple[str, int], str]) -> pd.DataFrame:
    """For every arm and repeat: how often the modality trusted most is the one that deserves it.

    Args:
        table: From ``confidences``.
        favorite: From ``favorites``: what the constant choice is.

    Returns:
        arm, repeat, and what ``which_to_trust`` returns, but with the constant choice of
        ``favorite``; of samples that have every modality.
    """
    rows = []
    for (arm, repeat), part in table.groupby(["arm", "repeat"], sort=False):
        wide = part.pivot(index="id", columns="modality", values=["predicted", "true"]).dropna()
        names = list(part["modality"].unique())
        if len(names) < 2 or wide.empty:
            continue
        predicted = {name: wide["predicted", name].to_numpy(float) for name in names}
        true = {name: wide["true", name].to_numpy(float).clip(_TINY) for name in names}
        best = np.max(list(true.values()), axis=0)
        constant = favorite[arm, repeat]
        found = which_to_trust(predicted, true) | {
            CONSTANT: float((true[constant] == best).mean()),
            "constant_modality": constant,
        }
        rows.append({"arm": arm, "repeat": repeat} | found)
    return pd.DataFrame(rows)
