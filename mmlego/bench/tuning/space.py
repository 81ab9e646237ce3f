"""Where hyper-parameters are searched, method by method."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import optuna

from mmlego.bench.settings import BlockSettings
from mmlego.methods.registry import METHODS

# Penalties reach down to where they no longer matter, since zero has no logarithm.
_RANGES = {"learning_rate": (1e-4, 1e-2), "l1": (1e-7, 3e-4), "weight_decay": (1e-7, 1e-2)}
_DROPOUT = (0.0, 0.6)


def suggest(trial: optuna.Trial, method: str) -> dict[str, Any]:
    """Draw values for one trial, as training and the model take them.

    Source: Hemker et al. 2025, appendix E, names learning rate, decay, dropout and layer widths as
        searched, without their ranges; these are ours. The plateau schedule is always on.
    """
    space = METHODS[method].search
    drawn: dict[str, Any] = {
        name: trial.suggest_float(name, low, high, log=True)
        for name, (low, high) in _RANGES.items()
    }
    drawn |= {name: trial.suggest_float(name, *_DROPOUT) for name in space.dropouts}
    drawn |= {
        name: trial.suggest_categorical(name, list(choices))
        for name, choices in space.sizes.items()
    }
    return readable(method, drawn)


def given_values(method: str, settings: BlockSettings) -> dict[str, Any]:
    """The given settings of a method, as a trial."""
    space = METHODS[method].search
    given: dict[str, Any] = {
        "learning_rate": settings.learning_rate,
        "l1": max(settings.l1, _RANGES["l1"][0]),
        "weight_decay": _RANGES["weight_decay"][0],
    }
    for name in space.from_settings:
        asked, choices = getattr(settings, name), space.sizes[name]
        given[name] = asked if asked in choices else max(choices)
    return given | dict(space.dropouts) | dict(space.given)


def light_values(method: str, settings: BlockSettings) -> dict[str, Any]:
    """A trial with hardly any regularization.

    Where dropouts and penalties multiply, as in a product of gated encodings, the given ones can
    hold a model at the base rate for good.
    """
    light = {"learning_rate": 0.001, "l1": 1e-6, "weight_decay": _RANGES["weight_decay"][0]}
    dropouts = dict.fromkeys(METHODS[method].search.dropouts, 0.0)
    return given_values(method, settings) | light | dropouts


def readable(method: str, values: Mapping[str, Any]) -> dict[str, Any]:
    """Values of a trial as the model takes them: layers written ``256x2`` become widths."""
    found = dict(values)
    if isinstance(found.get("widths"), str):
        width, count = map(int, found["widths"].split("x"))
        found["widths"] = [width] * count
    return found
