"""Every method of the comparison on one fold: unimodal, multimodal, merged, fused, classical."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from torch import nn

from mmlego.bench.estimators import train_classical
from mmlego.bench.fusing import tuned_outcomes
from mmlego.bench.inputs import role_of_kind
from mmlego.bench.merging import ensemble_outcome, first_present_outcome, merge_outcome
from mmlego.bench.outcome import Outcome, tell
from mmlego.bench.settings import BlockSettings
from mmlego.bench.store.code import code_digest
from mmlego.bench.store.fits import FitStore
from mmlego.bench.training import (
    Log,
    Recipe,
    fit_settings,
    objective_of,
    train_block,
    train_encoder,
    train_recipe,
)
from mmlego.bench.tuning.values import Chosen, load_chosen
from mmlego.data.folds.fold import Fold
from mmlego.errors import SettingsError
from mmlego.methods.encoders import encoder_for
from mmlego.methods.method import EITHER, ESTIMATOR, MULTIMODAL, WEIGHTS, Method
from mmlego.methods.names import ENSEMBLE, LEGO_BLOCK, LEGO_FUSE, LEGO_MERGE
from mmlego.methods.registry import METHODS
from mmlego.models.encoders.unimodal import Unimodal

BLOCKS = "wrapped"
FUSED_FOR = 2
BEST_BLOCK = "best by validation"
Trained = tuple[Outcome, nn.Module]


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
        if (name in wanted if wanted else not method.opt_in) and suits(method, fold, names)
    ]


def suits(method: Method, fold: Fold, names: Sequence[str]) -> bool:
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


def train_multimodal(
    fold: Fold,
    method: str,
    names: Sequence[str],
    settings: BlockSettings,
    store: FitStore,
    *,
    variant: str = "",
    chosen: Chosen | None = None,
    options: Mapping[str, object] | None = None,
    log: Log = None,
) -> Trained:
    """Train one method under the contract of several modalities on some of a fold's modalities.

    Args:
        fold: Data.
        method: Name in the registry, one that is trained as a whole.
        names: Modalities in the order in which the model sees them.
        settings: How to train, unless ``chosen`` says otherwise.
        store: Where finished fits lie.
        variant: Word for what is special about it.
        chosen: Hyper-parameters in force.
        options: Further options of the model, which take precedence.
        log: Called with one line per epoch.
    """
    build = METHODS[method].build
    role = role_of_kind(fold.kinds[names[0]]) if len(names) == 1 else "all"
    values = (chosen or Chosen()).of(method, role)
    recipe = Recipe(
        method=method,
        variant=variant,
        names=tuple(names),
        fit=fit_settings(settings, **values.fit),
        options=dict(values.options) | dict(options or {}),
        seed=settings.seed,
        device=settings.device,
    )
    widths = {name: fold.widths[name] for name in names}
    kinds = {name: fold.kinds[name] for name in names}
    return train_recipe(
        fold,
        recipe,
        lambda: build(
            widths, objective_of(fold, recipe.fit).n_outputs, kinds=kinds, **recipe.options
        ),
        store,
        code=code_digest(build),
        log=log,
    )


@dataclass
class Bench:
    """One fold on which methods are trained as they are asked for, each at most once.

    Attributes:
        fold: Data.
        settings: How to train.
        store: Where finished fits lie.
        chosen: Hyper-parameters in force.
        log: Called with one line per outcome.
    """

    fold: Fold
    settings: BlockSettings
    store: FitStore
    chosen: Chosen = field(default_factory=Chosen)
    log: Callable[[Outcome], None] = lambda outcome: None
    _encoders: dict[str, Trained] = field(default_factory=dict)
    _blocks: dict[str, Trained] = field(default_factory=dict)

    def encoder(self, name: str) -> tuple[Outcome, Unimodal]:
        """The trained encoder of one modality."""
        if name not in self._encoders:
            kind = self.fold.kinds[name]
            values = self.chosen.of(encoder_for(kind), role_of_kind(kind))
            self._encoders[name] = train_encoder(
                self.fold,
                name,
                self.settings,
                self.store,
                fit_changes=values.fit,
                options=values.options,
            )
            self.log(self._encoders[name][0])
        return self._encoders[name]

    def block(self, name: str) -> tuple[Outcome, Unimodal]:
        """The trained block of one modality, wrapped round its encoder."""
        if name not in self._blocks:
            values = self.chosen.of(LEGO_BLOCK, role_of_kind(self.fold.kinds[name]))
            self._blocks[name] = train_block(
                self.fold,
                name,
                BLOCKS,
                self.settings,
                self.store,
                encoder=self.encoder(name),
                fit_changes=values.fit,
                options=values.options,
            )
            self.log(self._blocks[name][0])
        return self._blocks[name]

    def unimodal(self, name: str, wanted: Sequence[str] = ()) -> Iterator[Outcome]:
        """Every method that takes a single modality, on one modality."""
        own = encoder_for(self.fold.kinds[name])
        for method in methods_for(self.fold, [name], wanted):
            if METHODS[method].kind == ESTIMATOR:
                yield self.classical(method, [name], "one modality")
            elif method == own:
                yield self.encoder(name)[0]
            elif method == LEGO_BLOCK:
                yield self.block(name)[0]
            elif METHODS[method].kind == EITHER:
                yield self.whole(method, [name])[0]

    def multimodal(
        self, names: Sequence[str], variant: str, wanted: Sequence[str] = ()
    ) -> Iterator[Outcome]:
        """Every method that takes several modalities, on one set of them."""
        for method in methods_for(self.fold, names, wanted):
            if METHODS[method].kind == ESTIMATOR:
                yield self.classical(method, names, variant)
            elif method == ENSEMBLE:
                yield self.ensemble(names, variant)
            elif method == LEGO_MERGE:
                yield self.best_block(names, variant)
                yield self.merge(names, variant)
            elif method == LEGO_FUSE:
                yield self.fuse(names, variant)
            elif METHODS[method].network:
                yield self.whole(method, names, variant)[0]

    def whole(
        self,
        method: str,
        names: Sequence[str],
        variant: str = "",
        *,
        options: Mapping[str, object] | None = None,
    ) -> Trained:
        """A method that is trained on its modalities as a whole; see ``train_multimodal``."""
        found = train_multimodal(
            self.fold,
            method,
            names,
            self.settings,
            self.store,
            variant=variant,
            chosen=self.chosen,
            options=options,
        )
        self.log(found[0])
        return found

    def classical(self, method: str, names: Sequence[str], variant: str) -> Outcome:
        """A classical reference on modalities side by side."""
        found = train_classical(
            self.fold, method, list(names), self.settings, self.store, variant=variant
        )
        self.log(found)
        return found

    def ensemble(self, names: Sequence[str], variant: str) -> Outcome:
        """The mean of the logits of the encoders."""
        models = {name: self.encoder(name)[1].model for name in names}
        return ensemble_outcome(
            self.fold, models, names, variant=variant, device=self.settings.device, headline=True
        )

    def merge(self, names: Sequence[str], variant: str) -> Outcome:
        """The blocks merged without training."""
        return merge_outcome(
            self.fold,
            self.blocks(names),
            names,
            variant=variant,
            device=self.settings.device,
            headline=True,
        )

    def best_block(self, names: Sequence[str], variant: str) -> Outcome:
        """The block with the best validation loss, for those who have its modality, else the next.

        What a user would have without any fusion.
        """
        return first_present_outcome(
            self.fold,
            self.blocks(names),
            {name: self.block(name)[0] for name in names},
            variant=f"{BEST_BLOCK}, {variant}",
            device=self.settings.device,
        )

    def blocks(self, names: Sequence[str]) -> dict[str, nn.Module]:
        """The bare blocks of some modalities."""
        return {name: self.block(name)[1].model for name in names}

    def fuse(self, names: Sequence[str], variant: str, mode: str = "stack") -> Outcome:
        """The blocks fused and tuned for two epochs."""
        values = self.chosen.of(LEGO_FUSE, "all")
        epochs = getattr(self.settings, "tune_epochs", FUSED_FOR)
        (found,) = tuned_outcomes(
            self.fold,
            self.blocks(names),
            list(names),
            self.settings,
            self.store,
            mode=mode,
            fit_changes=values.fit,
            tune_epochs=[epochs],
            parents={name: self.block(name)[0].key for name in names},
        )
        found = dataclasses.replace(found, variant=variant, headline=True)
        self.log(found)
        return found


def benches(
    folds: Sequence[Fold],
    settings: BlockSettings,
    store: FitStore,
    log: Callable[[str], None] | None = None,
) -> Iterator[Bench]:
    """One bench per fold, with the hyper-parameters that the settings ask for."""
    chosen = load_chosen(getattr(settings, "hyperparameters", "given"), folds[0].cohort)
    for fold in folds:
        yield Bench(fold, settings, store, chosen, lambda outcome: tell(log, outcome))
