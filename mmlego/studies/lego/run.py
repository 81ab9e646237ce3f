"""What the notebooks `unimodal`, `merge` and `fuse` train and compare, over all folds at once."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import pandas as pd

from mmlego.bench import merging
from mmlego.bench.fold_bench import Bench
from mmlego.bench.fusing import MERGE, MODES, STACK, TUNED_FOR, orders
from mmlego.bench.inputs import JOINED, separate_names
from mmlego.bench.merging import alpha_weights, best_by_validation, subsets
from mmlego.bench.outcome import Outcome
from mmlego.bench.trained import TrainedModel
from mmlego.bench.training import BLOCK_VARIANTS, risk_median
from mmlego.data.folds.tabular import TABULAR
from mmlego.methods.names import ENSEMBLE, LEGO_MERGE
from mmlego.reporting.outcomes import value_table

DEFAULT_OPERATOR = "harmonic, arithmetic phase"
DEFAULT_HEAD = "slerp"
OPERATORS: dict[str, dict[str, str]] = {
    DEFAULT_OPERATOR: {},
    "harmonic, circular phase": {"phase": "circular"},
    "sum": {"latents": "sum"},
    "mean": {"latents": "mean"},
    "product": {"latents": "product"},
    "geometric": {"latents": "geometric"},
    "complex harmonic": {"latents": "complex_harmonic"},
    "largest magnitude": {"latents": "max_magnitude"},
}
HEADS: dict[str, dict[str, str]] = {
    DEFAULT_HEAD: {},
    "linear": {"heads": "linear"},
    "optimal transport": {"heads": "ot"},
}
ALPHAS = tuple(round(step / 10, 1) for step in range(11))
LOGITS = "logits"


def train_unimodal(benches: Iterable[Bench]) -> list[Outcome]:
    """Train, for every modality of every fold, its encoder and the three variants of its block."""
    return [
        model.outcome
        for bench in benches
        for model in [
            *(bench.encoder(name) for name in bench.fold.names),
            *(bench.block(name, kind) for kind in BLOCK_VARIANTS for name in bench.fold.names),
        ]
    ]


def joined_pair(bench: Bench) -> tuple[str, ...]:
    """All tables as one block and the one other modality, as in the paper, or nothing."""
    fold = bench.fold
    others = [name for name in separate_names(fold) if fold.kinds[name] != "tabular"]
    return (TABULAR, *others) if TABULAR in fold.names and others else ()


def level(factor: str, value: object) -> dict[str, Any]:
    """Labels of an outcome that differs from the default in one thing."""
    return {"arm": f"{factor}: {value}", "facts": {"factor": factor, "level": value}}


def levels(outcomes: Iterable[Outcome], factor: str) -> list[Outcome]:
    """The outcomes that differ in one thing."""
    return [o for o in outcomes if o.facts.get("factor") == factor]


def merge_subsets(benches: Sequence[Bench], variant: str) -> list[Outcome]:
    """Merge every pair and all modalities, in every fold, with the defaults of the paper."""
    found = []
    for bench in benches:
        names = separate_names(bench.fold)
        blocks = bench.blocks(names, variant)
        for chosen in subsets(names):
            everything = len(chosen) == len(names)
            merged = bench.merge(chosen, blocks=blocks, headline=everything)
            found.append(_with_threshold(bench, merged) if everything else merged.outcome)
    return found


def _with_threshold(bench: Bench, merged: TrainedModel) -> Outcome:
    """Add the median training risk, which divides patients into high and low risk."""
    if bench.fold.task != "survival" or "train_risk_median" in merged.outcome.facts:
        return merged.outcome
    names = sorted(merged.names)
    train = bench.fold.train.select(names).where_present(names, how="any")
    facts = risk_median(merged.model, train, bench.fold, bench.settings.device)
    return merged.outcome.relabelled(facts=facts)


def pair_table(
    benches: Sequence[Bench], outcomes: Sequence[Outcome], variant: str, metric: str
) -> pd.DataFrame:
    """Single blocks and pairs: modalities, repeat, value."""
    single = [
        bench.block(name, variant).outcome
        for bench in benches
        for name in separate_names(bench.fold)
    ]
    pairs = [
        o
        for o in outcomes
        if o.method == LEGO_MERGE and not (o.arm or o.inputs) and len(o.modalities) == 2
    ]
    return value_table([*single, *pairs], metric, lambda o: o.modality_key, column="modalities")


def merge_rivals(benches: Sequence[Bench], variant: str) -> list[Outcome]:
    """What a merge of all modalities has to beat, and the published pair of modalities."""
    found = []
    for bench in benches:
        names = separate_names(bench.fold)
        for average in averages(bench):
            arm = "" if average == LOGITS else average
            found.append(bench.ensemble(names, average, arm=arm).outcome)
        pair = joined_pair(bench)
        if pair:
            labels: dict[str, Any] = {"inputs": JOINED, "headline": False}
            merged = bench.merge(pair, blocks=bench.blocks(pair, variant), **labels)
            found += [merged.outcome, bench.ensemble(pair, **labels).outcome]
    return found


def averages(bench: Bench) -> tuple[str, str]:
    """The two ways of averaging an ensemble: logits, and hazards or probabilities."""
    return (LOGITS, "hazards" if bench.fold.task == "survival" else "probabilities")


def headline_rows(
    benches: Sequence[Bench], outcomes: Sequence[Outcome], variant: str
) -> list[Outcome]:
    """The rows of the main comparison: best block, ensembles, and the merge of all modalities.

    The best block is tested on the same patients as a merge of all: one who lacks its modality
    gets the prediction of the next best block, so that nobody is left out.
    """
    best = [bench.best_block(separate_names(bench.fold), variant).outcome for bench in benches]
    rest = [
        o
        for o in outcomes
        if o.method in (LEGO_MERGE, ENSEMBLE)
        and not o.facts.get("factor")
        and o.modalities == best[0].modalities
        and not o.inputs
    ]
    return [*best, *rest]


def operator_ablation(benches: Sequence[Bench], variant: str) -> list[Outcome]:
    """Ablation of the merge operator and the phase (A2)."""
    return [
        _merged(bench, variant, "operator", name, options=options)
        for bench in benches
        for name, options in OPERATORS.items()
    ]


def _merged(bench: Bench, variant: str, factor: str, name: object, **how: Any) -> Outcome:
    names = separate_names(bench.fold)
    blocks = bench.blocks(names, variant)
    return bench.merge(names, blocks=blocks, headline=False, **how, **level(factor, name)).outcome


def head_ablation(benches: Sequence[Bench], variant: str) -> list[Outcome]:
    """Ablation of the heads (A3): merged in three ways, the best block's, or not merged."""
    found = []
    for bench in benches:
        names = separate_names(bench.fold)
        for name, options in HEADS.items():
            found.append(_merged(bench, variant, "head", name, options=options))
        blocks = bench.blocks(names, variant)
        best = best_by_validation(blocks)
        one = {
            "head_weights": {name: float(name == best) for name in names},
            "heads": "linear",
            "head_mode": "static",
        }
        found.append(_merged(bench, variant, "head", "best block's", options=one))
        found.append(
            merging.ensemble(
                bench.fold,
                blocks,
                names,
                bench.store,
                device=bench.settings.device,
                headline=False,
                **level("head", "average of logits"),
            ).outcome
        )
    return found


