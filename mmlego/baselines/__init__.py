"""Multimodal baselines that MM-Lego is compared with."""

from __future__ import annotations

from mmlego.baselines.ensemble import Ensemble

__all__ = ["Ensemble"]
