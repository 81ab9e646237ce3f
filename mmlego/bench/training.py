"""Train one model on one fold, or take the very same fit from the store."""

from __future__ import annotations

import copy
import dataclasses
import functools
import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from mmlego.bench.outcome import Outcome
from mmlego.bench.settings import BlockSettings
from mmlego.bench.starts import Start
from mmlego.bench.store.code import code_digest
from mmlego.bench.store.data import samples_digest
from mmlego.bench.store.fits import FitStore, StoredFit, fit_key
from mmlego.bench.trained import Labels, TrainedModel, outcome_of
from mmlego.data.folds.fold import Fold
from mmlego.data.folds.samples import Samples
from mmlego.errors import ModalityError, SettingsError
from mmlego.learning.device import resolve_device
from mmlego.learning.loop import FitResult, fit
from mmlego.learning.objectives import Objective, objective_for
from mmlego.learning.predict import predict_logits
from mmlego.learning.settings import FitSettings
from mmlego.lego.block import LegoBlock
from mmlego.methods.encoders import ENCODERS, encoder_for
from mmlego.methods.names import LEGO_BLOCK
from mmlego.models.encoders.unimodal import Unimodal

ENCODER = "encoder"  # where the networks of ``ENCODERS`` keep what is not their head
BLOCK_VARIANTS = {"scratch": "none", "wrapped": "none", "frozen": "encoder"}
_LOGITS = "__test_logits__"
# Settings that only some notebooks have.
_OPTIONAL_FIT_SETTINGS = (
    "weight_decay",
    "schedule",
    "criterion",
    "check_every",
    "class_weights",
    "warmup",
    "warmup_mode",
)
LogitsOf = Callable[[nn.Module, Samples], Tensor]


@dataclass(frozen=True)
class Recipe:
    """What is trained.

    Attributes:
        method: Name in the registry.
        names: Modalities that the model sees, in its order.
        fit: How it is trained.
        options: What else decides the model: its constructor's options, in JSON types.
        seed: Base seed; that of the fit depends on the fold, the method and the modalities too.
        device: ``auto``, ``cpu`` or ``cuda``.
        seed_word: A word that the seed depends on as well. None for configurations of one method
            that are to start from the same weights and see the same batches, so that what differs
            between them is what was changed.
    """

    method: str
    names: tuple[str, ...]
    fit: FitSettings
    options: Mapping[str, object] = field(default_factory=dict)
    seed: int = 1
    device: str = "auto"
    seed_word: str | None = ""

    def seed_for(self, fold: Fold) -> int:
        """The seed of this fit on this fold."""
        place = (fold.cohort, fold.unit, fold.repeat)
        if self.seed_word is None:
            return derived_seed(self.seed, *place, self.method, self.names)
        names = self.names[0] if len(self.names) == 1 else self.names
        return derived_seed(self.seed, *place, self.method, self.seed_word, names)


def objective_of(fold: Fold, settings: FitSettings) -> Objective:
    """What a fit minimizes on a fold."""
    weights = None if settings.class_weights == "none" else settings.class_weights
    return objective_for(fold, class_weights=weights, survival_loss=settings.survival_loss)


def fit_settings(settings: BlockSettings, **changes: object) -> FitSettings:
    """The part of a notebook's settings that training needs."""
    values: dict[str, Any] = {
        "epochs": settings.epochs,
        "batch_size": settings.batch_size,
        "learning_rate": settings.learning_rate,
        "l1": settings.l1,
        "patience": settings.patience or None,
        "output_bias": settings.output_bias,
    }
    values |= {
        name: getattr(settings, name) for name in _OPTIONAL_FIT_SETTINGS if hasattr(settings, name)
    }
    return FitSettings(**(values | changes))


def derived_seed(*parts: object) -> int:
    """A seed that depends on all parts, so that no two fits of a run share their random numbers."""
    return int.from_bytes(hashlib.sha256(repr(parts).encode()).digest()[:4]) % (2**31)


def build_encoder(fold: Fold, modality: str, **options: object) -> nn.Module:
    """An untrained SNN, ABMIL or ConvNet with the right widths for a modality of a fold."""
    _check_modality(fold, modality)
    network = ENCODERS[encoder_for(fold.kinds[modality])].build
    return network(fold.widths[modality], fold.n_outputs, **options)


