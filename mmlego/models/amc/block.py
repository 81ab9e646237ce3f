"""The shared block: differential attention and experts, the same weights for every modality."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor, nn

from mmlego.lego.dropout import dropout as drop
from mmlego.models.amc.options import AMCOptions
from mmlego.models.amc.scores import FusionScorer, LearnedScorer
from mmlego.models.layers.attention import build_attention
from mmlego.models.layers.experts import DenseFeedForward, SparseExperts


@dataclass(frozen=True)
class Pass:
    """What a block made of a batch.

    Attributes:
        tokens: (r, n, w).
        attention: (r, n, n) map, mean over the heads, before any dropout; None if nobody needs it.
        score: (r, n) learned scores; None if they come from the map.
        balance: Balance loss of the experts, a scalar; zero without experts or training.
    """

    tokens: Tensor
    attention: Tensor | None
    score: Tensor | None
    balance: Tensor


class SharedBlock(nn.Module):
    """Pre-norm: x + Attention(LN(x)), then x + FeedForward(LN(x)).

    Modalities are stacked on the first axis: no token sees another modality here.

    Source: AMC, section 3; pre-norm and dropout .1 are ours. 150,296 parameters at width 64 with
        eight heads and eight experts.

    Args:
        width: Width w of a token.
        layer: Index of the block, from 0.
        options: Options of the model.
    """

    def __init__(self, width: int, layer: int, options: AMCOptions) -> None:
        """Build the parameters."""
        super().__init__()
        self.dropout, self.score_kind = options.dropout, options.token_score
        self.norm_attention, self.norm_feed = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attention = build_attention(
            options.attention, width, options.heads, options.lambda_init, layer
        )
        self.feed_forward = (
            SparseExperts(
                width,
                options.experts,
                options.top_k,
                gate_norm=options.gate_norm,
                ddof=options.variation_ddof,
            )
            if options.feed_forward == "experts"
            else DenseFeedForward(width)
        )
        scorers: dict[str, Callable[[int], nn.Module]]
        scorers = {"learned": LearnedScorer, "strict_fusion": FusionScorer}
        self.scorer = scorers[self.score_kind](width) if self.score_kind in scorers else None

    def forward(self, x: Tensor, valid: Tensor, *, need_map: bool) -> Pass:
        """Pass tokens on.

        Args:
            x: (r, n, w) tokens.
            valid: (r,) bool, True = a modality that is present; absent ones do not count in the
                balance loss.
            need_map: Whether the map is needed.
        """
        need_map = need_map and self.score_kind == "attention"
        update, table = self.attention(self.norm_attention(x), need_map=need_map)
        score = None
        if self.scorer is not None and self.score_kind == "strict_fusion":
            score = self.scorer(x)
            update = update * score[..., None]
        x = x + drop(update, self.dropout, self.training)
        update, balance = self._feed(self.norm_feed(x), valid)
        x = x + drop(update, self.dropout, self.training)
        if self.scorer is not None and self.score_kind == "learned":
            score = self.scorer(x)
        return Pass(x, None if table is None else table.mean(dim=1), score, balance)

    def _feed(self, x: Tensor, valid: Tensor) -> tuple[Tensor, Tensor]:
        if isinstance(self.feed_forward, DenseFeedForward):
            return self.feed_forward(x), x.new_zeros(())
        counted = None if bool(valid.all()) else valid.repeat_interleave(x.shape[1])
        out, balance = self.feed_forward(x.flatten(0, 1), counted)
        return out.view_as(x), balance
