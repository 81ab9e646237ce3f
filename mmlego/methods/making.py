"""Small models made from sizes alone: what the measurements of cost and abilities build."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import nn

from mmlego.lego import LegoBlock
from mmlego.methods.encoders import ENCODERS, encoder_for
from mmlego.methods.method import Making
from mmlego.models.baselines.ensemble import Ensemble
from mmlego.models.baselines.weight_merging import soup

Parts = Mapping[str, nn.Module]


@dataclass(frozen=True)
class Sizes:
    """What a model is built for.

    Attributes:
        widths: Number of features by modality.
        kinds: ``tabular`` or ``bag`` by modality.
        n_outputs: Number of logits.
        latent_channels: Rows of the latent, where the method has one.
        latent_dim: Width of the latent, where the method has one.
        depth: Passes over the data, where the method has them.
        hidden: Width of the hidden layers of methods without a latent, a multiple of 8; None takes
            the layers that each method has by default.
    """

    widths: Mapping[str, int]
    kinds: Mapping[str, str]
    n_outputs: int
    latent_channels: int
    latent_dim: int
    depth: int
    hidden: int | None = None

    def latent(self) -> dict[str, Any]:
        """The options that all methods with a latent share."""
        names = ("latent_channels", "latent_dim", "depth")
        return {name: getattr(self, name) for name in names}

    def options(self, making: Making) -> dict[str, Any]:
        """The options that set the inner sizes of a model: a latent, or hidden layers, or none."""
        if making.has_latent:
            return self.latent()
        return {} if self.hidden is None or making.narrow is None else making.narrow(self.hidden)


def block(sizes: Sizes, name: str) -> nn.Module:
    """A block that reads a modality without an encoder."""
    return LegoBlock(sizes.widths[name], sizes.n_outputs, name=name, **sizes.latent())


def wrapping_block(sizes: Sizes, name: str, inner: nn.Module, width: int) -> nn.Module:
    """A block round an encoder of any architecture, from values to (b, width)."""
    return LegoBlock(width, sizes.n_outputs, encoder=inner, name=name, **sizes.latent())


def with_head(sizes: Sizes, name: str, inner: nn.Module, width: int) -> nn.Module:
    """An encoder of any architecture with a linear head."""
    return nn.Sequential(inner, nn.Linear(width, sizes.n_outputs))


def encoder(sizes: Sizes, name: str) -> nn.Module:
    """The unimodal model that suits the kind of a modality."""
    method = ENCODERS[encoder_for(sizes.kinds[name])]
    options = sizes.options(method.making or Making())
    return method.build(sizes.widths[name], sizes.n_outputs, **options)


def shared_weights(parts: Parts) -> nn.Module:
    """One set of weights, the mean of those of all parts, asked about every modality in turn.

    Raises:
        ShapeError: If the parts differ in the name or shape of a weight.
    """
    shared = copy.deepcopy(next(iter(parts.values())))
    shared.load_state_dict(soup([part.state_dict() for part in parts.values()]))
    return Ensemble(dict.fromkeys(parts, shared))
