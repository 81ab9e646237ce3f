"""A transformer layer whose feed-forward is a sparse mixture of experts."""

from __future__ import annotations

from torch import Tensor

from mmlego.models.layers.experts import Routing, SparseExperts
from mmlego.models.layers.transformer import AttentionLayer


class ExpertLayer(AttentionLayer):
    """Pre-norm encoder layer: x + MHA(LN(x)), then x + Experts(LN(x)).

    Arguments and errors as for ``AttentionLayer``; and ``experts``, the mixture, of the same width.
    """

    def __init__(self, width: int, heads: int, dropout: float, experts: SparseExperts) -> None:
        """Take the experts and build the rest."""
        super().__init__(width, heads, dropout)
        self.experts = experts

    def forward(self, x: Tensor, valid: Tensor | None = None) -> tuple[Tensor, Routing]:
        """Return tokens (b, n, w) of tokens (b, n, w), and where they went, b n in a row.

        Args:
            x: Tokens.
            valid: (b, n) bool, True = a token that is read; all are routed.
        """
        x = self.attend(x, valid)
        update, routing = self.experts.routed(self.norm_feed(x))
        return self.add(x, update), routing
