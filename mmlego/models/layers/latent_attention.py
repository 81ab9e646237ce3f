"""What the latent-attention baselines share: a latent, its updates, and tokens of many widths."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial

import torch
from einops import rearrange
from torch import Tensor, nn
from torch.nn import functional as F

from mmlego.lego.attention import CrossAttention, FeedForward, Memory
from mmlego.lego.dropout import dropout as drop
from mmlego.models.checks import check_dropout, check_sizes
from mmlego.models.contract import MultimodalModel, Tensors
from mmlego.models.layers.positions import Tokenizer, Tokens


class GeluFeedForward(FeedForward):
    """Gated feed-forward with a GELU gate: x (b, c, d) -> Dropout((a * GELU(g)) W2 + b2).

    Source: Shazeer 2020 (GEGLU), with biases; [a, g] = LN(x) W1 + b1.
    """

    def forward(self, latent: Tensor) -> Tensor:
        """Update (b, c, d) to add to ``latent``."""
        value, gate = self.expand(self.norm(latent)).chunk(2, dim=-1)
        return drop(self.contract(value * F.gelu(gate)), self.dropout, self.training)


class Update(nn.Module):
    """An attention and a feed-forward, each added to the latent (b, c, d) that it reads."""

    def __init__(self, attention: CrossAttention, feed_forward: FeedForward) -> None:
        """Take the two parts."""
        super().__init__()
        self.attention = attention
        self.feed_forward = feed_forward

    def forward(self, latent: Tensor, memory: Memory | None = None) -> Tensor:
        """Return the updated latent (b, c, d); without ``memory`` it attends to itself."""
        memory = self.attention.remember(latent) if memory is None else memory
        latent = latent + self.attention(latent, memory)
        return latent + self.feed_forward(latent)


class PaddedAttention(CrossAttention):
    """Cross-attention to tokens of different widths, each kind padded by a vector of its own."""

    def remember_padded(
        self, parts: Sequence[tuple[Tensor, Tensor]], valid: Tensor | None
    ) -> Memory:
        """Prepare what ``remember`` would of the padded tokens, without writing them out.

        Only one token in many may be wide, so padding all of them would multiply the work.

        Args:
            parts: Tokens (b, n_i, e_i) and the vector (e - e_i,) that pads each of them.
            valid: (b, sum of n_i) bool, True = a valid token; None = all are.
        """
        weight = torch.cat([self.to_key.weight * self.scale, self.to_value.weight])
        both = torch.cat([_project(x, pad, self.norm_context, weight) for x, pad in parts], dim=1)
        keys, values = rearrange(both, "b n (two h p) -> two b h n p", two=2, h=self.heads)
        mask = None if valid is None else valid[:, None, None, :]
        return Memory("plain", keys, values, mask, None, None)


class LatentModel(MultimodalModel):
    """A latent array that reads the tokens of all modalities; how it reads them is a subclass's.

    A table is one token; bags and series are one token per instance or step with features of its
    position. A subclass may name another attention and feed-forward, and builds its layers and the
    head behind ``super().__init__``.

    Args:
        widths: Number of features by modality name, in the order of the tokens.
        n_outputs: Number of logits k: classes or time bins.
        kinds: "tabular" (b, c), "bag" or "series" (b, n, c) by name; None = all are tables.
        latent_channels: Rows c of the latent.
        latent_dim: Width d of the latent.
        depth: Number of layers.
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
    attention: type[CrossAttention] = CrossAttention
    feed_forward: type[FeedForward] = FeedForward

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
        """Check the options, and build the latent."""
        super().__init__(widths, n_outputs, kinds)
        check_sizes(
            self.owner,
            latent_channels=latent_channels,
            latent_dim=latent_dim,
            depth=depth,
            heads=heads,
            dim_head=dim_head,
            self_heads=self_heads,
            self_dim_head=self_dim_head,
            ff_mult=ff_mult,
        )
        if self_layers != 0:
            check_sizes(self.owner, self_layers=self_layers)
        for dropout in (attn_dropout, ff_dropout):
            check_dropout(self.owner, dropout)
        self.latent_dim, self.depth, self.self_layers = latent_dim, depth, self_layers
        self._cross = partial(
            self.attention, latent_dim, heads=heads, dim_head=dim_head, dropout=attn_dropout
        )
        self._own = partial(
            CrossAttention,
            latent_dim,
            latent_dim,
            heads=self_heads,
            dim_head=self_dim_head,
            dropout=attn_dropout,
        )
        self._feed = partial(self.feed_forward, latent_dim, mult=ff_mult, dropout=ff_dropout)
        self.tokenizer = Tokenizer(self.owner, widths, kinds, bands=bands, max_freq=max_freq)
        self.latent = nn.Parameter(torch.randn(latent_channels, latent_dim))

    def read(
        self, inputs: Tensors, present: Tensors | None = None, masks: Tensors | None = None
    ) -> dict[str, Tokens]:
        """Return the tokens of every modality that some sample has; see ``forward``."""
        return self.tokenizer.read(inputs, present, masks, self.latent.dtype)

    def read_layer(self, width: int) -> Update:
        """Build an update in which the latent reads tokens of ``width`` features."""
        return Update(self._cross(width), self._feed())

    def self_attention(self, copies: int) -> nn.ModuleList:
        """Build ``copies`` stacks of updates in which the latent attends to itself."""
        return nn.ModuleList(
            nn.ModuleList(Update(self._own(), self._feed()) for _ in range(self.self_layers))
            for _ in range(copies)
        )


def _project(x: Tensor, pad: Tensor, norm: nn.LayerNorm, weight: Tensor) -> Tensor:
    """Return LN([x, pad]) W^T, (b, n, o), of tokens x (b, n, e) and one pad (q,); W is (o, e + q).

    Mean and variance over the features are those of both parts, pooled; both are subtracted and
    divided by after the product with the weights, so that the pad is multiplied once.
    """
    width = x.shape[-1]
    share = width / weight.shape[1]
    variance, mean = torch.var_mean(x, dim=-1, correction=0, keepdim=True)
    pad_variance, pad_mean = torch.var_mean(pad, dim=-1, correction=0)
    apart = share * (1 - share) * (mean - pad_mean).square()
    variance = share * variance + (1 - share) * pad_variance + apart
    mean = share * mean + (1 - share) * pad_mean
    scaled = weight * norm.weight
    product = F.linear(x, scaled[:, :width], scaled[:, width:] @ pad) - mean * scaled.sum(dim=1)
    return product * torch.rsqrt(variance + norm.eps) + weight @ norm.bias