def alpha_pair(benches: Sequence[Bench], variant: str) -> tuple[str, str]:
    """The pair whose weights are varied: the published one, else the two best by validation."""
    pair = joined_pair(benches[0])
    if len(pair) == 2:
        return pair
    names = separate_names(benches[0].fold)
    losses = {
        name: sum(bench.block(name, variant).outcome.facts["best_val_loss"] for bench in benches)
        for name in names
    }
    first, second = sorted(names, key=losses.__getitem__)[:2]
    return first, second


def alpha_ablation(benches: Sequence[Bench], pair: tuple[str, str], variant: str) -> list[Outcome]:
    """Ablation of the weights (A4)."""
    return [
        bench.merge(
            pair,
            blocks=bench.blocks(pair, variant),
            weights=alpha_weights(*pair, alpha),
            headline=False,
            **level("alpha", alpha),
        ).outcome
        for bench in benches
        for alpha in ALPHAS
    ]


def block_ablation(benches: Sequence[Bench]) -> list[Outcome]:
    """Merges of all modalities for each kind of block."""
    return [_merged(bench, kind, "blocks", kind) for bench in benches for kind in BLOCK_VARIANTS]


def ablation_table(outcomes: Iterable[Outcome], metric: str) -> pd.DataFrame:
    """Levels of an ablation by name: label, repeat, value."""
    return value_table(outcomes, metric, lambda o: o.facts["level"])


