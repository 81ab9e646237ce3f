"""MM dynamics and its ablations on one fold: which arms there are, and their training."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from mmlego.data.fold import Fold
from mmlego.data.samples import Samples
from mmlego.errors import ModalityError, SettingsError
from mmlego.experiments.benchmark import benches, methods_for
from mmlego.experiments.inputs import INPUT_TITLES, SEPARATE, separate_names
from mmlego.experiments.methods import METHODS
from mmlego.experiments.outcome import Outcome, tell
from mmlego.experiments.provenance import code_digest
from mmlego.experiments.settings import DynamicsBase, DynamicsSettings
from mmlego.experiments.store import FitStore, StoredFit, fit_key
from mmlego.experiments.training import (
    Recipe,
    fit_settings,
    objective_of,
    outcome_of,
    samples_digest,
    train_recipe,
)
from mmlego.learning.fit import fit
from mmlego.learning.predict import evaluating

IMAGE_HIDDEN = 500  # as published; tables get what the settings say
DYNAMICS, STATIC = "mm_dynamics", "mm_static"
BOTH, FEATURE, MODALITY, NONE = "both", "fi_only", "mi_only", "none"
ORACLE = "oracle_tcp"
_CODE = "mmlego.dynamics"
_LOGITS = "__test_logits__"
_BATCH = 256


@dataclass(frozen=True)
class Arm:
    """One configuration.

    Attributes:
        name: Its variant in the table of results.
        title: What readers call it.
        method: ``mm_dynamics`` or ``mm_static``.
        options: Options of the model that differ.
        fit: Fit settings that differ.
        task: The only task that it is for; empty for any.
    """

    name: str
    title: str
    method: str = DYNAMICS
    options: Mapping[str, object] = field(default_factory=dict)
    fit: Mapping[str, object] = field(default_factory=dict)
    task: str = ""


ARMS: dict[str, Arm] = {
    arm.name: arm
    for arm in (
        Arm(BOTH, "both (MM dynamics)"),
        Arm(FEATURE, "features only", options={"variant": "feature"}),
        Arm(MODALITY, "modalities only", options={"variant": "modality"}),
        Arm(NONE, "none", options={"variant": "none"}),
        Arm("static", "MM static", method=STATIC),
        Arm("mi_detached", "both, detached target", options={"detach_tcp": True}),
        Arm("mi_sigmoid", "both, bounded confidence", options={"tcp_activation": "sigmoid"}),
        Arm(ORACLE, "true confidence (upper bound)", options={"weighting": "oracle"}),
        Arm("masked", "both, absent dropped", options={"mask_weight": True}),
        Arm(
            "events_only",
            "both, confidence from events",
            options={"tcp_events_only": True},
            task="survival",
        ),
        Arm("cox", "both, Cox loss", fit={"survival_loss": "cox"}, task="survival"),
    )
}
WITH_CONFIDENCE = (BOTH, MODALITY, "mi_detached", "mi_sigmoid", ORACLE, "events_only", "cox")


@dataclass(frozen=True)
class Trained:
    """One arm, trained on one fold."""

    arm: Arm
    fold: Fold
    names: tuple[str, ...]
    outcome: Outcome
    model: nn.Module

    @property
    def test(self) -> Samples:
        """The test samples that have any of the modalities."""
        return self.fold.test.select(sorted(self.names)).having(sorted(self.names))


def arms_for(folds: Sequence[Fold], wanted: Sequence[str]) -> list[Arm]:
    """The arms that suit the data, in the order of ``ARMS``.

    Raises:
        SettingsError: If a wanted arm is unknown, or is for another task.
    """
    unknown = [name for name in wanted if name not in ARMS]
    if unknown:
        raise SettingsError(f"arms: expected names of {list(ARMS)}, got {unknown}")
    foreign = [name for name in wanted if not suits(name, folds)]
    if foreign:
        raise SettingsError(
            f"arms: expected arms for {folds[0].task}, got {foreign}; leave them out"
        )
    complete = all(bool(flag.all()) for f in folds for flag in f.train.present.values())
    return [
        arm
        for arm in ARMS.values()
        if (arm.name in wanted if wanted else suits(arm.name, folds))
        and (wanted or not (arm.name == "masked" and complete))
    ]


def suits(name: str, folds: Sequence[Fold]) -> bool:
    """Whether an arm is for the task of these folds."""
    return ARMS[name].task in ("", folds[0].task)


def modalities_of(fold: Fold) -> tuple[str, ...]:
    """Every modality of a fold by itself, sorted.

    Raises:
        ModalityError: If an image is not in [0, 1].
    """
    names = separate_names(fold)
    scaled = [n for n in names if fold.kinds[n] == "image" and fold.scalers[n].scaling != "none"]
    if scaled:
        raise ModalityError(
            f"MM dynamics on {fold.cohort}: expected images with colors in [0, 1] (scaling "
            f"'none'), got standardized ones in {scaled}; name a modality with raw colors"
        )
    return names


def train_all(
    folds: Sequence[Fold],
    settings: DynamicsBase,
    store: FitStore,
    log: Callable[[str], None] | None = None,
    *,
    names: Sequence[str] = (),
    arms: Sequence[Arm] = (),
) -> Iterator[Trained]:
    """Train every arm on every fold.

    Args:
        folds: The splits.
        settings: How to train, and which arms.
        store: Where finished fits lie.
        log: Called with one line per fit.
        names: Modalities, none for all.
        arms: Arms, none for those of the settings.
    """
    for fold in folds:
        for arm in arms or arms_for(folds, settings.arms):
            trained = train_arm(fold, arm, names or modalities_of(fold), settings, store)
            tell(log, trained.outcome)
            yield trained


def train_rivals(
    folds: Sequence[Fold],
    settings: DynamicsSettings,
    store: FitStore,
    log: Callable[[str], None] | None = None,
) -> Iterator[Outcome]:
    """The other methods that the settings name, on the same modalities of the same splits.

    None named means none: `benchmark` is what compares everything.
    """
    for bench in benches(folds, settings, store, log) if settings.rivals else ():
        names = modalities_of(bench.fold)
        wanted = methods_for(bench.fold, names, settings.rivals)
        if wanted:
            yield from bench.multimodal(names, INPUT_TITLES[SEPARATE], wanted)


def train_arm(
    fold: Fold, arm: Arm, names: Sequence[str], settings: DynamicsBase, store: FitStore
) -> Trained:
    """Train one arm on one fold, or take the very same fit from the store."""
    names = tuple(names)
    if arm.options.get("weighting") == "oracle":
        return _train_oracle(fold, arm, names, settings, store)
    recipe = recipe_of(fold, arm, names, settings)
    outcome, model = train_recipe(
        fold, recipe, lambda: build(fold, arm, recipe), store, code=code_digest(_CODE)
    )
    return Trained(arm, fold, names, outcome, model)


def recipe_of(fold: Fold, arm: Arm, names: tuple[str, ...], settings: DynamicsBase) -> Recipe:
    """What decides the fit of an arm."""
    options = {"hidden": hidden_of(fold, names, settings), "dropout": settings.dropout}
    options |= {"means": train_means(fold, names)}
    if arm.method == STATIC:
        options |= {"weights": static_weights(fold, names)}
    return Recipe(
        method=arm.method,
        variant=arm.name,
        names=names,
        fit=fit_settings(settings, **arm.fit),
        options=options | dict(arm.options),
        seed=settings.seed,
        device=settings.device,
    )


def build(fold: Fold, arm: Arm, recipe: Recipe) -> nn.Module:
    """An untrained model."""
    return METHODS[arm.method].build(
        {name: fold.widths[name] for name in recipe.names},
        objective_of(fold, recipe.fit).n_outputs,
        kinds={name: fold.kinds[name] for name in recipe.names},
        **recipe.options,
    )


def hidden_of(fold: Fold, names: Sequence[str], settings: DynamicsBase) -> dict[str, int]:
    """Width of each encoding: that of the settings, or a quarter of the features."""
    return {
        name: IMAGE_HIDDEN
        if fold.kinds[name] == "image"
        else settings.hidden or max(1, fold.widths[name] // 4)
        for name in names
    }


def static_weights(fold: Fold, names: Sequence[str]) -> dict[str, float]:
    """Fixed weights of the static rival: images 6, the widest table 1, everything else 3.

    Source: Wenderoth 2024, whose code weighs images by 6, RNA by 1 and protein by 3; reading this
        as a rule for other data is ours.
    """
    tables = [name for name in names if fold.kinds[name] != "image"]
    widest = max(tables, key=lambda name: fold.widths[name], default="")
    return {
        name: 6.0 if fold.kinds[name] == "image" else 1.0 if name == widest else 3.0
        for name in names
    }


def train_means(fold: Fold, names: Sequence[str]) -> dict[str, list[float]]:
    """Training means of the features that are not standardized, which stand in where one is absent.

    Those of standardized features are zero, and images are filled with gray.
    """
    found = {}
    for name in names:
        if fold.kinds[name] == "tabular" and fold.scalers[name].scaling in ("minmax", "none"):
            here = fold.train.values[name][fold.train.present[name]]
            found[name] = here.double().mean(dim=0).tolist()
    return found


def _train_oracle(
    fold: Fold, arm: Arm, names: tuple[str, ...], settings: DynamicsBase, store: FitStore
) -> Trained:
    """Train with the true confidence as weight, for as long as the model that predicts it.

    Predictions need the labels that they are compared with, so nothing can be stopped by them, and
    what comes out is a bound and not a result.
    """
    usual = train_arm(fold, ARMS[BOTH], names, settings, store)
    recipe = recipe_of(fold, arm, names, settings)
    epochs = usual.outcome.facts["best_epoch"]
    recipe = dataclasses.replace(
        recipe, fit=dataclasses.replace(recipe.fit, epochs=epochs, patience=None, criterion="loss")
    )
    seed = recipe.seed_for(fold)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = build(fold, arm, recipe)
    chosen = sorted(names)
    parts = {
        name: part.select(chosen).having(chosen)
        for name, part in (("train", fold.train), ("test", fold.test))
    }
    key = fit_key(
        model=[recipe.method, recipe.variant, list(names), dict(recipe.options)],
        fit=dataclasses.asdict(recipe.fit),
        data={name: samples_digest(part) for name, part in parts.items()},
        seed=seed,
        device=recipe.device,
        torch=torch.__version__,
        code=[code_digest("mmlego.experiments.dynamics"), code_digest(_CODE)],
    )
    stored = store.get(key)
    if stored is None:
        store.require_writable(f"{arm.method} {arm.name}, repeat {fold.repeat}")
        stored = _fit_oracle(key, model, parts, fold, recipe, seed, store)
    model.load_state_dict({k: v for k, v in stored.tensors.items() if k != _LOGITS})
    facts = dict(stored.facts)
    outcome = outcome_of(
        stored.tensors[_LOGITS],
        parts["test"],
        fold,
        method=arm.method,
        variant=arm.name,
        modalities=names,
        n_train=len(parts["train"]),
        seconds=facts.pop("seconds"),
        history=facts.pop("history"),
        facts=facts | {"sha256": stored.sha256, "upper_bound": True},
        key=stored.key,
    )
    return Trained(arm, fold, names, outcome, model.eval())


def _fit_oracle(
    key: str,
    model: nn.Module,
    parts: Mapping[str, Samples],
    fold: Fold,
    recipe: Recipe,
    seed: int,
    store: FitStore,
) -> StoredFit:
    done = fit(
        model,
        parts["train"],
        None,
        objective_of(fold, recipe.fit),
        settings=recipe.fit,
        seed=seed,
        device=recipe.device,
    )
    facts = {
        "history": done.history,
        "best_epoch": done.best_epoch,
        "seconds": done.seconds,
        "n_parameters": done.n_parameters,
    }
    weights = {name: value.detach().cpu() for name, value in model.state_dict().items()}
    logits = explained(model, parts["test"])["logits"]
    return store.put(key, weights | {_LOGITS: logits}, facts)


@torch.no_grad()
def explained(model: nn.Module, samples: Samples) -> dict[str, object]:
    """One pass of a model over a part, on the CPU.

    Returns:
        ``logits`` (n, k), and by modality ``gates``, ``unimodal`` (n, k) and ``confidence`` (n,);
        ``gates`` of a bag or series are means over its valid instances, (n, c).
    """
    model = copy.deepcopy(model).to("cpu")
    found: dict[str, list] = {"logits": [], "gates": [], "unimodal": [], "confidence": []}
    with evaluating(model):
        for batch in samples.batches(_BATCH):
            told = model.explain(batch.inputs, batch.present, batch.masks, target=batch.target)
            found["logits"].append(told.logits)
            found["gates"].append(
                {name: _over_instances(gate) for name, gate in told.gates.items()}
            )
            found["unimodal"].append(told.unimodal)
            found["confidence"].append(told.confidence)
    return {"logits": torch.cat(found["logits"]).float()} | {
        what: {name: torch.cat([part[name] for part in found[what]]) for name in found[what][0]}
        for what in ("gates", "unimodal", "confidence")
    }


def _over_instances(gate: Tensor) -> Tensor:
    """The mean gate over the instances of a bag or series, whose padding is NaN; others as is."""
    return gate.nanmean(dim=1) if gate.ndim == 3 else gate
