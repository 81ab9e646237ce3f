"""Contrastive losses between modalities, of whole samples and of single tokens."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from mmlego.lego.profiles import choose, number, yes_or_no

REDUCTIONS = ("mean", "sum")
NEGATIVES = ("all", "other_instances")
# exp(-2 / T) must stay well above the smallest float32 for the direct sum of exponentials.
_COLDEST_DIRECT = 0.05
_CHUNK = 256  # rows of the table of pairs that are weighted while they are in the cache


@dataclass(frozen=True)
class Contrast:
    """How the losses are computed.

    Attributes:
        temperature: Divides similarities; > 0.
        normalize: Cosine similarity, or the dot product as printed.
        reduction: ``mean`` over samples (and tokens), or their ``sum`` as printed.
        negatives: Of a token: ``all`` others of the other modality, as printed, or those of
            ``other_instances``, as the text says.
        pairs: ``mean`` over pairs of modalities, or their ``sum``.

    Raises:
        SettingsError: If an option is unknown or out of range.

    Source: AMC, equations 7 to 9. The temperature is not published, cosine and means are ours: raw
        products saturate, and sums outweigh the task by orders of magnitude.
    """

    temperature: float = 0.07
    normalize: bool = True
    reduction: str = "mean"
    negatives: str = "all"
    pairs: str = "mean"

    def __post_init__(self) -> None:
        """Check the options."""
        number("temperature", self.temperature, low=0.0, open_low=True)
        choose("contrastive_reduction", self.reduction, REDUCTIONS)
        choose("token_negatives", self.negatives, NEGATIVES)
        choose("pair_reduction", self.pairs, REDUCTIONS)
        yes_or_no("normalize", self.normalize)


def instance_loss(encoded: Tensor, here: Tensor, how: Contrast) -> Tensor:
    """Return the loss of whole samples, a scalar: the mean token of one modality finds the other's.

    Args:
        encoded: (b, m, n, w) tokens.
        here: (b, m) bool; a pair of modalities uses the samples that have both.
        how: Options.

    Source: AMC, equation 7: symmetric InfoNCE, half of each direction; 0 for a single sample.
    """

    def loss(a: Tensor, b: Tensor) -> Tensor:
        return _info_nce(a.mean(dim=1), b.mean(dim=1), how)

    return _over_pairs(encoded, here, how, loss)


def token_loss(encoded: Tensor, here: Tensor, how: Contrast) -> Tensor:
    """Return the loss of tokens, a scalar: each finds the one at its place in the other modality.

    Args:
        encoded: (b, m, n, w) tokens.
        here: (b, m) bool; a pair of modalities uses the samples that have both.
        how: Options.

    Source: AMC, equations 8 and 9.
    """

    def loss(a: Tensor, b: Tensor) -> Tensor:
        block = a.shape[1] if how.negatives == "other_instances" else 0
        return _info_nce(a.flatten(0, 1), b.flatten(0, 1), how, block)

    return _over_pairs(encoded, here, how, loss)


def _over_pairs(
    encoded: Tensor, here: Tensor, how: Contrast, loss: Callable[[Tensor, Tensor], Tensor]
) -> Tensor:
    found = []
    everybody = bool(here.all())
    for i, j in combinations(range(encoded.shape[1]), 2):
        first, second = encoded[:, i], encoded[:, j]
        if not everybody:
            both = here[:, i] & here[:, j]
            first, second = first[both], second[both]
            if len(first) < 2:  # nothing to tell a sample from
                continue
        found.append(loss(first, second))
    if not found:
        return encoded.new_zeros(())
    total = torch.stack(found)
    return total.mean() if how.pairs == "mean" else total.sum()


def _info_nce(first: Tensor, second: Tensor, how: Contrast, block: int = 0) -> Tensor:
    """Symmetric InfoNCE of rows (r, w); with ``block``, rows of the same block are no negatives."""
    # Half precision would round what the exponentials amplify.
    first, second = _at_least_single(first), _at_least_single(second)
    if how.normalize:
        first, second = F.normalize(first, dim=-1), F.normalize(second, dim=-1)
    rows = len(first)
    scale = 1.0 if how.reduction == "sum" else 1.0 / rows
    if how.normalize and not block and how.temperature >= _COLDEST_DIRECT:
        return scale * _DirectInfoNCE.apply(first, second, how.temperature)
    similarity = first @ second.T / how.temperature
    if block:
        place = torch.arange(rows, device=first.device)
        same = (place[:, None] // block == place // block) & (place[:, None] != place)
        similarity = similarity.masked_fill(same, -torch.inf)
    spread = similarity.logsumexp(dim=0) + similarity.logsumexp(dim=1)
    return scale * (0.5 * spread - similarity.diagonal()).sum()


class _DirectInfoNCE(torch.autograd.Function):
    """The sum over rows of symmetric InfoNCE of unit rows, with one exponential per pair of rows.

    Similarities of unit rows lie in [-1, 1], so exp((similarity - 1) / T) can be summed as it is,
    over rows and columns at once. The gradient needs these exponentials alone and is computed with
    the loss, so that no table of all pairs is kept.
    """

    @staticmethod
    def forward(ctx: Any, first: Tensor, second: Tensor, temperature: float) -> Tensor:
        """Return the loss, a scalar."""
        nearest = first.new_full((1,), -1.0 / temperature)
        table = torch.addmm(nearest, first, second.T, alpha=1.0 / temperature).exp_()
        rows, columns = table.sum(dim=1), table.sum(dim=0)
        matched = (first * second).sum(dim=1)
        if any(ctx.needs_input_grad[:2]):
            of_first, of_second = torch.empty_like(first), -first
            for start in range(0, len(first), _CHUNK):
                some = slice(start, start + _CHUNK)
                share = table[some].mul_((0.5 / rows[some])[:, None] + 0.5 / columns)
                of_first[some] = share @ second - second[some]
                of_second.addmm_(share.T, first[some])
            ctx.save_for_backward(of_first / temperature, of_second / temperature)
        return (0.5 * (rows.log() + columns.log()) + (1.0 - matched) / temperature).sum()

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, None]:
        """Return the gradients of both sets of rows."""
        first, second = ctx.saved_tensors
        return grad * first, grad * second, None


def _at_least_single(x: Tensor) -> Tensor:
    return x.float() if x.dtype in (torch.float16, torch.bfloat16) else x
