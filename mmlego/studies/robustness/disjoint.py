"""Blocks of two modalities that were trained on overlapping, or on entirely different, patients."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from mmlego.bench.common_starts import LATENT_AND_HEAD, latent_and_head
from mmlego.bench.fold_bench import Bench, benches
from mmlego.bench.inputs import headline_inputs
from mmlego.bench.outcome import Outcome
from mmlego.bench.settings import BlockSettings
from mmlego.bench.store.fits import FitStore
from mmlego.bench.trained import TrainedModel
from mmlego.bench.training import derived_seed
from mmlego.bench.withholding import divide_patients
from mmlego.data.folds.fold import Fold
from mmlego.methods.method import DIVIDED
from mmlego.methods.registry import in_role
from mmlego.runs.settings import DisjointSettings
from mmlego.studies.robustness.models import methods_on, score_on

END_TO_END = in_role(DIVIDED)


def run_all(
    folds: Sequence[Fold],
    settings: DisjointSettings,
    store: FitStore,
    log: Callable[[str], None] | None = None,
) -> list[Outcome]:
    """Train on patients divided with every overlap, and test on the same complete patients.

    Args:
        folds: The splits.
        settings: Overlaps, and how to train.
        store: Where finished fits lie.
        log: Called with one line per fit.
    """
    return [
        outcome
        for bench in benches(folds, settings, store, log)
        for overlap in settings.overlaps
        for outcome in at_overlap(bench, overlap)
    ]


def pair(fold: Fold) -> tuple[str, str]:
    """The two modalities: the first two of the set that other methods are compared on.

    Raises:
        ModalityError: If the fold has a single modality.
    """
    first, second = headline_inputs(fold)[1][:2]
    return first, second


def at_overlap(bench: Bench, overlap: float) -> list[Outcome]:
    """Train everything on one division of the patients of a fold."""
    names = pair(bench.fold)
    fold = divided(bench.fold, overlap, bench.settings)
    less = bench.on(fold, overlap_name(overlap))
    facts = {"overlap": overlap} | counts(fold, names)
    test = bench.fold.test.where_present(names, how="all")
    return [
        score_on(less, model, test, overlap_name(overlap), facts=facts)
        for model in _models(less, names)
    ]


def divided(fold: Fold, overlap: float, settings: BlockSettings) -> Fold:
    """The fold with its patients divided; one division per fold, for all overlaps."""
    seed = derived_seed(settings.seed, fold.cohort, fold.unit, fold.repeat, "division")
    return divide_patients(fold, pair(fold), overlap, seed)


def overlap_name(overlap: float) -> str:
    """Condition of an overlap."""
    return f"overlap {overlap:g}"


def counts(fold: Fold, names: Sequence[str]) -> dict[str, int]:
    """Training samples that have the first, the second, both, or any of two modalities."""
    first, second = (fold.train.present[name] for name in names)
    return {
        "n_first": int(first.sum()),
        "n_second": int(second.sum()),
        "n_both": int((first & second).sum()),
        "n_any": int((first | second).sum()),
    }


def _models(bench: Bench, names: tuple[str, str]) -> Iterator[TrainedModel]:
    kind = headline_inputs(bench.fold)[0]
    yield bench.merge(names)
    start = latent_and_head(bench.fold, bench.settings)
    common = {name: bench.block(name, start=start) for name in names}
    yield bench.merge(names, blocks=common, arm=LATENT_AND_HEAD)
    yield bench.ensemble(names)
    for method in methods_on(bench.fold, names, END_TO_END):
        yield bench.combined(method, names, kind)
