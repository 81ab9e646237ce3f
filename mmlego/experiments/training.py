"""Train one encoder or one block on one fold, or take the very same fit from the store."""

from __future__ import annotations

import copy
import dataclasses
import hashlib
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn

from mmlego.data.fold import Fold
from mmlego.data.samples import Samples
from mmlego.encoders.amil import ABMIL
from mmlego.encoders.snn import SNN
from mmlego.encoders.unimodal import Unimodal
from mmlego.errors import ModalityError, SettingsError
from mmlego.experiments.outcome import Outcome
from mmlego.experiments.provenance import code_digest
from mmlego.experiments.settings import BlockSettings
from mmlego.experiments.store import FitStore, StoredFit, fit_key
from mmlego.learning.fit import FitResult, fit
from mmlego.learning.metrics import evaluate
from mmlego.learning.objectives import objective_for
from mmlego.learning.predict import predict_logits
from mmlego.learning.settings import FitSettings
from mmlego.lego.block import LegoBlock

BLOCK_VARIANTS = {"scratch": "none", "wrapped": "none", "frozen": "encoder"}
_LOGITS = "__test_logits__"
Log = Callable[[str], None] | None


def encoder_method(kind: str) -> str:
    """The encoder that suits a kind of modality.

    ``snn`` for tables, ``abmil`` for everything else.
    """
    return "snn" if kind == "tabular" else "abmil"


def fit_settings(settings: BlockSettings, **changes: object) -> FitSettings:
    """The part of a notebook's settings that training needs."""
    values = {
        "epochs": settings.epochs,
        "batch_size": settings.batch_size,
        "learning_rate": settings.learning_rate,
        "l1": settings.l1,
        "patience": settings.patience,
    }
    return FitSettings(**(values | changes))


def derived_seed(*parts: object) -> int:
    """A seed that depends on all parts, so that no two fits of a run share their random numbers."""
    return int.from_bytes(hashlib.sha256(repr(parts).encode()).digest()[:4]) % (2**31)


def build_encoder(fold: Fold, modality: str) -> nn.Module:
    """An untrained SNN or ABMIL with the right widths for a modality of a fold."""
    _check_modality(fold, modality)
    kind, width = fold.kinds[modality], fold.widths[modality]
    network = SNN if encoder_method(kind) == "snn" else ABMIL
    return network(width, fold.n_outputs)


def build_block(
    fold: Fold, modality: str, settings: BlockSettings, *, encoder: nn.Module | None, variant: str
) -> LegoBlock:
    """An untrained block: from scratch, or wrapped round a copy of a trained encoder."""
    _check_modality(fold, modality)
    if variant not in BLOCK_VARIANTS or (encoder is None) != (variant == "scratch"):
        raise SettingsError(
            f"block of '{modality}': expected variant 'scratch' without an encoder, or 'wrapped' "
            "or "
            f"'frozen' with one, got '{variant}' {'without' if encoder is None else 'with'} an "
            "encoder"
        )
    return LegoBlock(
        fold.widths[modality] if encoder is None else encoder.out_dim,
        fold.n_outputs,
        encoder=copy.deepcopy(encoder),
        latent_channels=settings.latent_channels,
        latent_dim=settings.latent_dim,
        depth=settings.depth,
        freeze=BLOCK_VARIANTS[variant],
        profile=settings.profile,
        name=modality,
    )


def train_encoder(
    fold: Fold, modality: str, settings: BlockSettings, store: FitStore, log: Log = None
) -> tuple[Outcome, Unimodal]:
    """Train the encoder of one modality with a linear head and test it."""
    method = encoder_method(fold.kinds[modality])
    return _train(
        fold, modality, method, "", lambda: build_encoder(fold, modality), settings, store, log
    )


def train_block(
    fold: Fold,
    modality: str,
    variant: str,
    settings: BlockSettings,
    store: FitStore,
    *,
    encoder: tuple[Outcome, Unimodal] | None = None,
    log: Log = None,
) -> tuple[Outcome, Unimodal]:
    """Train a block on one modality.

    ``scratch``, ``wrapped`` round an encoder, or with it ``frozen``.
    """
    trained = encoder[1].model.encoder if encoder else None
    parent = encoder[0].key if encoder else ""
    return _train(
        fold,
        modality,
        "lego_block",
        variant,
        lambda: build_block(fold, modality, settings, encoder=trained, variant=variant),
        settings,
        store,
        log,
        parent=parent,
    )


