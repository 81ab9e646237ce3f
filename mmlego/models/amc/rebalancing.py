"""Token re-balancing: which tokens of which modality are replaced, and by whose."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from mmlego.lego.profiles import choose, yes_or_no

IMPORTANCES = ("mean", "std", "max", "equal")
K_RULES = ("literal", "inverse", "retain", "positionwise", "none")
TIES = ("first", "sum")
MISSING_MODES = ("isolate", "impute")
SCORE_AXES = ("row", "column")
_TINY = 1e-12
_GUARD = 1e-6  # float32 makes a little less than 1 of 3 x 1/3


@dataclass(frozen=True)
class Rule:
    """How tokens are re-balanced.

    Attributes:
        importance: How the importance of a modality follows from its token scores: ``mean``,
            population ``std``, ``max``, or ``equal`` for all present.
        k_rule: How many tokens are replaced, of N tokens with normalized importance s and M present
            modalities: ``literal`` floor(s N), as printed; ``inverse`` floor(N (1 - s) / (M - 1)),
            as the abstract says; ``retain`` N - floor(s N); ``positionwise`` the lowest modality at
            every position but the one with the largest sum; ``none``.
        tie: Of two best donors, the ``first``, or the ``sum`` of their tokens, as printed.
        only_if_better: Whether a donor must have a higher score than what it replaces.
        missing_mode: Tokens of an absent modality stay as they are (``isolate``), or are all
            replaced (``impute``).

    Raises:
        SettingsError: If an option is unknown.
    """

    importance: str = "mean"
    k_rule: str = "literal"
    tie: str = "first"
    only_if_better: bool = False
    missing_mode: str = "isolate"

    def __post_init__(self) -> None:
        """Check the options."""
        choose("importance", self.importance, IMPORTANCES)
        choose("k_rule", self.k_rule, K_RULES)
        choose("tie", self.tie, TIES)
        choose("missing_mode", self.missing_mode, MISSING_MODES)
        yes_or_no("only_if_better", self.only_if_better)


@dataclass(frozen=True)
class Trace:
    """What one re-balancing did; b samples, m modalities, n positions, without gradients.

    Attributes:
        importance: (b, m), sums to 1 over the present modalities, 0 where absent.
        count: (b, m) int64, how many tokens the rule asks to replace.
        mask: (b, m, n) bool, True = the token was replaced.
        donor: (b, m, n) int64, index of the modality that gave the token; its own where none did.
        score: (b, m, n) token scores, 0 where absent.
        here: (b, m) bool, True = the sample has the modality.
    """

    importance: Tensor
    count: Tensor
    mask: Tensor
    donor: Tensor
    score: Tensor
    here: Tensor


def token_scores(attention: Tensor, axis: str = "row") -> Tensor:
    """Return the score (..., n) of each token from an attention map (..., n, n).

    ``row`` is the maximum over what the token attends to, as printed; ``column`` the maximum over
    who attends to it.

    Source: AMC, equation 2.
    """
    choose("score_axis", axis, SCORE_AXES)
    return attention.amax(dim=-1 if axis == "row" else -2)


def importance_of(score: Tensor, here: Tensor, statistic: str = "mean") -> tuple[Tensor, Tensor]:
    """Return the raw importance sigma (b, m) of modalities and its share s (b, m).

    Negative values count as zero in the share. Where all present modalities have (nearly) none, the
    share is equal.

    Args:
        score: (b, m, n) token scores.
        here: (b, m) bool.
        statistic: One of ``IMPORTANCES``; ``equal`` leaves sigma as the mean.

    Source: AMC, equation 3; clamping and the equal share are ours.
    """
    choose("importance", statistic, IMPORTANCES)
    raw = {
        "mean": lambda: score.mean(dim=-1),
        "equal": lambda: score.mean(dim=-1),
        "std": lambda: score.std(dim=-1, correction=0),
        "max": lambda: score.amax(dim=-1),
    }[statistic]()
    sigma = torch.where(here, raw, 0.0)
    equal = here / here.sum(dim=1, keepdim=True).clamp(min=1).to(score.dtype)
    if statistic == "equal":
        return sigma, equal
    positive = sigma.clamp(min=0.0)
    total = positive.sum(dim=1, keepdim=True)
    return sigma, torch.where(total <= _TINY, equal, positive / total.clamp(min=_TINY))


def replaced_counts(share: Tensor, here: Tensor, tokens: int, rule: Rule) -> Tensor:
    """Return K (b, m) int64: how many of the ``tokens`` of each modality are to be replaced.

    Zero for ``positionwise`` and ``none``, which count nothing, and for absent modalities unless
    these are imputed. What is asked for a sample with one present modality cannot be done, since
    nobody donates.

    Source: AMC, equation 4 (``literal``); the others are readings of its text.
    """
    others = (here.sum(dim=1, keepdim=True) - 1).clamp(min=1)
    kept = (share * tokens + _GUARD).floor()
    wanted = {
        "literal": lambda: kept,
        "inverse": lambda: (tokens * (1.0 - share) / others + _GUARD).floor(),
        "retain": lambda: tokens - kept,
        "positionwise": lambda: torch.zeros_like(kept),
        "none": lambda: torch.zeros_like(kept),
    }[rule.k_rule]()
    absent = tokens if rule.missing_mode == "impute" and rule.k_rule != "none" else 0
    return torch.where(here, wanted, float(absent)).clamp(max=tokens).long()


def lowest(score: Tensor, count: Tensor) -> Tensor:
    """Return (b, m, n) bool: the ``count`` (b, m) lowest scores (b, m, n), lower index first."""
    # Counting who comes before is faster than sorting so few, and says what equal scores do.
    mine, other = score[..., :, None], score[..., None, :]
    before = torch.ones(score.shape[-1], score.shape[-1], dtype=torch.bool, device=score.device)
    ahead = (other < mine) | ((other == mine) & before.tril(-1))
    return ahead.sum(dim=-1) < count[..., None]


def best_donors(score: Tensor, here: Tensor) -> tuple[Tensor, Tensor]:
    """Return who gives: (b, m, n) index of the best other present modality, and its score.

    Equal donors: the lowest index. -inf where no other is present.
    """
    modalities = score.shape[1]
    itself = torch.eye(modalities, dtype=torch.bool, device=score.device)
    able = here[:, None, :] & ~itself
    # (b, receiver, donor, n)
    offered = score[:, None].masked_fill(~able[..., None], -torch.inf)
    best, donor = offered.max(dim=2)
    return donor, best


def choose_tokens(score: Tensor, here: Tensor, count: Tensor, rule: Rule) -> tuple[Tensor, Tensor]:
    """Return which tokens are replaced (b, m, n) bool, and by whose (b, m, n) int64.

    Args:
        score: (b, m, n) token scores.
        here: (b, m) bool.
        count: (b, m), see ``replaced_counts``.
        rule: How.
    """
    donor, best = best_donors(score, here)
    mask = _losers(score, here) if rule.k_rule == "positionwise" else lowest(score, count)
    if rule.k_rule == "positionwise" and rule.missing_mode == "impute":
        mask = mask | ~here[..., None]
    mask = mask & torch.isfinite(best)
    if rule.only_if_better:
        mask = mask & ((best > score) | ~here[..., None])
    own = torch.arange(score.shape[1], device=score.device)[None, :, None]
    return mask, torch.where(mask, donor, own)


def rebalance(tokens: Tensor, score: Tensor, here: Tensor, rule: Rule) -> tuple[Tensor, Trace]:
    """Replace the weakest tokens of each modality by those of the best other one.

    All replacements are simultaneous, within a sample and at the same position; a donor may itself
    be among the replaced. Gradients flow into the donor's token, none through the choice.

    Args:
        tokens: (b, m, n, w).
        score: (b, m, n) token scores.
        here: (b, m) bool, True = the sample has the modality.
        rule: How.

    Returns:
        Tokens (b, m, n, w), and what was done.

    Source: AMC, equations 3 to 6.
    """
    with torch.no_grad():
        score = torch.where(here[..., None], score.detach(), 0.0)
        _, share = importance_of(score, here, rule.importance)
        count = replaced_counts(share, here, score.shape[-1], rule)
        mask, donor = choose_tokens(score, here, count, rule)
        trace = Trace(share, count, mask, donor, score, here)
    if rule.tie == "sum":
        return _summed(tokens, trace), trace
    return take_from(tokens, donor), trace


def take_from(tokens: Tensor, donor: Tensor) -> Tensor:
    """Return tokens (b, m, n, w), each that of modality ``donor`` (b, m, n) at its position."""
    b, m, n, w = tokens.shape
    base = torch.arange(b, device=tokens.device)[:, None, None] * m
    place = (base + donor) * n + torch.arange(n, device=tokens.device)
    return tokens.reshape(-1, w).index_select(0, place.flatten()).view(b, m, n, w)


def _losers(score: Tensor, here: Tensor) -> Tensor:
    """Return (b, m, n) bool: the lowest present modality at each position, save the strongest one.

    Nothing where all present modalities are equal at a position.
    """
    ranked = score.masked_fill(~here[..., None], torch.inf)
    low, loser = ranked.min(dim=1, keepdim=True)
    differs = score.masked_fill(~here[..., None], -torch.inf).amax(dim=1, keepdim=True) > low
    index = torch.arange(score.shape[1], device=score.device)[None, :, None]
    strongest = torch.where(here[..., None], score, 0.0).sum(dim=1).argmax(dim=-1)
    spared = torch.nn.functional.one_hot(strongest, score.shape[-1]).bool()[:, None, :]
    return (index == loser) & differs & ~spared


def _summed(tokens: Tensor, trace: Trace) -> Tensor:
    """Replace by the sum of all donors that share the highest score."""
    _, best = best_donors(trace.score, trace.here)
    modalities = tokens.shape[1]
    itself = torch.eye(modalities, dtype=torch.bool, device=tokens.device)[None, :, :, None]
    gives = trace.here[:, None, :, None] & ~itself
    tied = gives & (trace.score[:, None] == best[:, :, None])
    total = torch.einsum("brdn,bdnw->brnw", tied.to(tokens.dtype), tokens)
    return torch.where(trace.mask[..., None], total, tokens)
