"""AMC: adaptive modality token re-balancing."""

from mmlego.models.amc.model import AMC
from mmlego.models.amc.options import AMCOptions
from mmlego.models.amc.rebalancing import Rule, Trace, rebalance
from mmlego.models.layers.frontend import Encoded, FrontEnd, FusionModel

__all__ = ["AMC", "AMCOptions", "Encoded", "FrontEnd", "FusionModel", "Rule", "Trace", "rebalance"]
