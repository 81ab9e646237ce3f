"""Every method of the comparison on every fold: unimodal, multimodal, merged, fused, classical."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from mmlego.bench.fold_bench import Bench, benches, methods_for
from mmlego.bench.inputs import choose_inputs, separate_names, unimodal_inputs
from mmlego.bench.outcome import Outcome
from mmlego.bench.store.fits import FitStore
from mmlego.data.folds.fold import Fold
from mmlego.methods.method import ESTIMATOR
from mmlego.methods.registry import METHODS
from mmlego.runs.settings import BenchmarkSettings


def bench_fold(bench: Bench, inputs: Sequence[str], wanted: Sequence[str] = ()) -> list[Outcome]:
    """Every method on every modality and set of modalities of one fold.

    Args:
        bench: The fold and how to train.
        inputs: Names of sets of modalities, empty for all that the fold offers.
        wanted: Names of methods, empty for all that suit.
    """
    found = [o for name in unimodal_inputs(bench.fold) for o in bench.unimodal(name, wanted)]
    for kind, names in choose_inputs(bench.fold, inputs).items():
        found += bench.multimodal(names, kind, wanted)
    return found


def classical_by_modality(bench: Bench, wanted: Sequence[str] = ()) -> list[Outcome]:
    """The classical references on each modality by itself, such as age and sex alone."""
    names = [name for name in separate_names(bench.fold) if name not in unimodal_inputs(bench.fold)]
    return [
        bench.estimator(method, [name]).outcome
        for name in names
        for method in methods_for(bench.fold, [name], wanted)
        if METHODS[method].kind == ESTIMATOR
    ]


def run_all(
    folds: Sequence[Fold],
    settings: BenchmarkSettings,
    store: FitStore,
    log: Callable[[str], None] | None = None,
) -> list[Outcome]:
    """The whole comparison, one fold after the other.

    Args:
        folds: The splits.
        settings: Methods, sets of modalities, and whose hyper-parameters.
        store: Where finished fits lie.
        log: Called with one line per fit.
    """
    found = []
    for bench in benches(folds, settings, store, log):
        found += bench_fold(bench, settings.inputs, settings.methods)
        found += classical_by_modality(bench, settings.methods)
    return found
