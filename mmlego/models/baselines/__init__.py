"""Baselines that MM-Lego is compared with, and methods that merge weights instead of latents.

The classical references (``mmlego.learning.classical``) are not imported here: they need
scikit-survival, the rest needs torch alone.
"""

from __future__ import annotations

from mmlego.models.baselines.ensemble import Ensemble
from mmlego.models.baselines.first_present import FirstPresent
from mmlego.models.baselines.healnet import HEALNet
from mmlego.models.baselines.late_fusion import LateFusion
from mmlego.models.baselines.mcat import MCAT
from mmlego.models.baselines.multimodn import MultiModN
from mmlego.models.baselines.perceiver import Perceiver

__all__ = [
    "MCAT",
    "Ensemble",
    "FirstPresent",
    "HEALNet",
    "LateFusion",
    "MultiModN",
    "Perceiver",
]
