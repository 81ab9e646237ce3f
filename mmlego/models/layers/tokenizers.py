"""From the values of one modality, of any kind, to n tokens of width w."""

from __future__ import annotations

import math

import torch
from einops import rearrange
from torch import Tensor, nn

from mmlego.errors import ShapeError
from mmlego.lego.profiles import choose
from mmlego.models.checks import check_sizes
from mmlego.models.contract import Part
from mmlego.models.layers.positions import fourier_features, relative_positions
from mmlego.models.layers.transformer import QueryLayer, VanillaLayer

TOKENIZERS = ("auto", "split", "query")
_BANDS, _MAX_FREQ = 4, 8.0
_POSITION = 2 * _BANDS + 1
_SPREAD = 0.02  # standard deviation of learned vectors at the start
_VOLUME_CHANNELS = (16, 32, 64, 128)


class VectorSplit(nn.Module):
    """A vector in n pieces, each projected by the same map: (b, c) -> (b, n, w).

    Pieces have ceil(c / n) features, zeros fill the end.

    Source: AMC, section 4.1 (intensive care and dementia data); padding and sharing are ours.
    """

    def __init__(self, in_dim: int, tokens: int, width: int) -> None:
        """Build the projection."""
        super().__init__()
        check_sizes("vector split", in_dim=in_dim, tokens=tokens, width=width)
        self.tokens, self.piece = tokens, math.ceil(in_dim / tokens)
        self.project = linear(self.piece, width)

    def forward(self, x: Tensor, valid: Tensor | None = None) -> Tensor:
        """Return tokens (b, n, w) of vectors (b, c)."""
        x = nn.functional.pad(x, (0, self.tokens * self.piece - x.shape[1]))
        return self.project(rearrange(x, "b (n p) -> b n p", n=self.tokens))


class Queries(nn.Module):
    """Learned queries (n, w) that read any number of tokens (b, k, w) in one transformer layer.

    Source: AMC, section 4.1 and appendix B.6. The printed order of the steps is contradictory; here
        cross-attention and a feed-forward, or with ``self_attention`` a layer over queries and
        tokens of which the queries are kept.
    """

    def __init__(
        self, tokens: int, width: int, heads: int, dropout: float, *, self_attention: bool = False
    ) -> None:
        """Build queries and layer."""
        super().__init__()
        check_sizes("queries", tokens=tokens, width=width)
        self.query = nn.Parameter(_SPREAD * torch.randn(tokens, width))
        self.self_attention = self_attention
        layer = VanillaLayer if self_attention else QueryLayer
        self.layer = layer(width, heads, dropout)

    def forward(self, x: Tensor, valid: Tensor | None = None) -> Tensor:
        """Return (b, n, w) of tokens (b, k, w); (b, k) bool ``valid`` says which are read."""
        query = self.query.expand(len(x), -1, -1)
        if not self.self_attention:
            return self.layer(query, x, valid)
        count = query.shape[1]
        if valid is not None:
            valid = torch.cat([valid.new_ones(len(x), count), valid], dim=1)
        return self.layer(torch.cat([query, x], dim=1), valid)[:, :count]


class QueriedVector(nn.Module):
    """A vector projected to n pieces of width w, which queries read: (b, c) -> (b, n, w).

    Source: AMC, section 4.1 (cancer data): projected, split into sub-vectors, queried. Projecting
        to w and splitting that would leave pieces of width w / n, so it is projected to n w.
    """

    def __init__(self, in_dim: int, queries: Queries) -> None:
        """Build the projection in front of the queries."""
        super().__init__()
        self.tokens, width = queries.query.shape
        self.project = linear(in_dim, self.tokens * width)
        self.queries = queries

    def forward(self, x: Tensor, valid: Tensor | None = None) -> Tensor:
        """Return tokens (b, n, w) of vectors (b, c)."""
        return self.queries(rearrange(self.project(x), "b (n w) -> b n w", n=self.tokens))


class QueriedBag(nn.Module):
    """Instances of a bag or steps of a series, projected and read by queries.

    (b, k, c) -> (b, n, w). Steps carry features of their time, instances of a bag no position.
    """

    def __init__(self, in_dim: int, queries: Queries, *, ordered: bool) -> None:
        """Build the projection in front of the queries."""
        super().__init__()
        self.ordered = ordered
        self.project = linear(in_dim + (_POSITION if ordered else 0), queries.query.shape[1])
        self.queries = queries

    def forward(self, x: Tensor, valid: Tensor | None = None) -> Tensor:
        """Return tokens (b, n, w) of instances (b, k, c) where ``valid`` (b, k)."""
        if self.ordered:
            valid = x.new_ones(x.shape[:2], dtype=torch.bool) if valid is None else valid
            place = relative_positions(valid).to(x.dtype)
            x = torch.cat([x, fourier_features(place, _BANDS, _MAX_FREQ)], dim=-1)
        return self.queries(self.project(x), valid)


