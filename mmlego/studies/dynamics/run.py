"""MM dynamics and its ablations on one fold: which arms there are, and their training."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from mmlego.bench.configurations import Configuration, by_name, check_arms
from mmlego.bench.fold_bench import benches, methods_for, train_network
from mmlego.bench.inputs import SEPARATE, separate_names
from mmlego.bench.outcome import Outcome
from mmlego.bench.store.fits import FitStore
from mmlego.bench.trained import Labels, TrainedModel, as_kind, train_configurations
from mmlego.bench.training import Recipe, fit_settings
from mmlego.data.folds.fold import Fold
from mmlego.data.folds.samples import Samples
from mmlego.errors import ModalityError
from mmlego.learning.predict import evaluating
from mmlego.methods.names import MM_DYNAMICS as DYNAMICS
from mmlego.methods.names import MM_STATIC as STATIC
from mmlego.methods.registry import METHODS
from mmlego.models.dynamics import MMDynamics
from mmlego.runs.settings import DynamicsBase, DynamicsSettings

IMAGE_HIDDEN = 500  # as published; tables get what the settings say
BOTH, FEATURE, MODALITY, NONE = "both", "fi_only", "mi_only", "none"
ORACLE = "oracle_tcp"
_BATCH = 256


ARMS = by_name(
    Configuration(BOTH, "both (MM dynamics)", DYNAMICS),
    Configuration(FEATURE, "features only", DYNAMICS, options={"variant": "feature"}),
    Configuration(MODALITY, "modalities only", DYNAMICS, options={"variant": "modality"}),
    Configuration(NONE, "none", DYNAMICS, options={"variant": "none"}),
    Configuration("static", "MM static", STATIC),
    Configuration("mi_detached", "both, detached target", DYNAMICS, options={"detach_tcp": True}),
    Configuration(
        "mi_sigmoid",
        "both, bounded confidence",
        DYNAMICS,
        options={"tcp_activation": "sigmoid"},
    ),
    Configuration(
        ORACLE, "true confidence (uses the label)", DYNAMICS, options={"weighting": "oracle"}
    ),
    Configuration("masked", "both, absent dropped", DYNAMICS, options={"mask_weight": True}),
    Configuration(
        "events_only",
        "both, confidence from events",
        DYNAMICS,
        options={"tcp_events_only": True},
        task="survival",
    ),
    Configuration("cox", "both, Cox loss", DYNAMICS, fit={"survival_loss": "cox"}, task="survival"),
)
WITH_CONFIDENCE = (BOTH, MODALITY, "mi_detached", "mi_sigmoid", ORACLE, "events_only", "cox")


def arms_for(folds: Sequence[Fold], wanted: Sequence[str]) -> list[Configuration]:
    """The arms that suit the data, in the order of ``ARMS``.

    Raises:
        SettingsError: If a wanted arm is unknown, or is for another task.
    """
    check_arms(wanted, ARMS, folds[0].task)
    complete = all(bool(flag.all()) for f in folds for flag in f.train.present.values())
    return [
        arm
        for arm in ARMS.values()
        if (arm.name in wanted if wanted else arm.is_for(folds[0].task))
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
    arms: Sequence[Configuration] = (),
) -> Iterator[TrainedModel]:
    """Train every arm on every fold.

    Args:
        folds: The splits.
        settings: How to train, and which arms.
        store: Where finished fits lie.
        log: Called with one line per fit.
        names: Modalities, none for all.
        arms: Arms, none for those of the settings.
    """
    chosen = arms or arms_for(folds, settings.arms)
    return train_configurations(
        folds,
        lambda fold: [(arm, names or modalities_of(fold)) for arm in chosen],
        lambda fold, arm, seen: train_arm(fold, arm, seen, settings, store),
        log,
    )


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
            yield from bench.multimodal(names, SEPARATE, wanted)


def train_arm(
    fold: Fold,
    arm: Configuration,
    names: Sequence[str],
    settings: DynamicsBase,
    store: FitStore,
) -> TrainedModel:
    """Train one arm on one fold, or take the very same fit from the store."""
    names = tuple(names)
    if arm.options.get("weighting") == "oracle":
        return _train_oracle(fold, arm, names, settings, store)
    recipe = recipe_of(fold, arm, names, settings)
    facts = {"configuration": arm.reference or arm.name} | dict(arm.facts)
    labels = Labels(arm.method, names, {"arm": arm.name, "facts": facts})
    return replace(train_network(fold, recipe, store, labels), configuration=arm)


def recipe_of(
    fold: Fold, arm: Configuration, names: tuple[str, ...], settings: DynamicsBase
) -> Recipe:
    """What decides the fit of an arm."""
    options = {"hidden": hidden_of(fold, names, settings), "dropout": settings.dropout}
    options |= {"means": train_means(fold, names)}
    if arm.method == STATIC:
        options |= {"weights": static_weights(fold, names)}
    return Recipe(
        method=arm.method,
        names=names,
        fit=fit_settings(settings, **arm.fit),
        options=options | dict(arm.options),
        seed=settings.seed,
        device=settings.device,
        seed_word=arm.name,
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
    fold: Fold, arm: Configuration, names: tuple[str, ...], settings: DynamicsBase, store: FitStore
) -> TrainedModel:
    """Train with the true confidence as weight, for as long as the model that predicts it.

    Predictions need the labels that they are compared with, so nothing can be stopped by them, and
    what comes out is no result.
    """
    usual = train_arm(fold, ARMS[BOTH], names, settings, store)
    recipe = recipe_of(fold, arm, names, settings)
    epochs = usual.outcome.facts["best_epoch"]
    recipe = replace(
        recipe, fit=replace(recipe.fit, epochs=epochs, patience=None, criterion="loss")
    )
    trained = train_network(
        fold,
        recipe,
        store,
        Labels(arm.method, names, {"arm": arm.name, "facts": {"uses_label": True}}),
        code=[METHODS[arm.method].build, explain_part],
        validated=False,
        logits_of=lambda model, part: explain_part(model, part).logits,
    )
    return replace(trained, configuration=arm)


@dataclass(frozen=True)
class PartExplanation:
    """What a model weighed in a part.

    Attributes:
        logits: (n, k).
        gates: By modality; of a bag or series they are means over its valid instances, (n, c).
        unimodal: Logits (n, k) of each modality alone.
        confidence: Predicted confidence (n,) of each modality.
    """

    logits: Tensor
    gates: dict[str, Tensor]
    unimodal: dict[str, Tensor]
    confidence: dict[str, Tensor]


@torch.no_grad()
def explain_part(model: nn.Module, samples: Samples) -> PartExplanation:
    """One pass of a model of MM dynamics over a part, on the CPU."""
    model = copy.deepcopy(as_kind(model, MMDynamics)).to("cpu")
    with evaluating(model):
        told = [
            model.explain(batch.inputs, batch.present, batch.masks, target=batch.target)
            for batch in samples.batches(_BATCH)
        ]
    gates = [{name: _over_instances(gate) for name, gate in one.gates.items()} for one in told]
    return PartExplanation(
        logits=torch.cat([one.logits for one in told]).float(),
        gates=_one_after_another(gates),
        unimodal=_one_after_another([one.unimodal for one in told]),
        confidence=_one_after_another([one.confidence for one in told]),
    )


def _one_after_another(parts: Sequence[Mapping[str, Tensor]]) -> dict[str, Tensor]:
    """The tensors of all batches, by modality."""
    return {name: torch.cat([part[name] for part in parts]) for name in parts[0]}


def _over_instances(gate: Tensor) -> Tensor:
    """The mean gate over the instances of a bag or series, whose padding is NaN; others as is."""
    return gate.nanmean(dim=1) if gate.ndim == 3 else gate
