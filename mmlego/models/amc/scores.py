"""Learned token scores: what stands in for the attention map in an ablation."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from mmlego.models.amc.rebalancing import Trace
from mmlego.models.layers.tokenizers import linear

TOKEN_SCORES = ("attention", "learned", "strict_fusion")
SPARSITY = 1e-4
THRESHOLD = 0.02


class LearnedScorer(nn.Module):
    """A score in (0, 1) of each token: sigmoid(Linear(w, 1)).

    Scores choose tokens and choosing has no gradient, so only their sparsity loss trains them.

    Source: the ablation "original token fusion" of AMC, which changes how scores are assigned.
    """

    def __init__(self, width: int) -> None:
        """Build the scorer."""
        super().__init__()
        self.network = linear(width, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Return scores (..., n) of tokens (..., n, w)."""
        return self.network(x).squeeze(-1).sigmoid()


class FusionScorer(nn.Module):
    """A score in (0, 1) of each token from a small network, which also scales its attention.

    Source: Wang et al. 2022 (TokenFusion) and its code: w, w, w/2, w/4, 2 with LayerNorm and GELU,
        first of two soft-maxed channels.
    """

    def __init__(self, width: int) -> None:
        """Build the scorer."""
        super().__init__()
        half, quarter = max(1, width // 2), max(1, width // 4)
        self.network = nn.Sequential(
            nn.LayerNorm(width),
            linear(width, width),
            nn.GELU(),
            linear(width, half),
            nn.GELU(),
            linear(half, quarter),
            nn.GELU(),
            linear(quarter, 2),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Return scores (..., n) of tokens (..., n, w)."""
        return self.network(x).softmax(dim=-1)[..., 0]


def fixed_donors(modalities: int, tokens: int) -> Tensor:
    """Draw a lasting order of donors for every modality and position: (m, n, m - 1) int64.

    The global generator decides, as it does for weights.
    """
    order = torch.stack(
        [
            torch.stack([torch.randperm(modalities - 1) for _ in range(tokens)])
            for _ in range(modalities)
        ]
    )
    own = torch.arange(modalities)[:, None, None]
    return order + (order >= own)


def replaced_below(
    score: Tensor, here: Tensor, donors: Tensor, threshold: float = THRESHOLD
) -> Trace:
    """Decide by a threshold on the score, with donors that are fixed by position.

    Args:
        score: (b, m, n).
        here: (b, m) bool.
        donors: (m, n, m - 1) order in which donors are tried; absent ones are passed over.
        threshold: Tokens with a lower score are replaced.

    Returns:
        The choice; importance is the share of each modality in the scores.

    Source: Wang et al. 2022 (TokenFusion); the threshold is .02 in the code, and a fixed random
        assignment is its rule for more than two modalities.
    """
    score = torch.where(here[..., None], score.detach(), 0.0)
    able = here[:, donors]  # (b, m, n, m - 1)
    first = able.to(torch.int8).argmax(dim=-1)
    donor = donors.expand(len(here), -1, -1, -1).gather(-1, first[..., None]).squeeze(-1)
    mask = (score < threshold) & able.any(dim=-1) & here[..., None]
    own = torch.arange(score.shape[1], device=score.device)[None, :, None]
    share = score.mean(dim=-1)
    share = share / share.sum(dim=1, keepdim=True).clamp(min=1e-12)
    return Trace(share, mask.sum(dim=-1), mask, torch.where(mask, donor, own), score, here)
