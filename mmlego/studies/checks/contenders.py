"""The methods whose cost and abilities are measured: how each is made, and from which parts."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from torch import nn

from mmlego.lego import LegoBlock, LegoFuse, LegoMerge
from mmlego.models.baselines.ensemble import Ensemble
from mmlego.models.baselines.healnet import HEALNet
from mmlego.models.baselines.late_fusion import LateFusion
from mmlego.models.baselines.mcat import MCAT
from mmlego.models.baselines.multimodn import MultiModN
from mmlego.models.baselines.perceiver import Perceiver
from mmlego.models.baselines.weight_merging import soup
from mmlego.models.encoders.amil import ABMIL
from mmlego.models.encoders.snn import SNN

Parts = Mapping[str, nn.Module]
_NARROW: dict[type[nn.Module], Callable[[int], dict[str, object]]] = {
    SNN: lambda width: {"widths": (width, width)},
    ABMIL: lambda width: {"embed_dim": width, "attn_dim": width, "out_dim": width},
    LateFusion: lambda width: {"width": width},
    MultiModN: lambda width: {"state_width": width, "hidden": (width, width)},
    MCAT: lambda width: {"width": width, "ff_dim": 2 * width, "attn_dim": width},
}


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

    def latent(self) -> dict[str, int]:
        """The options that all methods with a latent share."""
        names = ("latent_channels", "latent_dim", "depth")
        return {name: getattr(self, name) for name in names}


@dataclass(frozen=True)
class Contender:
    """One method: trained as a whole, or put together from parts that are trained alone.

    Attributes:
        method: Name in the table of results.
        build: Makes the whole model, untrained, from sizes and options of its class; None where
            it is made from parts.
        part: Makes the untrained part of one modality; None where there are none.
        wrap: Makes the untrained part of a modality round an encoder of any architecture, from the
            sizes, the name, the encoder and its width; None where there are no parts.
        assemble: Makes the whole from parts.
        joint: What is trained on all modalities together: ``none``, ``tuning`` or ``all``.
        has_latent: Whether the width of a latent is a size of the method.
        one_bag: Whether one modality has to be a bag and all others tables.
        joins_tables: Whether it takes two modalities only, so that all tables have to be one.
    """

    method: str
    build: Callable[..., nn.Module] | None = None
    part: Callable[[Sizes, str], nn.Module] | None = None
    wrap: Callable[[Sizes, str, nn.Module, int], nn.Module] | None = None
    assemble: Callable[[Parts], nn.Module] | None = None
    joint: str = "all"
    has_latent: bool = False
    one_bag: bool = False
    joins_tables: bool = False

    def parts(self, sizes: Sizes) -> dict[str, nn.Module]:
        """The untrained parts by modality, none for a method that is trained as a whole."""
        return {} if self.part is None else {name: self.part(sizes, name) for name in sizes.widths}

    def whole(self, sizes: Sizes, parts: Parts) -> nn.Module:
        """The model of all modalities, from the given parts or untrained."""
        return self.build(sizes) if self.part is None else self.assemble(parts)


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
    network = SNN if sizes.kinds[name] == "tabular" else ABMIL
    return network(sizes.widths[name], sizes.n_outputs, **_layers(network, sizes))


def _layers(network: type[nn.Module], sizes: Sizes) -> dict[str, object]:
    """The options that set the inner sizes of a class: a latent, or hidden layers, or none."""
    if network not in _NARROW:
        return sizes.latent()
    return {} if sizes.hidden is None else _NARROW[network](sizes.hidden)


def shared_weights(parts: Parts) -> nn.Module:
    """One set of weights, the mean of those of all parts, asked about every modality in turn.

    Raises:
        ShapeError: If the parts differ in the name or shape of a weight.
    """
    shared = copy.deepcopy(next(iter(parts.values())))
    shared.load_state_dict(soup([part.state_dict() for part in parts.values()]))
    return Ensemble(dict.fromkeys(parts, shared))


def _whole(network: type[nn.Module], **fixed: object) -> Callable[..., nn.Module]:
    def build(sizes: Sizes, **options: object) -> nn.Module:
        options = _layers(network, sizes) | fixed | options
        return network(sizes.widths, sizes.n_outputs, kinds=sizes.kinds, **options)

    return build


_BLOCKS = {"part": block, "wrap": wrapping_block, "has_latent": True}
CONTENDERS: dict[str, Contender] = {
    contender.method: contender
    for contender in (
        Contender("lego_merge", assemble=LegoMerge, joint="none", **_BLOCKS),
        Contender("lego_fuse", assemble=LegoFuse, joint="tuning", **_BLOCKS),
        Contender("ensemble", part=encoder, wrap=with_head, assemble=Ensemble, joint="none"),
        Contender("late_concat", build=_whole(LateFusion, fusion="concat")),
        Contender("late_bilinear", build=_whole(LateFusion, fusion="bilinear"), joins_tables=True),
        Contender("perceiver", build=_whole(Perceiver), has_latent=True),
        Contender("multimodn", build=_whole(MultiModN)),
        Contender("mcat", build=_whole(MCAT), one_bag=True),
        Contender("healnet", build=_whole(HEALNet), has_latent=True),
    )
}
# Not a method of the comparison: the way in which models of one shape are usually merged.
WEIGHT_MERGING = Contender("weight_merging", assemble=shared_weights, joint="none", **_BLOCKS)
