"""The comparisons that the notebooks `merge` and `fuse` make, over all folds at once."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Sequence

import pandas as pd

from mmlego.bench.fusing import MODES, orders, tuned_outcomes
from mmlego.bench.merging import (
    HEADS,
    OPERATORS,
    alpha_weights,
    best_by_validation,
    ensemble_outcome,
    first_present_outcome,
    merge_outcome,
    pick,
    subsets,
)
from mmlego.bench.outcome import Outcome
from mmlego.bench.training import BLOCK_VARIANTS, risk_median
from mmlego.data.folds.tabular import TABULAR
from mmlego.lego.merge import LegoMerge
from mmlego.methods.names import ENSEMBLE, LEGO_MERGE
from mmlego.reporting.outcomes import value_table
from mmlego.runs.session import FoldModels, Session

DEFAULT_OPERATOR = "harmonic, arithmetic phase"
DEFAULT_HEAD = "slerp"
ALPHAS = tuple(round(step / 10, 1) for step in range(11))
JOINED = "tables joined"
TUNED_FOR = 2


def separate(models: FoldModels) -> list[str]:
    """Modalities that are not concatenations of others, sorted."""
    return sorted(set(models.fold.names) - {TABULAR})


def joined_pair(models: FoldModels) -> tuple[str, ...]:
    """All tables as one block and the one other modality, as in the paper, or nothing."""
    others = [name for name in separate(models) if models.fold.kinds[name] != "tabular"]
    return (TABULAR, *others) if TABULAR in models.fold.names and others else ()


def merge_subsets(folds: Sequence[FoldModels], blocks: str, device: str) -> list[Outcome]:
    """Merge every pair and all modalities, in every fold, with the defaults of the paper."""
    found = []
    for models in folds:
        names = separate(models)
        for chosen in subsets(names):
            everything = len(chosen) == len(names)
            merged = merge_outcome(
                models.fold,
                models.block_modules(blocks),
                chosen,
                variant="default",
                device=device,
                headline=everything,
            )
            found.append(
                _with_threshold(merged, models, chosen, blocks, device) if everything else merged
            )
    return found


def _with_threshold(
    outcome: Outcome, models: FoldModels, names: Sequence[str], blocks: str, device: str
) -> Outcome:
    """Add the median training risk, which divides patients into high and low risk."""
    model = LegoMerge(pick(models.block_modules(blocks), names))
    facts = threshold_facts(model, models, names, device)
    return dataclasses.replace(outcome, facts=outcome.facts | facts)


def threshold_facts(
    model: object, models: FoldModels, names: Sequence[str], device: str
) -> dict[str, float]:
    """Median risk on the training part; nothing for classification."""
    train = models.fold.train.select(sorted(names)).having(sorted(names), how="any")
    return risk_median(model, train, models.fold, device)


def pair_table(
    folds: Sequence[FoldModels], outcomes: Sequence[Outcome], blocks: str, metric: str
) -> pd.DataFrame:
    """Single blocks and pairs: modalities, repeat, value."""
    names = set(separate(folds[0]))
    single = [
        o for models in folds for name, o in models.block_outcomes(blocks).items() if name in names
    ]
    pairs = [o for o in outcomes if o.variant == "default" and len(o.modalities) == 2]
    return value_table([*single, *pairs], metric, lambda o: o.joined, column="modalities")


def merge_rivals(folds: Sequence[FoldModels], blocks: str, device: str) -> list[Outcome]:
    """What a merge of all modalities has to beat, and the published pair of modalities."""
    found = []
    for models in folds:
        names = separate(models)
        for average in averages(models):
            found.append(
                ensemble_outcome(
                    models.fold,
                    models.encoder_modules(),
                    names,
                    average=average,
                    device=device,
                    headline=True,
                )
            )
        pair = joined_pair(models)
        if pair:
            found.append(
                merge_outcome(
                    models.fold, models.block_modules(blocks), pair, variant=JOINED, device=device
                )
            )
            found.append(
                ensemble_outcome(
                    models.fold, models.encoder_modules(), pair, variant=JOINED, device=device
                )
            )
    return found


def averages(models: FoldModels) -> tuple[str, str]:
    """The two ways of averaging an ensemble: logits, and hazards or probabilities."""
    return ("logits", "hazards" if models.fold.task == "survival" else "probabilities")


def best_block(models: FoldModels, blocks: str, device: str) -> Outcome:
    """The block with the lowest validation loss, tested on the same patients as a merge of all.

    A patient who lacks its modality gets the prediction of the next best block, so that nobody is
    left out.
    """
    names = separate(models)
    chosen = {name: o for name, o in models.block_outcomes(blocks).items() if name in names}
    return first_present_outcome(
        models.fold,
        models.block_modules(blocks),
        chosen,
        variant="best by validation",
        device=device,
    )


def headline_rows(
    folds: Sequence[FoldModels], outcomes: Sequence[Outcome], blocks: str, device: str = "auto"
) -> list[Outcome]:
    """The rows of the main comparison: best block, ensembles, and the merge of all modalities."""
    full = {
        models.fold.repeat: len(models.fold.test.having(separate(models), how="any"))
        for models in folds
    }
    best = [best_block(models, blocks, device) for models in folds]
    everything = set().union(
        *(models.fold.members(name) for models in folds[:1] for name in separate(models))
    )
    rest = [
        o
        for o in outcomes
        if set(o.modalities) == everything
        and o.n_test == full[o.repeat]
        and o.method in (LEGO_MERGE, ENSEMBLE)
    ]
    return [*best, *rest]


def operator_ablation(folds: Sequence[FoldModels], blocks: str, device: str) -> list[Outcome]:
    """Ablation of the merge operator and the phase (A2)."""
    return [
        merge_outcome(
            models.fold,
            models.block_modules(blocks),
            separate(models),
            variant=f"operator: {name}",
            device=device,
            **options,
        )
        for models in folds
        for name, options in OPERATORS.items()
    ]


def head_ablation(folds: Sequence[FoldModels], blocks: str, device: str) -> list[Outcome]:
    """Ablation of the heads (A3): merged in three ways, the best block's, or not merged."""
    found = []
    for models in folds:
        names, modules = separate(models), models.block_modules(blocks)
        for name, options in HEADS.items():
            variant = f"head: {name}"
            found.append(
                merge_outcome(
                    models.fold, modules, names, variant=variant, device=device, **options
                )
            )
        chosen = {name: o for name, o in models.block_outcomes(blocks).items() if name in names}
        best = best_by_validation(chosen)
        one = {name: float(name == best) for name in names}
        found.append(
            merge_outcome(
                models.fold,
                modules,
                names,
                variant="head: best block's",
                device=device,
                head_weights=one,
                heads="linear",
                head_mode="static",
            )
        )
        found.append(
            ensemble_outcome(
                models.fold, modules, names, variant="head: average of logits", device=device
            )
        )
    return found


