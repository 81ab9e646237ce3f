"""What the fusion models share: how a batch comes in as tokens, and heads behind the fusion."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from mmlego.lego.dropout import dropout as drop
from mmlego.models.checks import check_dropout, check_sizes
from mmlego.models.contract import Tensors
from mmlego.models.layers.frontend import Encoded, FrontEnd
from mmlego.models.layers.tokenizers import linear

Loss = Callable[[Tensor, Tensors], Tensor]
Terms = dict[str, Tensor]


class FusionModel(nn.Module):
    """A model that reads all modalities through the front end of AMC; how they fuse is its own.

    A subclass builds its parts behind ``super().__init__`` and defines ``fuse``. Whatever stands
    for an absent modality in the tokens is learned unless a subclass says otherwise.

    Args:
        widths: Features by modality name, of channels for images and volumes; gives the order.
        n_outputs: Number of logits k: classes or time bins.
        kinds: "tabular" (b, c), "bag" or "series" (b, n, c), "image" (b, ch, h, w) or "volume"
            (b, ch, d, h, w) by name; None = all are tables.
        tokens: Tokens n per modality.
        width: Width w of a token.
        heads: Attention heads.
        dropout: In [0, 1).
        **front: Further options of ``mmlego.models.layers.frontend.FrontEnd``.

    Raises:
        ModalityError: If there is no modality, or a name cannot name a sub-module.
        SettingsError: If an option is unknown or out of range.
    """

    def __init__(
        self,
        widths: Mapping[str, int],
        n_outputs: int,
        *,
        kinds: Mapping[str, str] | None = None,
        tokens: int = 32,
        width: int = 64,
        heads: int = 8,
        dropout: float = 0.1,
        **front: Any,
    ) -> None:
        """Build the front end."""
        super().__init__()
        self.owner = type(self).__name__
        check_sizes(self.owner, n_outputs=n_outputs, tokens=tokens, width=width, heads=heads)
        check_dropout(self.owner, dropout)
        self.n_outputs, self.tokens, self.width, self.heads = n_outputs, tokens, width, heads
        self.dropout = dropout
        self.front = FrontEnd(
            self.owner,
            widths,
            kinds,
            tokens=tokens,
            width=width,
            heads=heads,
            dropout=dropout,
            **front,
        )

    @property
    def names(self) -> tuple[str, ...]:
        """Modalities in the order of the model."""
        return self.front.names

    def fuse(self, encoded: Encoded) -> tuple[Tensor, Terms]:
        """Return logits (b, k) of a batch of tokens, and weighted further terms of the loss."""
        raise NotImplementedError

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
        return self.fuse(self.front.read(inputs, present, masks))[0]

    def forward_with_auxiliary(
        self,
        inputs: Tensors,
        present: Tensors | None = None,
        masks: Tensors | None = None,
        target: Tensors | None = None,
        loss: Loss | None = None,
    ) -> tuple[Tensor, Terms]:
        """Return logits (b, k) and the weighted further terms of the loss, by name.

        Target and task loss are not needed here; see ``forward`` for the rest.
        """
        return self.fuse(self.front.read(inputs, present, masks))


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
