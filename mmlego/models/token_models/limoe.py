"""LIMoE: one transformer with sparse experts for the tokens of all modalities."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, cast

import torch
from torch import Tensor, nn

from mmlego.errors import SettingsError
from mmlego.lego.profiles import choose, number
from mmlego.models.checks import check_sizes
from mmlego.models.contract import Terms
from mmlego.models.layers.experts import Routing, SparseExperts, balance_loss
from mmlego.models.layers.frontend import Encoded, FusionModel
from mmlego.models.layers.transformer import VanillaLayer
from mmlego.models.token_models.head import PooledHead
from mmlego.models.token_models.layers import ExpertLayer

READINGS = ("joint", "separate")


class LIMoE(FusionModel):
    """Language-image mixture of experts: shared layers, every second with experts, and one head.

    Every token goes to the expert that its router prefers. Further losses keep the experts equally
    busy over all tokens, make the router sure of each token, and let each modality as a whole use
    several experts. Learned tokens of an absent modality ask, but are neither read nor counted.
    The head reads the mean tokens of all modalities side by side.

    Source: Mustafa et al. 2022 (LIMoE), sections 2 and 3. There modalities never see each other in
        the layers and a contrastive loss between two of them is all there is; here the task loss
        is, and ``joint`` layers see all tokens, as AMC describes its rival. The loss on the size of
        the logits is left out; weight and threshold are ours.

    Args:
        widths: See ``FusionModel``, also for ``n_outputs``, ``kinds``, other options and errors.
        n_outputs: Number of logits k.
        layers: Number of layers, two or more; the second, fourth, ... have experts.
        reading: ``joint``: attention among the tokens of all modalities; ``separate``: of each by
            itself, as in the original, which then only adds modalities up.
        experts: Number of experts e.
        top_k: Experts per token.
        threshold: Entropy in nats that the mean route of a modality should reach; None = ln(e / 2).
        auxiliary_weight: Of the sum of the further losses, each the mean over the layers that have
            experts.
        **shared: Options of ``FusionModel``.
    """

    def __init__(
        self,
        widths: Mapping[str, int],
        n_outputs: int,
        *,
        layers: int = 2,
        reading: str = "joint",
        experts: int = 8,
        top_k: int = 1,
        threshold: float | None = None,
        auxiliary_weight: float = 0.04,
        **shared: Any,
    ) -> None:
        """Build the parameters."""
        super().__init__(widths, n_outputs, **shared)
        check_sizes(self.owner, layers=layers, experts=experts, top_k=top_k)
        if layers < 2:
            raise SettingsError(
                f"{self.owner}: expected layers of 2 or more, got {layers}; the first has "
                "no experts"
            )
        choose(f"{self.owner}: reading", reading, READINGS)
        number(f"{self.owner}: auxiliary_weight", auxiliary_weight, low=0.0)
        self.reading, self.auxiliary_weight = reading, auxiliary_weight
        self.threshold = math.log(experts / 2) if threshold is None else threshold
        number(f"{self.owner}: threshold", self.threshold, low=-math.inf)
        self.layers = nn.ModuleList(
            ExpertLayer(
                self.width, self.heads, self.dropout, SparseExperts(self.width, experts, top_k)
            )
            if place % 2
            else VanillaLayer(self.width, self.heads, self.dropout)
            for place in range(layers)
        )
        self.head = PooledHead(len(self.names), self.width, n_outputs)

    def fuse(self, encoded: Encoded) -> tuple[Tensor, Terms]:
        """Return logits (b, k), and ``balance``, ``local`` and ``global`` losses, weighted."""
        shape = encoded.tokens.shape
        counted = encoded.here[..., None].expand(shape[:3])
        joint = self.reading == "joint"
        x = encoded.tokens.flatten(1, 2) if joint else encoded.tokens.flatten(0, 1)
        # What an absent modality makes of itself alone is nobody's concern, so nothing is hidden.
        valid = counted.flatten(1) if joint and not bool(counted.all()) else None
        routings = []
        for layer in self.layers:
            if isinstance(layer, ExpertLayer):
                x, routing = layer(x, valid)
                routings.append(routing)
            else:
                x = layer(x, valid)
        terms = [self._terms(routing, counted) for routing in routings]
        weight = self.auxiliary_weight / len(terms)
        summed = {name: weight * cast(Tensor, sum(t[name] for t in terms)) for name in terms[0]}
        return self.head(x.view(shape)), summed

    def _terms(self, routing: Routing, counted: Tensor) -> Terms:
        """Return the losses of one layer; counted (b, m, n) bool says which tokens count."""
        routes = routing.clean.softmax(dim=-1).view(*counted.shape, -1)
        seen = [p[c] for p, c in zip(routes.unbind(1), counted.unbind(1), strict=True) if c.any()]
        local = torch.stack([local_entropy(p) for p in seen])
        spread = torch.stack([global_entropy_loss(p, self.threshold) for p in seen])
        return {
            "balance": balance_loss(routing, valid=counted.flatten()),
            "local": local.mean(),
            "global": spread.mean(),
        }


def entropy(p: Tensor) -> Tensor:
    """Return the entropy in nats (...) of distributions (..., e)."""
    # The slope at 0 is infinite, and a softmax may underflow to it.
    return torch.special.entr(p.clamp(min=torch.finfo(p.dtype).tiny)).sum(dim=-1)


def local_entropy(p: Tensor) -> Tensor:
    """Return the mean entropy of the routes p (t, e) of tokens; low where the router is sure."""
    return entropy(p).mean()


def global_entropy_loss(p: Tensor, threshold: float) -> Tensor:
    """Return by how much the entropy of the mean route of tokens p (t, e) misses the threshold."""
    return (threshold - entropy(p.mean(dim=0))).clamp(min=0.0)
