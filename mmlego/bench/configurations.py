"""Configurations of one method that are compared on the same folds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from torch import nn

from mmlego.bench.outcome import Outcome
from mmlego.data.folds.fold import Fold
from mmlego.data.folds.samples import Samples
from mmlego.errors import SettingsError


@dataclass(frozen=True)
class Arm:
    """One configuration.

    Attributes:
        name: Its variant in the table of results.
        title: What readers call it.
        method: Name in the registry.
        options: Options of the model that differ.
        fit: Fit settings that differ.
        task: The only task that it is for; empty for any.
        complete: Whether it is trained on samples with every modality only; all are tested.
    """

    name: str
    title: str
    method: str
    options: Mapping[str, object] = field(default_factory=dict)
    fit: Mapping[str, object] = field(default_factory=dict)
    task: str = ""
    complete: bool = False


@dataclass(frozen=True)
class Trained:
    """One arm, trained on one fold."""

    arm: Arm
    fold: Fold
    names: tuple[str, ...]
    outcome: Outcome
    model: nn.Module

    @property
    def test(self) -> Samples:
        """The test samples that have any of the modalities."""
        return self.fold.test.select(sorted(self.names)).having(sorted(self.names))


def check_arms(wanted: Sequence[str], arms: Mapping[str, Arm], task: str) -> None:
    """Refuse names of arms that there are not, or that are for another task.

    Raises:
        SettingsError: If there is one.
    """
    unknown = [name for name in wanted if name not in arms]
    if unknown:
        raise SettingsError(f"arms: expected names of {list(arms)}, got {unknown}")
    foreign = [name for name in wanted if not suits(arms[name], task)]
    if foreign:
        raise SettingsError(f"arms: expected arms for {task}, got {foreign}; leave them out")


def suits(arm: Arm, task: str) -> bool:
    """Whether an arm is for a task."""
    return arm.task in ("", task)
