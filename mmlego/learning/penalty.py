"""The L1 penalty: which parameters it touches, its value, and its gradient."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

# Their gains may have several axes; those of all other normalisations have one.
_NORMS = (nn.LayerNorm, nn.RMSNorm)


def l1_parameters(model: nn.Module) -> list[nn.Parameter]:
    """Return the trainable weight matrices: two or more axes, in no normalisation layer.

    A module may exempt parameters of its own by name in a class attribute ``l1_exempt``, as a
    latent array does that is not a weight. A shared parameter is returned once.
    """
    found: dict[int, nn.Parameter] = {}
    for module in model.modules():
        if isinstance(module, _NORMS):
            continue
        exempt = getattr(module, "l1_exempt", ())
        for name, parameter in module.named_parameters(recurse=False):
            if parameter.requires_grad and parameter.ndim >= 2 and name not in exempt:
                found[id(parameter)] = parameter
    return list(found.values())


@torch.no_grad()
def l1_value(parameters: Sequence[Tensor], weight: float) -> float:
    """Return ``weight`` times the sum of absolute values."""
    if weight == 0.0 or not parameters:
        return 0.0
    return weight * float(torch.stack([p.abs().sum() for p in parameters]).sum())


@torch.no_grad()
def add_l1_gradient(parameters: Sequence[Tensor], weight: float) -> None:
    """Add the gradient of the penalty, ``weight * sign(w)``, to what backward left.

    This is exactly what automatic differentiation of the term would add (0 at w = 0), without the
    graph. Parameters that took no part in the loss stay untouched.
    """
    if weight == 0.0:
        return
    for parameter in parameters:
        if parameter.grad is not None:
            parameter.grad.add_(parameter.sign(), alpha=weight)
