"""The registry: everything that the compendium knows of a method, once."""

from __future__ import annotations

from mmlego.methods.registry import METHODS, Method

__all__ = ["METHODS", "Method"]
