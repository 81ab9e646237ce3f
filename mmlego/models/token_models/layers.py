"""A transformer layer whose feed-forward is a sparse mixture of experts."""

from __future__ import annotations

from torch import Tensor, nn

from mmlego.lego.dropout import dropout as drop
from mmlego.models.checks import check_dropout
from mmlego.models.layers.attention import SoftmaxAttention
from mmlego.models.layers.experts import Routing, SparseExperts


class ExpertLayer(nn.Module):
    """Pre-norm encoder layer: x + MHA(LN(x)), then x + Experts(LN(x)).

    Args:
        width: Width w of a token.
        heads: Number of heads, which divides w.
        dropout: On what is added, in [0, 1).
        experts: The mixture, of the same width.

    Raises:
        SettingsError: If an option is out of range.
    """

    def __init__(self, width: int, heads: int, dropout: float, experts: SparseExperts) -> None:
        """Take the experts and build the rest."""
        super().__init__()
        check_dropout("layer", dropout)
        self.dropout = dropout
        self.norm_attention, self.norm_feed = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attention = SoftmaxAttention(width, heads)
        self.experts = experts

    def forward(self, x: Tensor, valid: Tensor | None = None) -> tuple[Tensor, Routing]:
        """Return tokens (b, n, w) of tokens (b, n, w), and where they went, b n in a row.

        Args:
            x: Tokens.
            valid: (b, n) bool, True = a token that is read; all are routed.
        """
        update, _ = self.attention(self.norm_attention(x), valid=valid, need_map=False)
        x = x + drop(update, self.dropout, self.training)
        flat = self.norm_feed(x).flatten(0, 1)
        routing = self.experts.route(flat)
        update = self.experts.mix(flat, routing).view_as(x)
        return x + drop(update, self.dropout, self.training), routing
