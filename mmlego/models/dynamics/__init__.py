"""Multimodal dynamics: features and modalities weighted sample by sample, and a static rival."""

from __future__ import annotations

from mmlego.models.dynamics.static import MMStatic
from mmlego.models.dynamics.tabular import VARIANTS, Explanation, MMDynamics

__all__ = ["VARIANTS", "Explanation", "MMDynamics", "MMStatic"]
