"""Merge weights instead of latents: of blocks across modalities, and of encoders across tasks."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

import numpy as np
from torch import Tensor, nn

from mmlego.bench.common_starts import (
    COMMON_START,
    block_start,
    encoder_start,
    everything_shared,
    same_encoder,
    shared_part,
)
from mmlego.bench.fold_bench import Bench
from mmlego.bench.inputs import separate_names
from mmlego.bench.merging import bare_blocks, best_that_applies
from mmlego.bench.outcome import Outcome
from mmlego.bench.starts import load_shared
from mmlego.bench.trained import Labels, TrainedModel, as_kind, assembled
from mmlego.bench.training import ENCODER, derived_seed, train_encoder
from mmlego.data import Cohort, load_cohort
from mmlego.data.folds.fold import Fold, make_fold
from mmlego.data.folds.splits import Split
from mmlego.data.folds.tabular import TABULAR, with_tabular
from mmlego.errors import DataError, ModalityError
from mmlego.lego.block import LegoBlock
from mmlego.lego.merge import LegoMerge
from mmlego.methods.names import WEIGHT_MERGING
from mmlego.models.encoders.unimodal import Unimodal
from mmlego.runs.session import Session
from mmlego.runs.settings import WeightMergingSettings
from mmlego.studies.weights.merges import MERGES, merge_states

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
            o for o in self.together if o.method != WEIGHT_MERGING and o.condition == COMMON_START
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
    return {name: _with_shared(block, merged) for name, block in blocks.items()}


def _with_shared(block: LegoBlock, shared: Mapping[str, Tensor]) -> LegoBlock:
    """A copy of a block with other weights where all blocks have the same shapes."""
    twin = copy.deepcopy(block)
    load_shared(twin, shared)
    return twin


def independent_blocks(benches: Sequence[Bench], variant: str) -> BlockMerges:
    """Merge the weights of blocks that started apart.

    They have no common start, so task vectors are counted from another start drawn alike.
    """
    together, alone = [], []
    for bench in benches:
        names = _several(bench.fold)
        blocks = bench.blocks(names, variant)
        together += [
            bench.best_block(names, variant).outcome,
            bench.merge(names, blocks=blocks).outcome,
        ]
        alone += [blocks[name].outcome for name in names]
        rows = _merged_rows(bench, blocks, "")
        together += rows[0]
        alone += rows[1]
    return BlockMerges(together, alone, [])


def blocks_from_a_common_start(benches: Sequence[Bench], variant: str) -> BlockMerges:
    """Train the same blocks from one start, and merge their weights."""
    together, trained, alone = [], [], []
    for bench in benches:
        fold, names = bench.fold, _several(bench.fold)
        start = everything_shared(fold, bench.settings)
        blocks = {name: bench.block(name, variant, start=start) for name in names}
        labels: dict[str, Any] = {"condition": COMMON_START}
        best = best_that_applies(fold, blocks, bench.store, device=bench.settings.device, **labels)
        together += [best.outcome, bench.merge(names, blocks=blocks, **labels).outcome]
        outcomes = [block.outcome.relabelled(arm="", **labels) for block in blocks.values()]
        trained += outcomes
        rows = _merged_rows(bench, blocks, COMMON_START)
        together += rows[0]
        alone += [*outcomes, *rows[1]]
    return BlockMerges(together, alone, [o.relabelled(headline=False) for o in trained])


def shared_encoders(session: Session[WeightMergingSettings]) -> EncoderMerges | None:
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


def _several(fold: Fold) -> list[str]:
    """Modalities whose blocks can be merged."""
    names = list(separate_names(fold))
    if len(names) < 2:
        raise ModalityError(
            f"weight merging: expected two modalities or more in {fold.cohort}, got {names}; name "
            "more, or leave 'modalities' empty"
        )
    return names


def _merged_rows(
    bench: Bench, blocks: Mapping[str, TrainedModel], condition: str
) -> tuple[list[Outcome], list[Outcome]]:
    """Outcomes of every method of merging weights: all modalities together, and one by one."""
    together, alone = [], []
    for method in MERGES:
        merged = _MergedWeights(bench, blocks, method)
        together.append(merged.together(condition))
        alone += [merged.alone(name, condition) for name in sorted(blocks)]
    return together, alone


@dataclass
class _MergedWeights:
    """Blocks whose weights are merged by one method, once one of them is needed."""

    bench: Bench
    blocks: Mapping[str, TrainedModel]
    method: str

    @cached_property
    def _merged(self) -> dict[str, LegoBlock]:
        fold, settings = self.bench.fold, self.bench.settings
        base = block_start(fold, settings)
        return merge_weights(
            bare_blocks(self.blocks), base, self.method, _drop_seed(fold, settings.seed)
        )

    def together(self, condition: str) -> Outcome:
        """The latents of all of them merged."""
        return self._outcome(sorted(self.blocks), lambda: LegoMerge(self._merged), condition)

    def alone(self, name: str, condition: str) -> Outcome:
        """One of them alone."""
        n_train = len(self.bench.fold.train.where_present([name]))
        return self._outcome(
            [name], lambda: Unimodal(name, self._merged[name]), condition, n_train=n_train
        )

    def _outcome(
        self,
        names: Sequence[str],
        build: Callable[[], nn.Module],
        condition: str,
        **how: Any,
    ) -> Outcome:
        labels = {"arm": self.method, "condition": condition, "headline": False}
        return assembled(
            self.bench.fold,
            self.bench.store,
            Labels(WEIGHT_MERGING, tuple(names), labels),
            build,
            parents=[self.blocks[name].key for name in sorted(self.blocks)],
            code=[merge_weights],
            options={"method": self.method},
            device=self.bench.settings.device,
            **how,
        ).outcome


def _encoder_rows(
    first: Fold, second: Fold, session: Session[WeightMergingSettings]
) -> tuple[list[Outcome], list[Outcome]]:
    """Outcomes of both tasks with their own encoder, each other's, and merged ones."""
    settings, store = session.settings, session.store
    table = _shared_table(first, second)
    pair = [
        train_encoder(fold, table, settings, store, start=same_encoder(fold, table, settings))
        for fold in (first, second)
    ]

    def state_of(name: str, other: TrainedModel) -> Mapping[str, Tensor]:
        if name == OTHER_ENCODER:
            return _encoder_of(other.model).state_dict()
        states = [_encoder_of(trained.model).state_dict() for trained in pair]
        start = encoder_start(first, table, settings)
        return merge_states(name, start, states, _drop_seed(first, settings.seed))

    def mixed(name: str, own: TrainedModel, other: TrainedModel) -> nn.Module:
        return _with_encoder(own.model, state_of(name, other))

    rows = []
    for own, other in zip(pair, reversed(pair), strict=True):
        found = [own.outcome.relabelled(arm="", condition=COMMON_START, headline=False)]
        for name in (OTHER_ENCODER, *MERGES):
            shared = SHARED_ENCODER if name in MERGES else ""
            labels = {"arm": name, "condition": shared, "headline": False}
            found.append(
                assembled(
                    own.fold,
                    store,
                    Labels(WEIGHT_MERGING, (table,), labels),
                    partial(mixed, name, own, other),
                    parents=[own.key, other.key],
                    code=[merge_states, encoder_start],
                    options={"encoder": name},
                    n_train=own.outcome.n_train,
                    device=settings.device,
                ).outcome
            )
        rows.append(found)
    return rows[0], rows[1]


def _encoder_of(model: nn.Module) -> nn.Module:
    return as_kind(model, Unimodal).model.get_submodule(ENCODER)


def _with_encoder(model: nn.Module, state: Mapping[str, Tensor]) -> nn.Module:
    """A copy of a network with another encoder under its own head."""
    model = copy.deepcopy(model)
    _encoder_of(model).load_state_dict(state)
    return model


def _drop_seed(fold: Fold, seed: int) -> int:
    return derived_seed(seed, fold.cohort, fold.unit, fold.repeat, WEIGHT_MERGING)


def _same_patients(session: Session[WeightMergingSettings], name: str) -> Cohort:
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
    train, val, test = (
        np.array([place[identity] for identity in part.ids])
        for part in (fold.train, fold.val, fold.test)
    )
    split = Split(repeat=fold.repeat, unit=fold.unit, train=train, val=val, test=test)
    return with_tabular(make_fold(cohort, split))


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
