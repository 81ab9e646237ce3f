"""Options of multimodal dynamics that are given by modality or by name, checked."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TypeVar

import torch
from torch import Tensor

from mmlego.errors import SettingsError
from mmlego.lego import checks
from mmlego.lego.profiles import number

FILLS = ("train_mean", "zero", "grey")
LOSS_PARTS = ("final", "feature", "modality")
GREY = 0.5

Value = TypeVar("Value", int, float)


def by_modality(
    owner: str, what: str, given: Value | Mapping[str, Value], names: Sequence[str]
) -> dict[str, Value]:
    """Return one value per modality, of a value for all or a mapping that names each of them.

    Raises:
        ModalityError: If a name is unknown.
        SettingsError: If a modality is left out.
    """
    if not isinstance(given, Mapping):
        return dict.fromkeys(names, given)
    checks.names(given, names, f"{owner}: {what}")
    left_out = [name for name in names if name not in given]
    if left_out:
        raise SettingsError(
            f"{owner}: expected {what} for each of {list(names)}, got none for {left_out}; name "
            "them all, or give one value for all"
        )
    return {name: given[name] for name in names}


def loss_weights(owner: str, given: Mapping[str, float] | None) -> dict[str, float]:
    """Return the weights of all parts of the loss, 1 where not given.

    Raises:
        SettingsError: If a part is unknown or a weight is no number of 0 or more.
    """
    given = dict(given or {})
    unknown = sorted(set(given) - set(LOSS_PARTS))
    if unknown:
        raise SettingsError(
            f"{owner}: expected loss_weights of {list(LOSS_PARTS)}, got {unknown}; leave them out"
        )
    for part, weight in given.items():
        number(f"{owner}: loss_weights['{part}']", weight, low=0.0)
    return {part: float(given.get(part, 1.0)) for part in LOSS_PARTS}


def fill_values(
    owner: str, fill: str, kind: str, width: int, mean: Sequence[float] | None
) -> Tensor:
    """Return what stands in for the features (width,) of an absent modality.

    ``grey`` is 0.5 and ``zero`` is 0, for every kind. ``train_mean`` is the mean if one is given;
    else 0, the mean of standardized features, and grey for the channels of an image.

    Raises:
        SettingsError: If the mean is not ``width`` finite numbers.
    """
    if mean is not None:
        if len(mean) != width or not all(math.isfinite(value) for value in mean):
            raise SettingsError(
                f"{owner}: expected {width} finite means, one per feature, got {len(mean)} numbers "
                f"that start with {list(mean[:3])}; take them from the training part"
            )
        if fill == "train_mean":
            return torch.tensor([float(value) for value in mean])
    grey = fill == "grey" or (fill == "train_mean" and kind == "image")
    return torch.full((width,), GREY if grey else 0.0)
