"""How a model is trained, checked before anything starts."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Any

from mmlego.errors import SettingsError

OUTPUT_BIASES = ("as_built", "base_rate")
SCHEDULES = ("plateau", "step", "constant")
CRITERIA = ("loss", "macro_f1", "accuracy", "c_index")
WARMUP_MODES = ("linear", "modality_order", "no_fusion")
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
            ``step`` multiplies it by ``step_factor`` every ``step_size`` epochs; ``constant`` keeps
            it. It rests during the warm-up and starts after it.
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
            validation ``macro_f1`` or ``accuracy`` (classes only) or ``c_index`` (survival only).
        check_every: Only the weights of every so many epochs, and of the last one, can be the best.
        class_weights: Weights of classes in the loss: ``none``, ``inverse`` (1 / n_k) or ``sqrt``
            (1 / sqrt(n_k)), both scaled to mean 1, ``counts`` (n / n_k as it is), or one positive
            number per class as text, such as ``0.25,0.75``, taken as they are.
        survival_loss: ``hazards`` in time bins, or the partial likelihood of ``cox`` on one output.
        warmup: Number of first epochs that differ from the rest; 0 for none.
        warmup_mode: How they differ: ``linear`` raises the learning rate with every step up to its
            value, ``modality_order`` takes samples in the order of their number of modalities, and
            ``no_fusion`` trains the model with ``rebalance(False)``. See ``Warmup``.

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
    warmup: int = 0
    warmup_mode: str = "linear"

    def __post_init__(self) -> None:
        """Check every value, and make NumPy scalars builtins."""
        self._whole("epochs", 0)
        self._whole("batch_size", 1)
        self._whole("plateau_patience", 0)
        self._whole("step_size", 1)
        self._whole("check_every", 1)
        self._whole("warmup", 0)
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
        self._one_of("survival_loss", SURVIVAL_LOSSES)
        self._one_of("warmup_mode", WARMUP_MODES)
        if self.class_weights not in CLASS_WEIGHTS:
            explicit_weights(self.class_weights)
        self._check_warmup()
        if self.patience is not None and self.check_every > self.patience:
            raise SettingsError(
                f"fit settings: check_every: expected at most the patience of {self.patience}, got "
                f"{self.check_every}; training would stop before any weights can be the best"
            )

    def _check_warmup(self) -> None:
        """Refuse a training that ends before a model that is to be fused ever was."""
        if self.warmup_mode == "no_fusion" and 0 < self.epochs <= self.warmup:
            raise SettingsError(
                f"fit settings: warmup: expected fewer than the {self.epochs} epochs with "
                f"warmup_mode 'no_fusion', got {self.warmup}; no fused weights could be kept"
            )

    @classmethod
    def from_parameters(cls, parameters: Mapping[str, Any]) -> FitSettings:
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


def explicit_weights(text: str) -> list[float]:
    """Return the weights of classes that are given as text, such as ``0.25,0.75``.

    Raises:
        SettingsError: If it is not two positive numbers or more, separated by commas.
    """
    try:
        weights = [float(part) for part in text.split(",")]
    except (AttributeError, ValueError):
        weights = []
    if len(weights) < 2 or not all(0.0 < weight < math.inf for weight in weights):
        raise SettingsError(
            f"fit settings: class_weights: expected one of {CLASS_WEIGHTS} or a positive number "
            f"per class as text, such as '0.25,0.75', got {text!r}"
        )
    return weights
