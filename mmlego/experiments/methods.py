"""The registry: every method by the name that it has in the table of results."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import nn

from mmlego.baselines.ensemble import Ensemble
from mmlego.encoders.amil import ABMIL
from mmlego.encoders.snn import SNN
from mmlego.lego.block import LegoBlock
from mmlego.lego.fuse import LegoFuse
from mmlego.lego.merge import LegoMerge


@dataclass(frozen=True)
class Method:
    """One method of the comparison.

    Attributes:
        title: Name for readers.
        build: Class of the model.
        modalities: ``one`` for models of a single modality, ``many`` for models under the
            multimodal contract.
        trained: Whether it is trained itself, or put together from trained models.
        page: Page of the book that explains it.
    """

    title: str
    build: Callable[..., nn.Module]
    modalities: str
    trained: bool
    page: str


METHODS: dict[str, Method] = {
    "snn": Method("SNN", SNN, "one", True, "book/methods/encoders"),
    "abmil": Method("ABMIL", ABMIL, "one", True, "book/methods/encoders"),
    "lego_block": Method("LegoBlock", LegoBlock, "one", True, "book/methods/lego_block"),
    "lego_merge": Method("LegoMerge", LegoMerge, "many", False, "book/methods/lego_merge"),
    "lego_fuse": Method("LegoFuse", LegoFuse, "many", True, "book/methods/lego_fuse"),
    "ensemble": Method("Ensemble", Ensemble, "many", False, "book/methods/encoders"),
}
