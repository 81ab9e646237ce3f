"""Put trained models together without training: merged, averaged, or the best one that applies."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import combinations
from typing import Any

from torch import nn

from mmlego.bench.outcome import VALIDATION
from mmlego.bench.store.fits import FitStore
from mmlego.bench.trained import Labels, Measure, TrainedModel, assembled
from mmlego.data.folds.fold import Fold
from mmlego.data.folds.samples import Samples
from mmlego.errors import ModalityError
from mmlego.lego.block import LegoBlock
from mmlego.lego.merge import LegoMerge
from mmlego.methods.names import ENSEMBLE, LEGO_MERGE
from mmlego.models.baselines.ensemble import Ensemble
from mmlego.models.baselines.first_present import FirstPresent, OnItsOwn
from mmlego.models.encoders.unimodal import Unimodal

DEFAULTS = {"latents": "harmonic", "phase": "arithmetic", "heads": "slerp", "head_mode": "present"}
Models = Mapping[str, TrainedModel]


def subsets(names: Sequence[str]) -> list[tuple[str, ...]]:
    """Every pair of modalities, and all of them."""
    names = sorted(names)
    pairs: list[tuple[str, ...]] = list(combinations(names, 2))
    return pairs if len(names) < 3 else [*pairs, tuple(names)]


def merge(
    fold: Fold,
    blocks: Models,
    names: Sequence[str],
    store: FitStore,
    *,
    weights: Mapping[str, float] | None = None,
    options: Mapping[str, Any] | None = None,
    device: str = "auto",
    **labels: Any,
) -> TrainedModel:
    """Merge the blocks of some modalities; tested on everyone who has at least one of them.

    Args:
        fold: Data.
        blocks: Trained blocks by modality.
        names: Modalities to merge.
        store: What knows outcomes of earlier runs.
        weights: By modality; equal ones unless given.
        options: Options of ``LegoMerge`` that differ from ``DEFAULTS``.
        device: Where to predict.
        labels: Fields of the outcome.
    """
    chosen = select_models(blocks, names)
    how = DEFAULTS | dict(options or {})
    return assembled(
        fold,
        store,
        Labels(LEGO_MERGE, tuple(chosen), labels),
        lambda: LegoMerge(bare_blocks(chosen), weights=weights, **how),
        parents=[model.key for model in chosen.values()],
        code=[LegoMerge],
        options=how | {"weights": None if weights is None else dict(weights)},
        device=device,
    )


def ensemble(
    fold: Fold,
    models: Models,
    names: Sequence[str],
    store: FitStore,
    *,
    average: str = "logits",
    device: str = "auto",
    **labels: Any,
) -> TrainedModel:
    """Average the outputs of unimodal models, which needs no training either.

    Args:
        fold: Data.
        models: Trained models by modality.
        names: Modalities whose models are averaged.
        store: What knows outcomes of earlier runs.
        average: What is averaged; see ``Ensemble``.
        device: Where to predict.
        labels: Fields of the outcome.
    """
    chosen = select_models(models, names)
    return assembled(
        fold,
        store,
        Labels(ENSEMBLE, tuple(chosen), labels),
        lambda: Ensemble(bare(chosen), average=average),
        parents=[model.key for model in chosen.values()],
        code=[Ensemble],
        options={"average": average},
        device=device,
    )


def best_that_applies(
    fold: Fold,
    models: Models,
    store: FitStore,
    *,
    device: str = "auto",
    **labels: Any,
) -> TrainedModel:
    """Everyone who has a modality, predicted by the best model that they have the data for.

    The validation loss says which model is best: a choice that a user can make without test data.

    Args:
        fold: Data.
        models: Trained models by modality, all of one method.
        store: What knows outcomes of earlier runs.
        device: Where to predict.
        labels: Fields of the outcome.
    """
    ranked = sorted(models, key=lambda name: models[name].outcome.facts["best_val_loss"])
    first = models[ranked[0]]
    facts = {"first": ranked[0]} | labels.pop("facts", {})
    return assembled(
        fold,
        store,
        Labels(first.method, tuple(ranked), {"chosen_by": VALIDATION, "facts": facts} | labels),
        lambda: FirstPresent({name: _single(models[name]) for name in ranked}),
        parents=[models[name].key for name in ranked],
        code=[FirstPresent],
        options={"order": ranked},
        device=device,
    )


def on_other_samples(
    trained: TrainedModel,
    test: Samples,
    store: FitStore,
    *,
    n_train: int | None = None,
    device: str = "auto",
    measure: Measure | None = None,
    **labels: Any,
) -> TrainedModel:
    """A trained model tested on other samples than those of its fold, without training.

    Args:
        trained: The model.
        test: The other samples.
        store: What knows outcomes of earlier runs.
        n_train: Samples trained on; those that have any of its modalities unless given.
        device: Where to predict.
        measure: Further facts of the outcome, from the model and its logits.
        labels: Fields of the outcome.
    """
    names = sorted(trained.names)
    kept = ("arm", "inputs", "chosen_by", "tune_epochs")
    usual = {k: v for k, v in trained.labels.rest.items() if k in kept}
    seen = (
        len(trained.fold.train.select(names).where_present(names)) if n_train is None else n_train
    )
    return assembled(
        replace(trained.fold, test=test),
        store,
        Labels(trained.method, trained.names, usual | labels),
        lambda: trained.model,
        parents=[trained.key],
        code=[measure] if measure else [],
        n_train=seen,
        device=device,
        measure=measure,
    )


def bare(models: Models) -> dict[str, nn.Module]:
    """The networks inside of models of a single modality."""
    return {name: trained.inner(nn.Module) for name, trained in models.items()}


def bare_blocks(models: Models) -> dict[str, LegoBlock]:
    """The blocks inside of models of a single modality."""
    return {name: trained.inner(LegoBlock) for name, trained in models.items()}


def _single(trained: TrainedModel) -> nn.Module:
    """A network that takes the values of one modality."""
    model = trained.model
    return model.model if isinstance(model, Unimodal) else OnItsOwn(trained.names[0], model)


def select_models(models: Models, names: Sequence[str]) -> dict[str, TrainedModel]:
    """The models of some modalities, in sorted order.

    Raises:
        ModalityError: If one of them has no model.
    """
    absent = sorted(set(names) - set(models))
    if absent:
        raise ModalityError(
            f"blocks: expected one for each of {sorted(names)}, none for {absent}; train it first"
        )
    return {name: models[name] for name in sorted(names)}


def alpha_weights(first: str, second: str, alpha: float) -> dict[str, float]:
    """Weights of two modalities, ``alpha`` for the first."""
    return {first: alpha, second: 1.0 - alpha}


def best_by_validation(models: Models) -> str:
    """The modality whose model has the lowest validation loss.

    The choice a user can make without test data.
    """
    return min(models, key=lambda name: models[name].outcome.facts["best_val_loss"])
