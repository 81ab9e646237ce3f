"""Models that fuse the tokens of AMC's front end in other ways: what AMC is compared with."""

from __future__ import annotations

from mmlego.models.token_models.flexmoe import FlexMoE
from mmlego.models.token_models.fusemoe import FuseMoE
from mmlego.models.token_models.limoe import LIMoE
from mmlego.models.token_models.maggate import MAGGate
from mmlego.models.token_models.mult import MulT
from mmlego.models.token_models.muse import MUSE
from mmlego.models.token_models.tensor_fusion import TensorFusion

__all__ = ["FlexMoE", "FuseMoE", "LIMoE", "MAGGate", "MUSE", "MulT", "TensorFusion"]
