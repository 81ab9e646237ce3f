"""What is predicted: a right-censored time, or one of several classes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mmlego.errors import DataError


@dataclass(frozen=True, eq=False)
class SurvivalTarget:
    """Right-censored survival times of n samples.

    Args:
        time: Follow-up until the event or until censoring, (n,) float64, finite, not negative, in
            ``unit``.
        event: (n,) bool, True = the event was observed, False = censored.
        unit: Unit of ``time``, for instance "months".

    Raises:
        DataError: If lengths differ, or a time is negative, NaN or infinite.
    """

    time: np.ndarray
    event: np.ndarray
    unit: str = "months"
    task = "survival"

    def __post_init__(self) -> None:
        """Bring both arrays to their types and check them."""
        time = np.asarray(self.time, dtype=np.float64)
        event = _as_bool(self.event)
        if time.ndim != 1 or time.shape != event.shape:
            raise DataError(
                f"survival target: expected time and event of one shape (n,), got {time.shape} and "
                f"{event.shape}; give one time and one event flag per sample"
            )
        bad = np.flatnonzero(~np.isfinite(time) | (time < 0))
        if bad.size:
            raise DataError(
                f"survival target: expected finite times >= 0, got {time[bad[0]]} in row {bad[0]} "
                f"({bad.size} such rows); drop or correct them in the target table"
            )
        object.__setattr__(self, "time", time)
        object.__setattr__(self, "event", event)

    def __len__(self) -> int:
        """Return the number of samples."""
        return len(self.time)

    def take(self, index: np.ndarray) -> SurvivalTarget:
        """Return the target of the samples at the positions ``index``."""
        return SurvivalTarget(self.time[index], self.event[index], self.unit)

    def strata(self) -> np.ndarray:
        """Return (n,) int64 codes that combine the event flag with the quartile of time.

        Quartiles are those of the observed event times. The codes only balance the parts of a
        split; no model sees them.
        """
        reference = self.time[self.event] if self.event.any() else self.time
        inner = np.quantile(reference, (0.25, 0.5, 0.75))
        return np.searchsorted(inner, self.time, side="right") * 2 + self.event


@dataclass(frozen=True, eq=False)
class ClassTarget:
    """Class labels of n samples.

    Args:
        label: (n,) int64, each in ``range(len(classes))``.
        classes: Class names; position = label.

    Raises:
        DataError: If there are fewer than two classes, or a label lies outside them.
    """

    label: np.ndarray
    classes: tuple[str, ...]
    task = "classification"

    def __post_init__(self) -> None:
        """Bring the labels to int64 and check their range."""
        label = np.asarray(self.label)
        classes = tuple(str(c) for c in self.classes)
        if label.ndim != 1 or not np.issubdtype(label.dtype, np.integer):
            raise DataError(
                f"class target: expected integer labels of shape (n,), got {label.dtype} of shape "
                f"{label.shape}; map the classes to 0, 1, ..."
            )
        if len(classes) < 2 or len(set(classes)) < len(classes):
            raise DataError(
                f"class target: expected two or more distinct classes, got {classes}; name every "
                "class"
            )
        if label.size and (label.min() < 0 or label.max() >= len(classes)):
            raise DataError(
                f"class target: expected labels in 0..{len(classes) - 1}, got "
                f"{label.min()}..{label.max()}; "
                "name every class, or drop the samples without one"
            )
        object.__setattr__(self, "label", label.astype(np.int64))
        object.__setattr__(self, "classes", classes)

    def __len__(self) -> int:
        """Return the number of samples."""
        return len(self.label)

    def take(self, index: np.ndarray) -> ClassTarget:
        """Return the target of the samples at the positions ``index``."""
        return ClassTarget(self.label[index], self.classes)

    def strata(self) -> np.ndarray:
        """Return (n,) int64 codes to stratify a split by: the labels themselves."""
        return self.label


Target = SurvivalTarget | ClassTarget


def _as_bool(event: np.ndarray) -> np.ndarray:
    """Return the event flags as bool; anything but 0, 1, True, False is refused."""
    array = np.asarray(event)
    if array.dtype == bool:
        return array
    numbers = array.astype(np.float64)
    if not np.isin(numbers, (0.0, 1.0)).all():
        raise DataError(
            "survival target: expected event flags 0 or 1 (1 = observed), got other values or NaN; "
            "recode them, and mind that a column named 'censorship' counts the other way round"
        )
    return numbers.astype(bool)
