"""The methods whose cost and abilities are measured: how each is made, and from which parts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import nn

from mmlego.methods.making import Parts, Sizes
from mmlego.methods.method import (
    AS_A_WHOLE,
    FUSED,
    MERGED,
    PAIR,
    TABLES_AND_BAG,
    WEIGHTS,
    Making,
)
from mmlego.methods.registry import METHODS

_JOINT = {AS_A_WHOLE: "all", FUSED: "tuning", MERGED: "none"}


@dataclass(frozen=True)
class Contender:
    """One method: trained as a whole, or put together from parts that are trained alone.

    Attributes:
        method: Name in the registry.
        making: How it is made from sizes.
    """

    method: str
    making: Making

    @property
    def part(self) -> Callable[[Sizes, str], nn.Module] | None:
        """Makes the untrained part of one modality; None for what is trained as a whole."""
        return self.making.part

    @property
    def wrap(self) -> Callable[[Sizes, str, nn.Module, int], nn.Module] | None:
        """Makes the part of a modality round an encoder of any architecture; None without parts."""
        return self.making.wrap

    @property
    def joint(self) -> str:
        """What is trained on all modalities together: ``none``, ``tuning`` or ``all``."""
        return _JOINT[METHODS[self.method].trained]

    @property
    def has_latent(self) -> bool:
        """Whether the width of a latent is a size of the method."""
        return self.making.has_latent

    @property
    def one_bag(self) -> bool:
        """Whether one modality has to be a bag and all others tables."""
        return METHODS[self.method].requires == TABLES_AND_BAG

    @property
    def joins_tables(self) -> bool:
        """Whether it takes two modalities only, so that all tables have to be one."""
        return METHODS[self.method].requires == PAIR

    def parts(self, sizes: Sizes) -> dict[str, nn.Module]:
        """The untrained parts by modality, none for a method that is trained as a whole."""
        return {} if self.part is None else {name: self.part(sizes, name) for name in sizes.widths}

    def build(self, sizes: Sizes, **options: object) -> nn.Module:
        """The whole model of a method without parts, untrained, with further options."""
        options = sizes.options(self.making) | options
        return METHODS[self.method].build(
            sizes.widths, sizes.n_outputs, kinds=sizes.kinds, **options
        )

    def whole(self, sizes: Sizes, parts: Parts) -> nn.Module:
        """The model of all modalities, from the given parts or untrained."""
        assemble = self.making.assemble
        return self.build(sizes) if assemble is None else assemble(parts)


CONTENDERS: dict[str, Contender] = {
    name: Contender(name, method.making)
    for name, method in METHODS.items()
    if method.several and method.making
}
# No methods of the comparison: the way in which models of one shape are usually merged.
MERGES_OF_WEIGHTS: dict[str, Contender] = {
    name: Contender(name, method.making)
    for name, method in METHODS.items()
    if method.kind == WEIGHTS and method.making
}