class QueriedImage(nn.Module):
    """Patches of an image, projected and read by queries: (b, ch, h, w) -> (b, n, width).

    Patches know their row and column. A rest at the lower and right edge that fills no patch is
    left out.
    """

    def __init__(self, channels: int, queries: Queries, *, patch: int = 8) -> None:
        """Build the projection in front of the queries."""
        super().__init__()
        check_sizes("image tokens", channels=channels, patch=patch)
        width = queries.query.shape[1]
        self.patch = patch
        self.project = nn.Conv2d(channels, width, patch, stride=patch)
        self.place = linear(2 * _POSITION, width)
        self.queries = queries

    def forward(self, x: Tensor, valid: Tensor | None = None) -> Tensor:
        """Return tokens (b, n, width) of images (b, ch, h, w)."""
        if min(x.shape[2:]) < self.patch:
            raise ShapeError(
                f"image tokens: expected images of {self.patch} pixels or more a side, got "
                f"{tuple(x.shape[2:])}; use smaller patches or larger images"
            )
        maps = self.project(x)
        rows, columns = (torch.linspace(-1, 1, s, device=x.device) for s in maps.shape[2:])
        grid = torch.cartesian_prod(rows, columns).to(x.dtype)
        place = fourier_features(grid, _BANDS, _MAX_FREQ).flatten(1)
        return self.queries(rearrange(maps, "b w r c -> b (r c) w") + self.place(place))


class VolumeTokens(nn.Module):
    """A volume, convolved, pooled and projected: (b, ch, d, h, w) -> (b, n, width).

    Each stage is Conv3d(3, stride 2, padding 1), batch normalization, ReLU; channels 16, 32, 64,
    128. In training, batch normalization lets the samples of a batch influence each other.

    Source: AMC, section 4.1 (magnetic resonance images); the sizes are ours.
    """

    def __init__(self, channels: int, tokens: int, width: int) -> None:
        """Build the network."""
        super().__init__()
        check_sizes("volume tokens", channels=channels, tokens=tokens, width=width)
        sizes = (channels, *_VOLUME_CHANNELS)
        self.stages = nn.Sequential(
            *(
                nn.Sequential(
                    nn.Conv3d(a, b, 3, stride=2, padding=1, bias=False),
                    nn.BatchNorm3d(b),
                    nn.ReLU(),
                )
                for a, b in zip(sizes, sizes[1:], strict=False)
            )
        )
        self.tokens = tokens
        self.project = linear(sizes[-1], tokens * width)

    def forward(self, x: Tensor, valid: Tensor | None = None) -> Tensor:
        """Return tokens (b, n, width) of volumes (b, ch, d, h, w)."""
        pooled = self.stages(x).mean(dim=(2, 3, 4))
        return rearrange(self.project(pooled), "b (n w) -> b n w", n=self.tokens)


class Tokenizer(nn.Module):
    """Tokens of one modality, a learned stand-in where it is absent, and its positions.

    Args:
        network: From the values of present samples to (b, n, w).
        tokens: Number of tokens n.
        width: Width w of a token.
        missing: ``learned`` tokens stand in for an absent modality, or ``zeros``.
    """

    def __init__(self, network: nn.Module, tokens: int, width: int, missing: str) -> None:
        """Build stand-in and positions."""
        super().__init__()
        choose("missing_tokens", missing, ("learned", "zeros"))
        self.network = network
        self.position = nn.Parameter(_SPREAD * torch.randn(tokens, width))
        shape = (tokens, width)
        if missing == "learned":
            self.absent = nn.Parameter(_SPREAD * torch.randn(shape))
        else:
            self.register_buffer("absent", torch.zeros(shape))

    def forward(self, part: Part) -> Tensor:
        """Return tokens (b, n, w); only samples that have the modality go through the network."""
        out = self.absent.expand(len(part.here), -1, -1)
        if part.values is not None and bool(part.here.all()):
            out = self.network(part.values, part.mask)
        elif part.values is not None:
            mask = None if part.mask is None else part.mask[part.here]
            rows = part.here.nonzero().flatten()
            out = out.index_copy(0, rows, self.network(part.values[part.here], mask).to(out.dtype))
        return out + self.position


def build_tokenizer(
    kind: str,
    in_dim: int,
    *,
    tokens: int,
    width: int,
    heads: int,
    dropout: float,
    tokenizer: str = "auto",
    query_self_attention: bool = False,
    patch: int = 8,
) -> nn.Module:
    """The network that makes tokens of a modality.

    Args:
        kind: tabular, bag, series, image, or volume.
        in_dim: Number of features; of channels for images and volumes.
        tokens: Number of tokens.
        width: Width of a token.
        heads: Heads of the queries' layer.
        dropout: Of the queries' layer.
        tokenizer: Of vectors: ``split`` (also ``auto``) or ``query``; all else has one way only.
        query_self_attention: See ``Queries``.
        patch: Side of a patch of an image, in pixels.

    Raises:
        SettingsError: If an option is unknown or out of range.
    """
    choose("tokenizer", tokenizer, TOKENIZERS)
    if kind == "tabular" and tokenizer != "query":
        return VectorSplit(in_dim, tokens, width)
    if kind == "volume":
        return VolumeTokens(in_dim, tokens, width)
    queries = Queries(tokens, width, heads, dropout, self_attention=query_self_attention)
    if kind == "tabular":
        return QueriedVector(in_dim, queries)
    if kind == "image":
        return QueriedImage(in_dim, queries, patch=patch)
    return QueriedBag(in_dim, queries, ordered=kind == "series")


def linear(in_dim: int, out_dim: int) -> nn.Linear:
    """A linear layer that starts Xavier uniform with zero bias."""
    layer = nn.Linear(in_dim, out_dim)
    nn.init.xavier_uniform_(layer.weight)
    nn.init.zeros_(layer.bias)
    return layer
