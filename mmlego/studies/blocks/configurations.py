"""The arms of the block ablations: what is changed, what it is compared with, how it is trained."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import fields
from itertools import product
from typing import Any

from mmlego.bench.common_starts import latent_and_head
from mmlego.bench.configurations import Configuration
from mmlego.bench.fold_bench import Bench
from mmlego.bench.trained import TrainedModel
from mmlego.lego.profiles import PROFILES, Knobs, resolve
from mmlego.lego.spectrum import CONTEXTS
from mmlego.methods.names import LEGO_BLOCK
from mmlego.runs.settings import BlockAblationSettings

ABLATIONS = ("A1", "A5", "A6", "A8", "A9", "profiles")
DEFAULT = "default"
ONE_START = "one start"
TRACKED, UNTRACKED, UNTRANSFORMED = "tracked", "not tracked", "no transform"
# Groups of A1 that are no profile: the state between passes is real, the latent is never scaled.
REAL_STATE, UNSCALED = "real state", "no normalization"
_KNOBS = {knob.name for knob in fields(Knobs)}
# Knobs of A8 by the words for their values.
_FACTORS: dict[str, Mapping[str, object]] = {
    "context": {f"context {value}": value for value in CONTEXTS},
    "fft_axes": {"FFT over tokens only": "1d", "FFT over both axes": "2d"},
    "spatial_state": {f"{value} state": value for value in ("complex", "real")},
    "normalise": {"normalization": True, UNSCALED: False},
}
_PASSES = {"one set of weights": True, "weights of each pass": False}


def _configuration(
    ablation: str,
    level: str,
    reference: str,
    options: Mapping[str, object] | None = None,
    title: str = "",
) -> Configuration:
    """One setting of the blocks, compared with another one of its ablation."""
    return Configuration(
        level, title or level, LEGO_BLOCK, dict(options or {}), factor=ablation, reference=reference
    )


def arms(settings: BlockAblationSettings) -> list[Configuration]:
    """The arms that a run asks for; the reference of an arm is always among them."""
    wanted = settings.ablations or ABLATIONS
    return [arm for name in ABLATIONS if name in wanted for arm in _ARMS[name](settings)]


def _tracking(settings: BlockAblationSettings) -> Iterator[Configuration]:
    """A1: in two profiles, and where the imaginary part should have next to no effect."""
    groups: dict[str, dict[str, object]] = {
        settings.profile: {},
        "official": {"profile": "official"},
    }
    profiles = set(groups)
    groups |= {REAL_STATE: {"spatial_state": "real"}, UNSCALED: {"normalise": False}}
    switches: dict[str, dict[str, object]] = {
        TRACKED: {"track_imaginary": True, "frequency_domain": True},
        UNTRACKED: {"track_imaginary": False, "frequency_domain": True},
        UNTRANSFORMED: {"track_imaginary": False, "frequency_domain": False},
    }
    for (group, base), (name, switch) in product(groups.items(), switches.items()):
        # Without a transform there is neither a norm nor a complex state.
        if name != UNTRANSFORMED or group in profiles:
            yield _configuration(
                "A1", f"{group}, {name}", f"{group}, {TRACKED}", base | switch, group
            )


def _depths(settings: BlockAblationSettings) -> Iterator[Configuration]:
    """A5: number of passes."""
    for depth in sorted({*settings.depths, settings.depth}):
        yield _configuration("A5", f"depth {depth}", f"depth {settings.depth}", {"depth": depth})


def _latents(settings: BlockAblationSettings) -> Iterator[Configuration]:
    """A6: shape of the latent."""
    own = f"{settings.latent_channels}x{settings.latent_dim}"
    for name in dict.fromkeys([own, *settings.latents]):
        channels, width = map(int, name.split("x"))
        options = {"latent_channels": channels, "latent_dim": width}
        yield _configuration("A6", name, own, options)


def _reading(settings: BlockAblationSettings) -> Iterator[Configuration]:
    """A8: one knob at a time, at every value that the profile does not have."""
    yield _configuration("A8", DEFAULT, DEFAULT)
    for knob, values in _FACTORS.items():
        yield from _others("A8", settings, knob, values)


def _starts(settings: BlockAblationSettings) -> Iterator[Configuration]:
    """A9: one start for all modalities, and weights by pass."""
    yield _configuration("A9", DEFAULT, DEFAULT)
    yield _configuration("A9", ONE_START, DEFAULT)
    yield from _others("A9", settings, "share_weights", _PASSES)


def _others(
    ablation: str, settings: BlockAblationSettings, knob: str, values: Mapping[str, object]
) -> Iterator[Configuration]:
    own = getattr(PROFILES[settings.profile], knob)
    for name, value in values.items():
        if value != own:
            yield _configuration(ablation, name, DEFAULT, {knob: value})


def _profiles(settings: BlockAblationSettings) -> Iterator[Configuration]:
    """The three readings of the method as they are."""
    for name in PROFILES:
        yield _configuration("profiles", name, settings.profile, {"profile": name})


_ARMS = {
    "A1": _tracking,
    "A5": _depths,
    "A6": _latents,
    "A8": _reading,
    "A9": _starts,
    "profiles": _profiles,
}


def fewest_options(profile: str, options: Mapping[str, Any]) -> dict[str, Any]:
    """The same block in the fewest words, so that arms that coincide share one fit.

    Knobs that a profile has anyway are left out, and knobs that make up another profile become its
    name.
    """
    knobs = resolve(
        options.get("profile", profile), **{k: v for k, v in options.items() if k in _KNOBS}
    )
    rest = {k: v for k, v in options.items() if k not in _KNOBS | {"profile"}}
    for name, known in PROFILES.items():
        if known == knobs:
            return {"profile": name, **rest}
    base = options.get("profile", profile)
    changed = {k: v for k, v in options.items() if k in _KNOBS and v != getattr(PROFILES[base], k)}
    return {"profile": base, **changed, **rest}


def train_block(bench: Bench, modality: str, arm: Configuration) -> TrainedModel:
    """Train the block of one modality as an arm asks for, wrapped round its trained encoder.

    The seed depends on the fold and the modality only: all arms see the same batches, and arms
    whose blocks have the same shapes start at the same weights.
    """
    if arm.name == ONE_START:
        return bench.block(modality, start=latent_and_head(bench.fold, bench.settings))
    return bench.block(modality, options=fewest_options(bench.settings.profile, arm.options))