def _train(
    fold: Fold,
    modality: str,
    method: str,
    variant: str,
    build: Callable[[], nn.Module],
    settings: BlockSettings,
    store: FitStore,
    log: Log,
    parent: str = "",
) -> tuple[Outcome, Unimodal]:
    """Build, train or fetch, and test one model of one modality."""
    seed = derived_seed(
        settings.seed, fold.cohort, fold.unit, fold.repeat, method, variant, modality
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = Unimodal(modality, build())
    parts = {
        name: getattr(fold, name).select([modality]).having([modality])
        for name in ("train", "val", "test")
    }
    key = fit_key(
        model=[
            method,
            variant,
            modality,
            settings.profile,
            settings.latent_channels,
            settings.latent_dim,
            settings.depth,
        ],
        fit=dataclasses.asdict(fit_settings(settings)),
        data={name: samples_digest(part) for name, part in parts.items()},
        seed=seed,
        device=settings.device,
        parent=parent,
        code=code_digest("mmlego.experiments.training"),
    )
    stored = store.get(key)
    if stored is None:
        store.require_writable(f"{method} {variant} of '{modality}', repeat {fold.repeat}")
        stored = _fit_and_store(key, model, parts, fold, settings, seed, store, log)
    model.load_state_dict({k: v for k, v in stored.tensors.items() if k != _LOGITS})
    return _outcome(stored, fold, modality, method, variant, parts), model.eval()


def _fit_and_store(
    key: str,
    model: Unimodal,
    parts: dict[str, Samples],
    fold: Fold,
    settings: BlockSettings,
    seed: int,
    store: FitStore,
    log: Log,
) -> StoredFit:
    result: FitResult = fit(
        model,
        parts["train"],
        parts["val"],
        objective_for(fold),
        settings=fit_settings(settings),
        seed=seed,
        device=settings.device,
        log=log,
    )
    logits = predict_logits(model, parts["test"], device=settings.device)
    facts = risk_median(model, parts["train"], fold, settings.device) | {
        "history": result.history,
        "best_epoch": result.best_epoch,
        "best_val_loss": result.best_val_loss,
        "seconds": result.seconds,
        "n_parameters": result.n_parameters,
    }
    weights = {name: value.detach().cpu() for name, value in model.state_dict().items()}
    return store.put(key, weights | {_LOGITS: logits}, facts)


def _outcome(
    stored: StoredFit,
    fold: Fold,
    modality: str,
    method: str,
    variant: str,
    parts: dict[str, Samples],
) -> Outcome:
    facts = dict(stored.facts)
    return outcome_of(
        stored.tensors[_LOGITS],
        parts["test"],
        fold,
        method=method,
        variant=variant,
        modalities=fold.members(modality),
        n_train=len(parts["train"]),
        seconds=facts.pop("seconds"),
        history=facts.pop("history"),
        facts=facts | {"sha256": stored.sha256},
        key=stored.key,
    )


def outcome_of(
    logits: Tensor, test: Samples, fold: Fold, *, modalities: tuple[str, ...], **rest: object
) -> Outcome:
    """Score logits of the test part and wrap them up."""
    prediction = objective_for(fold).predict(logits)
    return Outcome(
        modalities=tuple(sorted(modalities)),
        repeat=fold.repeat,
        ids=test.ids,
        prediction=prediction,
        metrics=evaluate(prediction, test, fold.train, fold),
        **rest,
    )


def risk_median(model: nn.Module, train: Samples, fold: Fold, device: str) -> dict[str, float]:
    """Median risk on the training part, which divides patients into high and low.

    Empty for classification.
    """
    if fold.task != "survival":
        return {}
    risk = objective_for(fold).predict(predict_logits(model, train, device=device))["risk"]
    return {"train_risk_median": float(np.median(risk))}


def samples_digest(samples: Samples) -> str:
    """Hash the tensors of a part: inputs, presence, masks and targets."""
    digest = hashlib.sha256()
    batch = samples.batch(torch.arange(len(samples)))
    for group in (batch.inputs, batch.present, batch.masks, batch.target):
        for name in sorted(group):
            digest.update(name.encode())
            digest.update(group[name].contiguous().numpy().tobytes())
    return digest.hexdigest()[:16]


def _check_modality(fold: Fold, modality: str) -> None:
    if modality not in fold.names:
        raise ModalityError(
            f"fold of {fold.cohort}: expected a modality of {sorted(fold.names)}, got '{modality}'"
        )
