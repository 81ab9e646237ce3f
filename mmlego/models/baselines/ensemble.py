"""The ensemble: average what unimodal models say, without any training."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mmlego.errors import ModalityError, SettingsError, ShapeError
from mmlego.models.contract import Tensors, spread
from mmlego.models.encoders.unimodal import Unimodal, call_with_mask
from mmlego.models.presence import check_batch

AVERAGES = ("logits", "probabilities", "hazards")


class Ensemble(nn.Module):
    """The mean of the outputs of one model per modality, over those that a sample has.

    Source: Hemker et al. 2025, section 4 (mean of logits); the other two averages are our addition.
    """

    def __init__(self, models: Mapping[str, nn.Module], average: str = "logits") -> None:
        """Take trained models as they are.

        Args:
            models: Model by modality, from its values (and ``mask``, if it takes one) to logits
                (b, k); one wrapped in ``Unimodal`` is unwrapped.
            average: What is averaged: ``logits``; ``probabilities`` (softmax over k, for classes);
                ``hazards`` (sigmoid of each time bin, for survival). The result is always given as
                logits whose softmax, or sigmoid, is that mean.

        Raises:
            ModalityError: If there is no model, or a name cannot name a sub-module.
            SettingsError: If ``average`` is unknown.
        """
        super().__init__()
        if average not in AVERAGES:
            raise SettingsError(f"Ensemble: expected average of {list(AVERAGES)}, got '{average}'")
        if not models or any("." in name or not name for name in models):
            raise ModalityError(
                f"Ensemble: expected models by modality name, without dots, got {sorted(models)}"
            )
        self.average = average
        self.models = nn.ModuleDict(
            {name: m.model if isinstance(m, Unimodal) else m for name, m in models.items()}
        )

    def forward(
        self, inputs: Tensors, present: Tensors | None = None, masks: Tensors | None = None
    ) -> Tensor:
        """Return logits (b, k); arguments as for ``MultimodalModel.forward``.

        Raises:
            ModalityError: If a name is unknown or a sample has no modality.
            ShapeError: If models differ in their number of outputs.
        """
        flags = check_batch("Ensemble", tuple(self.models), inputs, present)
        outputs = {
            name: self._rows(name, inputs[name], flags[name], (masks or {}).get(name))
            for name in inputs
            if bool(flags[name].any())
        }
        widths = {name: logits.shape[1] for name, logits in outputs.items()}
        if len(set(widths.values())) > 1:
            raise ShapeError(f"Ensemble: expected equal numbers of outputs, got {widths}")
        return self._average(outputs, flags)

    def _rows(self, name: str, x: Tensor, flag: Tensor, mask: Tensor | None) -> Tensor:
        """Run one model on the samples that have its modality: what fills other rows is unread."""
        rows = None if mask is None else mask[flag]
        return call_with_mask(f"modality '{name}'", self.models[name], x[flag], rows)

    def _average(self, outputs: Tensors, flags: Tensors) -> Tensor:
        if self.average == "logits":
            count = torch.stack([flags[name] for name in outputs]).sum(dim=0)
            return (
                sum(spread(y, flags[name], y.new_zeros(())) for name, y in outputs.items())
                / count[:, None]
            )
        if self.average == "probabilities":
            return _log_mean(outputs, flags, lambda y: F.log_softmax(y, dim=1))
        # logit(mean h) = log mean h - log mean (1 - h), each from log-sigmoids: stable at 0 and 1
        return _log_mean(outputs, flags, F.logsigmoid) - _log_mean(
            outputs, flags, lambda y: F.logsigmoid(-y)
        )


def _log_mean(outputs: Tensors, flags: Tensors, log: Callable[[Tensor], Tensor]) -> Tensor:
    """Return the log of the mean over present members of exp(log(y)), (b, k)."""
    logs = torch.stack(
        [spread(log(y), flags[name], y.new_tensor(-torch.inf)) for name, y in outputs.items()]
    )
    count = torch.stack([flags[name] for name in outputs]).sum(dim=0)
    return torch.logsumexp(logs, dim=0) - count[:, None].to(logs.dtype).log()
