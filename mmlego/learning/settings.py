"""How a model is trained, checked before anything starts."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass
from numbers import Integral, Real

from mmlego.errors import SettingsError

OUTPUT_BIASES = ("as_built", "base_rate")
SCHEDULES = ("plateau", "step")
CRITERIA = ("loss", "macro_f1")
CLASS_WEIGHTS = ("none", "inverse", "sqrt", "counts")
SURVIVAL_LOSSES = ("hazards", "cox")


@dataclass(frozen=True)
class FitSettings:
    """Settings of one training.

    Attributes:
        epochs: Passes over the training part at most; 0 leaves the model as it is.
        batch_size: Samples per step.
        learning_rate: Initial step size of Adam.
        l1: Weight of the sum of absolute values of the weight matrices.
        weight_decay: Weight of the squared values of all trainable parameters, in Adam.
        schedule: ``plateau`` lowers the learning rate when the validation loss stands still;
            ``step`` multiplies it by ``step_factor`` every ``step_size`` epochs.
        step_size: Epochs between two steps of the schedule ``step``.
        step_factor: Factor of a step, in (0, 1).
        plateau_factor: Factor on the learning rate when the validation loss stands still, in
            (0, 1).
        plateau_patience: Epochs without improvement that are let pass before that.
        output_bias: ``as_built`` leaves the bias of the output layer as the model has it, zero in
            the papers; ``base_rate`` starts it at the base rate of the training part.
        patience: Epochs without improvement after which training stops and the best weights come
            back; None trains to the end and keeps the final weights.
        criterion: What makes weights the best: the lowest validation ``loss``, or the highest
            validation ``macro_f1`` (classes only).
        check_every: Only the weights of every so many epochs, and of the last one, can be the best.
        class_weights: Weights of classes in the loss: ``none``, ``inverse`` (1 / n_k) or ``sqrt``
            (1 / sqrt(n_k)), both scaled to mean 1, or ``counts`` (n / n_k as it is).
        survival_loss: ``hazards`` in time bins, or the partial likelihood of ``cox`` on one output.

    Raises:
        SettingsError: If a value has the wrong type or is out of range.

    Source: Hemker et al. 2025, appendix E, which uses batches of 512; here 64, since 512 leaves the
        smaller cohorts one or two steps per epoch. Scheduler and stopping act once per epoch.
    """

    epochs: int = 40
    batch_size: int = 64
    learning_rate: float = 0.003
    l1: float = 2e-4
    weight_decay: float = 0.0
    plateau_factor: float = 0.5
    plateau_patience: int = 3
    patience: int | None = 7
    output_bias: str = "as_built"
    schedule: str = "plateau"
    step_size: int = 500
    step_factor: float = 0.2
    criterion: str = "loss"
    check_every: int = 1
    class_weights: str = "none"
    survival_loss: str = "hazards"

    def __post_init__(self) -> None:
        """Check every value, and make NumPy scalars builtins."""
        self._whole("epochs", 0)
        self._whole("batch_size", 1)
        self._whole("plateau_patience", 0)
        self._whole("step_size", 1)
        self._whole("check_every", 1)
        if self.patience is not None:
            self._whole("patience", 1)
        self._real("learning_rate", 0.0, math.inf, closed=False)
        self._real("l1", 0.0, math.inf, closed=True)
        self._real("weight_decay", 0.0, math.inf, closed=True)
        self._real("plateau_factor", 0.0, 1.0, closed=False)
        self._real("step_factor", 0.0, 1.0, closed=False)
        self._one_of("output_bias", OUTPUT_BIASES)
        self._one_of("schedule", SCHEDULES)
        self._one_of("criterion", CRITERIA)
        self._one_of("class_weights", CLASS_WEIGHTS)
        self._one_of("survival_loss", SURVIVAL_LOSSES)
        if self.patience is not None and self.check_every > self.patience:
            raise SettingsError(
                f"fit settings: check_every: expected at most the patience of {self.patience}, got "
                f"{self.check_every}; training would stop before any weights can be the best"
            )

    @classmethod
    def from_parameters(cls, parameters: Mapping[str, object]) -> FitSettings:
        """Build settings from names and values, such as those of a notebook or a YAML file.

        Raises:
            SettingsError: If a name is unknown or a value is refused.
        """
        known = [field.name for field in dataclasses.fields(cls)]
        unknown = sorted(set(parameters) - set(known))
        if unknown:
            raise SettingsError(f"fit settings: expected names of {known}, got {unknown}")
        return cls(**parameters)

    def _one_of(self, name: str, known: tuple[str, ...]) -> None:
        value = getattr(self, name)
        if value not in known:
            raise SettingsError(f"fit settings: {name}: expected one of {known}, got {value!r}")

    def _whole(self, name: str, low: int) -> None:
        value = getattr(self, name)
        if isinstance(value, bool) or not isinstance(value, Integral) or value < low:
            raise SettingsError(
                f"fit settings: {name}: expected a whole number of {low} or more, got {value!r}"
            )
        object.__setattr__(self, name, int(value))

    def _real(self, name: str, low: float, high: float, *, closed: bool) -> None:
        value = getattr(self, name)
        number = not isinstance(value, bool) and isinstance(value, Real) and math.isfinite(value)
        if not number or not (low <= value < high if closed else low < value < high):
            bracket = "[" if closed else "("
            raise SettingsError(
                f"fit settings: {name}: expected a number in {bracket}{low:g}, {high:g}), "
                f"got {value!r}"
            )
        object.__setattr__(self, name, float(value))
