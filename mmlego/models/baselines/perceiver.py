"""The Perceiver: one latent array that attends to the tokens of all modalities at once."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

import torch
from torch import Tensor, nn

from mmlego.lego.attention import Memory
from mmlego.lego.head import Head
from mmlego.models.layers.latent_attention import (
    GeluFeedForward,
    LatentModel,
    PaddedAttention,
    Update,
)
from mmlego.models.layers.positions import Tokens

MARGIN = 8
SPREAD = 0.02


class Perceiver(LatentModel):
    """Early fusion by attention: all modalities become one sequence, which a latent array reads.

    A table is one token, bags and series are one token per instance or step with features of its
    position. Each modality pads its tokens to a common width (the widest plus 8) with a trained
    vector, which tells the attention what it reads. Tokens of absent modalities are masked.

    Source: Jaegle et al. 2021; widths, depth and dropout after Hemker et al. 2025, appendix E.
    The authors publish no multimodal use of their Perceiver, so concatenation, modality vectors
    and masks are our choice. Departures from their code: one layer of latent self-attention follows
    each cross-attention, as in the original (theirs has none by default); positions are spread over
    the valid tokens of a sample; a table carries no position; the attention has no softmax
    temperature and no activation behind its projection. Self-attention norms what it asks with and
    what it reads apart.

    Args:
        widths: See ``LatentModel``, also for ``n_outputs``, ``kinds``, other options and errors;
            the order of the tokens has no influence on the method.
        n_outputs: Number of logits k: classes or time bins.
        **latent: Options of ``LatentModel``; each layer has weights of its own.
    """

    attention = PaddedAttention
    feed_forward = GeluFeedForward

    def __init__(self, widths: Mapping[str, int], n_outputs: int, **latent: Any) -> None:
        """Check the options and build the parameters."""
        super().__init__(widths, n_outputs, **latent)
        width = max(self.tokenizer.widths.values()) + MARGIN
        # Small, so that the norm of a narrow token is that of its data and not of its padding.
        self.pads = nn.ParameterDict(
            {name: SPREAD * torch.randn(width - e) for name, e in self.tokenizer.widths.items()}
        )
        self.cross = nn.ModuleList(self.read_layer(width) for _ in range(self.depth))
        self.own = self.self_attention(self.depth)
        self.head = Head(self.latent_dim, n_outputs)

    def predict(self, batch: Mapping[str, Tokens]) -> Tensor:
        """Return logits (b, k) of the tokens of a batch."""
        valid = torch.cat([part.valid for part in batch.values()], dim=1)
        mask = None if bool(valid.all()) else valid
        latent = self.latent.expand(len(valid), -1, -1)
        for cross, own in zip(self.cross, self.own, strict=True):
            latent = cross(latent, self._remember(cast(Update, cross), batch, mask))
            for update in cast(nn.ModuleList, own):
                latent = update(latent)
        return self.head(latent)

    def _remember(self, cross: Update, tokens: Mapping[str, Tokens], mask: Tensor | None) -> Memory:
        parts = [(part.values, self.pads[name]) for name, part in tokens.items()]
        return cast(PaddedAttention, cross.attention).remember_padded(parts, mask)
