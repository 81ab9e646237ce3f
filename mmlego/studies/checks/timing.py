"""Timing of trainings that take turns, and the memory that one step holds."""

from __future__ import annotations

import statistics
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from torch import nn

from mmlego.bench.measuring import peak_bytes, silent_stderr
from mmlego.data.folds.samples import Samples
from mmlego.learning.loop import FitResult, fit
from mmlego.learning.objectives import SurvivalObjective
from mmlego.learning.settings import FitSettings
from mmlego.runs.settings import EfficiencySettings

Job = tuple[nn.Module, Samples]


@dataclass(frozen=True)
class Training:
    """What it takes to train one model.

    Attributes:
        seconds: Of one epoch without validation, one entry per repeat.
        parameters: Trainable values.
        peak_bytes: Weights, and the most that one step held beyond them: batch, activations,
            gradients, state of the optimizer.
    """

    seconds: tuple[float, ...]
    parameters: int
    peak_bytes: int

    @property
    def per_epoch(self) -> float:
        """Median seconds of an epoch."""
        return statistics.median(self.seconds)

    @property
    def slowdown(self) -> float:
        """Slowest over fastest epoch, 1 where nothing disturbed them."""
        return max(self.seconds) / min(self.seconds)


def train_in_turn(
    jobs: Mapping[tuple[str, str], Job], settings: EfficiencySettings
) -> dict[tuple[str, str], Training]:
    """Train models as everywhere else, but without a validation part.

    One epoch of each in every turn, so that a machine that is busy for a while slows all alike; the
    first turn warms up.
    """
    seconds: dict[tuple[str, str], list[float]] = {key: [] for key in jobs}
    peaks = {key: _peak(*job, settings) for key, job in jobs.items()}
    for turn in range(settings.repeats + 1):
        for key, (model, samples) in jobs.items():
            (entry,) = _fit(model, samples, settings).history
            if turn:
                seconds[key].append(entry["seconds"])
    return {
        key: Training(
            seconds=tuple(seconds[key]),
            parameters=sum(p.numel() for p in model.parameters() if p.requires_grad),
            peak_bytes=peaks[key],
        )
        for key, (model, _) in jobs.items()
    }


def _peak(model: nn.Module, samples: Samples, settings: EfficiencySettings) -> int:
    """Weights, and what one step held beyond them."""
    weights = sum(p.numel() * p.element_size() for p in model.parameters())
    one = samples.subset(np.arange(min(settings.batch_size, len(samples))))
    with silent_stderr():
        held = peak_bytes(lambda: _fit(model, one, settings))
    model.zero_grad(set_to_none=True)
    return weights + held


def _fit(model: nn.Module, samples: Samples, settings: EfficiencySettings) -> FitResult:
    model.zero_grad(set_to_none=True)
    return fit(
        model,
        samples,
        None,
        SurvivalObjective(4),
        settings=FitSettings(epochs=1, batch_size=settings.batch_size, patience=None),
        seed=settings.seed,
        device="cpu",
    )
