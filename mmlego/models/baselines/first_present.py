"""The simplest use of several modalities: the best model that a sample has the data for."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from mmlego.errors import ModalityError


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
        self,
        inputs: Mapping[str, Tensor],
        present: Mapping[str, Tensor] | None = None,
        masks: Mapping[str, Tensor] | None = None,
    ) -> Tensor:
        """Return logits ``(b, k)``.

        Raises:
            ModalityError: If a modality is unknown, or a sample has none.
        """
        unknown = sorted(set(inputs) - set(self.models))
        if unknown:
            raise ModalityError(
                f"inputs: expected modalities of {list(self.models)}, got {unknown}; leave them out"
            )
        batch = len(next(iter(inputs.values())))
        open_rows = torch.ones(batch, dtype=torch.bool)
        logits: Tensor | None = None
        for name, model in self.models.items():
            if name not in inputs:
                continue
            here = present[name] if present and name in present else torch.ones_like(open_rows)
            rows = open_rows.to(here.device) & here
            if not rows.any():
                continue
            mask = masks[name][rows] if masks and name in masks else None
            part = _answer(model, inputs[name][rows], mask)
            logits = part.new_zeros(batch, part.shape[1]) if logits is None else logits
            logits = logits.index_put((rows.nonzero().squeeze(1),), part)
            open_rows = open_rows.to(here.device) & ~here
        if logits is None or open_rows.any():
            raise ModalityError(
                "inputs: a sample has none of the modalities; drop it before predicting"
            )
        return logits


def _answer(model: nn.Module, x: Tensor, mask: Tensor | None) -> Tensor:
    return model(x) if mask is None else model(x, mask=mask)
