"""HEALNet: one latent array that attends to the modalities one after the other, again and again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import cast

import torch
from torch import Tensor, nn

from mmlego.errors import SettingsError
from mmlego.lego.attention import CrossAttention, FeedForward
from mmlego.lego.head import Head
from mmlego.lego.modalities import on_rows, scatter
from mmlego.lego.reading import Reading
from mmlego.models.contract import Tensors
from mmlego.models.layers.latent_attention import Update, check_options
from mmlego.models.layers.positions import Tokenizer, Tokens


class HEALNet(nn.Module):
    """Hybrid early fusion: each layer updates a shared latent with every modality in turn.

    An update is a cross-attention to one modality and a feed-forward of that modality. A sample
    that lacks a modality skips both. A table is one token; bags and series are one token per
    instance or step with features of its position.

    Source: Hemker et al. 2024 (HEALNet), section 3; sizes and dropout after Hemker et al. 2025,
    appendix E. Departures from the authors' code: a missing modality is declared and skipped per
    sample, while theirs skips whatever raises an exception, wrong shapes included; inputs are not
    overwritten; positions run over the valid tokens of a sample from -1 to 1 (theirs: over all
    tokens, from 0 to 1); a table carries no position; masks belong to a modality; shared weights
    include the first layer, and each modality keeps its feed-forward; the attention has no softmax
    temperature and no activation behind its projection; any number of self-attention layers is
    used. Self-attention norms what it asks with and what it reads apart.

    Args:
        widths: Number of features by modality name; modalities are read in this order.
        n_outputs: Number of logits k: classes or time bins.
        kinds: "tabular" (b, c), "bag" or "series" (b, n, c) by name; None = all are tables.
        latent_channels: Rows c of the latent.
        latent_dim: Width d of the latent.
        depth: Number of layers, each of which reads every modality.
        share_weights: True = all layers use the same weights; False = each has its own.
        heads: Heads of the cross-attention.
        dim_head: Width of one of them.
        self_layers: Layers of latent self-attention at the end of each layer, 0 or more.
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
        share_weights: bool = True,
        heads: int = 1,
        dim_head: int = 64,
        self_layers: int = 0,
        self_heads: int = 8,
        self_dim_head: int = 64,
        ff_mult: int = 4,
        attn_dropout: float = 0.4,
        ff_dropout: float = 0.27,
        bands: int = 2,
        max_freq: float = 2.0,
    ) -> None:
        """Check the options and build the parameters."""
        super().__init__()
        check_options(
            "HEALNet",
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
        if not isinstance(share_weights, bool):
            raise SettingsError(
                f"HEALNet: expected share_weights True or False, got {share_weights!r}"
            )
        self.depth, self.share_weights = depth, share_weights
        self.tokenizer = Tokenizer("HEALNet", widths, kinds, bands=bands, max_freq=max_freq)
        self.latent = nn.Parameter(torch.randn(latent_channels, latent_dim))
        attention = partial(CrossAttention, latent_dim, dropout=attn_dropout)
        feed_forward = partial(FeedForward, latent_dim, mult=ff_mult, dropout=ff_dropout)
        copies = range(1 if share_weights else depth)
        self.cross = nn.ModuleDict(
            {
                name: nn.ModuleList(
                    Update(attention(width, heads=heads, dim_head=dim_head), feed_forward())
                    for _ in copies
                )
                for name, width in self.tokenizer.widths.items()
            }
        )
        self.own = nn.ModuleList(
            nn.ModuleList(
                Update(
                    attention(latent_dim, heads=self_heads, dim_head=self_dim_head), feed_forward()
                )
                for _ in range(self_layers)
            )
            for _ in copies
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
        there = {name: part.valid.any(dim=1) for name, part in tokens.items()}
        readings = {name: self._read(name, tokens[name], there[name]) for name in tokens}
        latent = self.latent.expand(len(next(iter(there.values()))), -1, -1)
        for layer in range(self.depth):
            index = 0 if self.share_weights else layer
            for name, reading in readings.items():
                update = partial(self._layers(name)[index], memory=reading.memory(index))
                latent = scatter(on_rows(name, there[name], [latent], update), there[name], latent)
            for own in cast(nn.ModuleList, self.own[index]):
                latent = own(latent)
        return self.head(latent)

    def _layers(self, name: str) -> Sequence[Update]:
        """The updates that read a modality: one per layer, or a single shared one."""
        return cast("Sequence[Update]", self.cross[name])

    def _read(self, name: str, tokens: Tokens, there: Tensor) -> Reading:
        """Keys and values of the samples that have a modality, made once if weights are shared."""
        values, valid = tokens.values[there], tokens.valid[there]
        attention = [update.attention for update in self._layers(name)]
        return Reading(attention, values, None if bool(valid.all()) else valid)
