"""Merge weights instead of latents: of blocks across modalities, and of encoders across tasks."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from torch import Tensor, nn

from mmlego.bench.common_start import (
    COMMON_START,
    MERGES,
    block_start,
    encoder_start,
    load_shared,
    merge_states,
    shared_part,
    train_block_from_start,
    train_encoder_from_start,
)
from mmlego.bench.merging import first_present_outcome, merge_outcome, score
from mmlego.bench.outcome import Outcome
from mmlego.bench.training import derived_seed
from mmlego.data import Cohort, load_cohort
from mmlego.data.folds.fold import Fold, make_fold
from mmlego.data.folds.splits import Split
from mmlego.data.folds.tabular import TABULAR, with_tabular
from mmlego.errors import DataError, ModalityError
from mmlego.lego.block import LegoBlock
from mmlego.lego.merge import LegoMerge
from mmlego.methods.names import WEIGHT_MERGING
from mmlego.models.encoders.unimodal import Unimodal
from mmlego.runs.session import FoldModels, Session
from mmlego.studies.lego.run import best_block, separate

SHARED_ENCODER = "shared encoder"
OWN_ENCODER, OTHER_ENCODER = "own encoder", "encoder of the other task"


@dataclass(frozen=True)
class BlockMerges:
    """Blocks whose weights were merged, beside blocks that were left alone.

    Attributes:
        together: Everyone who has any modality: best block, merged latents, and merged latents of
            blocks with merged weights.
        alone: Everyone who has one modality: its block, and its block with merged weights.
        trained: Blocks that were trained for this comparison.
    """

    together: list[Outcome]
    alone: list[Outcome]
    trained: list[Outcome]

    def new(self) -> list[Outcome]:
        """The outcomes that no other notebook makes."""
        merged = [o for o in (*self.together, *self.alone) if o.method == WEIGHT_MERGING]
        common = [
            o for o in self.together if o.method != WEIGHT_MERGING and COMMON_START in o.variant
        ]
        return [*self.trained, *common, *merged]


@dataclass(frozen=True)
class EncoderMerges:
    """Encoders of two tasks on the same table, merged into one; heads are kept.

    Attributes:
        first: Outcomes on the task of the session's cohort.
        second: Outcomes on the other task.
        cohort: The other cohort, cut to the same patients.
    """

    first: list[Outcome]
    second: list[Outcome]
    cohort: Cohort


def merge_weights(
    blocks: Mapping[str, LegoBlock], base: Mapping[str, Tensor], method: str, seed: int
) -> dict[str, LegoBlock]:
    """Copies of blocks that share one latent, one set of queries, feed-forwards, and one head.

    Every copy keeps its own encoder, keys and values, so that it still reads its own modality.

    Args:
        blocks: Trained blocks of one shape by modality.
        base: Shared part from which task vectors are counted.
        method: Key of ``MERGES``.
        seed: Of what DARE drops.

    Raises:
        SettingsError: If the method is unknown.
        ShapeError: If the blocks differ in shape.
    """
    merged = merge_states(method, base, [shared_part(block) for block in blocks.values()], seed)
    return {name: load_shared(copy.deepcopy(block), merged) for name, block in blocks.items()}


def independent_blocks(folds: Sequence[FoldModels], session: Session, variant: str) -> BlockMerges:
    """Merge the weights of blocks that started apart.

    They have no common start, so task vectors are counted from another start drawn alike.
    """
    device = session.settings.device
    together, alone = [], []
    for models in folds:
        names = _several(models)
        blocks = {name: models.block_modules(variant)[name] for name in names}
        together += [
            best_block(models, variant, device),
            merge_outcome(models.fold, blocks, names, variant="default", device=device),
        ]
        alone += [models.block_outcomes(variant)[name] for name in names]
        rows = _merged_rows(models.fold, blocks, session, "")
        together += rows[0]
        alone += rows[1]
    return BlockMerges(together, alone, [])


def blocks_from_a_common_start(
    folds: Sequence[FoldModels], session: Session, variant: str
) -> BlockMerges:
    """Train the same blocks from one start, and merge their weights."""
    device = session.settings.device
    together, trained, alone = [], [], []
    for models in folds:
        fold, names = models.fold, _several(models)
        found = {
            name: train_block_from_start(
                fold,
                name,
                variant,
                session.settings,
                session.store,
                encoder=None if variant == "scratch" else models.encoders[name],
            )
            for name in names
        }
        outcomes = {name: outcome for name, (outcome, _) in found.items()}
        blocks = {name: model.model for name, (_, model) in found.items()}
        best = f"{COMMON_START}, best by validation"
        together += [
            first_present_outcome(fold, blocks, outcomes, variant=best, device=device),
            merge_outcome(fold, blocks, names, variant=COMMON_START, device=device),
        ]
        trained += outcomes.values()
        rows = _merged_rows(fold, blocks, session, f", {COMMON_START}")
        together += rows[0]
        alone += [*outcomes.values(), *rows[1]]
    return BlockMerges(together, alone, [replace(o, headline=False) for o in trained])


def shared_encoders(session: Session) -> EncoderMerges | None:
    """Train one encoder per task from a common start, and merge the two; None without a task.

    Both tasks use the splits of the session's cohort: nobody who is tested in one task was trained
    on in the other.

    Raises:
        DataError: If the second cohort has other patients or other tables.
    """
    name = session.settings.second_cohort
    if not name:
        return None
    cohort = _same_patients(session, name)
    first, second = [], []
    for fold in session.folds:
        rows = _encoder_rows(fold, _same_split(fold, cohort), session)
        first += rows[0]
        second += rows[1]
    return EncoderMerges(first, second, cohort)


def _several(models: FoldModels) -> list[str]:
    """Modalities whose blocks can be merged."""
    names = separate(models)
    if len(names) < 2:
        raise ModalityError(
            "weight merging: expected two modalities or more in "
            f"{models.fold.cohort}, got {names}; name more, or leave 'modalities' empty"
        )
    return names


def _merged_rows(
    fold: Fold, blocks: Mapping[str, LegoBlock], session: Session, suffix: str
) -> tuple[list[Outcome], list[Outcome]]:
    """Outcomes of every method of merging weights: all modalities together, and one by one."""
    device, names = session.settings.device, sorted(blocks)
    base = block_start(fold, session.settings)
    together, alone = [], []
    for method in MERGES:
        merged = merge_weights(blocks, base, method, _drop_seed(fold, session))
        variant = f"{method}{suffix}"
        together.append(
            score(fold, LegoMerge(merged), names, WEIGHT_MERGING, variant, device=device)
        )
        alone += [
            score(
                fold,
                Unimodal(name, merged[name]),
                [name],
                WEIGHT_MERGING,
                variant,
                device=device,
                n_train=len(fold.train.having([name])),
            )
            for name in names
        ]
    return together, alone


def _encoder_rows(
    first: Fold, second: Fold, session: Session
) -> tuple[list[Outcome], list[Outcome]]:
    """Outcomes of both tasks with their own encoder, each other's, and merged ones."""
    table = _shared_table(first, second)
    pairs = [
        (fold, *train_encoder_from_start(fold, table, session.settings, session.store))
        for fold in (first, second)
    ]
    encoders = [model.model.encoder.state_dict() for _, _, model in pairs]
    start = encoder_start(first, table, session.settings)
    seed = _drop_seed(first, session)
    merged = {method: merge_states(method, start, encoders, seed) for method in MERGES}
    rows = []
    for (fold, own, model), other in zip(pairs, reversed(encoders), strict=True):
        rows.append(
            [replace(own, headline=False)]
            + [
                score(
                    fold,
                    _with_encoder(model, state),
                    [table],
                    WEIGHT_MERGING,
                    f"{name}, {SHARED_ENCODER}" if name in MERGES else name,
                    device=session.settings.device,
                    n_train=own.n_train,
                )
                for name, state in {OTHER_ENCODER: other, **merged}.items()
            ]
        )
    return rows[0], rows[1]