def build_block(
    fold: Fold,
    modality: str,
    settings: BlockSettings,
    *,
    encoder: nn.Module | None,
    variant: str,
    **options: Any,
) -> LegoBlock:
    """An untrained block: from scratch, or wrapped round a copy of a trained encoder.

    Further options are those of ``LegoBlock``, and take precedence over the settings.
    """
    _check_modality(fold, modality)
    if variant not in BLOCK_VARIANTS or (encoder is None) != (variant == "scratch"):
        raise SettingsError(
            f"block of '{modality}': expected variant 'scratch' without an encoder, or 'wrapped' "
            "or "
            f"'frozen' with one, got '{variant}' {'without' if encoder is None else 'with'} an "
            "encoder"
        )
    return LegoBlock(
        fold.widths[modality] if encoder is None else _width_of(encoder),
        fold.n_outputs,
        encoder=copy.deepcopy(encoder),
        freeze=BLOCK_VARIANTS[variant],
        name=modality,
        **(_block_shape(settings) | options),
    )


def _width_of(encoder: nn.Module) -> int:
    """Features per token that an encoder returns."""
    width = encoder.out_dim
    if not isinstance(width, int):
        raise SettingsError(
            f"encoder {type(encoder).__name__}: expected its width as a whole number "
            f"`out_dim`, got {width!r}; set it in the encoder's constructor"
        )
    return width


def _block_shape(settings: BlockSettings) -> dict[str, Any]:
    names = ("profile", "latent_channels", "latent_dim", "depth")
    return {name: getattr(settings, name) for name in names}


def train_encoder(
    fold: Fold,
    modality: str,
    settings: BlockSettings,
    store: FitStore,
    *,
    fit_changes: Mapping[str, object] | None = None,
    options: Mapping[str, object] | None = None,
    start: Start | None = None,
) -> TrainedModel:
    """Train the encoder of one modality with a linear head and test it.

    Args:
        fold: Data.
        modality: Its name.
        settings: How to train.
        store: Where finished fits lie.
        fit_changes: Fit settings that differ.
        options: Options of the network that differ.
        start: Weights that it shares with other models at the start, if any.
    """
    recipe = Recipe(
        method=encoder_for(fold.kinds[modality]),
        names=(modality,),
        fit=fit_settings(settings, **(fit_changes or {})),
        options=dict(options or {}) | (start.key() if start else {}),
        seed=settings.seed,
        device=settings.device,
        seed_word=start.seed_word if start else "",
    )

    def build() -> Unimodal:
        network = build_encoder(fold, modality, **dict(options or {}))
        if start is not None:
            start.load(network.get_submodule(ENCODER))
        return Unimodal(modality, network)

    labels = Labels(recipe.method, recipe.names, {"arm": start.arm if start else ""})
    code = [start.state] if start else []
    return train_recipe(fold, recipe, build, store, labels=labels, code=code)


def train_block(
    fold: Fold,
    modality: str,
    variant: str,
    settings: BlockSettings,
    store: FitStore,
    *,
    encoder: TrainedModel | None = None,
    fit_changes: Mapping[str, object] | None = None,
    options: Mapping[str, object] | None = None,
    start: Start | None = None,
) -> TrainedModel:
    """Train a block on one modality.

    Args:
        fold: Data.
        modality: Its name.
        variant: ``scratch``, ``wrapped`` round an encoder, or with it ``frozen``.
        settings: How to train.
        store: Where finished fits lie.
        encoder: The trained encoder, for a block that is not made from scratch.
        fit_changes: Fit settings that differ.
        options: Options of ``LegoBlock`` that differ.
        start: Weights that it shares with other blocks at the start, if any.
    """
    chosen = _block_shape(settings) | dict(options or {})
    recipe = Recipe(
        method=LEGO_BLOCK,
        names=(modality,),
        fit=fit_settings(settings, **(fit_changes or {})),
        options=chosen | {"variant": variant} | (start.key() if start else {}),
        seed=settings.seed,
        device=settings.device,
        seed_word=start.seed_word if start and start.seed_word else variant,
    )

    def build() -> Unimodal:
        trained = encoder.inner(nn.Module).get_submodule(ENCODER) if encoder else None
        block = build_block(fold, modality, settings, encoder=trained, variant=variant, **chosen)
        if start is not None:
            start.load(block)
        return Unimodal(modality, block)

    return train_recipe(
        fold,
        recipe,
        build,
        store,
        labels=Labels(LEGO_BLOCK, recipe.names, {"arm": start.arm if start else variant}),
        parent=encoder.key if encoder else "",
        code=[start.state] if start else [],
    )


