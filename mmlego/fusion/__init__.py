"""Models that fuse the tokens of AMC's front end in other ways: what AMC is compared with."""

from __future__ import annotations

from mmlego.fusion.flexmoe import FlexMoE
from mmlego.fusion.fusemoe import FuseMoE
from mmlego.fusion.head import FusionModel
from mmlego.fusion.limoe import LIMoE
from mmlego.fusion.maggate import MAGGate
from mmlego.fusion.mult import MulT
from mmlego.fusion.muse import MUSE
from mmlego.fusion.tensor_fusion import TensorFusion

__all__ = ["FlexMoE", "FuseMoE", "FusionModel", "LIMoE", "MAGGate", "MUSE", "MulT", "TensorFusion"]
