"""A modality withheld at test, and what is put in its place: gray, zero, the mean, or nothing."""

from __future__ import annotations

import copy
from collections.abc import Iterable
from dataclasses import replace
from functools import partial

import pandas as pd
import torch
from torch import Tensor, nn

from mmlego.bench.outcome import Outcome
from mmlego.bench.store.fits import FitStore
from mmlego.bench.store.tables import one_table
from mmlego.bench.trained import Labels, TrainedModel, assembled
from mmlego.bench.training import objective_of
from mmlego.data.folds.fold import Fold
from mmlego.data.folds.samples import Samples
from mmlego.learning.settings import FitSettings
from mmlego.learning.statistics import pairing
from mmlego.models.dynamics.branch import BranchedModel
from mmlego.studies.dynamics.run import explain_part

DROPPED = "dropped"
FILLS = {"grey": "gray", "zero": "zero", "train_mean": "training mean", DROPPED: "dropped exactly"}
REAL = "real"
_COLUMNS = ["repeat", "modality", "state", "confidence"]


def fills_for(kind: str) -> tuple[str, ...]:
    """What can stand in for a modality of a kind; for an image gray is the published way."""
    return ("grey", "zero", "train_mean", DROPPED) if kind == "image" else ("train_mean", DROPPED)


def refilled(trained: TrainedModel, name: str, fill: str) -> nn.Module:
    """A copy of a model that fills in an absent modality in another way, with the same weights.

    The model itself where nothing is withheld.
    """
    if fill == REAL:
        return trained.model
    twin = copy.deepcopy(trained.network(BranchedModel))
    twin.mask_weight = fill == DROPPED
    if fill != DROPPED:
        stand_in = twin.branches.get_submodule(name).get_buffer("fill")
        stand_in.copy_(_values(trained.fold, name, fill).to(stand_in).view_as(stand_in))
    return twin


def _values(fold: Fold, name: str, fill: str) -> Tensor:
    """One value per feature, or per channel of an image."""
    if fill != "train_mean":
        return torch.full((fold.widths[name],), {"grey": 0.5, "zero": 0.0}[fill])
    values = fold.train.values[name]
    if fold.kinds[name] == "bag":
        return torch.cat(list(values)).mean(dim=0)
    here = values[fold.train.present[name]]
    feature_axis = 1 if fold.kinds[name] == "image" else here.ndim - 1
    return here.movedim(feature_axis, -1).flatten(end_dim=-2).mean(dim=0)


def without(samples: Samples, name: str) -> Samples:
    """The same samples, of which none has a modality."""
    absent = torch.zeros(len(samples), dtype=torch.bool)
    return replace(samples, present=dict(samples.present) | {name: absent})


def withheld(trained: TrainedModel, name: str, store: FitStore) -> list[Outcome]:
    """Test one model with a modality withheld from everybody, once per way of filling it in.

    The first outcome is that of the real inputs, on the same samples: those with another modality.
    """
    rest = [other for other in sorted(trained.names) if other != name]
    part = trained.test.where_present(rest)
    fit = FitSettings(**dict(trained.chosen_configuration.fit))
    found = []
    for fill in (REAL, *fills_for(trained.fold.kinds[name])):
        real = fill == REAL
        labels = {
            "arm": trained.arm,
            "condition": f"{name} {FILLS.get(fill, fill)}",
            "headline": False,
            "facts": dict(trained.labels.rest["facts"]) | {"withheld": name, "fill": fill},
        }
        found.append(
            assembled(
                trained.fold,
                store,
                Labels(trained.method, trained.names, labels),
                partial(refilled, trained, name, fill),
                parents=[trained.key],
                code=[refilled],
                options={"withheld": name, "fill": fill},
                test=part if real else without(part, name),
                n_train=trained.outcome.n_train,
                objective=objective_of(trained.fold, fit),
                device="cpu",
            ).outcome
        )
    return found


def confidence_by_state(runs: Iterable[TrainedModel], name: str, store: FitStore) -> pd.DataFrame:
    """Predicted confidence in a modality on real inputs and on what is put in their place.

    Returns:
        repeat, modality, state (real, or the way of filling in), confidence; one row per test
        sample that has the modality and another one.
    """
    frames = [
        trained.measured(store, confidence_by_state, partial(_states, name=name), modality=name)
        for trained in runs
    ]
    return one_table(frames, _COLUMNS)


def _states(trained: TrainedModel, name: str) -> pd.DataFrame:
    """The rows of one model; none where it has no confidence in the modality."""
    rest = [other for other in sorted(trained.names) if other != name]
    part = trained.test.where_present(rest).where_present([name])
    states = {REAL: (trained.model, part)} | {
        FILLS[fill]: (refilled(trained, name, fill), without(part, name))
        for fill in fills_for(trained.fold.kinds[name])
        if fill != DROPPED
    }
    told = {state: explain_part(*inputs).confidence for state, inputs in states.items()}
    frames = [
        pd.DataFrame(
            {
                "repeat": trained.fold.repeat,
                "modality": name,
                "state": state,
                "confidence": found[name].double().numpy(),
            }
        )
        for state, found in told.items()
        if name in found
    ]
    return one_table(frames, _COLUMNS)


def fill_sentences(table: pd.DataFrame) -> str:
    """Whether confidence drops when an input is no longer real, in how many repeats."""
    if table.empty:
        return "No arm of this run predicts confidence, or there is no second modality."
    means = table.groupby(["modality", "state", "repeat"], sort=False)["confidence"].mean()
    lines = []
    for name in means.index.get_level_values("modality").unique():
        wide = means[name].unstack("state", sort=False)
        for state in wide.columns.drop(REAL):
            falls = int((wide[state] < wide[REAL]).sum())
            lines.append(
                f"* `{name}`: mean predicted confidence {wide[REAL].mean():.3f} on real inputs, "
                f"{wide[state].mean():.3f} with {state} in their place; lower in {falls} of "
                f"{pairing.counted(len(wide), 'repeat')}."
            )
    return "\n".join(lines)
