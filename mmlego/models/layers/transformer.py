"""Transformer layers: the vanilla one of each modality, and one that queries tokens."""

from __future__ import annotations

from torch import Tensor, nn

from mmlego.lego.dropout import dropout as drop
from mmlego.models.checks import check_dropout
from mmlego.models.layers.attention import SoftmaxAttention
from mmlego.models.layers.experts import DenseFeedForward


class AttentionLayer(nn.Module):
    """Pre-norm: x + MHA(LN(x)); a subclass puts a feed-forward on LN(x) behind it.

    Args:
        width: Width w of a token.
        heads: Number of heads, which divides w.
        dropout: On what is added, in [0, 1).

    Raises:
        SettingsError: If an option is out of range.
    """

    def __init__(self, width: int, heads: int, dropout: float = 0.1) -> None:
        """Build the parameters."""
        super().__init__()
        check_dropout("layer", dropout)
        self.dropout = dropout
        self.norm_attention, self.norm_feed = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attention = SoftmaxAttention(width, heads)

    def attend(self, x: Tensor, valid: Tensor | None = None) -> Tensor:
        """Return x + MHA(LN(x)) of tokens (b, n, w); only those ``valid`` (b, n) are read."""
        update, _ = self.attention(self.norm_attention(x), valid=valid, need_map=False)
        return self.add(x, update)

    def add(self, x: Tensor, update: Tensor) -> Tensor:
        """Return x with the update on top, behind dropout."""
        return x + drop(update, self.dropout, self.training)


class VanillaLayer(AttentionLayer):
    """Pre-norm encoder layer: x + MHA(LN(x)), then x + FFN(LN(x)), feed-forward of twice the width.

    Arguments and errors as for ``AttentionLayer``.
    """

    def __init__(self, width: int, heads: int, dropout: float = 0.1) -> None:
        """Build the parameters."""
        super().__init__(width, heads, dropout)
        self.feed_forward = DenseFeedForward(width)

    def forward(self, x: Tensor, valid: Tensor | None = None) -> Tensor:
        """Return tokens (b, n, w) of tokens (b, n, w); only those ``valid`` (b, n) are read."""
        x = self.attend(x, valid)
        return self.add(x, self.feed_forward(self.norm_feed(x)))


class QueryLayer(nn.Module):
    """Queries that attend to tokens: q + MHA(LN(q), LN(x)), then q + FFN(LN(q)).

    Arguments and errors as for ``AttentionLayer``.
    """

    def __init__(self, width: int, heads: int, dropout: float = 0.1) -> None:
        """Build the parameters."""
        super().__init__()
        check_dropout("layer", dropout)
        self.dropout = dropout
        self.norm_query, self.norm_context = nn.LayerNorm(width), nn.LayerNorm(width)
        self.norm_feed = nn.LayerNorm(width)
        self.attention = SoftmaxAttention(width, heads)
        self.feed_forward = DenseFeedForward(width)

    def forward(self, query: Tensor, x: Tensor, valid: Tensor | None = None) -> Tensor:
        """Return (b, q, w) of queries (b, q, w) that read tokens x (b, n, w) where valid (b, n)."""
        update, _ = self.attention(
            self.norm_query(query), context=self.norm_context(x), valid=valid, need_map=False
        )
        query = query + drop(update, self.dropout, self.training)
        return query + drop(self.feed_forward(self.norm_feed(query)), self.dropout, self.training)