def alpha_table(outcomes: Iterable[Outcome], metric: str) -> pd.DataFrame:
    """Sweep over the weight: x, repeat, value."""
    return value_table(outcomes, metric, lambda o: float(o.facts["level"]), column="x")


def tuning(
    benches: Sequence[Bench],
    variant: str,
    tune_epochs: Sequence[int],
    log: Callable[[str], None] | None = None,
) -> list[Outcome]:
    """Stack, weave, and the tuned merge of all modalities, at each number of tuning epochs."""
    found = []
    for bench in benches:
        for mode in (*MODES, MERGE):
            names = separate_names(bench.fold)
            tuned = bench.tune(names, mode, tune_epochs, variant=variant)
            outcomes = [model.outcome for model in tuned.values()]
            found += [o.relabelled(headline=_is_headline(o)) for o in outcomes]
            if log:
                log(
                    f"repeat {bench.fold.repeat}  {mode:<6} "
                    f"{'  '.join(_short(o) for o in outcomes)}  "
                    f"{outcomes[-1].seconds:.1f} s"
                )
    return found


def _is_headline(outcome: Outcome) -> bool:
    return outcome.arm == STACK and outcome.tune_epochs == TUNED_FOR


def _short(outcome: Outcome) -> str:
    return f"{outcome.tune_epochs} epochs: {next(iter(outcome.metrics.values())):.3f}"


def tuning_table(outcomes: Iterable[Outcome], metric: str) -> pd.DataFrame:
    """Sweep over tuning epochs: x, repeat, value, label (stack, weave, merge)."""
    outcomes = list(outcomes)
    frame = value_table(outcomes, metric, lambda o: o.tune_epochs, column="x")
    kept = value_table(outcomes, metric, lambda o: o.arm or MERGE)
    return frame.assign(label=kept["label"])


def fuse_rivals(benches: Sequence[Bench], tuned: Sequence[Outcome], variant: str) -> list[Outcome]:
    """The rows of the main comparison of fusion.

    Best block, merge, tuned merge, stack and weave.
    """
    found = [bench.best_block(separate_names(bench.fold), variant).outcome for bench in benches]
    for bench in benches:
        names = separate_names(bench.fold)
        merged = bench.merge(names, blocks=bench.blocks(names, variant), headline=False)
        found.append(merged.outcome)
    shown = [o for o in tuned if o.tune_epochs == TUNED_FOR]
    return [*found, *shown, *(o for o in tuned if o.arm == STACK and o.tune_epochs == 0)]


def joined_fusion(benches: Sequence[Bench], variant: str) -> list[Outcome]:
    """Stack of the published pair, tuned for two epochs: all tables as one, and the other."""
    return [
        bench.fuse(
            pair,
            variant=variant,
            tune_epochs=TUNED_FOR,
            inputs=JOINED,
            headline=False,
        ).outcome
        for bench in benches
        if (pair := joined_pair(bench))
    ]


def order_ablation(benches: Sequence[Bench], variant: str, max_orders: int) -> list[Outcome]:
    """Ablation of the order of a stack, tuned for two epochs (A7)."""
    return [
        bench.fuse(
            order,
            variant=variant,
            tune_epochs=TUNED_FOR,
            headline=False,
            **level("order", " > ".join(order)),
        ).outcome
        for bench in benches
        for order in orders(separate_names(bench.fold), max_orders)
    ]
