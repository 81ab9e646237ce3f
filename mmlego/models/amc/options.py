"""Every option of AMC with its default, in one place."""

from __future__ import annotations

from dataclasses import dataclass

from mmlego.errors import SettingsError
from mmlego.lego.profiles import choose, number
from mmlego.models.amc.contrastive import Contrast
from mmlego.models.amc.rebalancing import SCORE_AXES, Rule
from mmlego.models.amc.scores import TOKEN_SCORES
from mmlego.models.checks import check_dropout, check_sizes
from mmlego.models.layers.attention import ATTENTIONS, check_heads
from mmlego.models.layers.experts import GATE_NORMS

FEED_FORWARDS = ("experts", "dense")
PLACEMENTS = ("between", "after_every")
_UNUSED_BY_STRICT_FUSION = {
    "k_rule": "literal",
    "importance": "mean",
    "tie": "first",
    "only_if_better": False,
    "missing_mode": "isolate",
}


@dataclass(frozen=True)
class AMCOptions:
    """Options of AMC; the numbers in brackets name the contradiction of the paper that they settle.

    Attributes:
        tokens: Tokens N per modality; 32 in the published figure of replacements.
        width: Width D of a token.
        heads: Attention heads h.
        layers: Shared blocks L.
        own_layers: Vanilla layers of each modality's own; number unpublished.
        dropout: In [0, 1); unpublished.
        tokenizer: Of tables: ``auto`` (= ``split``) or ``query``, as for the cancer cohorts.
        query_self_attention: Queries and tokens in one self-attention.
        patch: Side of a patch of an image, in pixels.
        experts: Experts E.
        top_k: Experts per token.
        feed_forward: ``experts`` or ``dense``.
        gate_norm: ``softmax_all`` or ``softmax_topk`` (AMC-19).
        variation_ddof: Of the balance losses, 1 or 0.
        attention: ``differential`` or ``softmax``.
        lambda_init: Number in [0, 1), or ``schedule`` (AMC-8).
        token_score: ``attention``; ``learned`` or ``strict_fusion`` for the ablation.
        score_axis: ``row`` or ``column`` (AMC-4).
        importance: ``mean``, ``std``, ``max``, or ``equal``.
        k_rule: ``literal``, ``inverse``, ``retain``, ``positionwise``, or ``none`` (AMC-1).
        tie: ``first`` or ``sum`` (AMC-9).
        only_if_better: Whether a donor must have the higher score.
        placement: Re-balancing ``between`` blocks, or ``after_every`` one (AMC-3).
        missing_mode: ``isolate`` or ``impute`` (AMC-11).
        missing_tokens: ``learned`` or ``zeros``.
        instance_weight: Weight of the contrastive loss of samples.
        token_weight: Weight of the contrastive loss of tokens.
        balance_weight: Weight of the balance loss, summed over the blocks.
        temperature: Of the contrastive losses (AMC-17).
        normalize: Cosine similarity (AMC-17).
        contrastive_reduction: ``mean`` or ``sum`` (AMC-17).
        token_negatives: ``all`` or ``other_instances`` (AMC-16).
        pair_reduction: ``mean`` or ``sum`` over pairs of modalities (AMC-17).

    Raises:
        SettingsError: If an option is unknown or out of range.
    """

    tokens: int = 32
    width: int = 64
    heads: int = 8
    layers: int = 2
    own_layers: int = 1
    dropout: float = 0.1
    tokenizer: str = "auto"
    query_self_attention: bool = False
    patch: int = 8
    experts: int = 8
    top_k: int = 2
    feed_forward: str = "experts"
    gate_norm: str = "softmax_all"
    variation_ddof: int = 1
    attention: str = "differential"
    lambda_init: float | str = 0.1
    token_score: str = "attention"
    score_axis: str = "row"
    importance: str = "mean"
    k_rule: str = "literal"
    tie: str = "first"
    only_if_better: bool = False
    placement: str = "between"
    missing_mode: str = "isolate"
    missing_tokens: str = "learned"
    instance_weight: float = 0.1
    token_weight: float = 0.1
    balance_weight: float = 0.1
    temperature: float = 0.07
    normalize: bool = True
    contrastive_reduction: str = "mean"
    token_negatives: str = "all"
    pair_reduction: str = "mean"

    def __post_init__(self) -> None:
        """Check what the parts do not check themselves."""
        check_sizes("AMC", tokens=self.tokens, layers=self.layers)
        check_heads("AMC", self.width, self.heads)
        check_dropout("AMC", self.dropout)
        choose("AMC: feed_forward", self.feed_forward, FEED_FORWARDS)
        choose("AMC: gate_norm", self.gate_norm, GATE_NORMS)
        choose("AMC: attention", self.attention, ATTENTIONS)
        choose("AMC: token_score", self.token_score, TOKEN_SCORES)
        choose("AMC: score_axis", self.score_axis, SCORE_AXES)
        choose("AMC: placement", self.placement, PLACEMENTS)
        for name in ("instance_weight", "token_weight", "balance_weight"):
            number(f"AMC: {name}", getattr(self, name), low=0.0)
        self._check_strict_fusion()
        self.rule, self.contrast  # noqa: B018 - both check their options

    def _check_strict_fusion(self) -> None:
        """Refuse what has no say where a threshold and fixed donors decide."""
        if self.token_score != "strict_fusion":
            return
        for name, default in _UNUSED_BY_STRICT_FUSION.items():
            value = getattr(self, name)
            if value != default:
                raise SettingsError(
                    f"AMC: expected {name} {default!r} (unused) with token_score 'strict_fusion', "
                    f"got {value!r}; a threshold decides there, leave {name} out"
                )

    @property
    def rule(self) -> Rule:
        """How tokens are re-balanced."""
        return Rule(self.importance, self.k_rule, self.tie, self.only_if_better, self.missing_mode)

    @property
    def contrast(self) -> Contrast:
        """How the contrastive losses are computed."""
        return Contrast(
            self.temperature,
            self.normalize,
            self.contrastive_reduction,
            self.token_negatives,
            self.pair_reduction,
        )
