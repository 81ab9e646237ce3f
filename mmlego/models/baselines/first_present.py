"""The simplest use of several modalities: the best model that a sample has the data for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

import torch
from torch import Tensor, nn

from mmlego.errors import ModalityError
from mmlego.models.contract import Tensors
from mmlego.models.encoders.unimodal import call_with_mask
from mmlego.models.presence import check_batch


class OnItsOwn(nn.Module):
    """A model of several modalities that was built for one, as a model of that one.

    Args:
        name: The modality.
        model: Maps ``{name: x}`` (and optional token masks by name) to logits ``(b, k)``.
    """

    def __init__(self, name: str, model: nn.Module) -> None:
        """Keep the model."""
        super().__init__()
        self.name, self.model = name, model

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """Return logits ``(b, k)`` of values ``(b, ...)`` and an optional mask ``(b, n)``."""
        return self.model({self.name: x}, masks=None if mask is None else {self.name: mask})


class FirstPresent(nn.Module):
    """Predict every sample by the first of several unimodal models whose modality the sample has.

    Args:
        models: Models of one modality each, mapping ``x`` (and an optional token mask) to logits
            ``(b, k)``, in the order in which they are to be asked.
    """

    def __init__(self, models: Mapping[str, nn.Module]) -> None:
        """Keep the models by name, in order."""
        super().__init__()
        if not models:
            raise ModalityError("FirstPresent: expected at least one model, got none")
        self.models = nn.ModuleDict(models)

    def forward(
        self, inputs: Tensors, present: Tensors | None = None, masks: Tensors | None = None
    ) -> Tensor:
        """Return logits ``(b, k)``; arguments as for ``MultimodalModel.forward``.

        Raises:
            ModalityError: If a modality is unknown, or a sample has none.
        """
        flags = check_batch("FirstPresent", tuple(self.models), inputs, present)
        waiting = torch.ones_like(next(iter(flags.values())))
        logits: Tensor | None = None
        for name, model in self.models.items():
            rows = waiting & flags[name]
            if not bool(rows.any()):
                continue
            mask = masks[name][rows] if masks and name in masks else None
            part = call_with_mask(f"modality '{name}'", model, inputs[name][rows], mask)
            logits = part.new_zeros(len(rows), part.shape[1]) if logits is None else logits
            logits = logits.index_put((rows.nonzero().squeeze(1),), part)
            waiting = waiting & ~rows
        return cast(Tensor, logits)  # every sample has a modality, or check_batch had raised
