"""Self-attention that tells its map: differential, and ordinary for comparison."""

from __future__ import annotations

import math

import torch
from einops import rearrange
from torch import Tensor, nn
from torch.nn import functional as F

from mmlego.errors import SettingsError
from mmlego.lego.profiles import choose, number
from mmlego.models.checks import check_sizes

ATTENTIONS = ("differential", "softmax")
SCHEDULE = "schedule"
_EPS = 1e-5
_LAMBDA_SCALE = 0.1


class DifferentialAttention(nn.Module):
    """The difference of two soft-maxes, head by head, with a learned weight on the second.

    A = softmax(Q1 K1' / sqrt(d)) - lambda softmax(Q2 K2' / sqrt(d)), with lambda = exp(q1.k1) -
    exp(q2.k2) + lambda_init. The rows of A sum to 1 - lambda, so their maxima are at least
    (1 - lambda) / n, and none can be negative while lambda is at most 1. A head returns
    (1 - lambda_init) RMSNorm(A V). Parameters: 4 w^2 + 4 d + 2 d.

    Source: AMC, section 3 (lambda_init .1 in every layer); sizes d = w / (2 h) and the norm are
        those of the published code of differential attention (Ye et al. 2024), since the printed
        ones cannot be composed. No causal mask and no rotary positions.

    Args:
        width: Width w of a token.
        heads: Number of heads h; 2 h divides w.
        lambda_init: Start of lambda.

    Raises:
        SettingsError: If a size is below 1 or does not divide, or ``lambda_init`` is no number
            in [0, 1).
    """

    def __init__(self, width: int, heads: int, lambda_init: float = 0.1) -> None:
        """Build the parameters."""
        super().__init__()
        check_sizes("differential attention", width=width, heads=heads)
        if width % (2 * heads):
            raise SettingsError(
                f"differential attention: expected a width that 2 x {heads} heads divide, got "
                f"{width}; use fewer heads or a width of {2 * heads * math.ceil(width / 2 / heads)}"
            )
        number("differential attention: lambda_init", lambda_init, low=0.0)
        if lambda_init >= 1.0:
            raise SettingsError(
                f"differential attention: expected lambda_init below 1, got {lambda_init}; nothing "
                "would be left of a head's output"
            )
        self.heads, self.dim, self.lambda_init = heads, width // (2 * heads), float(lambda_init)
        self.to_query, self.to_key, self.to_value, self.to_out = (_matrix(width) for _ in range(4))
        self.vectors = nn.Parameter(_LAMBDA_SCALE * torch.randn(4, self.dim))
        self.norm = nn.RMSNorm(2 * self.dim, eps=_EPS)

    def weight(self) -> Tensor:
        """Return lambda, a scalar."""
        query1, key1, query2, key2 = self.vectors
        return torch.exp(query1 @ key1) - torch.exp(query2 @ key2) + self.lambda_init

    def forward(self, x: Tensor, *, need_map: bool = True) -> tuple[Tensor, Tensor | None]:
        """Return the update (b, n, w) of tokens (b, n, w), and the map A (b, h, n, n) if needed."""
        query, key = (
            rearrange(to(x), "b n (h two d) -> two b h n d", h=self.heads, two=2)
            for to in (self.to_query, self.to_key)
        )
        value = rearrange(self.to_value(x), "b n (h e) -> b h n e", h=self.heads)
        weight = self.weight()
        table = None
        if need_map:
            first, second = ((query * self.dim**-0.5) @ key.mT).softmax(dim=-1)
            table = first - weight * second
            mixed = table @ value
        else:
            mixed = F.scaled_dot_product_attention(query[0], key[0], value)
            mixed = mixed - weight * F.scaled_dot_product_attention(query[1], key[1], value)
        mixed = (1.0 - self.lambda_init) * self.norm(mixed)
        return self.to_out(rearrange(mixed, "b h n e -> b n (h e)")), table


class SoftmaxAttention(nn.Module):
    """Ordinary multi-head self-attention without biases; what remains without the difference.

    Args:
        width: Width w of a token.
        heads: Number of heads h, which divides w.

    Raises:
        SettingsError: If a size is below 1 or does not divide.
    """

    def __init__(self, width: int, heads: int) -> None:
        """Build the parameters."""
        super().__init__()
        check_heads("attention", width, heads)
        self.heads = heads
        self.to_query, self.to_key, self.to_value, self.to_out = (_matrix(width) for _ in range(4))

    def forward(
        self,
        x: Tensor,
        *,
        context: Tensor | None = None,
        valid: Tensor | None = None,
        need_map: bool = True,
    ) -> tuple[Tensor, Tensor | None]:
        """Return the update (b, n, w) of tokens (b, n, w), and the map (b, h, n, k) if needed.

        Args:
            x: Tokens that ask.
            context: (b, k, w), tokens that are read; None = ``x`` itself.
            valid: (b, k) bool, True = a token that may be read; None = all.
            need_map: Whether to return the map.
        """
        context = x if context is None else context
        query, key, value = (
            rearrange(to(tokens), "b n (h d) -> b h n d", h=self.heads)
            for to, tokens in ((self.to_query, x), (self.to_key, context), (self.to_value, context))
        )
        mask = None if valid is None else valid[:, None, None, :]
        table = None
        if need_map:
            scores = (query * query.shape[-1] ** -0.5) @ key.mT
            scores = scores if mask is None else scores.masked_fill(~mask, -torch.inf)
            table = scores.softmax(dim=-1)
            mixed = table @ value
        else:
            mixed = F.scaled_dot_product_attention(query, key, value, attn_mask=mask)
        return self.to_out(rearrange(mixed, "b h n d -> b n (h d)")), table


def build_attention(
    kind: str, width: int, heads: int, lambda_init: float | str, layer: int
) -> DifferentialAttention | SoftmaxAttention:
    """The self-attention of a shared block.

    Args:
        kind: One of ``ATTENTIONS``.
        width: Width of a token.
        heads: Number of heads.
        lambda_init: A number, or ``schedule`` for .8 - .6 exp(-.3 layer).
        layer: Index of the block, from 0.

    Raises:
        SettingsError: If an option is unknown or out of range.

    Source: the schedule is that of Ye et al. 2024; AMC prints .1.
    """
    choose("AMC: attention", kind, ATTENTIONS)
    if kind == "softmax":
        return SoftmaxAttention(width, heads)
    if isinstance(lambda_init, str):
        choose("AMC: lambda_init", lambda_init, (SCHEDULE,))
        lambda_init = 0.8 - 0.6 * math.exp(-0.3 * layer)
    return DifferentialAttention(width, heads, lambda_init)


def check_heads(owner: str, width: int, heads: int) -> None:
    """Refuse a width that the number of heads does not divide.

    Raises:
        SettingsError: If a size is below 1 or does not divide.
    """
    check_sizes(owner, width=width, heads=heads)
    if width % heads:
        raise SettingsError(
            f"{owner}: expected a width that {heads} heads divide, got {width}; change one of them"
        )


def _matrix(width: int) -> nn.Linear:
    layer = nn.Linear(width, width, bias=False)
    nn.init.xavier_uniform_(layer.weight)
    return layer
