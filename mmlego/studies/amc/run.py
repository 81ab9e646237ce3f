"""AMC, its ablations and its readings on one fold: which arms there are, and their training."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

from torch import nn

from mmlego.bench.configurations import Arm, Trained, check_arms, suits
from mmlego.bench.fold_bench import Bench, benches, methods_for
from mmlego.bench.inputs import INPUT_TITLES, SEPARATE, separate_names
from mmlego.bench.merging import first_present_outcome
from mmlego.bench.outcome import Outcome, tell
from mmlego.bench.store.code import code_digest
from mmlego.bench.store.fits import FitStore
from mmlego.bench.training import Recipe, derived_seed, fit_settings, objective_of, train_recipe
from mmlego.bench.withholding import complete_training
from mmlego.data.folds.fold import Fold
from mmlego.methods.names import AMC
from mmlego.methods.registry import METHODS, rivals_on_tokens
from mmlego.models.baselines.first_present import OnItsOwn
from mmlego.runs.settings import AMCBase, AMCSettings

LITERAL, INVERSE = "literal", "inverse"
BEST_ALONE = "best modality by validation"
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
_NOT_PRINTED = {
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


def _paired() -> Iterator[Arm]:
    for rule, title in RULES.items():
        yield Arm(rule, f"AMC, {title}", AMC, {"k_rule": rule})
    for name, (title, options) in CHANGES.items():
        for rule, word in RULES.items():
            yield Arm(f"{name}, {rule}", f"{title}, {word}", AMC, {"k_rule": rule, **options})


ARMS: dict[str, Arm] = {
    arm.name: arm
    for arm in (
        *_paired(),
        *(
            Arm(
                f"complete, {rule}",
                f"trained on complete samples, {rule}",
                AMC,
                {"k_rule": rule},
                complete=True,
            )
            for rule in RULES
        ),
        Arm("retain", "AMC, retain", AMC, {"k_rule": "retain"}),
        Arm("positionwise", "AMC, positionwise", AMC, {"k_rule": "positionwise"}),
        Arm(
            "positionwise, after_every",
            "AMC, positionwise, after every block",
            AMC,
            {"k_rule": "positionwise", "placement": "after_every"},
        ),
        Arm("no_fusion", "no re-balancing", AMC, {"k_rule": "none"}),
        Arm("strict", "token fusion as published", AMC, {"token_score": "strict_fusion"}),
        *(
            Arm(
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
            Arm(
                "unweighted" if rule == LITERAL else f"unweighted, {rule}",
                f"AMC, {rule}, classes unweighted",
                AMC,
                {"k_rule": rule},
                {"class_weights": "none"},
                "classification",
            )
            for rule in RULES
        ),
        Arm("cox", "AMC, literal, Cox loss", AMC, {}, {"survival_loss": "cox"}, "survival"),
        Arm(
            "cox, inverse",
            "AMC, inverse, Cox loss",
            AMC,
            {"k_rule": INVERSE},
            {"survival_loss": "cox"},
            "survival",
        ),
    )
}
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


class PairedRecipe(Recipe):
    """A recipe whose seed is that of all configurations of one method on the same modalities.

    Those that draw the same random numbers, such as the rules and the measures of importance, start
    from the same weights and see the same batches, so that what differs between them is what was
    changed. One with other parameters draws others from where it differs on.
    """

    def seed_for(self, fold: Fold) -> int:
        """The seed of this fit on this fold."""
        place = (fold.cohort, fold.unit, fold.repeat)
        return derived_seed(self.seed, *place, self.method, self.names)


def alone(name: str) -> Arm:
    """AMC on one modality: no re-balancing, no contrastive losses, the same backbone."""
    return Arm(f"only {name}", f"AMC on {name} alone", AMC)


def best_alone(
    runs: Sequence[Trained], log: Callable[[str], None] | None = None
) -> Iterator[Outcome]:
    """The network of a single modality with the lowest validation loss, fold by fold.

    Who lacks its modality is predicted by the next one, so that everybody is tested whom AMC on all
    modalities is tested on: what a user would have without any fusion.
    """
    for fold in {run.fold.repeat: run.fold for run in runs}.values():
        own = [run for run in runs if run.fold.repeat == fold.repeat]
        outcome = first_present_outcome(
            fold,
            {run.names[0]: OnItsOwn(run.names[0], run.model) for run in own},
            {run.names[0]: run.outcome for run in own},
            variant=BEST_ALONE,
            method=AMC,
            device="cpu",
        )
        tell(log, outcome)
        yield outcome


def is_alone(variant: str) -> bool:
    """Whether a variant is AMC on one modality."""
    return variant.startswith("only ")


def title_of(variant: str) -> str:
    """What readers call an arm, by the variant of its outcome."""
    if variant == BEST_ALONE:
        return "AMC, best modality alone"
    return alone(variant[5:]).title if is_alone(variant) else ARMS[variant].title


def arms_for(folds: Sequence[Fold], wanted: Sequence[str], usual: Sequence[str]) -> list[Arm]:
    """The wanted arms, or the usual ones, that suit the data.

    Raises:
        SettingsError: If a wanted arm is unknown, or is for another task.
    """
    task = folds[0].task
    check_arms(wanted, ARMS, task)
    return [arm for arm in ARMS.values() if arm.name in (wanted or usual) and suits(arm, task)]


def train_arms(
    folds: Sequence[Fold],
    arms: Sequence[Arm],
    settings: AMCBase,
    store: FitStore,
    log: Callable[[str], None] | None = None,
) -> Iterator[Trained]:
    """Train some arms on all modalities of every fold.

    Args:
        folds: The splits.
        arms: Which.
        settings: How to train, and the sizes.
        store: Where finished fits lie.
        log: Called with one line per fit.
    """
    for fold in folds:
        for arm in arms:
            trained = train_arm(fold, arm, separate_names(fold), settings, store)
            tell(log, trained.outcome)
            yield trained


def train_alone(
    folds: Sequence[Fold],
    settings: AMCBase,
    store: FitStore,
    log: Callable[[str], None] | None = None,
) -> Iterator[Trained]:
    """Train AMC on each modality by itself; see ``train_arms``."""
    for fold in folds:
        for name in separate_names(fold):
            trained = train_arm(fold, alone(name), [name], settings, store)
            tell(log, trained.outcome)
            yield trained


def train_arm(
    fold: Fold, arm: Arm, names: Sequence[str], settings: AMCBase, store: FitStore
) -> Trained:
    """Train one arm on one fold, or take the very same fit from the store.

    Raises:
        DataError: If the arm is for data with incomplete samples, and there are none.
    """
    names = tuple(names)
    seen = complete_training(fold, names) if arm.complete else fold
    recipe = PairedRecipe(
        method=AMC,
        variant=arm.name,
        names=names,
        fit=fit_settings(settings, **arm.fit),
        options=model_options(AMC, settings) | dict(arm.options),
        seed=settings.seed,
        device=settings.device,
    )
    outcome, model = train_recipe(
        seen, recipe, lambda: build(seen, recipe), store, code=code_digest(METHODS[AMC].build)
    )
    return Trained(arm, seen, names, outcome, model)


def model_options(method: str, settings: AMCBase) -> dict[str, object]:
    """What the settings say of AMC, or of a model that shares its tokens: the sizes of these."""
    return {name: getattr(settings, name) for name in (_OWN_SIZES if method == AMC else _SIZES)}


def build(fold: Fold, recipe: Recipe) -> nn.Module:
    """An untrained model."""
    return METHODS[AMC].build(
        {name: fold.widths[name] for name in recipe.names},
        objective_of(fold, recipe.fit).n_outputs,
        kinds={name: fold.kinds[name] for name in recipe.names},
        **recipe.options,
    )


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
                yield from bench.multimodal(names, INPUT_TITLES[SEPARATE], [method])


def _token_model(bench: Bench, method: str, names: Sequence[str], settings: AMCSettings) -> Outcome:
    return bench.whole(
        method,
        names,
        INPUT_TITLES[SEPARATE],
        options=model_options(method, settings),
    )[0]
