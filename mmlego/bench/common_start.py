"""Train models from one common start, and merge weights that share a topology."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor

from mmlego.bench.outcome import Outcome
from mmlego.bench.settings import BlockSettings
from mmlego.bench.store.code import code_digest
from mmlego.bench.store.fits import FitStore
from mmlego.bench.training import Recipe, build_block, derived_seed, fit_settings, train_recipe
from mmlego.data.folds.fold import Fold
from mmlego.errors import ModalityError, SettingsError
from mmlego.lego.block import LegoBlock
from mmlego.methods.names import LEGO_BLOCK
from mmlego.methods.names import SNN as SNN_NAME
from mmlego.models.baselines.weight_merging import dare, soup, spherical_soup, task_arithmetic, ties
from mmlego.models.encoders.snn import SNN, SNNEncoder
from mmlego.models.encoders.unimodal import Unimodal

State = Mapping[str, Tensor]
COMMON_START = "common start"
DROP = 0.5  # of DARE, for networks of this size; large ones are given 0.9
# What reads the data, and so differs between modalities, in the names of a block's parameters.
_OWN = frozenset({"encoder", "to_key", "to_value", "norm_context"})
_SHAPE = ("profile", "latent_channels", "latent_dim", "depth")

MERGES: dict[str, Callable[[State, Sequence[State], int], dict[str, Tensor]]] = {
    "soup": lambda base, states, seed: soup(states),
    "slerp": lambda base, states, seed: spherical_soup(states),
    "task arithmetic": lambda base, states, seed: task_arithmetic(base, states),
    "ties": lambda base, states, seed: ties(base, states),
    "dare": lambda base, states, seed: dare(base, states, DROP, seed),
    "dare, ties": lambda base, states, seed: dare(base, states, DROP, seed, then="ties"),
}


def merge_states(method: str, base: State, states: Sequence[State], seed: int) -> dict[str, Tensor]:
    """Merge state dicts by one of ``MERGES`` with its defaults.

    Args:
        method: Key of ``MERGES``.
        base: Common start; soup and slerp do not look at it.
        states: State dicts to merge.
        seed: Of what DARE drops.

    Raises:
        SettingsError: If the method is unknown.
    """
    if method not in MERGES:
        raise SettingsError(f"weight merging: expected one of {list(MERGES)}, got '{method}'")
    return MERGES[method](base, states, seed)


def shared_part(block: LegoBlock) -> dict[str, Tensor]:
    """What has the same shape in blocks of all modalities.

    Start latent, queries, output projections, feed-forwards and head; but neither an encoder, nor
    what reads the data: keys, values, and the norm before them.
    """
    return {
        name: value for name, value in block.state_dict().items() if not _OWN & set(name.split("."))
    }


def load_shared(block: LegoBlock, state: State) -> LegoBlock:
    """Put a shared part into a block, in place; the block keeps everything else of its own."""
    block.load_state_dict({**block.state_dict(), **state})
    return block


def block_start(fold: Fold, settings: BlockSettings) -> dict[str, Tensor]:
    """The shared part of a block that was never trained, the same for all modalities of a fold."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(_start_seed(fold, settings))
        block = build_block(fold, fold.names[0], settings, encoder=None, variant="scratch")
    return shared_part(block)


def encoder_start(fold: Fold, table: str, settings: BlockSettings) -> dict[str, Tensor]:
    """Weights of an SNN that was never trained, the same for all tasks on a table."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derived_seed(settings.seed, COMMON_START, fold.repeat))
        return SNNEncoder(fold.widths[table]).state_dict()


def train_block_from_start(
    fold: Fold,
    modality: str,
    variant: str,
    settings: BlockSettings,
    store: FitStore,
    *,
    encoder: tuple[Outcome, Unimodal] | None = None,
) -> tuple[Outcome, Unimodal]:
    """Train a block as ``train_block`` does, but from the start that all modalities share."""
    trained = encoder[1].model.encoder if encoder else None
    options = {name: getattr(settings, name) for name in _SHAPE}
    options |= {"variant": variant, "start": _start_seed(fold, settings)}

    def build() -> Unimodal:
        block = build_block(fold, modality, settings, encoder=trained, variant=variant)
        return Unimodal(modality, load_shared(block, block_start(fold, settings)))

    return train_recipe(
        fold,
        _recipe(LEGO_BLOCK, modality, settings, options),
        build,
        store,
        parent=encoder[0].key if encoder else "",
        code=code_digest(block_start),
    )


def train_encoder_from_start(
    fold: Fold, table: str, settings: BlockSettings, store: FitStore
) -> tuple[Outcome, Unimodal]:
    """Train an SNN with a linear head, whose encoder starts as that of every task on the table.

    Raises:
        ModalityError: If the modality is no table.
    """
    if fold.kinds.get(table) != "tabular":
        raise ModalityError(
            f"shared encoder: expected a table of {fold.cohort}, got '{table}'; name one of "
            f"{[name for name in fold.names if fold.kinds[name] == 'tabular']}"
        )

    def build() -> Unimodal:
        model = SNN(fold.widths[table], fold.n_outputs)
        model.encoder.load_state_dict(encoder_start(fold, table, settings))
        return Unimodal(table, model)

    return train_recipe(
        fold,
        _recipe(SNN_NAME, table, settings, {"start": settings.seed}),
        build,
        store,
        code=code_digest(block_start),
    )


def _recipe(
    method: str, modality: str, settings: BlockSettings, options: Mapping[str, object]
) -> Recipe:
    return Recipe(
        method=method,
        variant=COMMON_START,
        names=(modality,),
        fit=fit_settings(settings),
        options=options,
        seed=settings.seed,
        device=settings.device,
    )


def _start_seed(fold: Fold, settings: BlockSettings) -> int:
    return derived_seed(settings.seed, fold.cohort, fold.unit, fold.repeat, COMMON_START)
