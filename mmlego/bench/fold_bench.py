"""One fold on which any method is trained, fetched, merged, fused and scored."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from mmlego.bench import fusing, merging
from mmlego.bench.estimators import train_estimator
from mmlego.bench.fusing import STACK, TUNED_FOR
from mmlego.bench.inputs import INPUT_TITLES, role_of_kind
from mmlego.bench.outcome import Outcome, log_outcome
from mmlego.bench.settings import BlockSettings
from mmlego.bench.starts import Start
from mmlego.bench.store.fits import FitStore
from mmlego.bench.trained import Labels, TrainedModel
from mmlego.bench.training import (
    Recipe,
    derived_seed,
    fit_settings,
    objective_of,
    train_block,
    train_encoder,
    train_recipe,
)
from mmlego.bench.tuning.values import TunedValues, load_values
from mmlego.data.folds.fold import Fold
from mmlego.errors import SettingsError
from mmlego.methods.encoders import encoder_for
from mmlego.methods.method import EITHER, ESTIMATOR, MULTIMODAL, WEIGHTS, Method
from mmlego.methods.names import ENSEMBLE, LEGO_BLOCK, LEGO_FUSE, LEGO_MERGE
from mmlego.methods.registry import METHODS

DEFAULT_BLOCK_VARIANT = "wrapped"


def methods_for(fold: Fold, names: Sequence[str], wanted: Sequence[str] = ()) -> list[str]:
    """The methods that can use these modalities of a fold, in the order of the registry.

    Raises:
        SettingsError: If a wanted method is unknown.
    """
    unknown = sorted(set(wanted) - set(METHODS))
    if unknown:
        raise SettingsError(f"methods: expected names of {sorted(METHODS)}, got {unknown}")
    return [
        name
        for name, method in METHODS.items()
        if (name in wanted if wanted else not method.opt_in) and can_be_trained(method, fold, names)
    ]


def can_be_trained(method: Method, fold: Fold, names: Sequence[str]) -> bool:
    """Whether a method can be trained on these modalities of a fold for its task."""
    tables = [name for name in names if fold.kinds[name] == "tabular"]
    bags = [name for name in names if fold.kinds[name] in ("bag", "series")]
    images = [name for name in names if fold.kinds[name] == "image"]
    if method.kind == WEIGHTS or (method.kind == MULTIMODAL and len(names) < 2):
        return False
    if images and not method.images:
        return False
    if any(fold.kinds[name] == "volume" for name in names) and not method.volumes:
        return False
    if method.raw_images and any(fold.scalers[name].scaling != "none" for name in images):
        return False
    return {
        "": True,
        "pair": len(names) == 2,
        "tables+bag": bool(tables) and len(bags) == 1,
        "survival": fold.task == "survival",
        "classes": fold.task == "classification",
    }[method.requires]


@dataclass
class Bench:
    """One fold on which methods are trained as they are asked for, each at most once.

    Attributes:
        fold: Data.
        settings: How to train.
        store: Where finished fits lie.
        values: Hyper-parameters in force.
        log: Called with every outcome.
        condition: Under which condition everything here is trained; empty for the usual one.
        block_store: Where encoders and blocks lie, if not there: a store that must not be added to
            makes sure that a merge uses what another run trained.
    """

    fold: Fold
    settings: BlockSettings
    store: FitStore
    values: TunedValues = field(default_factory=TunedValues)
    log: Callable[[Outcome], None] = lambda outcome: None
    condition: str = ""
    block_store: FitStore | None = None
    _trained: dict[str, TrainedModel] = field(default_factory=dict)

    def _keep(self, trained: TrainedModel) -> TrainedModel:
        """The model of this key as it was trained before, or this one, which is then logged."""
        if trained.key not in self._trained:
            self._trained[trained.key] = trained
            words = ", ".join(filter(None, [trained.outcome.condition, self.condition]))
            self.log(replace(trained.outcome, condition=words))
        return self._trained[trained.key]

    def _store_of(self, start: Start | None) -> FitStore:
        """The store of a block; one from a start of its own is no other run's business."""
        return self.store if start or self.block_store is None else self.block_store

    def encoder(self, name: str, *, start: Start | None = None) -> TrainedModel:
        """The trained encoder of one modality."""
        kind = self.fold.kinds[name]
        values = self.values.of(encoder_for(kind), role_of_kind(kind))
        return self._keep(
            train_encoder(
                self.fold,
                name,
                self.settings,
                self._store_of(start),
                fit_changes=values.fit,
                options=values.options,
                start=start,
            )
        )

    def block(
        self,
        name: str,
        variant: str = DEFAULT_BLOCK_VARIANT,
        *,
        options: Mapping[str, object] | None = None,
        start: Start | None = None,
    ) -> TrainedModel:
        """The trained block of one modality.

        Args:
            name: The modality.
            variant: ``scratch``, ``wrapped`` round its encoder, or with it ``frozen``.
            options: Options of ``LegoBlock`` that take precedence.
            start: Weights that it shares with other blocks at the start.
        """
        values = self.values.of(LEGO_BLOCK, role_of_kind(self.fold.kinds[name]))
        return self._keep(
            train_block(
                self.fold,
                name,
                variant,
                self.settings,
                self._store_of(start),
                encoder=None if variant == "scratch" else self.encoder(name),
                fit_changes=values.fit,
                options=dict(values.options) | dict(options or {}),
                start=start,
            )
        )

    def encoders(self, names: Sequence[str]) -> dict[str, TrainedModel]:
        """The trained encoders of some modalities."""
        return {name: self.encoder(name) for name in names}

    def blocks(
        self, names: Sequence[str], variant: str = DEFAULT_BLOCK_VARIANT
    ) -> dict[str, TrainedModel]:
        """The trained blocks of some modalities."""
        return {name: self.block(name, variant) for name in names}

    def unimodal(self, name: str, wanted: Sequence[str] = ()) -> Iterator[Outcome]:
        """Every method that takes a single modality, on one modality."""
        own = encoder_for(self.fold.kinds[name])
        for method in methods_for(self.fold, [name], wanted):
            if METHODS[method].kind == ESTIMATOR:
                yield self.estimator(method, [name]).outcome
            elif method == own:
                yield self.encoder(name).outcome
            elif method == LEGO_BLOCK:
                yield self.block(name).outcome
            elif METHODS[method].kind == EITHER:
                yield self.whole(method, [name]).outcome

    def multimodal(
        self, names: Sequence[str], inputs: str, wanted: Sequence[str] = ()
    ) -> Iterator[Outcome]:
        """Every method that takes several modalities, on one set of them."""
        for method in methods_for(self.fold, names, wanted):
            if METHODS[method].kind == ESTIMATOR:
                yield self.estimator(method, names, inputs).outcome
            elif method == LEGO_MERGE:
                yield self.best_block(names, inputs=inputs).outcome
                yield self.merge(names, inputs=inputs).outcome
            elif METHODS[method].several:
                yield self.combined(method, names, inputs).outcome

    def combined(self, method: str, names: Sequence[str], inputs: str) -> TrainedModel:
        """A method of several modalities, however it comes about."""
        if method == ENSEMBLE:
            return self.ensemble(names, inputs=inputs)
        if method == LEGO_MERGE:
            return self.merge(names, inputs=inputs)
        if method == LEGO_FUSE:
            return self.fuse(names, inputs=inputs)
        return self.whole(method, names, inputs)

    def whole(
        self,
        method: str,
        names: Sequence[str],
        inputs: str = "",
        *,
        arm: str = "",
        options: Mapping[str, object] | None = None,
    ) -> TrainedModel:
        """A method that is trained on its modalities as a whole.

        Args:
            method: Name in the registry, one that is trained as a whole.
            names: Modalities in the order in which the model sees them.
            inputs: How columns are divided into modalities.
            arm: Configuration of the outcome.
            options: Options of the model that take precedence.
        """
        role = role_of_kind(self.fold.kinds[names[0]]) if len(names) == 1 else "all"
        values = self.values.of(method, role)
        recipe = Recipe(
            method=method,
            names=tuple(names),
            fit=fit_settings(self.settings, **values.fit),
            options=dict(values.options) | dict(options or {}),
            seed=self.settings.seed,
            device=self.settings.device,
            seed_word=INPUT_TITLES.get(inputs, ""),
        )
        labels = Labels(method, recipe.names, {"arm": arm, "inputs": inputs})
        return self._keep(train_network(self.fold, recipe, self.store, labels))

    def estimator(self, method: str, names: Sequence[str], inputs: str = "") -> TrainedModel:
        """A reference without a network on modalities side by side."""
        return self._keep(
            train_estimator(
                self.fold, method, list(names), self.settings, self.store, inputs=inputs
            )
        )

    def ensemble(
        self, names: Sequence[str], average: str = "logits", **labels: Any
    ) -> TrainedModel:
        """The mean of the outputs of the encoders."""
        device = self.settings.device
        return merging.ensemble(
            self.fold,
            self.encoders(names),
            names,
            self.store,
            average=average,
            device=device,
            **labels,
        )

    def merge(
        self,
        names: Sequence[str],
        *,
        blocks: Mapping[str, TrainedModel] | None = None,
        weights: Mapping[str, float] | None = None,
        options: Mapping[str, Any] | None = None,
        **labels: Any,
    ) -> TrainedModel:
        """Blocks merged without training: those of the fold, or the given ones."""
        return merging.merge(
            self.fold,
            self.blocks(names) if blocks is None else blocks,
            names,
            self.store,
            weights=weights,
            options=options,
            device=self.settings.device,
            **labels,
        )

    def best_block(
        self, names: Sequence[str], variant: str = DEFAULT_BLOCK_VARIANT, **labels: Any
    ) -> TrainedModel:
        """The block with the best validation loss, for those who have its modality, else the next.

        What a user would have without any fusion.
        """
        return merging.best_that_applies(
            self.fold,
            self.blocks(names, variant),
            self.store,
            device=self.settings.device,
            **labels,
        )

    def fuse(
        self,
        names: Sequence[str],
        mode: str = STACK,
        *,
        variant: str = DEFAULT_BLOCK_VARIANT,
        blocks: Mapping[str, TrainedModel] | None = None,
        tune_epochs: int | None = None,
        **labels: Any,
    ) -> TrainedModel:
        """The blocks fused and tuned, for two epochs unless the settings say otherwise."""
        epochs = getattr(self.settings, "tune_epochs", TUNED_FOR)
        if tune_epochs is not None:
            epochs = tune_epochs
        found = self.tune(names, mode, [epochs], variant=variant, blocks=blocks, **labels)
        return self._keep(found[epochs])

    def tune(
        self,
        names: Sequence[str],
        mode: str,
        tune_epochs: Sequence[int],
        *,
        variant: str = DEFAULT_BLOCK_VARIANT,
        blocks: Mapping[str, TrainedModel] | None = None,
        **labels: Any,
    ) -> dict[int, TrainedModel]:
        """The blocks fused or merged, and tuned for each of several numbers of epochs."""
        return fusing.tune(
            self.fold,
            self.blocks(names, variant) if blocks is None else blocks,
            list(names),
            self.settings,
            self.store,
            mode=mode,
            tune_epochs=tune_epochs,
            fit_changes=self.values.of(LEGO_FUSE, "all").fit,
            **labels,
        )

    def seed_of(self, *parts: object) -> int:
        """A seed that depends on the fold and on all parts."""
        fold = self.fold
        return derived_seed(self.settings.seed, fold.cohort, fold.unit, fold.repeat, *parts)

    def on(self, fold: Fold, condition: str) -> Bench:
        """A bench for another fold, with nothing trained yet, that logs under which condition."""
        return Bench(fold, self.settings, self.store, self.values, self.log, condition)


def train_network(
    fold: Fold, recipe: Recipe, store: FitStore, labels: Labels, **how: Any
) -> TrainedModel:
    """Train a network of the registry on its modalities as a whole; see ``train_recipe``."""
    build = METHODS[recipe.method].build
    widths = {name: fold.widths[name] for name in recipe.names}
    kinds = {name: fold.kinds[name] for name in recipe.names}
    n_outputs = objective_of(fold, recipe.fit).n_outputs
    return train_recipe(
        fold,
        recipe,
        lambda: build(widths, n_outputs, kinds=kinds, **recipe.options),
        store,
        labels=labels,
        **({"code": [build]} | how),
    )


def benches(
    folds: Sequence[Fold],
    settings: BlockSettings,
    store: FitStore,
    log: Callable[[str], None] | None = None,
    block_store: FitStore | None = None,
) -> Iterator[Bench]:
    """One bench per fold, with the hyper-parameters that the settings ask for."""
    values = load_values(getattr(settings, "hyperparameters", "given"), folds[0].cohort)
    for fold in folds:
        yield Bench(
            fold,
            settings,
            store,
            values,
            lambda outcome: log_outcome(log, outcome),
            block_store=block_store,
        )
