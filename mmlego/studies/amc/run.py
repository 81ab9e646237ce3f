"""AMC, its ablations and its readings on one fold: which arms there are, and their training."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace

from mmlego.bench.configurations import Configuration, by_name, check_arms
from mmlego.bench.fold_bench import Bench, benches, methods_for, train_network
from mmlego.bench.inputs import SEPARATE, separate_names
from mmlego.bench.merging import best_that_applies
from mmlego.bench.outcome import Outcome, log_outcome
from mmlego.bench.store.fits import FitStore
from mmlego.bench.trained import Labels, TrainedModel, train_configurations
from mmlego.bench.training import Recipe, fit_settings
from mmlego.bench.withholding import complete_training
from mmlego.data.folds.fold import Fold
from mmlego.methods.names import AMC
from mmlego.methods.registry import rivals_on_tokens
from mmlego.runs.settings import AMCBase, AMCSettings

LITERAL, INVERSE = "literal", "inverse"
ALONE = "alone"  # one modality
RULES = {LITERAL: "literal", INVERSE: "inverse"}
_SIZES = ("tokens", "width", "heads", "dropout", "tokenizer")
_OWN_SIZES = (
    *_SIZES,
    "layers",
    "experts",
    "top_k",
    "instance_weight",
    "token_weight",
    "balance_weight",
)

# What is changed under both rules, since the paper contradicts itself on them.
CHANGES: dict[str, tuple[str, Mapping[str, object]]] = {
    "std": ("importance by STD", {"importance": "std"}),
    "max": ("importance by maximum", {"importance": "max"}),
    "softmax": ("ordinary attention", {"attention": "softmax"}),
    "learned": ("learned token scores", {"token_score": "learned"}),
    "no_contrastive": ("no contrastive losses", {"instance_weight": 0.0, "token_weight": 0.0}),
    "dense": ("no experts", {"feed_forward": "dense"}),
    "after_every": ("after every block", {"placement": "after_every"}),
    "impute": ("absent replaced", {"missing_mode": "impute"}),
    "equal": ("equal importance", {"importance": "equal"}),
    "better": ("better donors only", {"only_if_better": True}),
    "column": ("scores by column", {"score_axis": "column"}),
    "top_gates": ("gates of the chosen", {"gate_norm": "softmax_topk"}),
    "schedule": ("scheduled lambda", {"lambda_init": "schedule"}),
    "others": ("other samples as negatives", {"token_negatives": "other_instances"}),
    "zeros": ("zeros where absent", {"missing_tokens": "zeros"}),
}
_NOT_PRINTED: dict[str, tuple[str, dict[str, object], dict[str, object]]] = {
    "summed_ties": ("summed donors", {"tie": "sum"}, {}),
    "raw": (
        "raw products",
        {"normalize": False, "temperature": 1.0},
        {},
    ),
    "summed_losses": ("summed contrastive losses", {"contrastive_reduction": "sum"}, {}),
    "query_self": (
        "queries with self-attention",
        {"tokenizer": "query", "query_self_attention": True},
        {},
    ),
    "modality_order": ("warm-up by completeness", {}, {"warmup_mode": "modality_order"}),
    "late_fusion": ("warm-up without re-balancing", {}, {"warmup_mode": "no_fusion"}),
}


def _paired() -> Iterator[Configuration]:
    for rule, title in RULES.items():
        yield Configuration(rule, f"AMC, {title}", AMC, {"k_rule": rule})
    for name, (title, changed) in CHANGES.items():
        for rule, word in RULES.items():
            options = {"k_rule": rule, **changed}
            yield Configuration(f"{name}, {rule}", f"{title}, {word}", AMC, options, factor=name)


ARMS = by_name(
    *_paired(),
    *(
        Configuration(
            f"complete, {rule}",
            f"trained on complete samples, {rule}",
            AMC,
            {"k_rule": rule},
            complete=True,
        )
        for rule in RULES
    ),
    Configuration("retain", "AMC, retain", AMC, {"k_rule": "retain"}),
    Configuration("positionwise", "AMC, positionwise", AMC, {"k_rule": "positionwise"}),
    Configuration(
        "positionwise, after_every",
        "AMC, positionwise, after every block",
        AMC,
        {"k_rule": "positionwise", "placement": "after_every"},
    ),
    Configuration("no_fusion", "no re-balancing", AMC, {"k_rule": "none"}),
    Configuration("strict", "token fusion as published", AMC, {"token_score": "strict_fusion"}),
    *(
        Configuration(
            name if rule == LITERAL else f"{name}, {rule}",
            f"{title}, {rule}",
            AMC,
            {"k_rule": rule, **options},
            fit,
        )
        for name, (title, options, fit) in _NOT_PRINTED.items()
        for rule in RULES
    ),
    *(
        Configuration(
            "unweighted" if rule == LITERAL else f"unweighted, {rule}",
            f"AMC, {rule}, classes unweighted",
            AMC,
            {"k_rule": rule},
            {"class_weights": "none"},
            "classification",
        )
        for rule in RULES
    ),
    Configuration("cox", "AMC, literal, Cox loss", AMC, {}, {"survival_loss": "cox"}, "survival"),
    Configuration(
        "cox, inverse",
        "AMC, inverse, Cox loss",
        AMC,
        {"k_rule": INVERSE},
        {"survival_loss": "cox"},
        "survival",
    ),
)
# What the table of missing modalities is about, published as table 9.
MISSING_ARMS = (LITERAL, INVERSE, *(f"complete, {rule}" for rule in RULES))
# The published tables 4, 5 and 6, and the experiments on contradictions, in the order of a page.
PUBLISHED_ARMS = (
    LITERAL,
    INVERSE,
    "retain",
    "positionwise",
    "positionwise, after_every",
    "no_fusion",
    "strict",
    "unweighted",
    "unweighted, inverse",
    *(
        f"{change}, {rule}"
        for change in ("std", "max", "softmax", "learned", "no_contrastive", "dense", "after_every")
        for rule in RULES
    ),
)


ONE_MODALITY = Configuration(ALONE, "AMC on one modality", AMC)


def rule_of(arm: str) -> str:
    """The replacement rule of an arm, such as ``inverse``; the literal one is the default."""
    return str(ARMS[arm].options.get("k_rule", LITERAL)) if arm in ARMS else ""


def best_alone(
    runs: Sequence[TrainedModel], store: FitStore, log: Callable[[str], None] | None = None
) -> Iterator[Outcome]:
    """The network of a single modality with the lowest validation loss, fold by fold.

    Who lacks its modality is predicted by the next one, so that everybody is tested whom AMC on all
    modalities is tested on: what a user would have without any fusion.
    """
    for fold in {run.fold.repeat: run.fold for run in runs}.values():
        own = {run.names[0]: run for run in runs if run.fold.repeat == fold.repeat}
        outcome = best_that_applies(fold, own, store, device="cpu", arm=ALONE).outcome
        log_outcome(log, outcome)
        yield outcome


def is_alone(outcome: Outcome) -> bool:
    """Whether an outcome is that of AMC on one modality."""
    return outcome.method == AMC and outcome.arm == ALONE and not outcome.chosen_by


def title_of(arm: str, modalities: Sequence[str] = (), chosen_by: str = "") -> str:
    """What readers call an arm; of AMC on one modality with the name of that."""
    if arm == ALONE:
        return "AMC, best modality alone" if chosen_by else f"AMC on {modalities[0]} alone"
    return ARMS[arm].title


def arms_for(
    folds: Sequence[Fold], wanted: Sequence[str], usual: Sequence[str]
) -> list[Configuration]:
    """The wanted arms, or the usual ones, that suit the data.

    Raises:
        SettingsError: If a wanted arm is unknown, or is for another task.
    """
    task = folds[0].task
    check_arms(wanted, ARMS, task)
    return [arm for arm in ARMS.values() if arm.name in (wanted or usual) and arm.is_for(task)]


def train_arms(
    folds: Sequence[Fold],
    arms: Sequence[Configuration],
    settings: AMCBase,
    store: FitStore,
    log: Callable[[str], None] | None = None,
) -> Iterator[TrainedModel]:
    """Train some arms on all modalities of every fold.

    Args:
        folds: The splits.
        arms: Which.
        settings: How to train, and the sizes.
        store: Where finished fits lie.
        log: Called with one line per fit.
    """
    return train_configurations(
        folds,
        lambda fold: [(arm, separate_names(fold)) for arm in arms],
        lambda fold, arm, names: train_arm(fold, arm, names, settings, store),
        log,
    )


def train_alone(
    folds: Sequence[Fold],
    settings: AMCBase,
    store: FitStore,
    log: Callable[[str], None] | None = None,
) -> Iterator[TrainedModel]:
    """Train AMC on each modality by itself; see ``train_arms``."""
    return train_configurations(
        folds,
        lambda fold: [(ONE_MODALITY, [name]) for name in separate_names(fold)],
        lambda fold, arm, names: train_arm(fold, arm, names, settings, store),
        log,
    )


def train_arm(
    fold: Fold, arm: Configuration, names: Sequence[str], settings: AMCBase, store: FitStore
) -> TrainedModel:
    """Train one arm on one fold, or take the very same fit from the store.

    Raises:
        DataError: If the arm is for data with incomplete samples, and there are none.
    """
    names = tuple(names)
    seen = complete_training(fold, names) if arm.complete else fold
    recipe = Recipe(
        method=AMC,
        names=names,
        fit=fit_settings(settings, **arm.fit),
        options=model_options(AMC, settings) | dict(arm.options),
        seed=settings.seed,
        device=settings.device,
        # Configurations that draw the same random numbers start from the same weights.
        seed_word=None,
    )
    labels = Labels(AMC, names, {"arm": arm.name})
    return replace(train_network(seen, recipe, store, labels), configuration=arm)


def model_options(method: str, settings: AMCBase) -> dict[str, object]:
    """What the settings say of AMC, or of a model that shares its tokens: the sizes of these."""
    return {name: getattr(settings, name) for name in (_OWN_SIZES if method == AMC else _SIZES)}


def train_rivals(
    folds: Sequence[Fold],
    settings: AMCSettings,
    store: FitStore,
    log: Callable[[str], None] | None = None,
) -> Iterator[Outcome]:
    """The other methods that the settings name, on the same modalities of the same splits.

    Models that share AMC's tokens get its sizes. None named means none.
    """
    for bench in benches(folds, settings, store, log) if settings.rivals else ():
        names = separate_names(bench.fold)
        for method in methods_for(bench.fold, names, settings.rivals):
            if method in rivals_on_tokens():
                yield _token_model(bench, method, names, settings)
            else:
                yield from bench.multimodal(names, SEPARATE, [method])


def _token_model(bench: Bench, method: str, names: Sequence[str], settings: AMCSettings) -> Outcome:
    return bench.whole(
        method,
        names,
        SEPARATE,
        options=model_options(method, settings),
    ).outcome
