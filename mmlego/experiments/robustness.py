"""What happens to every method when modalities are missing, scarce, cut down, or added later."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from torch import nn

from mmlego.baselines.ensemble import Ensemble
from mmlego.data.fold import Fold
from mmlego.data.samples import Samples
from mmlego.errors import ModalityError, RunError
from mmlego.experiments.benchmark import FUSED_FOR, Bench, benches, methods_for
from mmlego.experiments.fusing import build
from mmlego.experiments.inputs import INPUT_TITLES, JOINED, SEPARATE, input_sets
from mmlego.experiments.merging import pick, score
from mmlego.experiments.methods import METHODS
from mmlego.experiments.outcome import Outcome
from mmlego.experiments.settings import RobustnessSettings
from mmlego.experiments.store import FitStore
from mmlego.experiments.training import derived_seed, fit_settings
from mmlego.experiments.withholding import (
    doubled,
    one_instance,
    only,
    scarce_in_training,
    share_withheld,
    withhold_at_random,
)
from mmlego.learning.fit import fit
from mmlego.learning.objectives import objective_for
from mmlego.learning.predict import predict_logits
from mmlego.lego.fuse import LegoFuse
from mmlego.lego.merge import LegoMerge

MISSING, IMBALANCE, CARDINALITY, EXTENSION = "missing", "imbalance", "cardinality", "extension"
PARTS = (MISSING, IMBALANCE, CARDINALITY, EXTENSION)
STATIC = "static head"
RETRAINED = "healnet"
BEFORE, AFTER, AGAIN = "before adding", "after adding", "trained again with"
# Shares of the training samples that have the scarce modality.
SHARES = (0.1, 0.25, 0.5, 1.0)
UNDER_IMBALANCE = ("lego_merge", "ensemble", "late_concat", "multimodn", "healnet")
ALL, ONE, TWICE = "all instances", "one instance", "each instance twice"


@dataclass(frozen=True)
class Subject:
    """A trained model that is put to the test.

    Attributes:
        method: Name in the registry.
        model: The model, under the contract of several modalities.
        names: Modalities that it sees.
        config: What tells it from others of the same method; empty for the default.
    """

    method: str
    model: nn.Module
    names: tuple[str, ...]
    config: str = ""

    def variant(self, condition: str) -> str:
        """Variant of an outcome under a condition."""
        return f"{condition}, {self.config}" if self.config else condition


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
        if MISSING in wanted or CARDINALITY in wanted:
            trained = list(subjects(bench, methods_on(bench.fold, names)))
            if MISSING in wanted:
                found.missing += missing(bench, trained, settings.rates, settings.draws)
            if CARDINALITY in wanted:
                found.cardinality += cardinality(bench, [*trained, *bag_blocks(bench)])
        if IMBALANCE in wanted:
            found.imbalance += imbalance(bench)
        if EXTENSION in wanted:
            found.extension += extension(bench)
    return found


def main_set(fold: Fold) -> tuple[str, tuple[str, ...]]:
    """The set of modalities that is put to the test: its kind, and their names.

    All tables as one and what is no table, where the fold offers that, else every modality apart.

    Raises:
        ModalityError: If the fold has a single modality.
    """
    offered = input_sets(fold)
    for kind in (JOINED, SEPARATE):
        if kind in offered:
            return kind, offered[kind]
    raise ModalityError(
        f"robustness: expected two modalities or more in {fold.cohort}, got {list(fold.names)}; "
        "name more, or leave 'modalities' empty"
    )


def scarce_modality(fold: Fold) -> str:
    """The modality that few training samples have: the last of the set."""
    return main_set(fold)[1][-1]


def bags(fold: Fold) -> list[str]:
    """Modalities of the set that are bags of instances."""
    return [name for name in main_set(fold)[1] if fold.kinds[name] == "bag"]


def methods_on(fold: Fold, names: Sequence[str], among: Sequence[str] = ()) -> list[str]:
    """Networks and merges that suit the modalities, in the order of the registry."""
    return [
        name
        for name in methods_for(fold, names, among)
        if METHODS[name].modalities in ("many", "any")
    ]


def subjects(bench: Bench, methods: Sequence[str]) -> Iterator[Subject]:
    """Train (or fetch) methods on the set of modalities of a fold.

    A merge comes twice: with the head of the modalities that are there, and always with that of all
    modalities.
    """
    kind, names = main_set(bench.fold)
    for method in methods:
        if method == "ensemble":
            models = {name: bench.encoder(name)[1].model for name in names}
            yield Subject(method, Ensemble(models), names)
        elif method == "lego_merge":
            blocks = pick(bench.blocks(names), names)
            yield Subject(method, LegoMerge(blocks), names)
            yield Subject(method, LegoMerge(blocks, head_mode="static"), names, STATIC)
        elif method == "lego_fuse":
            yield Subject(method, tuned_stack(bench, names), names)
        else:
            yield Subject(method, bench.whole(method, names, INPUT_TITLES[kind])[1], names)


def bag_blocks(bench: Bench) -> list[Subject]:
    """The block of every bag alone."""
    return [Subject("lego_block", bench.block(name)[1], (name,)) for name in bags(bench.fold)]


def tuned_stack(bench: Bench, names: Sequence[str]) -> LegoFuse:
    """Stack copies of the blocks and tune them, as ``tuned_outcomes`` does, which keeps no model.

    Only training samples with every modality are tuned on.
    """
    fold, settings = bench.fold, bench.settings
    model = build("stack", bench.blocks(names), names)
    fit(
        model,
        fold.train.select(sorted(names)).having(sorted(names), how="all"),
        None,
        objective_for(fold),
        settings=fit_settings(
            settings,
            **dict(bench.chosen.of("lego_fuse", "all").fit)
            | {"epochs": FUSED_FOR, "patience": None, "output_bias": "as_built"},
        ),
        seed=derived_seed(
            settings.seed, fold.cohort, fold.unit, fold.repeat, "stack", tuple(names)
        ),
        device=settings.device,
    )
    return model


def tested(
    bench: Bench, subject: Subject, test: Samples, condition: str, **rest: object
) -> Outcome:
    """Test a model on other samples than those of the fold, without training."""
    seen = bench.fold.train.select(sorted(subject.names)).having(sorted(subject.names))
    return score(
        replace(bench.fold, test=test),
        subject.model,
        subject.names,
        subject.method,
        subject.variant(condition),
        device=bench.settings.device,
        **({"n_train": len(seen)} | rest),
    )


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
            outcomes = [tested(bench, subject, less, rate_name(rate)) for less in parts]
            found.append(averaged(outcomes, {"rate": rate, "withheld": shares[rate]}))
        for name in names:
            if bool(test.present[name].any()):
                facts = {"only": name}
                less = only(test, names, name)
                found.append(tested(bench, subject, less, only_name(name), facts=facts))
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
            np.random.default_rng(_seed(bench, MISSING, draw)).random((len(test), len(names))),
        )
        for draw in range(draws)
    ]


def averaged(outcomes: Sequence[Outcome], facts: Mapping[str, object]) -> Outcome:
    """One outcome for several draws: mean metrics, and the predictions of the first draw."""
    metrics = {name: [o.metrics[name] for o in outcomes] for name in outcomes[0].metrics}
    return dataclasses.replace(
        outcomes[0],
        metrics={name: float(np.mean(values)) for name, values in metrics.items()},
        facts=outcomes[0].facts | {"draws": len(outcomes)} | dict(facts),
    )


def _seed(bench: Bench, *parts: object) -> int:
    fold = bench.fold
    return derived_seed(bench.settings.seed, fold.cohort, fold.unit, fold.repeat, *parts)


# --- a modality that few training samples have


def imbalance(bench: Bench) -> list[Outcome]:
    """Train methods while a modality is scarce in training; test samples have everything."""
    names, scarce = main_set(bench.fold)[1], scarce_modality(bench.fold)
    methods = [name for name in methods_on(bench.fold, names) if name in UNDER_IMBALANCE]
    test = bench.fold.test.having(names, how="all")
    found = []
    for share in SHARES:
        fold = scarce_in_training(bench.fold, scarce, share, _seed(bench, IMBALANCE))
        condition = share_name(scarce, share)
        less = with_fold(bench, fold, condition)
        facts = {
            "scarce": scarce,
            "share": share,
            "n_scarce": int(fold.train.present[scarce].sum()),
        }
        found += [
            tested(less, subject, test, condition, facts=facts)
            for subject in subjects(less, methods)
            if subject.config != STATIC
        ]
    return found


def share_name(scarce: str, share: float) -> str:
    """Condition of a share of training samples with the scarce modality."""
    return f"{scarce} in {share:.0%} of training"


def with_fold(bench: Bench, fold: Fold, condition: str) -> Bench:
    """A bench for another fold, with nothing trained yet, that logs under which condition."""

    def log(outcome: Outcome) -> None:
        variant = ", ".join(part for part in (outcome.variant, condition) if part)
        bench.log(replace(outcome, variant=variant))

    return Bench(fold, bench.settings, bench.store, bench.chosen, log)


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
            ONE: one_instance(test, bag, _seed(bench, CARDINALITY, bag)),
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
        tested(
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
        for method in methods_on(bench.fold, names, [RETRAINED])
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
            (Subject("lego_merge", merged, old), f"before adding {added}", 0.0),
            (Subject("lego_merge", larger, names), f"after adding {added}", seconds),
        ]
        for method, (outcome, model) in again.items():
            condition = f"trained again to add {added}"
            rows.append((Subject(method, model, names), condition, outcome.seconds))
        found += [
            tested(
                bench,
                subject,
                test,
                condition,
                seconds=spent,
                facts={"added": added, "step": condition.split()[0]},
            )
            for subject, condition, spent in rows
        ]
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
