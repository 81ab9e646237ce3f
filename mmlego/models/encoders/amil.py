"""Attention-based multiple-instance learning: the encoder of bags and series."""

from __future__ import annotations

import torch
from einops import einsum
from torch import Tensor, nn

from mmlego.models.checks import as_bag, check_dropout, check_mask, check_sizes


class GatedAttention(nn.Module):
    """Weights of the instances of a bag: ``w . (tanh(V h) * sigmoid(U h)) + b``, softmax over n.

    Source: Ilse et al. 2018, Eq. 9, with biases as is usual in pathology models.
    """

    def __init__(self, width: int, attn_dim: int = 256, dropout: float = 0.25) -> None:
        """Build an untrained network.

        Args:
            width: Width of one embedded instance.
            attn_dim: Width of the two branches.
            dropout: Dropout on both branches, in [0, 1).

        Raises:
            SettingsError: If a width is below 1 or dropout outside [0, 1).
        """
        super().__init__()
        check_sizes("GatedAttention", width=width, attn_dim=attn_dim)
        check_dropout("GatedAttention", dropout)
        self.content = nn.Linear(width, attn_dim)  # V
        self.gate = nn.Linear(width, attn_dim)  # U
        self.score = nn.Linear(attn_dim, 1)  # w, b
        self.dropout = nn.Dropout(dropout)

    def forward(self, h: Tensor, mask: Tensor | None = None) -> Tensor:
        """Return attention weights (b, n) of instances (b, n, c), summing to 1 within each bag."""
        content = self.dropout(torch.tanh(self.content(h)))
        gate = self.dropout(torch.sigmoid(self.gate(h)))
        scores = self.score(content * gate)[..., 0]  # (b, n)
        if mask is not None:
            scores = scores.masked_fill(~mask, -torch.inf)
        return scores.softmax(dim=1)  # over the instances n of one bag, never over the batch


class ABMILEncoder(nn.Module):
    """Embed every instance, pool a bag by gated attention, and project the pooled vector.

    The result does not depend on the order of instances, on padding, or on the rest of the batch.
    The steps of a time series are read as instances, without their order.

    Source: Ilse et al. 2018, Eq. 8 and 9; widths after Hemker et al. 2025, appendix E.
    """

    takes_mask = True

    def __init__(
        self,
        in_dim: int,
        *,
        embed_dim: int = 512,
        attn_dim: int = 256,
        out_dim: int = 256,
        dropout: float = 0.25,
    ) -> None:
        """Build an untrained network.

        Args:
            in_dim: Number of features c of one instance.
            embed_dim: Width of an embedded instance.
            attn_dim: Width of the attention branches.
            out_dim: Width of the encoding.
            dropout: Dropout on both attention branches, in [0, 1).

        Raises:
            SettingsError: If a width is below 1 or dropout outside [0, 1).
        """
        super().__init__()
        check_sizes("ABMILEncoder", in_dim=in_dim, embed_dim=embed_dim, out_dim=out_dim)
        self.in_dim = in_dim
        self.out_dim = out_dim
        self.embed = nn.Sequential(nn.Linear(in_dim, embed_dim), nn.ReLU())
        self.pool = GatedAttention(embed_dim, attn_dim, dropout)
        self.project = nn.Sequential(nn.Linear(embed_dim, out_dim), nn.ReLU())

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """Encode bags (b, n, c) as (b, out_dim); a table (b, c) is read as bags of one instance.

        Args:
            x: Instances; values of masked ones are ignored, even if not finite.
            mask: (b, n) bool, True = a valid instance; None = all are valid.

        Raises:
            ShapeError: If shapes or types do not fit, or a bag has no valid instance.
        """
        h, weights = self._attend(x, mask)
        return self.project(einsum(weights, h, "b n, b n c -> b c"))

    def attention(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """Return the weight (b, n) of every instance, non-negative, 0 where masked, summing to 1.

        In training mode the weights vary with dropout; call ``eval()`` first to inspect them.

        Raises:
            ShapeError: As for a forward pass.
        """
        return self._attend(x, mask)[1]

    def _attend(self, x: Tensor, mask: Tensor | None) -> tuple[Tensor, Tensor]:
        """Return embedded instances (b, n, embed_dim) and their weights (b, n)."""
        bag = as_bag("ABMILEncoder", x, self.in_dim)
        if mask is not None:
            check_mask("ABMILEncoder", mask, bag)
            # A weight of 0 does not silence NaN or infinity in padding.
            bag = bag.masked_fill(~mask.unsqueeze(-1), 0.0)
        h = self.embed(bag)
        return h, self.pool(h, mask)


class ABMIL(nn.Module):
    """An ABMIL encoder with a linear head, for bags (b, n, c) to logits (b, k)."""

    takes_mask = True

    def __init__(
        self,
        in_dim: int,
        n_outputs: int,
        *,
        embed_dim: int = 512,
        attn_dim: int = 256,
        out_dim: int = 256,
        dropout: float = 0.25,
    ) -> None:
        """Build an untrained network.

        Args:
            in_dim: Number of features c of one instance.
            n_outputs: Number of logits k: classes or time bins.
            embed_dim: Width of an embedded instance.
            attn_dim: Width of the attention branches.
            out_dim: Width of the encoding.
            dropout: Dropout on both attention branches, in [0, 1).

        Raises:
            SettingsError: If an argument is out of range.
        """
        super().__init__()
        check_sizes("ABMIL", n_outputs=n_outputs)
        self.encoder = ABMILEncoder(
            in_dim, embed_dim=embed_dim, attn_dim=attn_dim, out_dim=out_dim, dropout=dropout
        )
        self.head = nn.Linear(out_dim, n_outputs)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """Return logits (b, k) of bags (b, n, c), or of a table (b, c) read as bags of one."""
        return self.head(self.encoder(x, mask=mask))

    def attention(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """Return the weight (b, n) of every instance; see ``ABMILEncoder.attention``."""
        return self.encoder.attention(x, mask)
