"""What happens to every method when modalities are missing, scarce, cut down, or added later."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from torch import nn

from mmlego.bench.fold_bench import Bench, benches
from mmlego.bench.inputs import INPUT_TITLES
from mmlego.bench.merging import pick
from mmlego.bench.outcome import Outcome
from mmlego.bench.store.fits import FitStore
from mmlego.bench.trained_models import (
    STATIC,
    Subject,
    main_set,
    methods_on,
    score_on,
    seed_of,
    subjects,
    with_fold,
)
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
from mmlego.methods.names import LEGO_BLOCK, LEGO_MERGE
from mmlego.methods.registry import in_role
from mmlego.runs.settings import RobustnessSettings

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
        names = main_set(bench.fold)[1]
        cut = CARDINALITY in wanted and bags(bench.fold)
        trained = (
            list(subjects(bench, methods_on(bench.fold, names))) if cut or MISSING in wanted else []
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
    return main_set(fold)[1][-1]


def bags(fold: Fold) -> list[str]:
    """Modalities of the set that are bags of instances."""
    return [name for name in main_set(fold)[1] if fold.kinds[name] == "bag"]


def bag_blocks(bench: Bench) -> list[Subject]:
    """The block of every bag alone."""
    return [Subject(LEGO_BLOCK, bench.block(name)[1], (name,)) for name in bags(bench.fold)]


# --- modalities that are missing when a model is used


def missing(
    bench: Bench, trained: Sequence[Subject], rates: Sequence[float], draws: int
) -> list[Outcome]:
    """Test models on samples from which modalities were withheld; nothing is trained again.

    Every method sees the same draws. An outcome at a rate is the mean over draws.

    Args:
        bench: The fold.
        trained: Models on the set of modalities of the fold.
        rates: Probabilities that a modality of a sample is withheld.
        draws: Number of draws; a rate of 0 needs one only.
    """
    names, test = main_set(bench.fold)[1], bench.fold.test
    drawn = {rate: _withheld(bench, names, rate, draws if rate else 1) for rate in rates}
    shares = {
        rate: float(np.mean([share_withheld(test, less, names) for less in parts]))
        for rate, parts in drawn.items()
    }
    found = []
    for subject in trained:
        for rate, parts in drawn.items():
            outcomes = [score_on(bench, subject, less, rate_name(rate)) for less in parts]
            found.append(averaged(outcomes, {"rate": rate, "withheld": shares[rate]}))
        for name in names:
            if bool(test.present[name].any()):
                facts = {"only": name}
                less = only(test, names, name)
                found.append(score_on(bench, subject, less, only_name(name), facts=facts))
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
            np.random.default_rng(seed_of(bench, MISSING, draw)).random((len(test), len(names))),
        )
        for draw in range(draws)
    ]


def averaged(outcomes: Sequence[Outcome], facts: Mapping[str, object]) -> Outcome:
    """One outcome for several draws: mean metrics, and the predictions of the first draw."""
    metrics = {name: [o.metrics[name] for o in outcomes] for name in outcomes[0].metrics}
    return replace(
        outcomes[0],
        metrics={name: float(np.mean(values)) for name, values in metrics.items()},
        facts=outcomes[0].facts | {"draws": len(outcomes)} | dict(facts),
    )


# --- a modality that few training samples have


def imbalance(bench: Bench) -> list[Outcome]:
    """Train methods while a modality is scarce in training; test samples have everything."""
    names, scarce = main_set(bench.fold)[1], scarce_modality(bench.fold)
    methods = [name for name in methods_on(bench.fold, names) if name in UNDER_IMBALANCE]
    test = bench.fold.test.having(names, how="all")
    found = []
    for share in SHARES:
        fold = scarce_in_training(bench.fold, scarce, share, seed_of(bench, IMBALANCE))
        condition = share_name(scarce, share)
        less = with_fold(bench, fold, condition)
        facts = {
            "scarce": scarce,
            "share": share,
            "n_scarce": int(fold.train.present[scarce].sum()),
        }
        found += [
            score_on(less, subject, test, condition, facts=facts)
            for subject in subjects(less, methods)
            if subject.config != STATIC
        ]
    return found


def share_name(scarce: str, share: float) -> str:
    """Condition of a share of training samples with the scarce modality."""
    return f"{scarce} in {share:.0%} of training"


# --- bags with fewer or repeated instances


def cardinality(bench: Bench, trained: Sequence[Subject]) -> list[Outcome]:
    """Test models on bags with one instance only, and with every instance twice.

    Nothing is trained again. Outcomes keep the largest change of a logit. Nothing comes of a set
    without a bag.
    """
    fold, found = bench.fold, []
    for bag in bags(fold):
        test = fold.test.having([bag])
        changed = {
            ALL: test,
            ONE: one_instance(test, bag, seed_of(bench, CARDINALITY, bag)),
            TWICE: doubled(test, bag),
        }
        several = sum(len(instances) > 1 for instances in test.values[bag])
        for subject in trained:
            if bag in subject.names:
                found += _changed(bench, subject, bag, changed, several)
    return found


def _changed(
    bench: Bench, subject: Subject, bag: str, changed: Mapping[str, Samples], several: int
) -> list[Outcome]:
    device, names = bench.settings.device, sorted(subject.names)
    logits = {
        condition: predict_logits(subject.model, samples.select(names), device=device)
        for condition, samples in changed.items()
    }
    return [
        score_on(
            bench,
            subject,
            samples,
            f"{bag}: {condition}",
            facts={
                "bag": bag,
                "condition": condition,
                "several_instances": several,
                "largest_change": float((logits[condition] - logits[ALL]).abs().max()),
                "largest_logit": float(logits[ALL].abs().max()),
            },
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
    kind, names = main_set(bench.fold)
    blocks = bench.blocks(names)
    again = {
        method: bench.whole(method, names, INPUT_TITLES[kind])
        for method in methods_on(bench.fold, names, RETRAINED)
    }
    found = []
    for added in names:
        old = tuple(name for name in names if name != added)
        test = bench.fold.test.having(old)
        merged = LegoMerge(pick(blocks, old))
        before = _copies(blocks, old)
        larger = merged.add(added, blocks[added])
        # Block and encoder are trained one after the other.
        seconds = bench.block(added)[0].seconds + bench.encoder(added)[0].seconds
        rows = [
            (BEFORE, Subject(LEGO_MERGE, merged, old), 0.0),
            (AFTER, Subject(LEGO_MERGE, larger, names), seconds),
        ]
        rows += [
            (AGAIN, Subject(method, model, names), outcome.seconds)
            for method, (outcome, model) in again.items()
        ]
        for step, subject, spent in rows:
            facts = {"added": added, "step": step}
            condition = f"{step} {added}"
            found.append(score_on(bench, subject, test, condition, seconds=spent, facts=facts))
        check_unchanged(before, larger)
    return found


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
