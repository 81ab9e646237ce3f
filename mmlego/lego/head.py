"""The head of a block: from a latent to logits."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor, nn
from torch.nn import functional as F

EPS = 1e-5


class HeadTensors(NamedTuple):
    """The tensors of a head: layer-norm gain (d,) and offset (d,), weight (k, d), bias (k,)."""

    gamma: Tensor
    beta: Tensor
    weight: Tensor
    bias: Tensor


class Head(nn.Module):
    """Mean over the latent channels, layer norm, linear layer.

    Source: MM-Lego, section 3.1. Only the real part of a latent is read, as in the authors' code.
    """

    def __init__(self, latent_dim: int, n_outputs: int) -> None:
        """Build the norm and the linear layer."""
        super().__init__()
        self.norm = nn.LayerNorm(latent_dim, eps=EPS)
        self.linear = nn.Linear(latent_dim, n_outputs)

    def forward(self, latent: Tensor) -> Tensor:
        """Logits (b, k) of a real or complex latent (b, c, d)."""
        return apply_head(self.tensors(), latent)

    def tensors(self) -> HeadTensors:
        """The four parameters, attached to the graph."""
        return HeadTensors(self.norm.weight, self.norm.bias, self.linear.weight, self.linear.bias)


def apply_head(head: HeadTensors, latent: Tensor) -> Tensor:
    """Logits (b, k) of a real or complex latent (b, c, d) under the given head tensors."""
    real = latent.real if latent.is_complex() else latent
    pooled = F.layer_norm(real.mean(-2), head.gamma.shape, head.gamma, head.beta, EPS)
    return F.linear(pooled, head.weight, head.bias)
