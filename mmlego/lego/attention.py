"""The two updates of a pass: cross-attention to the data, and a gated feed-forward."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast

import torch
from einops import rearrange
from torch import Tensor, nn
from torch.nn import functional as F

from mmlego.lego.dropout import dropout as drop


@dataclass(frozen=True)
class Memory:
    """What one attention keeps of the data, so that several passes can read it.

    ``kind`` is ``"plain"`` (keys, values (b, h, n, p)), ``"narrow"`` (both are the context (b, n,
    e), the projections are folded into ``into`` and ``out``), or ``"single"`` (values (b, h, d):
    what each head would add to any latent channel).
    """

    kind: str
    keys: Tensor | None
    values: Tensor
    mask: Tensor | None
    into: Tensor | None
    out: Tensor | None


class _Reachable(torch.autograd.Function):
    """Pass ``x`` through and give parameters that cannot matter a gradient of zero, not None."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, *unused: Tensor) -> Tensor:
        """Remember the shapes of what is unused."""
        ctx.shapes = [(p.shape, p.dtype, p.device) for p in unused]
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, ...]:
        """Zeros for what is unused."""
        zeros = (torch.zeros(s, dtype=t, device=v) for s, t, v in ctx.shapes)
        return grad, *zeros


class CrossAttention(nn.Module):
    """Multi-head cross-attention from a real latent (b, c, d) to a context (b, n, e).

    Both inputs pass a layer norm; queries, keys and values have no bias, the output projection has.
    Three exact rearrangements of the same formula save work: the data side is projected once
    however often it is read, with less than ``dim_head`` features the projections are folded over
    the context, and with a single token every weight is 1, so queries and keys drop out.

    Source: MM-Lego, Eq. 3; heads, norms and the projection follow the authors' code.
    """

    def __init__(
        self,
        latent_dim: int,
        context_dim: int,
        *,
        heads: int,
        dim_head: int,
        dropout: float,
        temperature: float = 1.0,
        leaky: bool = False,
    ) -> None:
        """Build the projections with torch's default initialization."""
        super().__init__()
        self.heads, self.dim_head, self.dropout, self.leaky = heads, dim_head, dropout, leaky
        self.scale = dim_head**-0.5 / temperature
        self.norm_query = nn.LayerNorm(latent_dim)
        self.norm_context = nn.LayerNorm(context_dim)
        self.to_query = nn.Linear(latent_dim, heads * dim_head, bias=False)
        self.to_key = nn.Linear(context_dim, heads * dim_head, bias=False)
        self.to_value = nn.Linear(context_dim, heads * dim_head, bias=False)
        self.project = nn.Linear(heads * dim_head, latent_dim)

    def remember(self, context: Tensor, mask: Tensor | None = None) -> Memory:
        """Prepare the context (b, n, e), mask (b, n), for any number of calls of ``forward``."""
        context = self.norm_context(context)
        if context.shape[1] == 1 and mask is None:
            return self._remember_single(context)
        mask = None if mask is None else mask[:, None, None, :]
        if context.shape[-1] < self.dim_head:
            return self._remember_narrow(context, mask)
        return self._remember_plain(context, mask)

    def forward(self, latent: Tensor, memory: Memory) -> Tensor:
        """Update (b, c, d), or (b, 1, d) where all channels get the same, to add to ``latent``."""
        read = {"plain": self._read_plain, "narrow": self._read_narrow, "single": self._read_single}
        update = read[memory.kind](latent, memory)
        return F.leaky_relu(update, 0.01) if self.leaky else update

    def _remember_plain(self, context: Tensor, mask: Tensor | None) -> Memory:
        # The scale of the scores goes into the keys, which are made once.
        keys, values = (
            rearrange(F.linear(context, weight), "b n (h p) -> b h n p", h=self.heads).contiguous()
            for weight in (self.to_key.weight * self.scale, self.to_value.weight)
        )
        return Memory("plain", keys, values, mask, None, None)

    def _read_plain(self, latent: Tensor, memory: Memory) -> Tensor:
        query = self.to_query(self.norm_query(latent))
        query = rearrange(query, "b c (h p) -> b h c p", h=self.heads)
        if self.training and self.dropout > 0:
            scores = query @ cast(Tensor, memory.keys).mT
            found = self._weigh(scores, memory.mask) @ memory.values
        else:
            found = F.scaled_dot_product_attention(
                query,
                cast(Tensor, memory.keys),
                memory.values,
                attn_mask=memory.mask,
                scale=1.0,
            )
        return self.project(rearrange(found, "b h c p -> b c (h p)"))

    def _remember_narrow(self, context: Tensor, mask: Tensor | None) -> Memory:
        # q k^T = LN(R) (Wq_h^T Wk_h) K^T, and Wo concat_h(A_h V) = sum_h (A_h K) (Wo_h Wv_h)^T
        query, key, value = (
            rearrange(layer.weight, "(h p) e -> h p e", h=self.heads)
            for layer in (self.to_query, self.to_key, self.to_value)
        )
        output = rearrange(self.project.weight, "d (h p) -> h d p", h=self.heads)
        into = rearrange(key.mT @ query, "h e d -> (h e) d") * self.scale
        out = rearrange(output @ value, "h d e -> d (h e)")
        return Memory("narrow", context, context, mask, into, out)

    def _read_narrow(self, latent: Tensor, memory: Memory) -> Tensor:
        channels = latent.shape[1]
        query = F.linear(self.norm_query(latent), cast(Tensor, memory.into))
        query = rearrange(query, "b c (h e) -> b (c h) e", h=self.heads)
        scores = torch.bmm(query, cast(Tensor, memory.keys).mT)
        if memory.mask is not None:
            scores = scores.masked_fill(~memory.mask[:, 0], float("-inf"))
        found = torch.bmm(self._weigh(scores, None), memory.values)
        found = rearrange(found, "b (c h) e -> b c (h e)", c=channels)
        return F.linear(found, cast(Tensor, memory.out), self.project.bias)

    def _remember_single(self, context: Tensor) -> Memory:
        values = rearrange(self.to_value(context), "b 1 (h p) -> h b p", h=self.heads)
        output = rearrange(self.project.weight, "d (h p) -> h p d", h=self.heads)
        values = rearrange(torch.bmm(values, output), "h b d -> b h d")
        if torch.is_grad_enabled() and values.requires_grad:
            unused = (self.to_query.weight, self.to_key.weight, *self.norm_query.parameters())
            values = _Reachable.apply(values, *unused)
        return Memory("single", None, values, None, None, None)

    def _read_single(self, latent: Tensor, memory: Memory) -> Tensor:
        values = memory.values
        if not (self.training and self.dropout > 0):
            return values.sum(1, keepdim=True) + self.project.bias
        # One weight per sample, channel and head, each dropped on its own as in the general case.
        weights = values.new_ones(len(values), latent.shape[1], self.heads)
        return torch.bmm(drop(weights, self.dropout, True), values) + self.project.bias

    def _weigh(self, scores: Tensor, mask: Tensor | None) -> Tensor:
        """Softmax over the tokens (last axis), then dropout on the weights."""
        if mask is not None:
            scores = scores.masked_fill(~mask, float("-inf"))
        return drop(scores.softmax(-1), self.dropout, self.training)


class FeedForward(nn.Module):
    """Gated feed-forward: x (b, c, d) -> Dropout((a * SELU(g)) W2 + b2), [a, g] = LN(x) W1 + b1.

    Source: MM-Lego ("SNN feed-forward"); the paper gives no formula, the gate follows its code.
    """

    def __init__(self, latent_dim: int, *, mult: int, dropout: float) -> None:
        """Build two linear layers around the gate; ``mult`` sets the inner width."""
        super().__init__()
        self.dropout = dropout
        self.norm = nn.LayerNorm(latent_dim)
        self.expand = nn.Linear(latent_dim, 2 * mult * latent_dim)
        self.contract = nn.Linear(mult * latent_dim, latent_dim)

    def forward(self, latent: Tensor) -> Tensor:
        """Update (b, c, d) to add to ``latent``."""
        x = self.norm(latent)
        # Two products instead of one that is split afterwards: no strided halves in memory.
        value, gate = (
            F.linear(x, weight, bias)
            for weight, bias in zip(
                self.expand.weight.chunk(2), self.expand.bias.chunk(2), strict=True
            )
        )
        return drop(self.contract(value * F.selu(gate)), self.dropout, self.training)
