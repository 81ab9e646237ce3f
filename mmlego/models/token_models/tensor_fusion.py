"""Tensor fusion: products of the features of all modalities, each with each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from einops import einsum
from torch import Tensor, nn

from mmlego.lego.dropout import dropout as drop
from mmlego.models.checks import check_sizes
from mmlego.models.contract import Terms
from mmlego.models.layers.frontend import Encoded, FusionModel
from mmlego.models.layers.plain import relu_layers

_WIDEST = 16
_LARGEST = 9**4


class TensorFusion(FusionModel):
    """The outer product of [1; ReLU(W_m v_m)] over all modalities, and two ReLU layers behind it.

    v_m is the mean token of modality m. The 1 keeps what fewer modalities say beside what all say
    together; of an absent modality only the 1 is left, so that its stand-in is never read. A single
    modality leaves its features and a 1.

    Source: Zadeh et al. 2017 (tensor fusion network), section 3. There each modality has a network
        of its own with batch normalization and three ReLU layers in front, in place of which stands
        the front end that all compared models share; dropout acts on the product.

    Args:
        widths: See ``FusionModel``, also for ``n_outputs``, ``kinds``, other options and errors.
        n_outputs: Number of logits k.
        factor_width: Features f per modality in the product, which has (f + 1)^m entries; None =
            16, or fewer where four modalities or more would make over 6,561 entries (ours).
        hidden: Width of both layers behind the product.
        **shared: Options of ``FusionModel``.
    """

    def __init__(
        self,
        widths: Mapping[str, int],
        n_outputs: int,
        *,
        factor_width: int | None = None,
        hidden: int = 128,
        **shared: Any,
    ) -> None:
        """Build the parameters."""
        super().__init__(widths, n_outputs, **shared)
        modalities = len(self.names)
        factor_width = default_factor_width(modalities) if factor_width is None else factor_width
        check_sizes(self.owner, factor_width=factor_width, hidden=hidden)
        self.reduce = nn.ModuleDict(
            {name: nn.Linear(self.width, factor_width) for name in self.names}
        )
        self.layers = relu_layers((factor_width + 1) ** modalities, hidden, hidden)
        self.head = nn.Linear(hidden, n_outputs)

    def fuse(self, encoded: Encoded) -> tuple[Tensor, Terms]:
        """Return logits (b, k) of a batch of tokens, and no further terms."""
        pooled = encoded.tokens.mean(dim=2)
        features = [
            torch.relu(self.reduce[name](pooled[:, m])).masked_fill(~encoded.here[:, m, None], 0.0)
            for m, name in enumerate(self.names)
        ]
        product = drop(outer_product(features), self.dropout, self.training)
        return self.head(self.layers(product)), {}


def outer_product(features: Sequence[Tensor]) -> Tensor:
    """Return the outer product of [1; x_m] over all x_m (b, f_m), as (b, product of f_m + 1).

    The last one varies fastest; the first entry is 1.
    """
    product = features[0].new_ones(len(features[0]), 1)
    for x in features:
        factor = torch.cat([x.new_ones(len(x), 1), x], dim=1)
        product = einsum(product, factor, "b i, b j -> b i j").flatten(1)
    return product


def default_factor_width(modalities: int) -> int:
    """Features per modality: 16, or the most (at least 1) that make no more than 6,561 entries."""
    width = _WIDEST
    while width > 1 and (width + 1) ** modalities > _LARGEST:
        width -= 1
    return width
