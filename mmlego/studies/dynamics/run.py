"""MM dynamics and its ablations on one fold: which arms there are, and their training."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor, nn

from mmlego.bench.configurations import Arm, Trained, check_arms, suits
from mmlego.bench.fold_bench import benches, methods_for
from mmlego.bench.inputs import INPUT_TITLES, SEPARATE, separate_names
from mmlego.bench.outcome import Outcome, tell
from mmlego.bench.store.code import code_digest
from mmlego.bench.store.fits import FitStore
from mmlego.bench.training import Recipe, fit_settings, objective_of, train_recipe
from mmlego.data.folds.fold import Fold
from mmlego.data.folds.samples import Samples
from mmlego.errors import ModalityError
from mmlego.learning.predict import evaluating
from mmlego.methods.names import MM_DYNAMICS as DYNAMICS
from mmlego.methods.names import MM_STATIC as STATIC
from mmlego.methods.registry import METHODS
from mmlego.runs.settings import DynamicsBase, DynamicsSettings

IMAGE_HIDDEN = 500  # as published; tables get what the settings say
BOTH, FEATURE, MODALITY, NONE = "both", "fi_only", "mi_only", "none"
ORACLE = "oracle_tcp"
_BATCH = 256


ARMS: dict[str, Arm] = {
    arm.name: arm
    for arm in (
        Arm(BOTH, "both (MM dynamics)", DYNAMICS),
        Arm(FEATURE, "features only", DYNAMICS, options={"variant": "feature"}),
        Arm(MODALITY, "modalities only", DYNAMICS, options={"variant": "modality"}),
        Arm(NONE, "none", DYNAMICS, options={"variant": "none"}),
        Arm("static", "MM static", STATIC),
        Arm("mi_detached", "both, detached target", DYNAMICS, options={"detach_tcp": True}),
        Arm(
            "mi_sigmoid",
            "both, bounded confidence",
            DYNAMICS,
            options={"tcp_activation": "sigmoid"},
        ),
        Arm(ORACLE, "true confidence (uses the label)", DYNAMICS, options={"weighting": "oracle"}),
        Arm("masked", "both, absent dropped", DYNAMICS, options={"mask_weight": True}),
        Arm(
            "events_only",
            "both, confidence from events",
            DYNAMICS,
            options={"tcp_events_only": True},
            task="survival",
        ),
        Arm("cox", "both, Cox loss", DYNAMICS, fit={"survival_loss": "cox"}, task="survival"),
    )
}
WITH_CONFIDENCE = (BOTH, MODALITY, "mi_detached", "mi_sigmoid", ORACLE, "events_only", "cox")


def arms_for(folds: Sequence[Fold], wanted: Sequence[str]) -> list[Arm]:
    """The arms that suit the data, in the order of ``ARMS``.

    Raises:
        SettingsError: If a wanted arm is unknown, or is for another task.
    """
    check_arms(wanted, ARMS, folds[0].task)
    complete = all(bool(flag.all()) for f in folds for flag in f.train.present.values())
    return [
        arm
        for arm in ARMS.values()
        if (arm.name in wanted if wanted else suits(arm, folds[0].task))
        and (wanted or not (arm.name == "masked" and complete))
    ]


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
        fold,
        recipe,
        lambda: build(fold, arm, recipe),
        store,
        code=code_digest(METHODS[arm.method].build),
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
    what comes out is no result.
    """
    usual = train_arm(fold, ARMS[BOTH], names, settings, store)
    recipe = recipe_of(fold, arm, names, settings)
    epochs = usual.outcome.facts["best_epoch"]
    recipe = dataclasses.replace(
        recipe, fit=dataclasses.replace(recipe.fit, epochs=epochs, patience=None, criterion="loss")
    )
    outcome, model = train_recipe(
        fold,
        recipe,
        lambda: build(fold, arm, recipe),
        store,
        code=code_digest(train_arm),
        validated=False,
        logits_of=lambda trained, part: explained(trained, part)["logits"],
        facts={"uses_label": True},
    )
    return Trained(arm, fold, names, outcome, model)


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
