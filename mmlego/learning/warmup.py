"""The first epochs of a training, in which something is different from all later ones."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import Tensor, nn

from mmlego.errors import SettingsError
from mmlego.learning.settings import FitSettings

if TYPE_CHECKING:
    from mmlego.data.folds.samples import Batch, Samples


class Warmup:
    """What the settings ask of the first epochs; nothing where ``warmup`` is 0.

    ``linear``: the rate rises with every step, from a share of the learning rate to all of it.
    ``modality_order``: batches follow the number of present modalities, unshuffled.
    ``no_fusion``: ``model.rebalance(False)`` holds during these epochs, their validation included,
    and ``model.rebalance(True)`` from then on; weights that were never fused cannot be the best.

    Source: AMC, table 7, which gives a number of warm-up epochs and no meaning. The first reading
        is the usual one; the second is what the flag of that name does in Flex-MoE; the third, and
        that the schedule of the learning rate begins after the warm-up, are ours.
    """

    def __init__(self, model: nn.Module, settings: FitSettings) -> None:
        """Check that the model can do what is asked.

        Raises:
            SettingsError: If it has no method ``rebalance`` and the mode is ``no_fusion``.
        """
        self.model, self.settings = model, settings
        self.mode = settings.warmup_mode if settings.warmup and settings.epochs else "none"
        if self.mode == "no_fusion" and not callable(getattr(model, "rebalance", None)):
            raise SettingsError(
                f"fit: expected a model with a method rebalance(on) for warmup_mode 'no_fusion', "
                f"got {type(model).__name__} without; use warmup_mode 'linear' or "
                "'modality_order', or warmup=0"
            )

    @property
    def barred(self) -> int:
        """The last epoch whose weights cannot be the best; 0 if all can."""
        return self.settings.warmup if self.mode == "no_fusion" else 0

    def covers(self, epoch: int) -> bool:
        """Whether an epoch, counted from 1, belongs to the warm-up."""
        return self.mode != "none" and epoch <= self.settings.warmup

    def begin(self, epoch: int) -> None:
        """Put the model into the state of an epoch, for training and validation."""
        if self.mode == "no_fusion":
            cast(Any, self.model).rebalance(not self.covers(epoch))

    def end(self) -> None:
        """Leave the model in the state in which it is used, however training ended."""
        if self.mode == "no_fusion":
            cast(Any, self.model).rebalance(True)

    def batches(self, epoch: int, train: Samples, shuffle: torch.Generator) -> Iterator[Batch]:
        """The batches of an epoch: in random order, but for ``modality_order``."""
        size = self.settings.batch_size
        if self.mode == "modality_order" and self.covers(epoch):
            return (train.batch(index) for index in modality_order(train).split(size))
        return train.batches(size, shuffle)

    def set_rate(self, adam: torch.optim.Optimizer, epoch: int, step: int, n: int) -> None:
        """Set the rate of one step, counted from 0, of an epoch over n samples.

        The very first step gets one share of the learning rate rather than 0, which would waste it.
        """
        if self.mode == "linear" and self.covers(epoch):
            steps = math.ceil(n / self.settings.batch_size)
            share = ((epoch - 1) * steps + step + 1) / (self.settings.warmup * steps)
            for group in adam.param_groups:
                group["lr"] = self.settings.learning_rate * share


def modality_order(samples: Samples) -> Tensor:
    """Return the positions of samples by their number of present modalities, fewest first.

    Ties keep the order of the samples.

    Returns:
        (n,) int64.

    Source: Flex-MoE, whose code orders by the number of observed modalities; that the fewest come
        first is ours.
    """
    count = torch.stack(list(samples.present.values())).sum(dim=0)
    return count.argsort(stable=True)
