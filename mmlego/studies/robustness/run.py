"""What happens to every method when modalities are missing, scarce, cut down, or added later."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from mmlego.bench.fold_bench import Bench, benches
from mmlego.bench.inputs import headline_inputs
from mmlego.bench.merging import bare_blocks
from mmlego.bench.outcome import Outcome
from mmlego.bench.store.fits import FitStore
from mmlego.bench.trained import Labels, TrainedModel, assembled
from mmlego.bench.withholding import (
    doubled,
    one_instance,
    only,
    scarce_in_training,
    share_withheld,
    withhold_at_random,
)
from mmlego.data.folds.fold import Fold
from mmlego.data.folds.samples import Samples
from mmlego.errors import RunError
from mmlego.learning.predict import predict_logits
from mmlego.lego.merge import LegoMerge
from mmlego.methods.method import SCARCE, TRAINED_AGAIN
from mmlego.methods.names import LEGO_MERGE
from mmlego.methods.registry import in_role
from mmlego.runs.settings import RobustnessSettings
from mmlego.studies.robustness.models import (
    STATIC,
    compared,
    mean_over_draws,
    methods_on,
    score_on,
    tested_on,
)

MISSING, IMBALANCE, CARDINALITY, EXTENSION = "missing", "imbalance", "cardinality", "extension"
PARTS = (MISSING, IMBALANCE, CARDINALITY, EXTENSION)
RETRAINED = in_role(TRAINED_AGAIN)
BEFORE, AFTER, AGAIN = "before adding", "after adding", "trained again with"
# Shares of the training samples that have the scarce modality.
SHARES = (0.1, 0.25, 0.5, 1.0)
UNDER_IMBALANCE = in_role(SCARCE)
ALL, ONE, TWICE = "all instances", "one instance", "each instance twice"


@dataclass
class Findings:
    """Outcomes of the parts of the notebook, which are empty where a part did not run."""

    missing: list[Outcome] = field(default_factory=list)
    imbalance: list[Outcome] = field(default_factory=list)
    cardinality: list[Outcome] = field(default_factory=list)
    extension: list[Outcome] = field(default_factory=list)

    def outcomes(self) -> list[Outcome]:
        """All of them."""
        return [o for part in PARTS for o in getattr(self, part)]


def run_all(
    folds: Sequence[Fold],
    settings: RobustnessSettings,
    store: FitStore,
    log: Callable[[str], None] | None = None,
) -> Findings:
    """All parts that the settings ask for, one fold after the other.

    Args:
        folds: The splits.
        settings: Parts, rates, draws, and how to train.
        store: Where finished fits lie.
        log: Called with one line per fit.
    """
    wanted, found = settings.parts or PARTS, Findings()
    for bench in benches(folds, settings, store, log):
        names = headline_inputs(bench.fold)[1]
        cut = CARDINALITY in wanted and bags(bench.fold)
        trained = (
            list(compared(bench, methods_on(bench.fold, names))) if cut or MISSING in wanted else []
        )
        if MISSING in wanted:
            found.missing += missing(bench, trained, settings.rates, settings.draws)
        if cut:
            found.cardinality += cardinality(bench, [*trained, *bag_blocks(bench)])
        if IMBALANCE in wanted:
            found.imbalance += imbalance(bench)
        if EXTENSION in wanted:
            found.extension += extension(bench)
    return found


def scarce_modality(fold: Fold) -> str:
    """The modality that few training samples have: the last of the set."""
    return headline_inputs(fold)[1][-1]


def bags(fold: Fold) -> list[str]:
    """Modalities of the set that are bags of instances."""
    return [name for name in headline_inputs(fold)[1] if fold.kinds[name] == "bag"]


def bag_blocks(bench: Bench) -> list[TrainedModel]:
    """The block of every bag alone."""
    return [bench.block(name) for name in bags(bench.fold)]


# --- modalities that are missing when a model is used


def missing(
    bench: Bench, trained: Sequence[TrainedModel], rates: Sequence[float], draws: int
) -> list[Outcome]:
    """Test models on samples from which modalities were withheld; nothing is trained again.

    Every method sees the same draws. An outcome at a rate is the mean over draws.

    Args:
        bench: The fold.
        trained: Models on the set of modalities of the fold.
        rates: Probabilities that a modality of a sample is withheld.
        draws: Number of draws; a rate of 0 needs one only.
    """
    names, test = headline_inputs(bench.fold)[1], bench.fold.test
    drawn = {rate: _withheld(bench, names, rate, draws if rate else 1) for rate in rates}
    shares = {
        rate: float(np.mean([share_withheld(test, less, names) for less in parts]))
        for rate, parts in drawn.items()
    }
    found = []
    for model in trained:
        for rate, parts in drawn.items():
            draws_of = [tested_on(bench, model, less, rate_name(rate)) for less in parts]
            facts: dict[str, Any] = {"rate": rate, "withheld": shares[rate]}
            found.append(mean_over_draws(draws_of, bench.store, facts))
        for name in names:
            if bool(test.present[name].any()):
                facts = {"only": name}
                less = only(test, names, name)
                found.append(score_on(bench, model, less, only_name(name), facts=facts))
    return found


def rate_name(rate: float) -> str:
    """Condition of a rate."""
    return f"missing {rate:g}"


def only_name(modality: str) -> str:
    """Condition of having a single modality."""
    return f"only {modality}"


def _withheld(bench: Bench, names: Sequence[str], rate: float, draws: int) -> list[Samples]:
    """The test part with less, once per draw; the numbers drawn are the same for all rates."""
    test = bench.fold.test
    return [
        withhold_at_random(
            test,
            names,
            rate,
            np.random.default_rng(bench.seed_of(MISSING, draw)).random((len(test), len(names))),
        )
        for draw in range(draws)
    ]


# --- a modality that few training samples have


def imbalance(bench: Bench) -> list[Outcome]:
    """Train methods while a modality is scarce in training; test samples have everything."""
    names, scarce = headline_inputs(bench.fold)[1], scarce_modality(bench.fold)
    methods = [name for name in methods_on(bench.fold, names) if name in UNDER_IMBALANCE]
    test = bench.fold.test.where_present(names, how="all")
    found = []
    for share in SHARES:
        fold = scarce_in_training(bench.fold, scarce, share, bench.seed_of(IMBALANCE))
        condition = share_name(scarce, share)
        less = bench.on(fold, condition)
        facts = {
            "scarce": scarce,
            "share": share,
            "n_scarce": int(fold.train.present[scarce].sum()),
        }
        found += [
            score_on(less, model, test, condition, facts=facts)
            for model in compared(less, methods)
            if model.arm != STATIC
        ]
    return found


def share_name(scarce: str, share: float) -> str:
    """Condition of a share of training samples with the scarce modality."""
    return f"{scarce} in {share:.0%} of training"


# --- bags with fewer or repeated instances


def cardinality(bench: Bench, trained: Sequence[TrainedModel]) -> list[Outcome]:
    """Test models on bags with one instance only, and with every instance twice.

    Nothing is trained again. Outcomes keep the largest change of a logit. Nothing comes of a set
    without a bag.
    """
    fold, found = bench.fold, []
    for bag in bags(fold):
        test = fold.test.where_present([bag])
        changed = {
            ALL: test,
            ONE: one_instance(test, bag, bench.seed_of(CARDINALITY, bag)),
            TWICE: doubled(test, bag),
        }
        several = sum(len(instances) > 1 for instances in test.values[bag])
        for model in trained:
            if bag in model.names:
                found += _changed(bench, model, bag, changed, several)
    return found


def _changed(
    bench: Bench, model: TrainedModel, bag: str, changed: Mapping[str, Samples], several: int
) -> list[Outcome]:
    device, whole = bench.settings.device, changed[ALL].select(sorted(model.names))

    def change(network: nn.Module, logits: Tensor) -> dict[str, float]:
        usual = predict_logits(network, whole, device=device)
        return {
            "largest_change": float((logits - usual).abs().max()),
            "largest_logit": float(usual.abs().max()),
        }

    return [
        score_on(
            bench,
            model,
            samples,
            f"{bag}: {condition}",
            measure=change,
            facts={"bag": bag, "condition": condition, "several_instances": several},
        )
        for condition, samples in changed.items()
    ]


# --- a modality that comes later


def extension(bench: Bench) -> list[Outcome]:
    """Merge all modalities but one, add the last one, and compare on the same samples.

    Every modality is the last one in turn. Beside it stands a network that has to be trained again
    from scratch for the new modality. Seconds are those of training what is new.

    Raises:
        RunError: If adding a block changed an old one.
    """
    kind, names = headline_inputs(bench.fold)
    blocks = bench.blocks(names)
    again = [
        bench.combined(method, names, kind) for method in methods_on(bench.fold, names, RETRAINED)
    ]
    found = []
    for added in names:
        old = tuple(name for name in names if name != added)
        test = bench.fold.test.where_present(old)
        # Block and encoder are trained one after the other.
        seconds = blocks[added].outcome.seconds + bench.encoder(added).outcome.seconds
        rows = [(BEFORE, bench.merge(old), 0.0), (AFTER, extended(bench, old, added), seconds)]
        rows += [(AGAIN, model, model.outcome.seconds) for model in again]
        for step, model, spent in rows:
            facts = {"added": added, "step": step}
            condition = f"{step} {added}"
            found.append(score_on(bench, model, test, condition, seconds=spent, facts=facts))
    return found


def extended(bench: Bench, old: Sequence[str], added: str) -> TrainedModel:
    """The merge of some blocks, to which another block is added afterwards."""
    blocks = bench.blocks([*old, added])

    def build() -> LegoMerge:
        nets = bare_blocks(blocks)
        merged = LegoMerge({name: nets[name] for name in sorted(old)})
        before = _copies(nets, old)
        larger = merged.add(added, nets[added])
        check_unchanged(before, larger)
        return larger

    return assembled(
        bench.fold,
        bench.store,
        Labels(LEGO_MERGE, tuple(sorted([*old, added]))),
        build,
        parents=[blocks[name].key for name in (*old, added)],
        code=[extended],
        options={"added": added},
        device=bench.settings.device,
    )


def _copies(
    blocks: Mapping[str, nn.Module], names: Sequence[str]
) -> dict[str, dict[str, torch.Tensor]]:
    return {
        name: {key: value.cpu().clone() for key, value in blocks[name].state_dict().items()}
        for name in names
    }


def check_unchanged(before: Mapping[str, Mapping[str, torch.Tensor]], merged: LegoMerge) -> None:
    """Require that blocks in a merge have the very weights that they had before.

    Raises:
        RunError: If a single bit of one differs.
    """
    for name, state in before.items():
        now = merged.blocks[name].state_dict()
        changed = [key for key, value in state.items() if not torch.equal(value, now[key].cpu())]
        if changed:
            raise RunError(
                f"block '{name}': expected the weights that it had before a block was added, got "
                f"others in {changed}; nothing may train here"
            )