def _with_encoder(model: Unimodal, state: Mapping[str, Tensor]) -> nn.Module:
    """A copy of a network with another encoder under its own head."""
    model = copy.deepcopy(model)
    model.model.encoder.load_state_dict(state)
    return model


def _drop_seed(fold: Fold, session: Session) -> int:
    return derived_seed(session.settings.seed, fold.cohort, fold.unit, fold.repeat, WEIGHT_MERGING)


def _same_patients(session: Session, name: str) -> Cohort:
    """The second cohort with the samples of the first, in its order."""
    settings, wanted = session.settings, session.cohort.ids
    cohort = load_cohort(name, modalities=settings.modalities or None, unit=settings.split_unit)
    place = {identity: row for row, identity in enumerate(cohort.ids)}
    absent = [identity for identity in wanted if identity not in place]
    if absent:
        raise DataError(
            f"second cohort '{name}': expected the samples of '{session.cohort.name}', "
            f"{len(absent)} of {len(wanted)} are absent, such as '{absent[0]}'; name a cohort of "
            "the same patients"
        )
    return cohort.subset([place[identity] for identity in wanted])


def _same_split(fold: Fold, cohort: Cohort) -> Fold:
    """The fold of another task with the same samples in every part."""
    place = {identity: row for row, identity in enumerate(cohort.ids)}
    parts = {
        name: np.array([place[identity] for identity in part.ids])
        for name, part in fold.parts().items()
    }
    return with_tabular(make_fold(cohort, Split(repeat=fold.repeat, unit=fold.unit, **parts)))


def _shared_table(first: Fold, second: Fold) -> str:
    """The table that both tasks are predicted from: all tables joined, or the only one.

    Raises:
        DataError: If there is none, or its features differ.
    """
    tables = [name for name in first.names if first.kinds[name] == "tabular"]
    if not tables:
        raise DataError(
            f"shared encoder: expected a table in {first.cohort}, got {first.kinds}; leave "
            "second_cohort empty"
        )
    table = TABULAR if TABULAR in tables else tables[0]
    if first.features[table] != second.features.get(table):
        raise DataError(
            f"shared encoder: expected the features of '{table}' of {first.cohort} in "
            f"{second.cohort}, got others; name a cohort with the same tables"
        )
    return table
