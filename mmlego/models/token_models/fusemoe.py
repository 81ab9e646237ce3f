"""FuseMoE: routers that measure distances, one per modality, over experts that all share."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mmlego.lego.dropout import dropout as drop
from mmlego.lego.profiles import choose, number
from mmlego.models.checks import check_sizes
from mmlego.models.contract import Terms
from mmlego.models.layers.attention import SoftmaxAttention
from mmlego.models.layers.experts import (
    DenseFeedForward,
    Routing,
    SparseExperts,
    balance_loss,
    noisy_top_k,
)
from mmlego.models.layers.frontend import Encoded, FusionModel
from mmlego.models.token_models.head import ResidualHead, pool

GATES = ("laplace", "softmax", "gaussian")
ROUTERS = ("per_modality", "joint", "disjoint")
_NOISE_FLOOR = 0.01  # as in the other noisy routers
_TINY = 1e-12  # where slopes are infinite at 0
_SPREAD = 0.02


class GatedExperts(SparseExperts):
    """Experts of which routers choose by the distance between a token and a center per expert.

    Source: Han et al. 2024 (FuseMoE), Laplace gate; noise as in the other gates of Shazeer et al.

    Args:
        width: Width w of a token.
        experts: Number of experts e.
        top_k: Experts per token, at most e.
        gate: See ``gate_logits``.
        routers: One for all modalities (1), or one each (m).

    Raises:
        SettingsError: If a size is out of range.
    """

    def __init__(self, width: int, experts: int, top_k: int, gate: str, routers: int) -> None:
        """Build the parameters; centers start Xavier uniform, as equal ones would all tie."""
        super().__init__(width, experts, top_k, gate_norm="softmax_topk")
        self.gate = gate
        centers = torch.empty(routers, experts, width)
        for center in centers:
            nn.init.xavier_uniform_(center)
        self.router = nn.Parameter(centers)
        self.noise = nn.Parameter(torch.zeros(routers, width, experts))

    def forward(  # type: ignore[override]  # routes tokens of all modalities, counts elsewhere
        self, x: Tensor
    ) -> tuple[Tensor, Routing]:
        """Return tokens (b, m, n, w) of tokens (b, m, n, w), and the routing of all b m n of them.

        Experts are chosen with noise in training only.
        """
        scale = None
        if self.training:
            scale = (F.softplus(x @ self.noise) + _NOISE_FLOOR).flatten(0, 2)
        clean = gate_logits(x, self.router, self.gate).flatten(0, 2)
        routing = noisy_top_k(clean, self.top_k, scale=scale, gate_norm=self.gate_norm)
        return self.mix(x.flatten(0, 2), routing).view_as(x), routing


class FuseLayer(nn.Module):
    """Attention within each modality, experts, and a dense feed-forward of each modality.

    Each part is added to its input, behind a layer normalization.

    Args:
        modalities: Number of modalities m.
        width: Width w of a token.
        heads: Number of heads, which divides w.
        dropout: On what is added, in [0, 1).
        pools: A single set of experts, or one per modality.
    """

    def __init__(
        self, modalities: int, width: int, heads: int, dropout: float, pools: nn.ModuleList
    ) -> None:
        """Build the parameters."""
        super().__init__()
        self.dropout, self.pools = dropout, pools
        self.norm_attention, self.norm_experts, self.norm_feed = (
            nn.ModuleList(nn.LayerNorm(width) for _ in range(modalities)) for _ in range(3)
        )
        self.attention = nn.ModuleList(SoftmaxAttention(width, heads) for _ in range(modalities))
        self.feed_forward = nn.ModuleList(DenseFeedForward(width) for _ in range(modalities))

    def forward(self, x: Tensor) -> tuple[Tensor, list[Routing]]:
        """Return tokens (b, m, n, w) of such tokens, and the routing in each set of experts."""
        attended = [
            attention(norm(part), need_map=False)[0]
            for attention, norm, part in zip(
                self.attention, self.norm_attention, x.unbind(dim=1), strict=True
            )
        ]
        x = x + self._drop(torch.stack(attended, dim=1))
        update, routings = self._route(_each(self.norm_experts, x))
        x = x + self._drop(update)
        return x + self._drop(_each(self.feed_forward, _each(self.norm_feed, x))), routings

    def _route(self, x: Tensor) -> tuple[Tensor, list[Routing]]:
        shares = [x] if len(self.pools) == 1 else x.split(1, dim=1)
        done = [experts(share) for experts, share in zip(self.pools, shares, strict=True)]
        return torch.cat([out for out, _ in done], dim=1), [routing for _, routing in done]

    def _drop(self, x: Tensor) -> Tensor:
        return drop(x, self.dropout, self.training)


class FuseMoE(FusionModel):
    """FuseMoE: tokens of all modalities share experts; each modality has a router of its own.

    Layers attend within each modality and pass the tokens on to experts; modalities meet in the
    experts and in the head on their mean tokens. An absent modality is one learned vector at all of
    its positions.

    Source: Han et al. 2024 (FuseMoE) and a public copy of its code. Departures: mean instead of
    last token; weighted sum of experts instead of logarithms of sums of exponentials; a residual
    around the experts too; the weight of the regularizer is unpublished, and absent modalities do
    not count in it; no encoder of irregular times; the joint router reads single tokens. The
    entropies of disjoint experts are constant, so these get the balance loss, as the joint router
    does. Published: 16 experts of inner width 512 (ours twice the width), width 128, 8 heads.

    Args:
        widths: See ``FusionModel``, also for ``n_outputs``, ``kinds``, other options and errors.
        n_outputs: Number of logits k.
        layers: Fusion layers.
        experts: Number of experts; with disjoint ones they are dealt out evenly to the modalities.
        top_k: Experts per token; None = 4, or 2 of disjoint experts.
        gate: ``laplace``, ``softmax`` or ``gaussian``; see ``gate_logits``.
        router: ``per_modality``: one each over shared experts; ``joint``: one for all;
            ``disjoint``: router and experts of each modality's own.
        router_weight: Weight of the router's loss, summed over layers.
        **shared: Options of ``FusionModel``, without ``missing_tokens``.
    """

    def __init__(
        self,
        widths: Mapping[str, int],
        n_outputs: int,
        *,
        layers: int = 3,
        experts: int = 16,
        top_k: int | None = None,
        gate: str = "laplace",
        router: str = "per_modality",
        router_weight: float = 0.01,
        **shared: Any,
    ) -> None:
        """Build the parameters."""
        super().__init__(widths, n_outputs, missing_tokens="zeros", **shared)
        check_sizes("FuseMoE", layers=layers, experts=experts)
        choose("FuseMoE: gate", gate, GATES)
        choose("FuseMoE: router", router, ROUTERS)
        number("FuseMoE: router_weight", router_weight, low=0.0)
        self.router, self.router_weight = router, router_weight
        modalities = len(self.names)
        pools = modalities if router == "disjoint" else 1
        if top_k is None:
            top_k = 2 if router == "disjoint" else 4
        routers = modalities if router == "per_modality" else 1
        self.absent = nn.Parameter(_SPREAD * torch.randn(modalities, 1, self.width))
        self.layers = nn.ModuleList(
            FuseLayer(
                modalities,
                self.width,
                self.heads,
                self.dropout,
                nn.ModuleList(
                    GatedExperts(self.width, experts // pools, top_k, gate, routers)
                    for _ in range(pools)
                ),
            )
            for _ in range(layers)
        )
        self.head = ResidualHead(modalities * self.width, n_outputs, self.dropout)

    def fuse(self, encoded: Encoded) -> tuple[Tensor, Terms]:
        """Return logits (b, k), and in training the term ``router``."""
        here = encoded.here
        x = torch.where(here[:, :, None, None], encoded.tokens, self.absent)
        losses = []
        for layer in self.layers:
            x, routings = layer(x)
            if self.training and self.router_weight:
                losses.append(self._router_loss(routings, here))
        terms = {"router": self.router_weight * torch.stack(losses).sum()} if losses else {}
        return self.head(pool(x)), terms

    def _router_loss(self, routings: list[Routing], here: Tensor) -> Tensor:
        if self.router == "per_modality":
            return entropy_gap(mean_distributions(routings[0].clean, here, self.tokens))
        counted = [here] if len(routings) == 1 else here.split(1, dim=1)
        losses = [
            balance_loss(routing, valid=some.flatten().repeat_interleave(self.tokens))
            for routing, some in zip(routings, counted, strict=True)
        ]
        return cast(Tensor, sum(losses))


def gate_logits(x: Tensor, centers: Tensor, gate: str) -> Tensor:
    """Return how well each expert suits a token, (b, m, n, e).

    Args:
        x: (b, m, n, w), tokens.
        centers: (m, e, w) or (1, e, w), one vector per expert.
        gate: ``laplace``: minus the distance; ``gaussian``: minus its square; ``softmax``: the
            inner product.

    Source: Han et al. 2024, the Laplace gating function and what it is compared with.
    """
    inner = x @ centers.mT
    if gate == "softmax":
        return inner
    squared = x.square().sum(dim=-1, keepdim=True) + centers.square().sum(dim=-1)[:, None]
    squared = (squared - 2 * inner).clamp_min(_TINY)
    return -squared if gate == "gaussian" else -squared.sqrt()


def mean_distributions(logits: Tensor, here: Tensor, tokens: int) -> Tensor:
    """Return (r, e): the mean distribution over experts of each modality that some sample has.

    Args:
        logits: (b m n, e) of the router, without noise.
        here: (b, m) bool, True = the sample has the modality.
        tokens: Tokens n per modality.
    """
    of_sample = logits.softmax(dim=-1).view(*here.shape, tokens, -1).mean(dim=2)
    counts = here.sum(dim=0)
    totals = (of_sample * here[:, :, None]).sum(dim=0)
    return totals[counts > 0] / counts[counts > 0, None]


def entropy_gap(distributions: Tensor) -> Tensor:
    """Return mean_m H(p_m) - H(mean_m p_m), in nats, from -ln m to 0, of distributions (m, e).

    Low where each modality has experts of its own, 0 where all modalities use the same.

    Source: Han et al. 2024, entropy regularization loss.
    """
    distributions = distributions.clamp_min(_TINY)
    own = torch.special.entr(distributions).sum(dim=1).mean()
    return own - torch.special.entr(distributions.mean(dim=0)).sum()


def _each(modules: nn.ModuleList, x: Tensor) -> Tensor:
    """Return (b, m, n, w): module m of each modality m applied to its tokens (b, n, w)."""
    parts = x.unbind(dim=1)
    return torch.stack([of(part) for of, part in zip(modules, parts, strict=True)], dim=1)
