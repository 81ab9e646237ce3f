"""Merging and fusing biomedical modalities: MM-Lego and the methods it is compared with.

Axis letters used in docstrings, comments and patterns throughout the package:
``b`` batch, ``n`` tokens (instances of a bag, time steps of a series), ``c`` features of one token
in an input or channels (rows) of a latent, ``d`` width of a latent, ``h`` heads, ``k`` outputs
(classes or time bins), ``m`` modalities.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

from mmlego._version import __version__
from mmlego.errors import MMLegoError

_PUBLIC = {
    "LegoBlock": "mmlego.lego",
    "LegoMerge": "mmlego.lego",
    "LegoFuse": "mmlego.lego",
    "load_cohort": "mmlego.data",
    "Cohort": "mmlego.data",
    "METHODS": "mmlego.methods",
}

__all__ = ["MMLegoError", "__version__", *sorted(_PUBLIC)]


def __getattr__(name: str) -> Any:
    """Import a public name on first use, so that ``import mmlego`` itself costs next to nothing."""
    if name not in _PUBLIC:
        raise AttributeError(f"module 'mmlego' has no attribute {name!r}; it offers {__all__}")
    return getattr(import_module(_PUBLIC[name]), name)
