"""HEALNet: one latent array that attends to the modalities one after the other, again and again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, cast

from torch import Tensor, nn

from mmlego.lego.head import Head
from mmlego.lego.modalities import on_rows, scatter
from mmlego.lego.profiles import yes_or_no
from mmlego.lego.reading import Reading
from mmlego.models.layers.latent_attention import LatentModel, Update
from mmlego.models.layers.positions import Tokens


class HEALNet(LatentModel):
    """Hybrid early fusion: each layer updates a shared latent with every modality in turn.

    An update is a cross-attention to one modality and a feed-forward of that modality. A sample
    that lacks a modality skips both. A table is one token; bags and series are one token per
    instance or step with features of its position.

    Source: Hemker et al. 2024 (HEALNet), section 3; sizes and dropout after Hemker et al. 2025,
    appendix E. Departures from the authors' code: a missing modality is declared and skipped per
    sample, while theirs skips whatever raises an exception, wrong shapes included; inputs are not
    overwritten; positions run over the valid tokens of a sample from -1 to 1 (theirs: over all
    tokens, from 0 to 1); a table carries no position; masks belong to a modality; shared weights
    include the first layer, and each modality keeps its feed-forward; the attention has no softmax
    temperature and no activation behind its projection; any number of self-attention layers is
    used. Self-attention norms what it asks with and what it reads apart.

    Args:
        widths: See ``LatentModel``, also for ``n_outputs``, ``kinds``, other options and errors;
            modalities are read in this order.
        n_outputs: Number of logits k: classes or time bins.
        share_weights: True = all layers use the same weights; False = each has its own.
        self_layers: Layers of latent self-attention at the end of each layer, 0 or more.
        ff_dropout: Dropout on the feed-forward's output, in [0, 1).
        **latent: Options of ``LatentModel``.
    """

    def __init__(
        self,
        widths: Mapping[str, int],
        n_outputs: int,
        *,
        share_weights: bool = True,
        self_layers: int = 0,
        ff_dropout: float = 0.27,
        **latent: Any,
    ) -> None:
        """Check the options and build the parameters."""
        super().__init__(
            widths, n_outputs, self_layers=self_layers, ff_dropout=ff_dropout, **latent
        )
        yes_or_no("HEALNet: share_weights", share_weights)
        self.share_weights = share_weights
        copies = 1 if share_weights else self.depth
        self.cross = nn.ModuleDict(
            {
                name: nn.ModuleList(self.read_layer(width) for _ in range(copies))
                for name, width in self.tokenizer.widths.items()
            }
        )
        self.own = self.self_attention(copies)
        self.head = Head(self.latent_dim, n_outputs)

    def predict(self, batch: Mapping[str, Tokens]) -> Tensor:
        """Return logits (b, k) of the tokens of a batch."""
        there = {name: part.valid.any(dim=1) for name, part in batch.items()}
        readings = {name: self._read(name, batch[name], there[name]) for name in batch}
        latent = self.latent.expand(len(next(iter(there.values()))), -1, -1)
        for layer in range(self.depth):
            index = 0 if self.share_weights else layer
            for name, reading in readings.items():
                update = partial(self._layers(name)[index], memory=reading.memory(index))
                latent = scatter(on_rows(name, there[name], [latent], update), there[name], latent)
            for own in cast(nn.ModuleList, self.own[index]):
                latent = own(latent)
        return self.head(latent)

    def _layers(self, name: str) -> Sequence[Update]:
        """The updates that read a modality: one per layer, or a single shared one."""
        return cast("Sequence[Update]", self.cross[name])

    def _read(self, name: str, tokens: Tokens, there: Tensor) -> Reading:
        """Keys and values of the samples that have a modality, made once if weights are shared."""
        values, valid = tokens.values[there], tokens.valid[there]
        attention = [update.attention for update in self._layers(name)]
        return Reading(attention, values, None if bool(valid.all()) else valid)
