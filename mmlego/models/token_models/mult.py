"""MulT: every modality asks every other one, layer after layer."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, cast

import torch
from torch import Tensor, nn

from mmlego.lego.dropout import dropout as drop
from mmlego.models.checks import check_sizes
from mmlego.models.contract import Terms
from mmlego.models.layers.frontend import Encoded, FusionModel
from mmlego.models.layers.transformer import AttentionLayer
from mmlego.models.token_models.head import ResidualHead

_EXPANSION = 4
_LONGEST_WAVE = 1e4


class MulT(FusionModel):
    """Multimodal transformer: for each target modality, cross-attention to each of the others.

    What a target asked of its sources stands side by side, passes self-attention layers, and is
    averaged over the tokens; the targets together go through a residual head. An absent source
    leaves zeros in its place, and learned tokens stand in for an absent target. A single modality
    asks nobody: its tokens pass the self-attention layers alone.

    Source: Tsai et al. 2019 (MulT), section 3. There the last token is read, which knows all others
        in a time series; here tokens have no order, so the mean is, and attention sees all tokens.
        There five layers ask and five remember, width is 30 with five heads, and dropout differs
        between embeddings (.25), attention (.1), ReLU (.1) and residuals (.1); here width and heads
        are those of the front end, one ``dropout`` acts on all but the attention, and two layers
        ask and one remembers, so that a step on a CPU takes about as long as one of AMC.

    Args:
        widths: See ``FusionModel``, also for ``n_outputs``, ``kinds``, other options and errors.
        n_outputs: Number of logits k.
        layers: Layers in which a target asks one source.
        memory_layers: Layers of self-attention on what came of it; the published number is
            ``layers``, but at least three.
        **shared: Options of ``FusionModel``.
    """

    def __init__(
        self,
        widths: Mapping[str, int],
        n_outputs: int,
        *,
        layers: int = 2,
        memory_layers: int = 1,
        **shared: Any,
    ) -> None:
        """Build the parameters."""
        super().__init__(widths, n_outputs, **shared)
        check_sizes(self.owner, layers=layers, memory_layers=memory_layers)
        self.ask = nn.ModuleDict(
            {
                target: nn.ModuleDict(
                    {s: self._stack(self.width, layers) for s in self.names if s != target}
                )
                for target in self.names
            }
        )
        joint = max(len(self.names) - 1, 1) * self.width
        self.memory = nn.ModuleDict(
            {name: self._stack(joint, memory_layers) for name in self.names}
        )
        self.head = ResidualHead(len(self.names) * joint, n_outputs, self.dropout)

    def _stack(self, width: int, layers: int) -> CrossStack:
        return CrossStack(width, self.heads, layers, self.dropout)

    def fuse(self, encoded: Encoded) -> tuple[Tensor, Terms]:
        """Return logits (b, k) of a batch of tokens, and no further terms."""
        tokens = dict(zip(self.names, encoded.tokens.unbind(1), strict=True))
        here = dict(zip(self.names, encoded.here[..., None, None].unbind(1), strict=True))
        summaries = []
        for target, x in tokens.items():
            asked = [
                stack(x, tokens[source]).masked_fill(~here[source], 0.0)
                for source, stack in cast(nn.ModuleDict, self.ask[target]).items()
            ]
            joint = torch.cat(asked, dim=-1) if asked else x
            summaries.append(self.memory[target](joint, joint).mean(dim=1))
        return self.head(torch.cat(summaries, dim=1)), {}


class CrossStack(nn.Module):
    """Layers in which tokens ask tokens that stay as they are, or each other, and a final norm.

    Tokens are scaled by the root of their width and get sinusoids of their position on top.

    Source: Tsai et al. 2019, section 3.1 and published code.

    Args:
        width: Width w of a token.
        heads: Attention heads.
        layers: Number of layers.
        dropout: On embeddings, hidden units, and on what is added, in [0, 1).
    """

    def __init__(self, width: int, heads: int, layers: int, dropout: float) -> None:
        """Build the layers."""
        super().__init__()
        self.dropout, self.scale = dropout, math.sqrt(width)
        self.layers = nn.ModuleList(CrossLayer(width, heads, dropout) for _ in range(layers))
        self.norm = nn.LayerNorm(width)

    def forward(self, x: Tensor, source: Tensor) -> Tensor:
        """Return (b, n, w) of tokens (b, n, w) that ask ``source``; ``source is x``: each other."""
        asks_itself = source is x
        x = self._embed(x)
        source = x if asks_itself else self._embed(source)
        for layer in self.layers:
            x = layer(x, x if asks_itself else source)
        return self.norm(x)

    def _embed(self, x: Tensor) -> Tensor:
        return drop(self.scale * x + sinusoids(x), self.dropout, self.training)


class CrossLayer(AttentionLayer):
    """Pre-norm: x + MHA(LN(x), LN(s)) with the same norm for both, then x + FFN(LN(x)).

    The feed-forward is four times as wide inside, with ReLU.

    Args:
        width: Width w of a token.
        heads: Attention heads.
        dropout: On hidden units and on what is added, in [0, 1).
    """

    def __init__(self, width: int, heads: int, dropout: float) -> None:
        """Build the parameters."""
        super().__init__(width, heads, dropout)
        self.expand = nn.Linear(width, _EXPANSION * width)
        self.contract = nn.Linear(_EXPANSION * width, width)

    def forward(self, x: Tensor, source: Tensor) -> Tensor:
        """Return (b, n, w) of tokens (b, n, w) that ask ``source`` (b, k, w)."""
        normed = self.norm_attention(x)
        context = normed if source is x else self.norm_attention(source)
        update, _ = self.attention(normed, context=context, need_map=False)
        x = self.add(x, update)
        hidden = torch.relu(self.expand(self.norm_feed(x)))
        return self.add(x, self.contract(drop(hidden, self.dropout, self.training)))


def sinusoids(x: Tensor) -> Tensor:
    """Return (n, w): sines, then cosines of the positions of tokens (b, n, w), in their type.

    Wavelengths rise in geometric steps from 2 pi to 10,000 times that; an odd last column is 0.

    Source: Vaswani et al. 2017, section 3.5, in the order of the code of MulT.
    """
    count, width = x.shape[1:]
    half = width // 2
    step = torch.arange(half, dtype=x.dtype, device=x.device) / max(half - 1, 1)
    place = torch.arange(count, dtype=x.dtype, device=x.device)
    angles = place[:, None] * _LONGEST_WAVE**-step
    waves = torch.cat([angles.sin(), angles.cos()], dim=1)
    return nn.functional.pad(waves, (0, width - 2 * half))
