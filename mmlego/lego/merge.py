"""LegoMerge: several trained blocks as one model, without training."""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

import torch
from torch import Tensor, nn

from mmlego.errors import ModalityError, SettingsError
from mmlego.lego import latents as latent_methods
from mmlego.lego.block import LegoBlock
from mmlego.lego.head import Head, HeadTensors, apply_head
from mmlego.lego.heads import METHODS as HEAD_METHODS
from mmlego.lego.heads import align_heads, merge_head_tensors, permute_head
from mmlego.lego.latents import merge_latents
from mmlego.lego.modalities import check_blocks, check_weights, on_rows, presence, scatter
from mmlego.lego.profiles import choose


class LegoMerge(nn.Module):
    """Blocks of several modalities merged into one prediction: latents and heads are averaged.

    The blocks are the given objects, not copies, and no parameter is added. Merged heads are
    derived from the blocks' heads on every forward, so they can never be stale, and gradients
    reach the blocks if the merge is tuned. Blocks run one after another; only their latents are
    kept.

    Source: MM-Lego, section 3.2, Eq. 4. Any number of modalities, weights, missing modalities and
    per-pattern heads are this package's extension.
    """

    def __init__(
        self,
        blocks: Mapping[str, LegoBlock],
        *,
        weights: Mapping[str, float] | None = None,
        latents: str = "harmonic",
        phase: str = "arithmetic",
        heads: str = "slerp",
        head_mode: str = "present",
        head_weights: Mapping[str, float] | None = None,
    ) -> None:
        """Merge blocks.

        Args:
            blocks: Trained blocks by modality; same latent shape, outputs and latent domain.
            weights: Weight >= 0 by modality, scaled to sum 1, for latents and heads alike; None
                means equal. The operators ``sum``, ``product`` and ``max_magnitude`` do not weight
                latents.
            latents: Operator on the latents, see ``merge_latents``.
            phase: ``"arithmetic"`` or ``"circular"`` mean of the phases.
            heads: ``"slerp"``, ``"linear"``, or ``"ot"`` (linear, after the latent columns and
                heads of all blocks were aligned with those of the first).
            head_mode: ``"present"``: samples use the head merged from the modalities they have, so
                one modality gives that block's logits; ``"static"``: always the head of all
                blocks.
            head_weights: Weights of the heads where they differ from those of the latents.

        Raises:
            SettingsError: If an option is unknown or out of range.
            ShapeError: If the blocks do not fit together.
            ModalityError: If ``blocks`` is no mapping of blocks.
        """
        super().__init__()
        choose("latents", latents, latent_methods.METHODS)
        choose("phase", phase, latent_methods.PHASES)
        choose("heads", heads, HEAD_METHODS)
        choose("head_mode", head_mode, ("present", "static"))
        blocks = check_blocks(blocks)
        if latents == "official_harmonic" and len(blocks) > 2:
            raise SettingsError(f"latents: official_harmonic is for two blocks, got {len(blocks)}")
        self.blocks = nn.ModuleDict(blocks)
        self.names = tuple(self.blocks)
        self.weights = check_weights(weights, self.names)
        self.head_weights = (
            self.weights if head_weights is None else check_weights(head_weights, self.names)
        )
        self.latents, self.phase, self.heads, self.head_mode = latents, phase, heads, head_mode

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
                anything.
            masks: Modality to (b, n) bool, True for valid tokens; no valid token means missing.

        Raises:
            ModalityError: If a modality is unknown, or a sample has none.
            ShapeError: If a shape is wrong or a present, valid entry is not finite.
        """
        table = presence(self.names, inputs, present, masks)
        merged, orders = self._encode(inputs, masks or {}, table)
        return self._read_out(merged, table, orders)

    def encode(
        self,
        inputs: Mapping[str, Tensor],
        present: Mapping[str, Tensor] | None = None,
        masks: Mapping[str, Tensor] | None = None,
    ) -> Tensor:
        """Merged frequency-domain latent, complex (b, c, d); arguments as in ``forward``."""
        return self._encode(inputs, masks or {}, presence(self.names, inputs, present, masks))[0]

    def add(
        self, name: str, block: LegoBlock, weights: Mapping[str, float] | None = None
    ) -> LegoMerge:
        """New merge with one more modality; the old blocks stay the same objects, bit for bit.

        Args:
            name: Name of the new modality.
            block: Its block.
            weights: Weights of all modalities; None means equal, and is refused where the merge has
                weights of its own, which say nothing about the new block.

        Raises:
            ModalityError: If the name is taken.
            SettingsError: If the merge is weighted and no weights are given.
        """
        if name in self.names:
            raise ModalityError(f"modality {name!r}: already merged; choose another name")
        if weights is None and self._is_weighted():
            raise SettingsError(
                f"weights: expected one for each of {[*self.names, name]}, got none; the merge has "
                "weights of its own, so say what the new block weighs"
            )
        return LegoMerge(
            {**{own: self._block(own) for own in self.names}, name: block},
            weights=weights,
            latents=self.latents,
            phase=self.phase,
            heads=self.heads,
            head_mode=self.head_mode,
        )

    def _block(self, name: str) -> LegoBlock:
        return cast(LegoBlock, self.blocks[name])

    def _head(self, name: str) -> Head:
        return cast(Head, self._block(name).head)

    def _is_weighted(self) -> bool:
        """Whether some weight of a latent or a head differs from the others."""
        return any(len(set(w.values())) > 1 for w in (self.weights, self.head_weights))

    def _encode(
        self, inputs: Mapping[str, Tensor], masks: Mapping[str, Tensor], table: Tensor
    ) -> tuple[Tensor, list[Tensor] | None]:
        orders = (
            align_heads([self._head(name) for name in self.names]) if self.heads == "ot" else None
        )
        found, columns = [], []
        for m, name in enumerate(self.names):
            there = table[:, m]
            if not bool(there.any()):
                continue
            z = on_rows(name, there, (inputs[name], masks.get(name)), self._block(name).encode)
            z = scatter(z, there, z.new_zeros(len(there), *z.shape[1:]))
            found.append(z if orders is None else z[..., orders[m]])
            columns.append(m)
        weighted = self.latents not in latent_methods.UNWEIGHTED
        names = [self.names[m] for m in columns]
        weights = _shares(self.weights, names) if weighted else None
        present = table[:, columns].to(found[0].device)
        return merge_latents(found, weights, self.latents, self.phase, present), orders

    def _read_out(self, merged: Tensor, table: Tensor, orders: list[Tensor] | None) -> Tensor:
        if self.head_mode == "static" or bool(table.all()):
            return apply_head(self._merged_head(range(len(self.names)), orders), merged)
        patterns, which = torch.unique(table, dim=0, return_inverse=True)
        logits: Tensor | None = None
        for index, pattern in enumerate(patterns):
            head = self._merged_head(pattern.nonzero().flatten().tolist(), orders)
            rows = which == index
            part = apply_head(head, merged[rows.to(merged.device)])
            base = part.new_zeros(len(table), part.shape[-1]) if logits is None else logits
            logits = scatter(part, rows, base)
        return cast(Tensor, logits)  # a batch has one pattern or more

    def _merged_head(self, columns: range | list[int], orders: list[Tensor] | None) -> HeadTensors:
        """The head of the blocks in these columns, attached to the graph."""
        names = [self.names[m] for m in columns]
        heads = [self._head(name).tensors() for name in names]
        if orders is not None:
            heads = [permute_head(head, orders[m]) for head, m in zip(heads, columns, strict=True)]
        method = "linear" if self.heads == "ot" else self.heads
        return merge_head_tensors(heads, _shares(self.head_weights, names), method)


def _shares(weights: Mapping[str, float], names: list[str]) -> list[float] | None:
    """Weights of these modalities; None (equal) where all of them are 0."""
    chosen = [weights[name] for name in names]
    return chosen if sum(chosen) > 0 else None
