"""What every model that fuses tokens shares: tokens of all modalities, and how a batch comes in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from mmlego.errors import SettingsError
from mmlego.models.checks import check_dropout, check_sizes
from mmlego.models.contract import (
    KINDS,
    AuxiliaryModel,
    Loss,
    Tensors,
    Terms,
    check_kinds,
    read_batch,
)
from mmlego.models.layers.tokenizers import Tokenizer, build_tokenizer
from mmlego.models.layers.transformer import VanillaLayer

TOKEN_KINDS = (*KINDS, "image", "volume")


@dataclass(frozen=True)
class Encoded:
    """A batch as tokens.

    Attributes:
        tokens: (b, m, n, w), modalities in the order of the model; stand-ins where absent.
        here: (b, m) bool, True = the sample has the modality.
    """

    tokens: Tensor
    here: Tensor


class FrontEnd(nn.Module):
    """Tokenizers, positions, and transformer layers of each modality's own.

    AMC and the models that it is compared with see the same tokens, so that they differ in how they
    fuse alone.

    Source: AMC, sections 3 and 4.1; number and shape of the own layers are ours.

    Args:
        owner: What to call the model in an error.
        widths: Features by modality, of channels for images and volumes; gives the order.
        kinds: Kind by modality: tabular, bag, series, image or volume; None = all are tables.
        tokens: Tokens n per modality.
        width: Width w of a token.
        heads: Attention heads.
        own_layers: Layers of each modality's own, 0 or more.
        dropout: In [0, 1).
        missing_tokens: ``learned`` or ``zeros``, in the place of an absent modality.
        **networks: Further options of ``mmlego.models.layers.tokenizers.build_tokenizer``:
            ``tokenizer``, ``query_self_attention``, ``patch``.

    Raises:
        ModalityError: If there is no modality or a name cannot name a sub-module.
        SettingsError: If an option is unknown or out of range.
    """

    def __init__(
        self,
        owner: str,
        widths: Mapping[str, int],
        kinds: Mapping[str, str] | None = None,
        *,
        tokens: int = 32,
        width: int = 64,
        heads: int = 8,
        own_layers: int = 1,
        dropout: float = 0.1,
        missing_tokens: str = "learned",
        **networks: Any,
    ) -> None:
        """Build the networks of all modalities."""
        super().__init__()
        if isinstance(own_layers, bool) or not isinstance(own_layers, int) or own_layers < 0:
            raise SettingsError(
                f"{owner}: expected own_layers to be a whole number of 0 or more, got "
                f"{own_layers!r}"
            )
        self.owner, self.widths = owner, dict(widths)
        self.kinds = check_kinds(owner, widths, kinds, TOKEN_KINDS)
        self.tokenizers = nn.ModuleDict(
            {
                name: Tokenizer(
                    build_tokenizer(
                        self.kinds[name],
                        widths[name],
                        tokens=tokens,
                        width=width,
                        heads=heads,
                        dropout=dropout,
                        **networks,
                    ),
                    tokens,
                    width,
                    missing_tokens,
                )
                for name in self.kinds
            }
        )
        self.own = nn.ModuleDict(
            {
                name: nn.Sequential(
                    *(VanillaLayer(width, heads, dropout) for _ in range(own_layers))
                )
                for name in self.kinds
            }
        )

    def read(
        self, inputs: Tensors, present: Tensors | None = None, masks: Tensors | None = None
    ) -> Encoded:
        """Return the tokens of a batch; see ``MultimodalModel.forward``."""
        parts = read_batch(self.owner, self.widths, self.kinds, inputs, present, masks)
        tokens = [self.own[name](self.tokenizers[name](part)) for name, part in parts.items()]
        return Encoded(
            torch.stack(tokens, dim=1), torch.stack([p.here for p in parts.values()], dim=1)
        )


class FusionModel(AuxiliaryModel):
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
        **front: Further options of ``FrontEnd``.

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
        super().__init__(widths, n_outputs, kinds, TOKEN_KINDS)
        check_sizes(self.owner, tokens=tokens, width=width, heads=heads)
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

    def fuse(self, encoded: Encoded) -> tuple[Tensor, Terms]:
        """Return logits (b, k) of a batch of tokens, and weighted further terms of the loss."""
        raise NotImplementedError

    def read(
        self, inputs: Tensors, present: Tensors | None = None, masks: Tensors | None = None
    ) -> Encoded:
        """Return the tokens of a batch, as the front end makes them; see ``forward``."""
        return self.front.read(inputs, present, masks)

    def predict(self, batch: Encoded) -> Tensor:
        """Return logits (b, k) of a batch of tokens."""
        return self.fuse(batch)[0]

    def predict_with_terms(
        self, batch: Encoded, target: Tensors | None, loss: Loss | None
    ) -> tuple[Tensor, Terms]:
        """Return logits (b, k) and the terms of ``fuse``, which needs neither target nor loss."""
        return self.fuse(batch)