def alpha_pair(folds: Sequence[FoldModels], blocks: str) -> tuple[str, str]:
    """The pair whose weights are varied: the published one, else the two best by validation."""
    pair = joined_pair(folds[0])
    if len(pair) == 2:
        return pair
    names = separate(folds[0])
    losses = {
        name: sum(models.block_outcomes(blocks)[name].facts["best_val_loss"] for models in folds)
        for name in names
    }
    first, second = sorted(names, key=losses.__getitem__)[:2]
    return first, second


def alpha_ablation(
    folds: Sequence[FoldModels], pair: tuple[str, str], blocks: str, device: str
) -> list[Outcome]:
    """Ablation of the weights (A4)."""
    return [
        merge_outcome(
            models.fold,
            models.block_modules(blocks),
            pair,
            variant=f"alpha: {alpha}",
            weights=alpha_weights(*pair, alpha),
            device=device,
        )
        for models in folds
        for alpha in ALPHAS
    ]


def block_ablation(folds: Sequence[FoldModels], device: str) -> list[Outcome]:
    """Merges of all modalities for each kind of block."""
    return [
        merge_outcome(
            models.fold,
            models.block_modules(kind),
            separate(models),
            variant=blocks_label(kind),
            device=device,
        )
        for models in folds
        for kind in BLOCK_VARIANTS
    ]


def blocks_label(kind: str) -> str:
    """Variant name of a merge of one kind of blocks."""
    return f"blocks: {kind}"


def ablation_table(outcomes: Iterable[Outcome], metric: str) -> pd.DataFrame:
    """Levels of an ablation by name: label, repeat, value."""
    return value_table(outcomes, metric, _after_colon)


