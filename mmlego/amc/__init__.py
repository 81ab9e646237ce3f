"""AMC: adaptive modality token re-balancing."""

from mmlego.amc.frontend import Encoded, FrontEnd
from mmlego.amc.model import AMC
from mmlego.amc.options import AMCOptions
from mmlego.amc.rebalance import Rule, Trace, rebalance

__all__ = ["AMC", "AMCOptions", "Encoded", "FrontEnd", "Rule", "Trace", "rebalance"]
