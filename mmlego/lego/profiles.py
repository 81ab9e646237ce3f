"""Three readings of the method: as printed, as the authors' code runs, without losing data."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from types import MappingProxyType
from typing import Any

from mmlego.errors import SettingsError
from mmlego.lego.spectrum import AXES, CONTEXTS


def choose(name: str, value: object, options: Any) -> None:
    """Raise SettingsError unless ``value`` is one of ``options``."""
    if not isinstance(value, str) or value not in options:
        raise SettingsError(f"{name}: expected one of {sorted(options)}, got {value!r}")


def number(
    name: str, value: object, *, low: float, high: float = float("inf"), open_low: bool = False
) -> None:
    """Raise SettingsError unless ``value`` is a number in [low, high], or (low, high]."""
    good = isinstance(value, int | float) and not isinstance(value, bool) and low <= value <= high
    if not good or (open_low and value == low):
        bracket = "(" if open_low else "["
        raise SettingsError(f"{name}: expected a number in {bracket}{low}, {high}], got {value!r}")


def count(name: str, value: object) -> None:
    """Raise SettingsError unless ``value`` is a positive integer."""
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise SettingsError(f"{name}: expected a positive integer, got {value!r}")


def yes_or_no(name: str, value: object) -> None:
    """Raise SettingsError unless ``value`` is True or False."""
    if not isinstance(value, bool):
        raise SettingsError(f"{name}: expected True or False, got {value!r}")


@dataclass(frozen=True)
class Knobs:
    """Choices on which the equations, the authors' code and a lossless variant differ.

    Attributes:
        fft_axes: ``"2d"`` transforms both axes of latent and data, ``"1d"`` channels or tokens
            only.
        context: Part of F(data) that is read: ``real``, ``hartley``, ``spatial`` or ``concat``.
        normalise: Whether the latent is scaled to unit norm before each pass.
        track_imaginary: Whether the imaginary part is carried from pass to pass.
        frequency_domain: False switches every transform (and the normalization) off.
        spatial_state: ``complex`` keeps the inverse transform as it is, ``real`` takes its real
            part.
        temperature: Divides the attention scores on top of sqrt(dim_head); > 0.
        leaky_projection: LeakyReLU(0.01) after the output projection of the attention.
        share_weights: One attention and one feed-forward for all passes, or one each.
    """

    fft_axes: str = "2d"
    context: str = "real"
    normalise: bool = True
    track_imaginary: bool = True
    frequency_domain: bool = True
    spatial_state: str = "complex"
    temperature: float = 1.0
    leaky_projection: bool = False
    share_weights: bool = True

    def __post_init__(self) -> None:
        """Refuse values outside the documented choices."""
        choose("fft_axes", self.fft_axes, AXES)
        choose("context", self.context, CONTEXTS)
        choose("spatial_state", self.spatial_state, ("complex", "real"))
        number("temperature", self.temperature, low=0.0, open_low=True)
        for field in fields(self):
            if field.type == "bool":
                yes_or_no(field.name, getattr(self, field.name))


PROFILES = MappingProxyType(
    {
        "paper": Knobs(),
        "official": Knobs(
            fft_axes="1d", temperature=0.5, leaky_projection=True, share_weights=False
        ),
        "lossless": Knobs(context="hartley"),
    }
)


def resolve(profile: str, **overrides: Any) -> Knobs:
    """Knobs of a profile, with every override that is not None.

    Raises:
        SettingsError: If the profile, a knob, or a value is unknown.
    """
    choose("profile", profile, PROFILES)
    known = {field.name for field in fields(Knobs)}
    unknown = sorted(set(overrides) - known)
    if unknown:
        raise SettingsError(f"unknown knobs {unknown}; expected some of {sorted(known)}")
    given = {key: value for key, value in overrides.items() if value is not None}
    return replace(PROFILES[profile], **given)
