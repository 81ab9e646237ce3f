"""Where hyper-parameters are searched, method by method."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import optuna

from mmlego.bench.settings import BlockSettings

# Penalties reach down to where they no longer matter, since zero has no logarithm.
_RANGES = {"learning_rate": (1e-4, 1e-2), "l1": (1e-7, 3e-4), "weight_decay": (1e-7, 1e-2)}
_DROPOUT = (0.0, 0.6)
# AMC and the models that read the same tokens.
_TOKEN_MODELS = (
    "amc",
    "flexmoe",
    "fusemoe",
    "limoe",
    "maggate",
    "mult",
    "tensor_fusion",
    "muse",
)
_SIZES: dict[str, dict[str, tuple[Any, ...]]] = {
    "snn": {"widths": ("64x2", "256x2", "256x4")},
    "abmil": {"embed_dim": (128, 512)},
    "lego_block": {"depth": (1, 2, 4)},
    "perceiver": {"depth": (1, 2), "self_layers": (0, 1)},
    "healnet": {"depth": (1, 2)},
    "mm_dynamics": {"hidden": (64, 256)},
    "mm_static": {"hidden": (64, 256)},
    **dict.fromkeys(_TOKEN_MODELS, {"width": (32, 64)}),
}
_DROPOUTS: dict[str, dict[str, float]] = {
    "snn": {"dropout": 0.25},
    "abmil": {"dropout": 0.25},
    "convnet": {"dropout": 0.25},
    "lego_block": {"attn_dropout": 0.45, "ff_dropout": 0.36},
    "perceiver": {"attn_dropout": 0.4, "ff_dropout": 0.36},
    "healnet": {"attn_dropout": 0.4, "ff_dropout": 0.27},
    "mcat": {"dropout": 0.25},
    "late_concat": {"dropout": 0.25},
    "late_bilinear": {"dropout": 0.25},
    "mm_dynamics": {"dropout": 0.5},
    "mm_static": {"dropout": 0.5},
    **dict.fromkeys(_TOKEN_MODELS, {"dropout": 0.1}),
}
_GIVEN_SIZES: dict[str, dict[str, Any]] = {
    "snn": {"widths": "256x4"},
    "abmil": {"embed_dim": 512},
    "perceiver": {"depth": 2, "self_layers": 1},
    "healnet": {"depth": 2},
    "mm_dynamics": {"hidden": 256},
    "mm_static": {"hidden": 256},
    **dict.fromkeys(_TOKEN_MODELS, {"width": 64}),
}


def suggest(trial: optuna.Trial, method: str) -> dict[str, Any]:
    """Draw values for one trial, as training and the model take them.

    Source: Hemker et al. 2025, appendix E, names learning rate, decay, dropout and layer widths as
        searched, without their ranges; these are ours. The plateau schedule is always on.
    """
    drawn: dict[str, Any] = {
        name: trial.suggest_float(name, low, high, log=True)
        for name, (low, high) in _RANGES.items()
    }
    drawn |= {name: trial.suggest_float(name, *_DROPOUT) for name in _DROPOUTS.get(method, {})}
    drawn |= {
        name: trial.suggest_categorical(name, list(choices))
        for name, choices in _SIZES.get(method, {}).items()
    }
    return readable(method, drawn)


def given_values(method: str, settings: BlockSettings) -> dict[str, Any]:
    """The given settings of a method, as a trial."""
    given: dict[str, Any] = {
        "learning_rate": settings.learning_rate,
        "l1": max(settings.l1, _RANGES["l1"][0]),
        "weight_decay": _RANGES["weight_decay"][0],
    }
    if method == "lego_block":
        depths = _SIZES[method]["depth"]
        given["depth"] = settings.depth if settings.depth in depths else max(depths)
    return given | _DROPOUTS.get(method, {}) | _GIVEN_SIZES.get(method, {})


def light_values(method: str, settings: BlockSettings) -> dict[str, Any]:
    """A trial with hardly any regularization.

    Where dropouts and penalties multiply, as in a product of gated encodings, the given ones can
    hold a model at the base rate for good.
    """
    light = {"learning_rate": 0.001, "l1": 1e-6, "weight_decay": _RANGES["weight_decay"][0]}
    return given_values(method, settings) | light | dict.fromkeys(_DROPOUTS.get(method, {}), 0.0)


def readable(method: str, values: Mapping[str, Any]) -> dict[str, Any]:
    """Values of a trial as the model takes them: layers written ``256x2`` become widths."""
    found = dict(values)
    if isinstance(found.get("widths"), str):
        width, count = map(int, found["widths"].split("x"))
        found["widths"] = [width] * count
    return found