def train_recipe(
    fold: Fold,
    recipe: Recipe,
    build: Callable[[], nn.Module],
    store: FitStore,
    *,
    labels: Labels,
    parent: str = "",
    code: Sequence[ModuleType | Callable[..., object]] = (),
    validated: bool = True,
    logits_of: LogitsOf | None = None,
) -> TrainedModel:
    """Train and test one model under the contract of several modalities, where that is not done.

    Every sample that has any of the modalities is trained on and tested.

    Args:
        fold: Data.
        recipe: What to train.
        build: Makes the untrained model; called with the seed of the fit set.
        store: Where finished fits lie.
        labels: What the outcome is called.
        parent: Key of a fit that the model builds on.
        code: Code of the model, where this module does not import it.
        validated: Whether training sees the validation part; without, the settings have no
            patience.
        logits_of: How logits (n, k) come from a trained model and a part, where it is not by
            calling it on the inputs; ``code`` must cover it.
    """
    seed = recipe.seed_for(fold)
    parts = {
        name: part.select(sorted(recipe.names)).where_present(sorted(recipe.names))
        for name, part in fold.parts().items()
        if validated or name != "val"
    }
    key = fit_key(
        model=[recipe.method, list(recipe.names), dict(recipe.options)],
        fit=dataclasses.asdict(recipe.fit),
        data={name: samples_digest(part) for name, part in parts.items()},
        seed=seed,
        device=resolve_device(recipe.device).type,
        parent=parent,
        code=code_digest(train_recipe, *code),
    )

    def make() -> tuple[Outcome, nn.Module]:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            model = build()
        stored = store.get(key)
        if stored is None:
            what = " ".join(filter(None, [recipe.method, str(labels.rest.get("arm", ""))]))
            store.require_writable(f"{what} of '{'+'.join(recipe.names)}', repeat {fold.repeat}")
            stored = _fit_and_store(key, model, parts, fold, recipe, seed, store, logits_of)
        model.load_state_dict({k: v for k, v in stored.tensors.items() if k != _LOGITS})
        return _outcome(stored, fold, recipe, labels, parts), model.eval()

    return TrainedModel(fold, labels, key, make, labels.recalled(store, fold, key))


def _fit_and_store(
    key: str,
    model: nn.Module,
    parts: dict[str, Samples],
    fold: Fold,
    recipe: Recipe,
    seed: int,
    store: FitStore,
    logits_of: LogitsOf | None,
) -> StoredFit:
    objective = objective_of(fold, recipe.fit)
    result: FitResult = fit(
        model,
        parts["train"],
        parts["val"] if len(parts.get("val", ())) else None,
        objective,
        settings=recipe.fit,
        seed=seed,
        device=recipe.device,
    )
    read = logits_of or functools.partial(predict_logits, device=recipe.device)
    logits = read(model, parts["test"])
    median = risk_median(model, parts["train"], fold, recipe.device, objective, logits_of=read)
    facts = median | {
        "history": result.history,
        "best_epoch": result.best_epoch,
        "best_val_loss": result.best_val_loss,
        "seconds": result.seconds,
        "n_parameters": result.n_parameters,
    }
    weights = {name: value.detach().cpu() for name, value in model.state_dict().items()}
    return store.put(key, weights | {_LOGITS: logits}, facts)


def _outcome(
    stored: StoredFit, fold: Fold, recipe: Recipe, labels: Labels, parts: dict[str, Samples]
) -> Outcome:
    facts = dict(stored.facts)
    return outcome_of(
        stored.tensors[_LOGITS],
        parts["test"],
        fold,
        labels,
        key=stored.key,
        objective=objective_of(fold, recipe.fit),
        n_train=len(parts["train"]),
        seconds=facts.pop("seconds"),
        history=facts.pop("history"),
        facts=facts | {"sha256": stored.sha256},
    )


def risk_median(
    model: nn.Module,
    train: Samples,
    fold: Fold,
    device: str,
    objective: Objective | None = None,
    *,
    logits_of: LogitsOf | None = None,
) -> dict[str, float]:
    """Median risk on the training part, which divides patients into high and low.

    Empty for classification. Logits are those of ``predict_logits`` unless told otherwise.
    """
    if fold.task != "survival":
        return {}
    objective = objective or objective_for(fold)
    read = logits_of or functools.partial(predict_logits, device=device)
    return {"train_risk_median": float(np.median(objective.predict(read(model, train))["risk"]))}


def _check_modality(fold: Fold, modality: str) -> None:
    if modality not in fold.names:
        raise ModalityError(
            f"fold of {fold.cohort}: expected a modality of {sorted(fold.names)}, got '{modality}'"
        )
