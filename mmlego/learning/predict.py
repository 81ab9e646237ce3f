"""Logits of a whole part, batch by batch."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from mmlego.errors import DataError, ShapeError
from mmlego.learning.device import resolve_device

if TYPE_CHECKING:
    from mmlego.data.folds.samples import Samples


def predict_logits(
    model: nn.Module,
    samples: Samples,
    *,
    batch_size: int = 256,
    device: str | torch.device = "auto",
) -> Tensor:
    """Return the logits of all samples in their order.

    The model is moved to the device, run in evaluation mode without gradients, and every module
    gets back the mode that it was in.

    Args:
        model: Maps ``inputs``, ``present`` and ``masks`` to logits (b, k).
        samples: One part of a fold.
        batch_size: Samples per pass; it does not change the result.
        device: See ``resolve_device``.

    Returns:
        float32 (n, k) on the CPU.

    Raises:
        DataError: If there is no sample.
        ShapeError: If logits are not (b, k) or not finite.
    """
    if len(samples) == 0:
        raise DataError("predict: expected samples, got none; check the selection of modalities")
    where = resolve_device(device)
    model.to(where)
    with evaluating(model), torch.no_grad():
        parts = []
        for batch in samples.batches(batch_size):
            batch = batch.to(where)
            parts.append(model(batch.inputs, batch.present, batch.masks))
    return _checked(torch.cat(parts).float().cpu(), samples)


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Put a model in evaluation mode for a block, then give every module its own mode back."""
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training


def _checked(logits: Tensor, samples: Samples) -> Tensor:
    if logits.ndim != 2 or len(logits) != len(samples):
        raise ShapeError(f"logits: expected ({len(samples)}, k), got {tuple(logits.shape)}")
    bad = (~torch.isfinite(logits)).any(dim=1).nonzero().flatten().tolist()
    if bad:
        raise ShapeError(
            f"logits: expected finite values, got NaN or infinity for {len(bad)} of {len(samples)} "
            f"samples, first at row {bad[0]}; check their inputs and the weights of the model"
        )
    return logits
