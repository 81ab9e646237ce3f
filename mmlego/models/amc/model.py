"""AMC: modality tokens are re-balanced between shared transformer blocks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, cast

import torch
from torch import Tensor, nn

from mmlego.models.amc.block import Pass, SharedBlock
from mmlego.models.amc.contrastive import instance_loss, token_loss
from mmlego.models.amc.options import AMCOptions
from mmlego.models.amc.rebalancing import Rule, Trace, rebalance, take_from, token_scores
from mmlego.models.amc.scores import SPARSITY, fixed_donors, replaced_below
from mmlego.models.contract import Tensors, Terms
from mmlego.models.layers.frontend import Encoded, FusionModel
from mmlego.models.layers.tokenizers import linear


@dataclass(frozen=True)
class Run:
    """One pass through all blocks."""

    logits: Tensor
    encoded: Encoded
    passes: Sequence[Pass]
    traces: Sequence[Trace]


class AMC(FusionModel):
    """Adaptive modality token re-balancing.

    Every modality becomes N tokens of width D, which a transformer layer of its own reads. Shared
    blocks then read each modality by itself. After a block, its attention map says how important
    each modality is in this very sample, and the weakest tokens of each are replaced by those of
    the best other modality at the same position. The mean tokens of all modalities are concatenated
    for a linear head. A single modality is the same model without re-balancing.

    Source: Peng et al. 2025 (AMC, ICML). Departures and choices where the paper is silent or
    contradicts itself stand with each option of ``AMCOptions``; the authors' code is not public.

    Args:
        widths: Features by modality name, of channels for images and volumes; gives the order.
        n_outputs: Number of logits k: classes or time bins.
        kinds: "tabular" (b, c), "bag" or "series" (b, n, c), "image" (b, ch, h, w) or "volume"
            (b, ch, d, h, w) by name; None = all are tables.
        **options: Those of ``AMCOptions``.

    Raises:
        ModalityError: If there is no modality, or a name cannot name a sub-module.
        SettingsError: If an option is unknown or out of range.
    """

    donors: Tensor

    def __init__(
        self,
        widths: Mapping[str, int],
        n_outputs: int,
        *,
        kinds: Mapping[str, str] | None = None,
        **options: Any,
    ) -> None:
        """Build the parameters."""
        chosen = AMCOptions(**options)
        super().__init__(
            widths,
            n_outputs,
            kinds=kinds,
            tokens=chosen.tokens,
            width=chosen.width,
            heads=chosen.heads,
            own_layers=chosen.own_layers,
            dropout=chosen.dropout,
            tokenizer=chosen.tokenizer,
            query_self_attention=chosen.query_self_attention,
            missing_tokens=chosen.missing_tokens,
            patch=chosen.patch,
        )
        self.options = chosen
        self.blocks = nn.ModuleList(
            SharedBlock(chosen.width, layer, chosen) for layer in range(chosen.layers)
        )
        modalities = len(self.names)
        if chosen.token_score == "strict_fusion" and modalities > 1:
            self.register_buffer("donors", fixed_donors(modalities, chosen.tokens))
        self.head = linear(modalities * chosen.width, n_outputs)
        self._rebalancing = True

    def rebalance(self, on: bool) -> None:
        """Switch re-balancing on or off, for a warm-up without it."""
        self._rebalancing = bool(on)

    def predict(self, batch: Encoded) -> Tensor:
        """Return logits (b, k) of a batch of tokens."""
        return self._run(batch, self.options.rule).logits

    def fuse(self, encoded: Encoded) -> tuple[Tensor, Terms]:
        """Return logits (b, k) and the weighted further terms of the loss.

        The terms are ``instance`` and ``token`` (contrastive, of two modalities or more),
        ``balance`` (of experts) and ``sparsity`` (of learned scores); those of weight 0 are left
        out.
        """
        chosen = self.options
        run = self._run(encoded, chosen.rule)
        terms = {}
        tokens, here = encoded.tokens, encoded.here
        if len(self.names) > 1 and chosen.instance_weight:
            terms["instance"] = chosen.instance_weight * instance_loss(
                tokens, here, chosen.contrast
            )
        if len(self.names) > 1 and chosen.token_weight:
            terms["token"] = chosen.token_weight * token_loss(tokens, here, chosen.contrast)
        if chosen.feed_forward == "experts" and chosen.balance_weight:
            balance = cast(Tensor, sum(p.balance for p in run.passes))
            terms["balance"] = chosen.balance_weight * balance
        if chosen.token_score != "attention":
            means = [_present_mean(cast(Tensor, p.score), here) for p in run.passes]
            terms["sparsity"] = SPARSITY * cast(Tensor, sum(means))
        return run.logits, terms

    @torch.no_grad()
    def trace(
        self,
        inputs: Tensors,
        present: Tensors | None = None,
        masks: Tensors | None = None,
        *,
        importance: str | None = None,
    ) -> list[Trace]:
        """Return what each re-balancing did, in the order of the blocks; see ``forward``.

        Args:
            inputs: Values by modality.
            present: Flags by modality.
            masks: Masks by modality.
            importance: Another ``importance`` than the model's own.
        """
        return list(self.run(inputs, present, masks, importance=importance).traces)

    def run(
        self,
        inputs: Tensors,
        present: Tensors | None = None,
        masks: Tensors | None = None,
        *,
        importance: str | None = None,
    ) -> Run:
        """Return logits and all that led to them; see ``trace``."""
        rule = self.options.rule
        rule = replace(rule, importance=importance) if importance else rule
        return self._run(self.read(inputs, present, masks), rule)

    def _run(self, encoded: Encoded, rule: Rule) -> Run:
        x, here = encoded.tokens, encoded.here
        passes, traces = [], []
        for block, exchanges in zip(self.blocks, self._exchanges(), strict=True):
            done = block(x.flatten(0, 1), here.flatten(), need_map=exchanges)
            passes.append(done)
            x = done.tokens.view_as(x)
            if exchanges:
                x, trace = self._exchange(x, done, here, rule)
                traces.append(trace)
        logits = self.head(x.mean(dim=2).flatten(1))
        return Run(logits, encoded, passes, traces)

    def _exchanges(self) -> list[bool]:
        """After which block tokens are re-balanced."""
        chosen = self.options
        able = self._rebalancing and len(self.names) > 1 and chosen.k_rule != "none"
        last = chosen.placement == "after_every"
        return [able and (layer < chosen.layers - 1 or last) for layer in range(chosen.layers)]

    def _exchange(self, x: Tensor, done: Pass, here: Tensor, rule: Rule) -> tuple[Tensor, Trace]:
        if self.options.token_score == "attention":
            attention = cast(Tensor, done.attention)
            score = token_scores(attention.detach(), self.options.score_axis)
        else:
            score = cast(Tensor, done.score)
        score = score.reshape(x.shape[:3])
        if self.options.token_score == "strict_fusion":
            trace = replaced_below(score, here, self.donors)
            return take_from(x, trace.donor), trace
        return rebalance(x, score, here, rule)


def _present_mean(score: Tensor, here: Tensor) -> Tensor:
    """Mean absolute score (r, n) over the tokens of present modalities; here is (b, m)."""
    return score.abs()[here.flatten()].mean()
