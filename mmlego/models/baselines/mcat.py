"""MCAT: every table asks a bag of instances what belongs to it."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from einops import einsum
from torch import Tensor, nn

from mmlego.errors import ModalityError, SettingsError
from mmlego.models.checks import check_dropout, check_sizes
from mmlego.models.contract import MultimodalModel, Part, spread
from mmlego.models.encoders.amil import GatedAttention
from mmlego.models.encoders.snn import SNNEncoder
from mmlego.models.layers.plain import relu_layers

TRANSFORMER_LAYERS = 2


class MCAT(MultimodalModel):
    """Genomic-guided co-attention: N tokens, one per table, query the instances of one bag.

    What the tokens receive, and the tokens themselves, pass a Transformer each, are pooled over
    tokens by gated attention, and classified together.

    A table that a sample lacks is masked out of its tokens: of both Transformers and both poolings.
    A sample without any table has one learned token in their place, so that the bag is still asked.
    A sample without the bag skips co-attention and all that follows it; a learned vector that
    starts at zero stands in for the pooled result, so that its tables alone decide.

    Source: Chen et al. 2021, section 3; sizes after its code. There, N = 6 gene families; here any
        tables. Self-normalising layers are SELU by default (theirs: ELU). Tokens are the axis of
        all attention, as the paper says; the port of Hemker et al. 2025 attends over the batch.
        All rules for what is absent are our addition.
    """

    def __init__(
        self,
        widths: Mapping[str, int],
        n_outputs: int,
        *,
        kinds: Mapping[str, str] | None = None,
        width: int = 256,
        heads: int = 8,
        ff_dim: int = 512,
        attn_dim: int = 256,
        dropout: float = 0.25,
        activation: str = "selu",
    ) -> None:
        """Build an untrained network.

        Args:
            widths: Number of features by modality: one bag or series, and one table or more.
            n_outputs: Number of logits k: classes or time bins.
            kinds: ``tabular``, ``bag`` or ``series`` by modality.
            width: Width of tokens and of all hidden layers.
            heads: Heads of the Transformers; divides ``width``.
            ff_dim: Width of the feed-forward layers of the Transformers.
            attn_dim: Width of the branches of gated attention.
            dropout: Dropout everywhere but in co-attention and the last layers, in [0, 1).
            activation: ``selu`` or ``elu``, of the networks that make tokens of tables.

        Raises:
            ModalityError: If there is no table, not exactly one bag or series, or a name cannot
                name a sub-module.
            SettingsError: If an argument is out of range.
        """
        super().__init__(widths, n_outputs, kinds)
        check_sizes("MCAT", width=width, heads=heads, ff_dim=ff_dim, attn_dim=attn_dim)
        check_dropout("MCAT", dropout)
        if width % heads:
            raise SettingsError(f"MCAT: expected heads that divide width {width}, got {heads}")
        self.tables, self.bag = _roles(self.kinds)
        self.tokens = nn.ModuleDict(
            {
                name: SNNEncoder(
                    widths[name], widths=(width, width), dropout=dropout, activation=activation
                )
                for name in self.tables
            }
        )
        self.no_table = nn.Parameter(torch.randn(width))
        self.no_bag = nn.Parameter(torch.zeros(width))
        self.instances = relu_layers(widths[self.bag], width, dropout=dropout)
        self.co_attention = nn.MultiheadAttention(width, 1, batch_first=True)
        sizes = {"width": width, "heads": heads, "ff_dim": ff_dim, "attn_dim": attn_dim}
        self.asked = TokenPool(**sizes, dropout=dropout)
        self.asking = TokenPool(**sizes, dropout=dropout)
        self.classify = relu_layers(2 * width, width, width)
        self.head = nn.Linear(width, n_outputs)

    def predict(self, batch: Mapping[str, Part]) -> Tensor:
        """Return logits (b, k) of the parts of a batch."""
        tokens, valid = self._tokens({name: batch[name] for name in self.tables})
        both = [self._ask(batch[self.bag], tokens, valid), self.asking(tokens, valid)]
        return self.head(self.classify(torch.cat(both, dim=1)))

    def _tokens(self, parts: Mapping[str, Part]) -> tuple[Tensor, Tensor]:
        """Return tokens (b, n, width) of the tables, and (b, n) which of them are valid."""
        encoded = [part.encode(self.tokens[name], self.no_table) for name, part in parts.items()]
        here = torch.stack([part.here for part in parts.values()], dim=1)
        # Without any table all tokens are the learned one. No step between here and the end of
        # pooling tells positions apart, so equal tokens give what a single one would.
        return torch.stack(encoded, dim=1), here | ~here.any(dim=1, keepdim=True)

    def _ask(self, bag: Part, tokens: Tensor, valid: Tensor) -> Tensor:
        """Return (b, width): what the bag has for the tokens, pooled, or the stand-in for it."""
        here = bag.here
        if bag.values is None:
            return self.no_bag.expand(len(here), -1)
        assert bag.mask is not None, "a bag has a mask"
        memory = self.instances(bag.values[here])
        answers, _ = self.co_attention(
            tokens[here], memory, memory, key_padding_mask=~bag.mask[here], need_weights=False
        )
        return spread(self.asked(answers, valid[here]), here, self.no_bag)


class TokenPool(nn.Module):
    """A post-norm Transformer over tokens (b, n, width), gated attention pooling, and one layer."""

    def __init__(
        self, *, width: int, heads: int, ff_dim: int, attn_dim: int, dropout: float
    ) -> None:
        """Build an untrained network; see ``MCAT`` for the arguments."""
        super().__init__()
        self.transformer = nn.ModuleList(
            nn.TransformerEncoderLayer(width, heads, ff_dim, dropout, batch_first=True)
            for _ in range(TRANSFORMER_LAYERS)
        )
        self.pool = GatedAttention(width, attn_dim, dropout)
        self.project = relu_layers(width, width, dropout=dropout)

    def forward(self, tokens: Tensor, valid: Tensor) -> Tensor:
        """Return (b, width) of tokens (b, n, width) with ``valid`` (b, n), one or more of each."""
        h = tokens
        for layer in self.transformer:
            h = layer(h, src_key_padding_mask=~valid)
        return self.project(einsum(self.pool(h, valid), h, "b n, b n w -> b w"))


def _roles(kinds: Mapping[str, str]) -> tuple[tuple[str, ...], str]:
    """Return the names of the tables, and the name of the one bag or series."""
    tables = tuple(name for name, kind in kinds.items() if kind == "tabular")
    bags = [name for name in kinds if name not in tables]
    if not tables or len(bags) != 1:
        raise ModalityError(
            f"MCAT: expected one table or more and exactly one bag or series, got tables "
            f"{list(tables)} and bags {bags}; choose the modalities accordingly, or use LateFusion"
        )
    return tables, bags[0]
