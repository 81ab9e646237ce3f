"""What the latent-attention baselines share: one update of a latent, and tokens of many widths."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from einops import rearrange
from torch import Tensor, nn
from torch.nn import functional as F

from mmlego.lego.attention import CrossAttention, FeedForward, Memory
from mmlego.lego.dropout import dropout as drop
from mmlego.models.checks import check_dropout, check_sizes


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


def check_options(
    owner: str, *, self_layers: int, attn_dropout: float, ff_dropout: float, **sizes: int
) -> None:
    """Refuse options out of range.

    Raises:
        SettingsError: If a size is below 1, ``self_layers`` below 0, or a dropout outside [0, 1).
    """
    check_sizes(owner, **sizes)
    if self_layers != 0:
        check_sizes(owner, self_layers=self_layers)
    for dropout in (attn_dropout, ff_dropout):
        check_dropout(owner, dropout)


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
