"""LegoFuse: blocks chained through one latent, for a little joint training on paired data."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import cast

from torch import Tensor, nn

from mmlego.errors import SettingsError
from mmlego.lego.block import LegoBlock, Reading
from mmlego.lego.head import Head
from mmlego.lego.heads import merge_heads
from mmlego.lego.modalities import check_blocks, check_weights, on_rows, presence, scatter
from mmlego.lego.profiles import choose


class LegoFuse(nn.Module):
    """Copies of trained blocks that update one latent in turn, read out by one merged head.

    All copies are trainable unless they were frozen; the head starts as the merge of the blocks'
    heads. ``latent`` of the first block in the order is the start for every sample; that of the
    others is unused and does not require a gradient.

    Source: MM-Lego, section 3.3. The paper passes the frequency-domain state on; here it is
    inverted between blocks, which differs by the normalization only.
    """

    def __init__(
        self,
        blocks: Mapping[str, LegoBlock],
        *,
        mode: str = "stack",
        order: Sequence[str] | None = None,
        transition: str = "inverse",
        heads: str = "slerp",
        weights: Mapping[str, float] | None = None,
    ) -> None:
        """Copy and chain blocks.

        Args:
            blocks: Trained blocks by modality; same latent shape, outputs and latent domain. Never
                changed.
            mode: ``"stack"``: all passes of one block, then of the next; ``"weave"``: one pass of
                each block in turn (a block with fewer passes drops out when it is done).
            order: Order of the modalities; None takes that of ``blocks``.
            transition: Between blocks of a stack: ``"inverse"`` transforms the state back;
                ``"raw_real"`` hands the real part on untransformed, as the authors' code does.
            heads: ``"slerp"`` or ``"linear"``.
            weights: Weight >= 0 by modality of its head, scaled to sum 1; None means equal.

        Raises:
            SettingsError: If an option is unknown or out of range.
            ShapeError: If the blocks do not fit together.
            ModalityError: If ``blocks`` is no mapping of blocks.
        """
        super().__init__()
        choose("mode", mode, ("stack", "weave"))
        choose("transition", transition, ("inverse", "raw_real"))
        choose("heads", heads, ("slerp", "linear"))
        if mode == "weave" and transition != "inverse":
            raise SettingsError('transition: "raw_real" exists for mode="stack" only')
        blocks = check_blocks(blocks)
        self.names = _check_order(order, blocks)
        shares = check_weights(weights, self.names)
        self.mode, self.transition, self.heads = mode, transition, heads
        originals = [blocks[name] for name in self.names]
        self.head: Head = merge_heads(
            [cast(Head, block.head) for block in originals], list(shares.values()), heads
        )
        copies = copy.deepcopy(originals)
        for index, block in enumerate(copies):
            block.head = None
            if index:
                block.latent.requires_grad_(False)
        self.blocks = nn.ModuleDict(dict(zip(self.names, copies, strict=True)))

    def forward(
        self,
        inputs: Mapping[str, Tensor],
        present: Mapping[str, Tensor] | None = None,
        masks: Mapping[str, Tensor] | None = None,
    ) -> Tensor:
        """Logits (b, k).

        Args:
            inputs: Modality to (b, c), (b, n, c) or what its encoder takes; one left out is
                missing for all.
            present: Modality to (b,) bool, False where a sample lacks it; its row may hold
                anything, and the block leaves that sample's latent as it is.
            masks: Modality to (b, n) bool, True for valid tokens; no valid token means missing.

        Raises:
            ModalityError: If a modality is unknown, or a sample has none.
            ShapeError: If a shape is wrong or a present, valid entry is not finite.
        """
        return self.head(self.encode(inputs, present, masks))

    def encode(
        self,
        inputs: Mapping[str, Tensor],
        present: Mapping[str, Tensor] | None = None,
        masks: Mapping[str, Tensor] | None = None,
    ) -> Tensor:
        """Final frequency-domain latent, complex (b, c, d); arguments as in ``forward``."""
        table = presence(self.names, inputs, present, masks)
        masks = masks or {}
        active = {
            name: (self._block(name), table[:, m], inputs[name], masks.get(name))
            for m, name in enumerate(self.names)
            if bool(table[:, m].any())
        }
        start = self._block(self.names[0]).start(len(table))
        if self.mode == "stack":
            return stack(active, start, raw_real=self.transition == "raw_real")
        return weave(active, start)

    def _block(self, name: str) -> LegoBlock:
        return cast(LegoBlock, self.blocks[name])


Active = Mapping[str, tuple[LegoBlock, Tensor, Tensor, Tensor | None]]


def stack(active: Active, state: Tensor, *, raw_real: bool = False) -> Tensor:
    """Run whole blocks one after another on a spatial state (b, c, d).

    Args:
        active: Modality to its block, who has it (b,), input, and mask or None, in order.
        state: Start, spatial.
        raw_real: Hand on Re Z instead of the inverse transform.

    Returns:
        For each sample, the frequency-domain latent of the last block that it has a modality for.
    """
    final: Tensor | None = None
    for name, (block, there, x, mask) in active.items():
        z = on_rows(name, there, (x, mask, state), block.encode)
        final = scatter(z, there, _blank(z, there) if final is None else final)
        state = scatter(z.real if raw_real else block.invert(z), there, state)
    return cast(Tensor, final)  # some modality is there, or presence() had raised


def weave(active: Active, state: Tensor) -> Tensor:
    """Run one pass of each block in turn, as often as the deepest block has passes.

    Arguments and result as in ``stack``. Each encoder runs once.
    """
    readings: dict[str, Reading] = {
        name: on_rows(name, there, (x, mask), block.read)
        for name, (block, there, x, mask) in active.items()
    }
    final: Tensor | None = None
    for index in range(max(block.depth for block, *_ in active.values())):
        for name, (block, there, _, _) in active.items():
            if index >= block.depth:
                continue
            part = state if bool(there.all()) else state[there.to(state.device)]
            z = block.step(part, readings[name], index)
            final = scatter(z, there, _blank(z, there) if final is None else final)
            state = scatter(block.invert(z), there, state)
    return cast(Tensor, final)  # some modality is there, or presence() had raised


def _blank(z: Tensor, there: Tensor) -> Tensor:
    return z.new_zeros(len(there), *z.shape[1:])


def _check_order(order: Sequence[str] | None, blocks: Mapping[str, LegoBlock]) -> tuple[str, ...]:
    if order is None:
        return tuple(blocks)
    if isinstance(order, str) or sorted(order) != sorted(blocks):
        raise SettingsError(f"order: expected each of {sorted(blocks)} once, got {order!r}")
    return tuple(order)
