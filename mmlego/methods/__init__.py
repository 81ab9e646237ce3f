"""The registry: everything that the compendium knows of a method, once.

One module per family holds the entries, ``registry`` puts them together, and ``names`` has the
names that code speaks of.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mmlego.methods.method import Method
from mmlego.methods.names import (
    ABMIL,
    AMC,
    CONVNET,
    ENSEMBLE,
    HEALNET,
    LATE_CONCAT,
    LEGO_BLOCK,
    LEGO_FUSE,
    LEGO_MERGE,
    LOGISTIC,
    MM_DYNAMICS,
    MM_STATIC,
    SNN,
    TENSOR_FUSION,
    WEIGHT_MERGING,
)

if TYPE_CHECKING:
    from mmlego.methods.registry import METHODS

__all__ = [
    "ABMIL",
    "AMC",
    "CONVNET",
    "ENSEMBLE",
    "HEALNET",
    "LATE_CONCAT",
    "LEGO_BLOCK",
    "LEGO_FUSE",
    "LEGO_MERGE",
    "LOGISTIC",
    "METHODS",
    "MM_DYNAMICS",
    "MM_STATIC",
    "SNN",
    "TENSOR_FUSION",
    "WEIGHT_MERGING",
    "Method",
]


def __getattr__(name: str) -> Any:
    """Import the registry, and with it every model, on first use: names alone need no torch."""
    if name != "METHODS":
        raise AttributeError(f"module 'mmlego.methods' has no attribute {name!r}; see {__all__}")
    from mmlego.methods.registry import METHODS

    return METHODS
