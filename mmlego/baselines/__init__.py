"""Baselines that MM-Lego is compared with, and methods that merge weights instead of latents.

The classical references (``mmlego.learning.classical``) are not imported here: they need
scikit-survival, the rest needs torch alone.
"""

from __future__ import annotations

from mmlego.baselines.ensemble import Ensemble
from mmlego.baselines.first_present import FirstPresent
from mmlego.baselines.healnet import HEALNet
from mmlego.baselines.late_fusion import LateFusion
from mmlego.baselines.mcat import MCAT
from mmlego.baselines.multimodn import MultiModN
from mmlego.baselines.perceiver import Perceiver

__all__ = [
    "MCAT",
    "Ensemble",
    "FirstPresent",
    "HEALNet",
    "LateFusion",
    "MultiModN",
    "Perceiver",
]
