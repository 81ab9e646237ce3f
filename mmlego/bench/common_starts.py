"""The starts that blocks of all modalities, or encoders of several tasks, have in common."""

from __future__ import annotations

import torch
from torch import Tensor

from mmlego.bench.settings import BlockSettings
from mmlego.bench.starts import Start, State
from mmlego.bench.training import build_block, derived_seed
from mmlego.data.folds.fold import Fold
from mmlego.errors import ModalityError
from mmlego.lego.block import LegoBlock
from mmlego.models.encoders.snn import SNNEncoder

COMMON_START = "common start"
LATENT_AND_HEAD = "common latent and head"
# What reads the data, and so differs between modalities, in the names of a block's parameters.
_OWN = frozenset({"encoder", "to_key", "to_value", "norm_context"})


def shared_part(block: LegoBlock) -> dict[str, Tensor]:
    """What has the same shape in blocks of all modalities.

    Start latent, queries, output projections, feed-forwards and head; but neither an encoder, nor
    what reads the data: keys, values, and the norm before them.
    """
    return {
        name: value for name, value in block.state_dict().items() if not _OWN & set(name.split("."))
    }


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


def everything_shared(fold: Fold, settings: BlockSettings) -> Start:
    """All that can be shared between blocks, so that their weights can be merged afterwards."""
    return Start(
        COMMON_START,
        COMMON_START,
        _start_seed(fold, settings),
        lambda: block_start(fold, settings),
        COMMON_START,
    )


def latent_and_head(fold: Fold, settings: BlockSettings, arm: str = LATENT_AND_HEAD) -> Start:
    """Latent and head; everything else, and the order of batches, is that of an own start."""

    def state() -> State:
        start = block_start(fold, settings)
        return {k: v for k, v in start.items() if k == "latent" or k.startswith("head.")}

    return Start(LATENT_AND_HEAD, arm, _start_seed(fold, settings), state)


def same_encoder(fold: Fold, table: str, settings: BlockSettings) -> Start:
    """An encoder that starts as that of every task on a table.

    Raises:
        ModalityError: If the modality is no table.
    """
    if fold.kinds.get(table) != "tabular":
        raise ModalityError(
            f"shared encoder: expected a table of {fold.cohort}, got '{table}'; name one of "
            f"{[name for name in fold.names if fold.kinds[name] == 'tabular']}"
        )
    return Start(
        "encoder",
        COMMON_START,
        settings.seed,
        lambda: encoder_start(fold, table, settings),
        COMMON_START,
    )


def _start_seed(fold: Fold, settings: BlockSettings) -> int:
    return derived_seed(settings.seed, fold.cohort, fold.unit, fold.repeat, COMMON_START)