def _after_colon(outcome: Outcome) -> str:
    kind, _, name = outcome.variant.partition(": ")
    return outcome.variant if kind == "blocks" else name


def alpha_table(outcomes: Iterable[Outcome], metric: str) -> pd.DataFrame:
    """Sweep over the weight: x, repeat, value."""
    return value_table(outcomes, metric, lambda o: float(o.variant.partition(": ")[2]), column="x")


def tuning(
    folds: Sequence[FoldModels],
    session: Session,
    blocks: str,
    tune_epochs: Sequence[int],
    log: Callable[[str], None] | None = None,
) -> list[Outcome]:
    """Stack, weave, and the tuned merge of all modalities, at each number of tuning epochs."""
    found = []
    for models in folds:
        for mode in (*MODES, "merge"):
            outcomes = _tuned(models, session, blocks, mode, separate(models), tune_epochs)
            shown = f"stack, {TUNED_FOR} epochs"
            found += [dataclasses.replace(o, headline=o.variant == shown) for o in outcomes]
            if log:
                log(
                    f"repeat {models.fold.repeat}  {mode:<6} "
                    f"{'  '.join(_short(o) for o in outcomes)}  "
                    f"{outcomes[-1].seconds:.1f} s"
                )
    return found


def _short(outcome: Outcome) -> str:
    return f"{outcome.variant.split(', ')[1]}: {next(iter(outcome.metrics.values())):.3f}"


def _tuned(
    models: FoldModels,
    session: Session,
    blocks: str,
    mode: str,
    names: Sequence[str],
    tune_epochs: Sequence[int],
) -> list[Outcome]:
    return tuned_outcomes(
        models.fold,
        models.block_modules(blocks),
        names,
        session.settings,
        session.store,
        mode=mode,
        tune_epochs=tune_epochs,
        parents={name: o.key for name, o in models.block_outcomes(blocks).items()},
    )


def tuning_table(outcomes: Iterable[Outcome], metric: str) -> pd.DataFrame:
    """Sweep over tuning epochs: x, repeat, value, label (stack, weave, merge)."""
    outcomes = list(outcomes)
    frame = value_table(
        outcomes, metric, lambda o: int(o.variant.split(", ")[1].split()[0]), column="x"
    )
    kept = value_table(outcomes, metric, lambda o: o.variant.split(", ")[0])
    return frame.assign(label=kept["label"])


def fuse_rivals(
    folds: Sequence[FoldModels], tuned: Sequence[Outcome], blocks: str, device: str
) -> list[Outcome]:
    """The rows of the main comparison of fusion.

    Best block, merge, tuned merge, stack and weave.
    """
    found = [best_block(models, blocks, device) for models in folds]
    found += [
        merge_outcome(
            models.fold,
            models.block_modules(blocks),
            separate(models),
            variant="default",
            device=device,
        )
        for models in folds
    ]
    wanted = {f"{mode}, {TUNED_FOR} epochs" for mode in (*MODES, "merge")} | {"stack, 0 epochs"}
    return [*found, *(o for o in tuned if o.variant in wanted)]


def joined_fusion(folds: Sequence[FoldModels], session: Session, blocks: str) -> list[Outcome]:
    """Stack of the published pair, tuned for two epochs: all tables as one, and the other."""
    found = []
    for models in folds:
        pair = joined_pair(models)
        for outcome in _tuned(models, session, blocks, "stack", pair, [TUNED_FOR]) if pair else []:
            found.append(dataclasses.replace(outcome, variant=JOINED))
    return found


def order_ablation(
    folds: Sequence[FoldModels], session: Session, blocks: str, max_orders: int
) -> list[Outcome]:
    """Ablation of the order of a stack, tuned for two epochs (A7)."""
    found = []
    for models in folds:
        for order in orders(separate(models), max_orders):
            for outcome in _tuned(models, session, blocks, "stack", order, [TUNED_FOR]):
                found.append(dataclasses.replace(outcome, variant="order: " + " > ".join(order)))
    return found


def order_table(outcomes: Iterable[Outcome], metric: str) -> pd.DataFrame:
    """Orders by name: label, repeat, value."""
    return value_table(outcomes, metric, _after_colon)
