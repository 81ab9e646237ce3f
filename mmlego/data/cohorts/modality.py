"""One modality of a cohort: its values, who has it, and how its features are to be scaled."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from mmlego.data.cards.suggest import did_you_mean
from mmlego.errors import DataError

KINDS = ("tabular", "bag", "series", "image", "volume", "text")
SPATIAL = ("image", "volume")  # kinds with the features on axis 1, before those of space
SCALINGS = ("standard", "signed_log", "quantile", "minmax", "none")
TEXT_SCALINGS = ("words", "codes")  # how a fold turns texts into numbers
_AXES = {
    "tabular": ("n", "c"),
    "series": ("n", "t", "c"),
    "image": ("n", "ch", "h", "w"),
    "volume": ("n", "ch", "d", "h", "w"),
}


@dataclass(frozen=True, eq=False)
class Modality:
    """The values of one modality for the n samples of a cohort.

    Values may hold NaN (imputed per fold with the mean of the training part), never infinity. What
    is stored for an absent sample has no effect.

    Args:
        name: Short name, for instance "rna".
        title: Name for tables and figures.
        kind: "tabular" (n, c), "series" (n, t, c), "image" (n, ch, h, w), "volume" (n, ch, d, h,
            w), or "bag": n arrays (n_i, c) with n_i >= 1 where present. One embedding of a whole
            slide is a bag of one instance.
            "text": n strings, which a fold turns into a table; an empty one counts as absent.
        values: float32 or strings, as the kind says.
        present: (n,) bool, True = the sample has this modality.
        features: c feature names (channels for images and volumes); none for texts.
        scaling: How a fold scales the features: one of ``SCALINGS``, of ``TEXT_SCALINGS`` for
            texts.

    Raises:
        DataError: If shapes, lengths, names or values do not fit.
    """

    name: str
    title: str
    kind: str
    values: Any  # an array, or a tuple of bags or texts: the kind says which
    present: np.ndarray
    features: tuple[str, ...]
    scaling: str = "standard"

    def __post_init__(self) -> None:
        """Bring the fields to their types and check them."""
        _check_choice(self.name, "kind", self.kind, KINDS)
        scalings = TEXT_SCALINGS if self.kind == "text" else SCALINGS
        _check_choice(self.name, "scaling", self.scaling, scalings)
        present = np.asarray(self.present, dtype=bool)
        object.__setattr__(self, "present", present)
        object.__setattr__(self, "features", tuple(str(f) for f in self.features))
        values = _READ.get(self.kind, _as_array)(self.values)
        object.__setattr__(self, "values", values)
        if len(values) != len(present):
            raise DataError(
                f"modality '{self.name}': expected one flag 'present' per sample, got "
                f"{len(present)} flags for "
                f"{len(values)} samples; make both as long as the ids"
            )
        if self.kind == "text":
            _check_texts(self)
        elif self.kind == "bag":
            _check_bags(self)
        else:
            _check_array(self)

    def __len__(self) -> int:
        """Return the number of samples, present or not."""
        return len(self.present)

    @property
    def width(self) -> int:
        """Number of features of one instance, time step or table row.

        For images and volumes it is that of channels; 0 for texts, whose features a fold decides.
        """
        return len(self.features)

    def take(self, index: np.ndarray) -> Modality:
        """Return this modality for the samples at the positions ``index``."""
        index = np.asarray(index)
        listed = isinstance(self.values, tuple)
        values = tuple(self.values[i] for i in index) if listed else self.values[index]
        return replace(self, values=values, present=self.present[index])

    def rows(self) -> np.ndarray:
        """Return instances, steps, pixels or voxels of the present samples, features last, (m, c).

        Texts have no features yet: (m, 0).
        """
        if self.kind == "text":
            return np.zeros((int(self.present.sum()), 0), np.float32)
        if self.kind == "bag":
            bags = [bag for bag, here in zip(self.values, self.present, strict=True) if here]
            return np.concatenate(bags) if bags else np.zeros((0, self.width), np.float32)
        values = self.values[self.present]
        if self.kind in SPATIAL:
            values = np.moveaxis(values, 1, -1)
        return values.reshape(-1, self.width)

    def missing_values(self) -> float:
        """Return the share of NaN among the values of the present samples, in [0, 1]."""
        rows = self.rows()
        return float(np.isnan(rows).mean()) if rows.size else 0.0


def bag_from_rows(matrix: np.ndarray, present: np.ndarray) -> tuple[np.ndarray, ...]:
    """Turn vectors (n, c) into n bags of one instance; absent samples get an empty bag."""
    return tuple(matrix[i : i + 1] if here else matrix[:0] for i, here in enumerate(present))


def _check_choice(name: str, field: str, value: str, allowed: Sequence[str]) -> None:
    if value not in allowed:
        raise DataError(
            f"modality '{name}': expected {field} to be one of {', '.join(allowed)}, got '{value}'"
            f"{did_you_mean(value, allowed) or '; choose one of them'}"
        )


def _as_array(values: object) -> np.ndarray:
    return np.asarray(values, dtype=np.float32)


def _as_bags(values: Sequence[np.ndarray]) -> tuple[np.ndarray, ...]:
    return tuple(np.asarray(bag, dtype=np.float32) for bag in values)


_READ: dict[str, Callable[..., Any]] = {"bag": _as_bags, "text": tuple}


def _check_array(modality: Modality) -> None:
    axes = _AXES[modality.kind]
    shape = modality.values.shape
    feature_axis = 1 if modality.kind in SPATIAL else -1
    if len(shape) != len(axes) or shape[feature_axis] != modality.width:
        raise DataError(
            f"modality '{modality.name}': expected ({', '.join(axes)}) with {modality.width} "
            f"features, got {shape}; "
            "give one name per feature, in the order of the values"
        )
    if np.isinf(modality.values[modality.present]).any():
        raise DataError(_infinite(modality.name))


def _check_bags(modality: Modality) -> None:
    for i, (bag, here) in enumerate(zip(modality.values, modality.present, strict=True)):
        if not here:
            continue
        if bag.ndim != 2 or bag.shape[1] != modality.width:
            raise DataError(
                f"modality '{modality.name}': expected bags of shape (n_i, {modality.width}), got "
                f"{bag.shape} in row "
                f"{i}; give one name per feature, in the order of the values"
            )
        if len(bag) == 0:
            raise DataError(
                f"modality '{modality.name}': expected at least one instance, got an empty bag in "
                f"row {i}; set "
                "present to False for samples without instances"
            )
        if np.isinf(bag).any():
            raise DataError(_infinite(modality.name))


def _check_texts(modality: Modality) -> None:
    """Check that all values are strings, and let the empty ones count as absent."""
    for i, text in enumerate(modality.values):
        if not isinstance(text, str):
            raise DataError(
                f"modality '{modality.name}': expected strings, got {text!r} in row {i}; give an "
                "empty string where there is no text"
            )
    if modality.features:
        raise DataError(
            f"modality '{modality.name}': expected no feature names for kind 'text', got "
            f"{len(modality.features)}; leave them out, a fold fits them"
        )
    written = np.array([bool(text.strip()) for text in modality.values], dtype=bool)
    object.__setattr__(modality, "present", modality.present & written)


def _infinite(name: str) -> str:
    return (
        f"modality '{name}': expected finite values or NaN, got infinity; replace infinite values "
        "by NaN to have "
        "them imputed"
    )
