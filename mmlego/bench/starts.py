"""Weights that several models share before any of them is trained."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

State = Mapping[str, Tensor]


@dataclass(frozen=True)
class Start:
    """A common start.

    Attributes:
        name: What is shared, as part of the key of a fit.
        arm: Configuration of the outcomes of models that start so.
        seed: Seed from which the shared weights were drawn.
        state: Makes the shared weights by name; called only where a model is really trained.
        seed_word: Word that seeds of the trainings depend on; empty for that of the usual training,
            so that everything else, and the order of batches, is as there.
    """

    name: str
    arm: str
    seed: int
    state: Callable[[], State]
    seed_word: str = ""

    def key(self) -> dict[str, Any]:
        """What it adds to the key of a fit."""
        return {"start": [self.name, self.seed]}

    def load(self, model: nn.Module) -> None:
        """Put the shared weights into a model, in place; it keeps everything else of its own."""
        load_shared(model, self.state())


def load_shared(model: nn.Module, state: State) -> nn.Module:
    """Put shared weights into a model, in place, and return it."""
    model.load_state_dict({**model.state_dict(), **state})
    return model
