"""Trained models of a fold as subjects of an experiment, tested on other samples than its own."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from torch import nn

from mmlego.bench.fold_bench import FUSED_FOR, Bench, methods_for
from mmlego.bench.fusing import build
from mmlego.bench.inputs import INPUT_TITLES, JOINED, SEPARATE, input_sets
from mmlego.bench.merging import pick, score
from mmlego.bench.outcome import Outcome
from mmlego.bench.training import derived_seed, fit_settings
from mmlego.data.folds.fold import Fold
from mmlego.data.folds.samples import Samples
from mmlego.errors import ModalityError
from mmlego.learning.loop import fit
from mmlego.learning.objectives import objective_for
from mmlego.lego.fuse import LegoFuse
from mmlego.lego.merge import LegoMerge
from mmlego.methods.names import ENSEMBLE, LEGO_FUSE, LEGO_MERGE
from mmlego.methods.registry import METHODS
from mmlego.models.baselines.ensemble import Ensemble

STATIC = "static head"


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
        f"modalities: expected two modalities or more in {fold.cohort}, got {list(fold.names)}; "
        "name more, or leave 'modalities' empty"
    )


def methods_on(fold: Fold, names: Sequence[str], among: Sequence[str] = ()) -> list[str]:
    """Networks and merges that suit the modalities, in the order of the registry."""
    return [name for name in methods_for(fold, names, among) if METHODS[name].several]


def subjects(bench: Bench, methods: Sequence[str]) -> Iterator[Subject]:
    """Train (or fetch) methods on the set of modalities of a fold.

    A merge comes twice: with the head of the modalities that are there, and always with that of all
    modalities.
    """
    kind, names = main_set(bench.fold)
    for method in methods:
        if method == ENSEMBLE:
            models = {name: bench.encoder(name)[1].model for name in names}
            yield Subject(method, Ensemble(models), names)
        elif method == LEGO_MERGE:
            blocks = pick(bench.blocks(names), names)
            yield Subject(method, LegoMerge(blocks), names)
            yield Subject(method, LegoMerge(blocks, head_mode="static"), names, STATIC)
        elif method == LEGO_FUSE:
            yield Subject(method, tuned_stack(bench, names), names)
        else:
            yield Subject(method, bench.whole(method, names, INPUT_TITLES[kind])[1], names)


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
            **dict(bench.chosen.of(LEGO_FUSE, "all").fit)
            | {"epochs": FUSED_FOR, "patience": None, "output_bias": "as_built"},
        ),
        seed=seed_of(bench, "stack", tuple(names)),
        device=settings.device,
    )
    return model


def score_on(
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


def with_fold(bench: Bench, fold: Fold, condition: str) -> Bench:
    """A bench for another fold, with nothing trained yet, that logs under which condition."""

    def log(outcome: Outcome) -> None:
        variant = ", ".join(part for part in (outcome.variant, condition) if part)
        bench.log(replace(outcome, variant=variant))

    return Bench(fold, bench.settings, bench.store, bench.chosen, log)


def seed_of(bench: Bench, *parts: object) -> int:
    """A seed that depends on the fold and on all parts."""
    fold = bench.fold
    return derived_seed(bench.settings.seed, fold.cohort, fold.unit, fold.repeat, *parts)
