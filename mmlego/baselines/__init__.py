"""Multimodal baselines that MM-Lego is compared with."""

from __future__ import annotations

from mmlego.baselines.ensemble import Ensemble
from mmlego.baselines.first_present import FirstPresent

__all__ = ["Ensemble", "FirstPresent"]
