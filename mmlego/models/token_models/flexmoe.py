"""Flex-MoE: a bank of stand-ins, and a router that knows which modalities a sample has."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import combinations
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mmlego.errors import SettingsError
from mmlego.lego.profiles import choose, number
from mmlego.models.checks import check_sizes
from mmlego.models.contract import Terms
from mmlego.models.layers.experts import (
    DenseFeedForward,
    Routing,
    SparseExperts,
    balance_loss,
    chosen_probability,
    squared_variation,
)
from mmlego.models.layers.frontend import Encoded, FusionModel
from mmlego.models.layers.transformer import AttentionLayer
from mmlego.models.token_models.head import PooledHead

RESIDUALS = ("prenorm", "official")
_FEWEST_EXPERTS = 8
_MOST_MODALITIES = 8  # beyond, bank and experts double with every modality


class MissingBank(nn.Module):
    """Learned tokens for every absent modality, by the combination that the sample does have.

    Combinations are numbered by decreasing size, and in the order of the modalities within a size;
    number 0 has all of them.

    Source: Yun et al. 2024 (Flex-MoE), missing modality bank; starts from N(0, 1).

    Args:
        modalities: Number of modalities m, at most 8.
        tokens: Tokens n per modality.
        width: Width w of a token.

    Raises:
        SettingsError: If there are too many modalities.
    """

    number_of: Tensor
    bit: Tensor

    def __init__(self, modalities: int, tokens: int, width: int) -> None:
        """Build the bank."""
        super().__init__()
        if modalities > _MOST_MODALITIES:
            raise SettingsError(
                f"FlexMoE: expected {_MOST_MODALITIES} modalities at most, got {modalities}, which "
                f"need a bank of {2**modalities - 1} combinations; leave some out"
            )
        number_of = torch.zeros(2**modalities, dtype=torch.long)
        for index, members in enumerate(combinations_by_size(modalities)):
            number_of[sum(2**m for m in members)] = index
        # Both follow from the number of modalities, so they are no part of the state.
        self.register_buffer("number_of", number_of, persistent=False)
        self.register_buffer("bit", 2 ** torch.arange(modalities), persistent=False)
        self.bank = nn.Parameter(torch.randn(2**modalities - 1, modalities, tokens, width))

    def index(self, here: Tensor) -> Tensor:
        """Return (b,) numbers of the combinations of modalities that are here (b, m)."""
        return self.number_of[(here * self.bit).sum(dim=1)]

    def fill(self, tokens: Tensor, here: Tensor, index: Tensor) -> Tensor:
        """Return tokens (b, m, n, w) with those of the bank where a modality is not here (b, m)."""
        sample, modality = (~here).nonzero(as_tuple=True)
        if len(sample) == 0:
            return tokens
        stand_ins = self.bank[index[sample], modality].to(tokens.dtype)
        return tokens.index_put((sample, modality), stand_ins)


class FlexLayer(AttentionLayer):
    """Self-attention over the tokens of all modalities, then experts or a dense feed-forward.

    Args:
        width: Width w of a token.
        heads: Number of heads, which divides w.
        dropout: On what is added, in [0, 1).
        residual: ``prenorm``, or ``official``: attention replaces its input.
        feed_forward: ``SparseExperts`` or ``DenseFeedForward``.
    """

    def __init__(
        self,
        width: int,
        heads: int,
        dropout: float,
        residual: str,
        feed_forward: SparseExperts | DenseFeedForward,
    ) -> None:
        """Build the parameters."""
        super().__init__(width, heads, dropout)
        self.residual = residual
        self.feed_forward = feed_forward

    def forward(self, x: Tensor) -> tuple[Tensor, Routing | None]:
        """Return tokens (b, t, w) of tokens (b, t, w), and where they were routed, if they were."""
        update, _ = self.attention(self.norm_attention(x), need_map=False)
        x = self.add(update if self.residual == "official" else x, update)
        feed = self.norm_feed(x)
        if isinstance(self.feed_forward, DenseFeedForward):
            return self.add(x, self.feed_forward(feed)), None
        update, routing = self.feed_forward.routed(feed)
        return self.add(x, update), routing


class FlexMoE(FusionModel):
    """Flex-MoE: experts for all modalities together, and one for each incomplete combination.

    An absent modality is replaced by tokens that were learned for it beside just those modalities
    that the sample has. All tokens attend to each other. In training, experts share the tokens of
    complete samples evenly, and the router is taught to send those of an incomplete sample to the
    expert of its combination. Layers are sparse and dense in turn, the first is sparse.

    Source: Yun et al. 2024 (Flex-MoE) and the authors' code. Departures: their layers lose the
    input of the attention (``residual="official"``), ours keep it; the losses of the router are
    those of all tokens of a layer together; the head is one linear layer. Not part of the model:
    first epochs in the order of the number of modalities. Published for the dementia data: 16
    experts, 4 per token, width 128, 16 tokens, 4 heads, dropout .5, 1 layer.

    Args:
        widths: See ``FusionModel``, also for ``n_outputs``, ``kinds``, other options and errors.
        n_outputs: Number of logits k.
        layers: Fusion layers.
        experts: Number of experts, 2^m - 1 or more for m modalities; None = 2^m, at least 8.
        top_k: Experts per token.
        residual: ``prenorm`` or ``official``.
        router_weight: Weight of the router's loss, summed over sparse layers.
        **shared: Options of ``FusionModel``, without ``missing_tokens``.
    """

    def __init__(
        self,
        widths: Mapping[str, int],
        n_outputs: int,
        *,
        layers: int = 1,
        experts: int | None = None,
        top_k: int = 4,
        residual: str = "prenorm",
        router_weight: float = 0.01,
        **shared: Any,
    ) -> None:
        """Build the parameters."""
        super().__init__(widths, n_outputs, missing_tokens="zeros", **shared)
        check_sizes("FlexMoE", layers=layers)
        choose("FlexMoE: residual", residual, RESIDUALS)
        number("FlexMoE: router_weight", router_weight, low=0.0)
        modalities = len(self.names)
        self.bank = MissingBank(modalities, self.tokens, self.width)
        if experts is None:
            experts = max(_FEWEST_EXPERTS, 2**modalities)
        check_sizes("FlexMoE", experts=experts)
        if experts < 2**modalities - 1:
            raise SettingsError(
                f"FlexMoE: expected {2**modalities - 1} experts or more, one per combination of "
                f"{modalities} modalities, got {experts}; raise it or leave experts out"
            )
        self.router_weight = router_weight
        self.position = nn.Parameter(torch.zeros(modalities * self.tokens, self.width))
        self.layers = nn.ModuleList(
            FlexLayer(
                self.width,
                self.heads,
                self.dropout,
                residual,
                DenseFeedForward(self.width)
                if layer % 2
                else SparseExperts(self.width, experts, top_k, gate_norm="softmax_topk"),
            )
            for layer in range(layers)
        )
        self.head = PooledHead(modalities, self.width, n_outputs)

    def fuse(self, encoded: Encoded) -> tuple[Tensor, Terms]:
        """Return logits (b, k), and in training the term ``router``."""
        tokens, here = encoded.tokens, encoded.here
        index = self.bank.index(here)
        x = self.bank.fill(tokens, here, index).flatten(1, 2) + self.position
        of_token = index.repeat_interleave(x.shape[1])
        losses = []
        for layer in self.layers:
            x, routing = layer(x)
            if self.training and self.router_weight and routing is not None:
                losses.append(router_loss(routing, of_token))
        terms = {"router": self.router_weight * torch.stack(losses).sum()} if losses else {}
        return self.head(x.view_as(tokens)), terms


def combinations_by_size(modalities: int) -> list[tuple[int, ...]]:
    """Return all sets of one modality or more, the largest first, members in order."""
    sizes = range(modalities, 0, -1)
    return [members for size in sizes for members in combinations(range(modalities), size)]


def router_loss(routing: Routing, index: Tensor) -> Tensor:
    """Return what a router is taught, a scalar.

    Tokens of complete samples: importance and load are to be even over all experts. Tokens of
    incomplete ones: cross-entropy of the logits without noise against the number of the
    combination, and importance and load are to be even over all experts but the first.

    Args:
        routing: Of training, with noise.
        index: (t,) number of the combination that the sample of each token has, 0 = complete.

    Source: Yun et al. 2024, generalized and specialized experts.
    """
    some = index > 0
    loss = balance_loss(routing, valid=~some)
    if not bool(some.any()):
        return loss
    loss = loss + F.cross_entropy(routing.clean[some], index[some])
    loss = loss + squared_variation(routing.gates[some].sum(dim=0)[1:])
    if routing.chosen.shape[1] < routing.gates.shape[1]:
        loss = loss + squared_variation(chosen_probability(routing)[some].sum(dim=0)[1:])
    return loss
