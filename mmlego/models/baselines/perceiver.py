"""The Perceiver: one latent array that attends to the tokens of all modalities at once."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import cast

import torch
from torch import Tensor, nn

from mmlego.lego.attention import CrossAttention, Memory
from mmlego.lego.head import Head
from mmlego.models.contract import Tensors
from mmlego.models.layers.latent_attention import (
    GeluFeedForward,
    PaddedAttention,
    Update,
    check_options,
)
from mmlego.models.layers.positions import Tokenizer, Tokens

MARGIN = 8
SPREAD = 0.02


class Perceiver(nn.Module):
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
        widths: Number of features by modality name; the order of names is the order of tokens,
            which has no influence on the method.
        n_outputs: Number of logits k: classes or time bins.
        kinds: "tabular" (b, c), "bag" or "series" (b, n, c) by name; None = all are tables.
        latent_channels: Rows c of the latent.
        latent_dim: Width d of the latent.
        depth: Number of layers, each with weights of its own.
        heads: Heads of the cross-attention.
        dim_head: Width of one of them.
        self_layers: Layers of latent self-attention behind each cross-attention, 0 or more.
        self_heads: Heads of the self-attention.
        self_dim_head: Width of one of them.
        ff_mult: Inner width of the feed-forward as a multiple of d.
        attn_dropout: Dropout on attention weights, in [0, 1).
        ff_dropout: Dropout on the feed-forward's output, in [0, 1).
        bands: Number of frequencies of the position features.
        max_freq: Twice the highest of these frequencies.

    Raises:
        ModalityError: If there is no modality, or a name cannot name a sub-module.
        SettingsError: If an option is out of range.
    """

    l1_exempt = ("latent",)

    def __init__(
        self,
        widths: Mapping[str, int],
        n_outputs: int,
        *,
        kinds: Mapping[str, str] | None = None,
        latent_channels: int = 17,
        latent_dim: int = 126,
        depth: int = 2,
        heads: int = 1,
        dim_head: int = 64,
        self_layers: int = 1,
        self_heads: int = 8,
        self_dim_head: int = 64,
        ff_mult: int = 4,
        attn_dropout: float = 0.4,
        ff_dropout: float = 0.36,
        bands: int = 2,
        max_freq: float = 2.0,
    ) -> None:
        """Check the options and build the parameters."""
        super().__init__()
        check_options(
            "Perceiver",
            n_outputs=n_outputs,
            latent_channels=latent_channels,
            latent_dim=latent_dim,
            depth=depth,
            heads=heads,
            dim_head=dim_head,
            self_layers=self_layers,
            self_heads=self_heads,
            self_dim_head=self_dim_head,
            ff_mult=ff_mult,
            attn_dropout=attn_dropout,
            ff_dropout=ff_dropout,
        )
        self.tokenizer = Tokenizer("Perceiver", widths, kinds, bands=bands, max_freq=max_freq)
        width = max(self.tokenizer.widths.values()) + MARGIN
        self.latent = nn.Parameter(torch.randn(latent_channels, latent_dim))
        # Small, so that the norm of a narrow token is that of its data and not of its padding.
        self.pads = nn.ParameterDict(
            {name: SPREAD * torch.randn(width - e) for name, e in self.tokenizer.widths.items()}
        )
        feed_forward = partial(GeluFeedForward, latent_dim, mult=ff_mult, dropout=ff_dropout)
        cross = partial(PaddedAttention, latent_dim, width, heads=heads, dim_head=dim_head)
        own = partial(
            CrossAttention, latent_dim, latent_dim, heads=self_heads, dim_head=self_dim_head
        )
        self.cross = nn.ModuleList(
            Update(cross(dropout=attn_dropout), feed_forward()) for _ in range(depth)
        )
        self.own = nn.ModuleList(
            nn.ModuleList(
                Update(own(dropout=attn_dropout), feed_forward()) for _ in range(self_layers)
            )
            for _ in range(depth)
        )
        self.head = Head(latent_dim, n_outputs)

    def forward(
        self, inputs: Tensors, present: Tensors | None = None, masks: Tensors | None = None
    ) -> Tensor:
        """Return logits (b, k).

        Args:
            inputs: Values by modality; a modality left out is absent for all samples.
            present: (b,) bool by modality; one that is not named is present in every sample.
            masks: (b, n) bool by modality, True = a valid instance.

        Raises:
            ModalityError: If a name is unknown or a sample has no modality.
            ShapeError: If a shape or type is wrong, or a valid entry is not finite.
        """
        tokens = self.tokenizer.read(inputs, present, masks, self.latent.dtype)
        valid = torch.cat([part.valid for part in tokens.values()], dim=1)
        mask = None if bool(valid.all()) else valid
        latent = self.latent.expand(len(valid), -1, -1)
        for cross, own in zip(self.cross, self.own, strict=True):
            latent = cross(latent, self._remember(cast(Update, cross), tokens, mask))
            for update in cast(nn.ModuleList, own):
                latent = update(latent)
        return self.head(latent)

    def _remember(self, cross: Update, tokens: Mapping[str, Tokens], mask: Tensor | None) -> Memory:
        parts = [(part.values, self.pads[name]) for name, part in tokens.items()]
        return cast(PaddedAttention, cross.attention).remember_padded(parts, mask)
