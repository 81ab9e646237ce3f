"""Start the output layer of a network at the base rate of the training part.

A bias of zero says that half of the patients die in every time bin. Small cohorts give a network so
few steps that it has memorized its training part before its bias has come down to the true rate,
and the epoch with the lowest validation loss is then the first one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from mmlego.errors import SettingsError
from mmlego.learning.objectives import Objective

if TYPE_CHECKING:
    from mmlego.data.folds.samples import Samples

# Keeps the logit of an outcome that never happens in training finite.
_RIDGE = 1e-3
_NAMES = ("head", "decoder")


def base_rate_logits(train: Samples, objective: Objective) -> Tensor:
    """Return the logits (k,), equal for all samples, with the lowest loss on the training part."""
    logits = torch.zeros(objective.n_outputs, dtype=torch.float64, requires_grad=True)
    solver = torch.optim.LBFGS([logits], max_iter=100, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        solver.zero_grad()
        value = objective.loss(logits.expand(len(train), -1), train.target)
        value = value + _RIDGE * logits.square().sum()
        value.backward()
        return value

    solver.step(loss)
    return logits.detach()


@torch.no_grad()
def start_at_base_rate(model: nn.Module, train: Samples, objective: Objective) -> None:
    """Set the bias of every output layer of a model to the base rate of the training part.

    An output layer is a linear layer named ``head`` or ``decoder``, or the one inside a head.

    Raises:
        SettingsError: If the model has none.
    """
    layers = output_layers(model, objective.n_outputs)
    if not layers:
        raise SettingsError(
            f"{type(model).__name__}: expected a linear layer named 'head' or 'decoder' with "
            f"{objective.n_outputs} outputs and a bias, got none; use output_bias='as_built'"
        )
    bias = base_rate_logits(train, objective)
    for layer in layers:
        layer.bias.copy_(bias)


def output_layers(model: nn.Module, n_outputs: int) -> list[nn.Linear]:
    """Return the output layers of a model, each once."""
    found = []
    for name, module in model.named_modules():
        if name.rsplit(".", 1)[-1] in _NAMES:
            layer = getattr(module, "linear", module)
            if isinstance(layer, nn.Linear) and layer.out_features == n_outputs:
                found.append(layer)
    return [layer for layer in found if layer.bias is not None]
