"""What a network of several modalities sees of a batch: checked, absent values silenced."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from mmlego.errors import ModalityError, ShapeError
from mmlego.lego import checks
from mmlego.lego.profiles import choose
from mmlego.models.checks import (
    as_bag,
    check_image,
    check_mask_shape,
    check_sizes,
    check_table,
    check_volume,
)
from mmlego.models.presence import check_batch

KINDS = ("tabular", "bag", "series")
Tensors = Mapping[str, Tensor]
Loss = Callable[[Tensor, Tensors], Tensor]
Terms = dict[str, Tensor]


@dataclass(frozen=True)
class Part:
    """One modality of a batch.

    Attributes:
        values: (b, c) of tables, (b, n, c) of bags and series, (b, ch, h, w) of images, (b, ch, d,
            h, w) of volumes; finite, zeros stand for whatever was absent or padding. None if no
            sample has the modality.
        here: (b,) bool, True = the sample has the modality.
        mask: (b, n) bool, True = a valid instance, at least one where ``here``; None for tables,
            images and volumes.
    """

    values: Tensor | None
    here: Tensor
    mask: Tensor | None = None

    def encode(self, encoder: Callable[..., Tensor], fill: Tensor) -> Tensor:
        """Return (b, w): ``encoder`` applied to the samples that are here, ``fill`` (w,) elsewhere.

        Bags and series are passed with their mask; nothing is computed of samples that are absent.
        """
        if self.values is None:
            return fill.expand(len(self.here), -1)
        rows = [t[self.here] for t in (self.values, self.mask) if t is not None]
        return spread(encoder(*rows), self.here, fill)


def spread(rows: Tensor, here: Tensor, fill: Tensor) -> Tensor:
    """Return (b, w): the given rows in order where ``here`` (b,) is True, ``fill`` elsewhere.

    ``fill`` is a vector (w,), or a scalar.
    """
    out = fill.to(rows.dtype).expand(len(here), rows.shape[1])
    return out.index_copy(0, here.nonzero().flatten(), rows)


def check_kinds(
    owner: str,
    widths: Mapping[str, int],
    kinds: Mapping[str, str] | None,
    allowed: Sequence[str] = KINDS,
) -> dict[str, str]:
    """Return the kind of every modality, in the order of ``widths``; None makes all of them tables.

    Args:
        owner: What to call the model in an error.
        widths: Number of features by modality; of channels for images and volumes.
        kinds: Kind by modality.
        allowed: The kinds that the owner takes: ``KINDS``, or these and ``image`` or ``volume``.

    Raises:
        ModalityError: If there is no modality, or a name cannot name a sub-module.
        SettingsError: If a width is below 1, or a kind is missing or unknown.
    """
    if not widths or any(not name or "." in name for name in widths):
        raise ModalityError(
            f"{owner}: expected widths by modality name, without dots, got {list(widths)}"
        )
    check_sizes(owner, **{f"widths['{name}']": width for name, width in widths.items()})
    if kinds is None:
        return dict.fromkeys(widths, "tabular")
    for name in widths:
        choose(f"{owner}: kinds['{name}']", kinds.get(name), allowed)
    return {name: kinds[name] for name in widths}


def read_batch(
    owner: str,
    widths: Mapping[str, int],
    kinds: Mapping[str, str],
    inputs: Tensors,
    present: Tensors | None = None,
    masks: Tensors | None = None,
) -> dict[str, Part]:
    """Return what can be read of a batch, by modality in the order of ``widths``.

    A present bag without a valid instance counts as absent.

    Args:
        owner: What to call the model in an error.
        widths: Number of features by modality; of channels for images and volumes.
        kinds: Kind by modality.
        inputs: Values by modality, (b, c), (b, n, c), (b, ch, h, w) or (b, ch, d, h, w); one left
            out is absent for all samples.
        present: (b,) bool by modality; None = every sample has everything that was passed.
        masks: (b, n) bool by modality, True = a valid instance.

    Raises:
        ModalityError: If a name is unknown or a sample has no modality.
        ShapeError: If a shape or type is wrong, or a valid entry is not finite.
    """
    masks = masks or {}
    checks.names(masks, widths, f"{owner}: masks")
    flags = check_batch(owner, tuple(widths), inputs, present)
    parts = {}
    for name, here in flags.items():
        read = _READERS[kinds[name]]
        parts[name] = (
            read(f"modality '{name}'", widths[name], inputs[name], here, masks.get(name))
            if name in inputs
            else Part(None, here)
        )
    # Once more, since an empty bag may have been all that a sample had.
    check_batch(owner, tuple(widths), inputs, {name: part.here for name, part in parts.items()})
    return parts


class MultimodalModel(nn.Module):
    """A network of several modalities: a batch is checked and read, then predicted.

    A subclass builds its parameters behind ``super().__init__`` and defines ``predict``; one that
    reads something else than parts of the batch defines ``read`` too.

    Args:
        widths: Number of features by modality; of channels for images and volumes.
        n_outputs: Number of logits k: classes, time bins, or 1 for a risk.
        kinds: Kind by modality; None = all are tables.
        allowed: The kinds that the model takes.

    Raises:
        ModalityError: If there is no modality, or a name cannot name a sub-module.
        SettingsError: If a size is below 1, or a kind is missing or unknown.
    """

    def __init__(
        self,
        widths: Mapping[str, int],
        n_outputs: int,
        kinds: Mapping[str, str] | None = None,
        allowed: Sequence[str] = KINDS,
    ) -> None:
        """Check and keep what the modalities are."""
        super().__init__()
        self.owner = type(self).__name__
        check_sizes(self.owner, n_outputs=n_outputs)
        self.kinds = check_kinds(self.owner, widths, kinds, allowed)
        self.widths = dict(widths)

    @property
    def names(self) -> tuple[str, ...]:
        """Modalities in the order of the model."""
        return tuple(self.kinds)

    def forward(
        self, inputs: Tensors, present: Tensors | None = None, masks: Tensors | None = None
    ) -> Tensor:
        """Return logits (b, k).

        Args:
            inputs: Values by modality, (b, c) of tables, (b, n, c) of bags and series, (b, ch, h,
                w) of images, (b, ch, d, h, w) of volumes; one left out is absent for all samples.
            present: (b,) bool by modality; one that is not named is present in every sample.
            masks: (b, n) bool by modality, True = a valid instance.

        Raises:
            ModalityError: If a name is unknown or a sample has no modality.
            ShapeError: If a shape or type is wrong, or a valid entry is not finite.
        """
        return self.predict(self.read(inputs, present, masks))

    def read(
        self, inputs: Tensors, present: Tensors | None = None, masks: Tensors | None = None
    ) -> Any:
        """Return what ``predict`` takes of a batch: here its parts, see ``read_batch``."""
        return read_batch(self.owner, self.widths, self.kinds, inputs, present, masks)

    def predict(self, batch: Any) -> Tensor:
        """Return logits (b, k) of a batch as ``read`` gives it."""
        raise NotImplementedError


class AuxiliaryModel(MultimodalModel):
    """A network whose training adds terms of its own to the loss."""

    def forward_with_auxiliary(
        self,
        inputs: Tensors,
        present: Tensors | None = None,
        masks: Tensors | None = None,
        target: Tensors | None = None,
        loss: Loss | None = None,
    ) -> tuple[Tensor, Terms]:
        """Return logits (b, k), and what training adds to their loss, weighted scalars by name.

        Arguments and errors as for ``forward``; which terms there are, and whether they need what
        follows, says ``predict_with_terms``.

        Args:
            inputs: Values by modality.
            present: Flags by modality.
            masks: Masks by modality.
            target: Target of the batch by name, (b,) each.
            loss: Mean loss of a batch, of logits (b, k) and the target.
        """
        return self.predict_with_terms(self.read(inputs, present, masks), target, loss)

    def predict_with_terms(self, batch: Any, target: Any, loss: Any) -> tuple[Tensor, Terms]:
        """Return logits (b, k) and weighted further terms, of a batch as ``read`` gives it."""
        raise NotImplementedError


def _table(owner: str, width: int, x: Tensor, here: Tensor, mask: Tensor | None) -> Part:
    check_table(owner, x, width)
    _check_no_mask(owner, "a table", mask)
    return _part(owner, x, here, None)


def _grid(
    check: Callable[..., None],
    what: str,
    owner: str,
    width: int,
    x: Tensor,
    here: Tensor,
    mask: Tensor | None,
) -> Part:
    check(owner, x, width, min_side=1)
    _check_no_mask(owner, what, mask)
    return _part(owner, x, here, None)


def _check_no_mask(owner: str, what: str, mask: Tensor | None) -> None:
    if mask is not None:
        raise ShapeError(f"{owner}: expected no mask of {what}, got one; drop it")


def _bag(owner: str, width: int, x: Tensor, here: Tensor, mask: Tensor | None) -> Part:
    bag = as_bag(owner, x, width)
    if mask is None:
        mask = torch.ones(bag.shape[:2], dtype=torch.bool, device=bag.device)
    check_mask_shape(owner, mask, bag)
    valid = mask & here[:, None]
    return _part(owner, bag, valid.any(dim=1), valid)


def _part(owner: str, x: Tensor, here: Tensor, mask: Tensor | None) -> Part:
    if not bool(here.any()):
        return Part(None, here)
    # A weight of 0 does not silence NaN or infinity in padding and absent rows.
    kept = here if mask is None else mask
    values = x.masked_fill(~kept[(...,) + (None,) * (x.ndim - kept.ndim)], 0.0)
    checks.finite(values, owner)
    return Part(values, here, mask)


_READERS: dict[str, Callable[..., Part]] = {
    "tabular": _table,
    "bag": _bag,
    "series": _bag,
    "image": partial(_grid, check_image, "an image"),
    "volume": partial(_grid, check_volume, "a volume"),
}
