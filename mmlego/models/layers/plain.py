"""The plain layers that several baselines are made of."""

from __future__ import annotations

from itertools import pairwise

from torch import Tensor, nn


def relu_layers(in_dim: int, *widths: int, dropout: float = 0.0) -> nn.Sequential:
    """Build Linear, ReLU, Dropout for each of ``widths``, in order."""
    layers: list[nn.Module] = []
    for fan_in, fan_out in pairwise((in_dim, *widths)):
        layers += [nn.Linear(fan_in, fan_out), nn.ReLU(), nn.Dropout(dropout)]
    return nn.Sequential(*layers)


def masked_mean(x: Tensor, mask: Tensor) -> Tensor:
    """Return the mean (b, w) of x (b, n, w) over the instances of a mask, 0 where there is none."""
    total = x.masked_fill(~mask[..., None], 0.0).sum(dim=1)
    return total / mask.sum(dim=1, keepdim=True).clamp(min=1)
