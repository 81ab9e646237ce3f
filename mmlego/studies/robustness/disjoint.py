"""Blocks of two modalities that were trained on overlapping, or on entirely different, patients."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

from torch import Tensor, nn

from mmlego.bench.common_start import block_start, load_shared
from mmlego.bench.fold_bench import BLOCKS, Bench, Trained, benches
from mmlego.bench.inputs import INPUT_TITLES, role_of_kind
from mmlego.bench.outcome import Outcome
from mmlego.bench.store.code import code_digest
from mmlego.bench.store.fits import FitStore
from mmlego.bench.trained_models import Subject, main_set, methods_on, score_on, with_fold
from mmlego.bench.training import Recipe, build_block, derived_seed, fit_settings, train_recipe
from mmlego.bench.withholding import divide_patients
from mmlego.data.folds.fold import Fold
from mmlego.lego.merge import LegoMerge
from mmlego.methods.method import DIVIDED
from mmlego.methods.names import ENSEMBLE, LEGO_BLOCK, LEGO_MERGE
from mmlego.methods.registry import in_role
from mmlego.models.baselines.ensemble import Ensemble
from mmlego.models.encoders.unimodal import Unimodal
from mmlego.runs.settings import BlockSettings, DisjointSettings

COMMON = "common latent and head"
END_TO_END = in_role(DIVIDED)
_SHAPE = {"profile", "latent_channels", "latent_dim", "depth"}


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
    first, second = main_set(fold)[1][:2]
    return first, second


def at_overlap(bench: Bench, overlap: float) -> list[Outcome]:
    """Train everything on one division of the patients of a fold."""
    names = pair(bench.fold)
    fold = divided(bench.fold, overlap, bench.settings)
    less = with_fold(bench, fold, overlap_name(overlap))
    facts = {"overlap": overlap} | counts(fold, names)
    test = bench.fold.test.having(names, how="all")
    return [
        score_on(less, subject, test, overlap_name(overlap), facts=facts)
        for subject in _subjects(less, names)
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


def _subjects(bench: Bench, names: tuple[str, str]) -> Iterator[Subject]:
    kind = main_set(bench.fold)[0]
    yield Subject(LEGO_MERGE, LegoMerge(bench.blocks(names)), names)
    common: dict[str, nn.Module] = {
        name: block_from_common_start(bench, name)[1].model for name in names
    }
    yield Subject(LEGO_MERGE, LegoMerge(common), names, COMMON)
    yield Subject(ENSEMBLE, Ensemble({name: bench.encoder(name)[1] for name in names}), names)
    for method in methods_on(bench.fold, names, END_TO_END):
        yield Subject(method, bench.whole(method, names, INPUT_TITLES[kind])[1], names)


def common_start(fold: Fold, settings: BlockSettings) -> dict[str, Tensor]:
    """Latent and head of a block that was never trained, the same for all modalities of a fold."""
    return {
        name: value
        for name, value in block_start(fold, settings).items()
        if name == "latent" or name.startswith("head.")
    }


def block_from_common_start(bench: Bench, name: str) -> Trained:
    """Train a block as ``Bench.block`` does, but from the latent and head that all have in common.

    Everything else, and the order of batches, is that of the independent block.
    """
    fold, settings = bench.fold, bench.settings
    outcome, encoder = bench.encoder(name)
    values = bench.chosen.of(LEGO_BLOCK, role_of_kind(fold.kinds[name]))
    options = settings.model_dump(include=_SHAPE) | dict(values.options)

    def start() -> Unimodal:
        block = build_block(
            fold, name, settings, encoder=encoder.model.encoder, variant=BLOCKS, **options
        )
        return Unimodal(name, load_shared(block, common_start(fold, settings)))

    recipe = Recipe(
        method=LEGO_BLOCK,
        variant=BLOCKS,
        names=(name,),
        fit=fit_settings(settings, **values.fit),
        options=options | {"start": COMMON},
        seed=settings.seed,
        device=settings.device,
    )
    found = train_recipe(
        fold,
        recipe,
        start,
        bench.store,
        parent=outcome.key,
        code=code_digest(block_from_common_start),
    )
    bench.log(replace(found[0], variant=f"{BLOCKS}, {COMMON}"))
    return found
