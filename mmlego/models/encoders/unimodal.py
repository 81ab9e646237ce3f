"""Adapters that give a model of one input the interface of a model of several modalities."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from mmlego.errors import ModalityError
from mmlego.models.checks import check_sizes, check_table
from mmlego.models.presence import check_batch

Tensors = Mapping[str, Tensor]


def takes_mask(model: nn.Module) -> bool:
    """Tell whether a model can be called with ``mask=``."""
    return "mask" in inspect.signature(model.forward).parameters


def call_with_mask(owner: str, model: nn.Module, x: Tensor, mask: Tensor | None) -> Tensor:
    """Call a model with the mask if there is one.

    Raises:
        ModalityError: If there is padding and the model cannot be told so.
    """
    if mask is None:
        return model(x)
    if takes_mask(model):
        return model(x, mask=mask)
    if not bool(mask.all()):
        raise ModalityError(
            f"{owner}: expected a model that takes a mask, got {type(model).__name__} and padded "
            "bags; use an encoder of bags such as ABMIL"
        )
    return model(x)


class Unimodal(nn.Module):
    """A model of one input, called with modalities by name; other modalities are left unread."""

    def __init__(self, modality: str, model: nn.Module) -> None:
        """Wrap a model.

        Args:
            modality: Name of the modality that the model reads.
            model: Maps its values, and ``mask`` if it takes one, to logits (b, k).
        """
        super().__init__()
        self.modality = modality
        self.model = model

    def forward(
        self, inputs: Tensors, present: Tensors | None = None, masks: Tensors | None = None
    ) -> Tensor:
        """Return logits (b, k).

        Args:
            inputs: Values by modality.
            present: (b,) bool by modality; None = every sample has everything.
            masks: (b, n) bool by modality, True = a valid instance.

        Raises:
            ModalityError: If a sample lacks the modality.
        """
        name = self.modality
        if name not in inputs:
            raise ModalityError(
                f"unimodal model: expected modality '{name}', got {sorted(inputs)}; pass it"
            )
        flag = (present or {}).get(name)
        if flag is not None and not bool(flag.all()):
            rows = (~flag).nonzero().flatten().tolist()
            raise ModalityError(
                f"unimodal model: expected modality '{name}' in every sample, missing in rows "
                f"{rows[:5]}; keep the samples that have it: samples.where_present(['{name}'])"
            )
        return call_with_mask(
            f"modality '{name}'", self.model, inputs[name], (masks or {}).get(name)
        )


class ConcatTabular(nn.Module):
    """Early fusion: the tables of a sample side by side, in sorted order of their names.

    A row that is absent is filled with zeros, which is the training mean of a standardised table.
    """

    def __init__(
        self, modalities: Sequence[str], widths: Mapping[str, int], model: nn.Module
    ) -> None:
        """Wrap a model.

        Args:
            modalities: Names of the tables.
            widths: Number of features by name; names beyond ``modalities`` are ignored.
            model: Maps a table (b, sum of widths) to logits (b, k).

        Raises:
            ModalityError: If no name is given, one occurs twice, or one has no width.
        """
        super().__init__()
        names = tuple(sorted(modalities))
        if not names or len(set(names)) < len(names) or not set(names) <= set(widths):
            raise ModalityError(
                f"ConcatTabular: expected distinct modalities of {sorted(widths)}, "
                f"got {list(names)}; give each a width"
            )
        check_sizes("ConcatTabular", **{f"widths['{name}']": widths[name] for name in names})
        self.modalities = names
        self.widths = {name: widths[name] for name in names}
        self.model = model

    def forward(
        self, inputs: Tensors, present: Tensors | None = None, masks: Tensors | None = None
    ) -> Tensor:
        """Return logits (b, k) of tables (b, c) by name; ``masks`` is not read.

        Raises:
            ModalityError: If a name is unknown or a sample has no table.
            ShapeError: If a table has another width than declared.
        """
        flags = check_batch("ConcatTabular", self.modalities, inputs, present)
        like = next(iter(inputs.values()))
        columns = [self._column(name, inputs, flags[name], like) for name in self.modalities]
        return self.model(torch.cat(columns, dim=1))

    def _column(self, name: str, inputs: Tensors, flag: Tensor, like: Tensor) -> Tensor:
        if name not in inputs:
            return like.new_zeros(like.shape[0], self.widths[name])
        check_table(f"modality '{name}'", inputs[name], self.widths[name])
        return inputs[name].masked_fill(~flag.unsqueeze(1), 0.0)
