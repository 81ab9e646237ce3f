"""Heads behind the fusion of tokens."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from mmlego.lego.dropout import dropout as drop
from mmlego.models.checks import check_dropout
from mmlego.models.layers.tokenizers import linear


def pool(tokens: Tensor) -> Tensor:
    """Return (b, m w) of tokens (b, m, n, w): the mean token of every modality, side by side."""
    return tokens.mean(dim=2).flatten(1)


class PooledHead(nn.Module):
    """A linear layer on the mean tokens of all modalities side by side, as in AMC.

    Args:
        modalities: Number of modalities m.
        width: Width w of a token.
        n_outputs: Number of logits k.
    """

    def __init__(self, modalities: int, width: int, n_outputs: int) -> None:
        """Build the layer."""
        super().__init__()
        self.linear = linear(modalities * width, n_outputs)

    def forward(self, tokens: Tensor) -> Tensor:
        """Return logits (b, k) of tokens (b, m, n, w)."""
        return self.linear(pool(tokens))


class ResidualHead(nn.Module):
    """A hidden layer beside a vector, then a linear layer: out(x + W2 Dropout(ReLU(W1 x))).

    Source: Tsai et al. 2019 (MulT), taken over by FuseMoE and its comparisons.

    Args:
        width: Width of the vector.
        n_outputs: Number of logits k.
        dropout: In [0, 1).
    """

    def __init__(self, width: int, n_outputs: int, dropout: float = 0.1) -> None:
        """Build the layers."""
        super().__init__()
        check_dropout("residual head", dropout)
        self.dropout = dropout
        self.expand, self.contract = nn.Linear(width, width), nn.Linear(width, width)
        self.linear = nn.Linear(width, n_outputs)

    def forward(self, x: Tensor) -> Tensor:
        """Return logits (b, k) of vectors (b, width)."""
        hidden = drop(torch.relu(self.expand(x)), self.dropout, self.training)
        return self.linear(x + self.contract(hidden))
