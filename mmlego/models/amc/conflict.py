"""Whose tokens pull the last shared feed-forward where: its gradient, split by modality."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn

from mmlego.errors import SettingsError
from mmlego.models.amc.block import SharedBlock
from mmlego.models.amc.model import AMC
from mmlego.models.contract import Loss, Tensors
from mmlego.models.layers.experts import SparseExperts


def modality_gradients(
    model: AMC,
    inputs: Tensors,
    present: Tensors | None,
    masks: Tensors | None,
    target: Tensors,
    loss: Loss,
) -> dict[str, Tensor]:
    """Return the share of each modality in the gradient of the loss, by name, each (p,).

    The gradient is that of the task loss alone, with respect to the p weights and biases of the
    feed-forward of the last shared block: those of all experts one after the other, zero where an
    expert got no token, or those of the dense layer. Router and noise are left out, which the dense
    layer does not have. Modalities are stacked on the batch axis there, so that
    g_m = J_m' dL/dy_m with y_m the rows of modality m in its output, and the shares add up to the
    whole gradient. Rows of an absent modality are those of the tokens that stand in for it.

    Nothing is left behind in ``grad`` of any parameter.

    Args:
        model: In evaluation mode, so that neither dropout nor noise of the router adds its own.
        inputs: Values by modality; see ``AMC.forward``.
        present: Flags by modality.
        masks: Masks by modality.
        target: What the loss needs.
        loss: Scalar task loss of logits and target.

    Raises:
        SettingsError: If a part of the model is in training mode.
        ModalityError: See ``AMC.forward``.
        ShapeError: See ``AMC.forward``.

    Source: AMC, section 5 (conflict of gradients) and Fig. 6; which parameters is ours.
    """
    if any(module.training for module in model.modules()):
        raise SettingsError(
            "gradients by modality: expected a model in evaluation mode, got one in training mode; "
            "call eval() first"
        )
    block = cast(SharedBlock, model.blocks[-1])
    parameters = feed_forward_parameters(block)
    caught: list[Tensor] = []
    hook = block.feed_forward.register_forward_hook(
        lambda _module, _inputs, out: caught.append(out if isinstance(out, Tensor) else out[0])
    )
    try:
        with torch.enable_grad():
            run = model.run(inputs, present, masks)
            value = loss(run.logits, target)
    finally:
        hook.remove()
    (out,) = caught
    (slope,) = torch.autograd.grad(value, out, retain_graph=True)
    # Rows of samples, then modalities within a sample, then tokens: see ``AMC.run``.
    by_modality = slope.view_as(run.encoded.tokens)
    shares = {}
    for index, name in enumerate(model.names):
        own = torch.zeros_like(by_modality)
        own[:, index] = by_modality[:, index]
        parts = torch.autograd.grad(
            out,
            parameters,
            own.view_as(out),
            retain_graph=True,
            allow_unused=True,
            materialize_grads=True,
        )
        shares[name] = torch.cat([part.flatten() for part in parts])
    return shares


def feed_forward_parameters(block: SharedBlock) -> list[nn.Parameter]:
    """Weights and biases of a block's feed-forward, without router and noise."""
    feed_forward = block.feed_forward
    chosen = feed_forward.experts if isinstance(feed_forward, SparseExperts) else feed_forward
    return list(chosen.parameters())


def cosine(a: Tensor, b: Tensor) -> float:
    """Return the cosine of two vectors (p,), in [-1, 1]; NaN where either is zero."""
    a, b = a.double(), b.double()
    return float((a @ b / (a.norm() * b.norm())).clamp(-1.0, 1.0))  # rounding only; NaN stays
