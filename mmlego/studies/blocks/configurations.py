"""The arms of the block ablations: what is changed, what it is compared with, how it is trained."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields
from itertools import product

from mmlego.bench.common_start import block_start, load_shared
from mmlego.bench.outcome import Outcome
from mmlego.bench.store.code import code_digest
from mmlego.bench.store.fits import FitStore
from mmlego.bench.training import Recipe, build_block, fit_settings, train_block, train_recipe
from mmlego.data.folds.fold import Fold
from mmlego.lego.profiles import PROFILES, Knobs, resolve
from mmlego.lego.spectrum import CONTEXTS
from mmlego.methods.names import LEGO_BLOCK
from mmlego.models.encoders.unimodal import Unimodal
from mmlego.runs.settings import BlockAblationSettings

ABLATIONS = ("A1", "A5", "A6", "A8", "A9", "profiles")
BLOCKS = "wrapped"
DEFAULT = "default"
ONE_START = "one start"
TRACKED, UNTRACKED, UNTRANSFORMED = "tracked", "not tracked", "no transform"
# Groups of A1 that are no profile: the state between passes is real, the latent is never scaled.
REAL_STATE, UNSCALED = "real state", "no normalization"
_KNOBS = {knob.name for knob in fields(Knobs)}
# Knobs of A8 by the words for their values.
_FACTORS = {
    "context": {f"context {value}": value for value in CONTEXTS},
    "fft_axes": {"FFT over tokens only": "1d", "FFT over both axes": "2d"},
    "spatial_state": {f"{value} state": value for value in ("complex", "real")},
    "normalise": {"normalization": True, UNSCALED: False},
}
_PASSES = {"one set of weights": True, "weights of each pass": False}


@dataclass(frozen=True)
class Arm:
    """One setting of the blocks.

    Attributes:
        ablation: One of ``ABLATIONS``.
        level: Name of the setting within its ablation.
        reference: Level of the same ablation that it is compared with; its own for a default.
        options: Options of ``LegoBlock`` that differ from the settings of the run.
        one_start: Whether the blocks of all modalities start at the same latent and head.
    """

    ablation: str
    level: str
    reference: str
    options: Mapping[str, object] = field(default_factory=dict)
    one_start: bool = False

    @property
    def variant(self) -> str:
        """Name of the setting in the table of results, such as ``A5: depth 2``."""
        return f"{self.ablation}: {self.level}"


def arms(settings: BlockAblationSettings) -> list[Arm]:
    """The arms that a run asks for; the reference of an arm is always among them."""
    wanted = settings.ablations or ABLATIONS
    return [arm for name in ABLATIONS if name in wanted for arm in _ARMS[name](settings)]


def _tracking(settings: BlockAblationSettings) -> Iterator[Arm]:
    """A1: in two profiles, and where the imaginary part should have next to no effect."""
    groups = {settings.profile: {}, "official": {"profile": "official"}}
    profiles = set(groups)
    groups |= {REAL_STATE: {"spatial_state": "real"}, UNSCALED: {"normalise": False}}
    switches = {
        TRACKED: {"track_imaginary": True, "frequency_domain": True},
        UNTRACKED: {"track_imaginary": False, "frequency_domain": True},
        UNTRANSFORMED: {"track_imaginary": False, "frequency_domain": False},
    }
    for (group, base), (name, switch) in product(groups.items(), switches.items()):
        # Without a transform there is neither a norm nor a complex state.
        if name != UNTRANSFORMED or group in profiles:
            yield Arm("A1", f"{group}, {name}", f"{group}, {TRACKED}", base | switch)


def _depths(settings: BlockAblationSettings) -> Iterator[Arm]:
    """A5: number of passes."""
    for depth in sorted({*settings.depths, settings.depth}):
        yield Arm("A5", f"depth {depth}", f"depth {settings.depth}", {"depth": depth})


def _latents(settings: BlockAblationSettings) -> Iterator[Arm]:
    """A6: shape of the latent."""
    own = f"{settings.latent_channels}x{settings.latent_dim}"
    for name in dict.fromkeys([own, *settings.latents]):
        channels, width = map(int, name.split("x"))
        options = {"latent_channels": channels, "latent_dim": width}
        yield Arm("A6", name, own, options)


def _reading(settings: BlockAblationSettings) -> Iterator[Arm]:
    """A8: one knob at a time, at every value that the profile does not have."""
    yield Arm("A8", DEFAULT, DEFAULT)
    for knob, values in _FACTORS.items():
        yield from _others("A8", settings, knob, values)


def _starts(settings: BlockAblationSettings) -> Iterator[Arm]:
    """A9: one start for all modalities, and weights by pass."""
    yield Arm("A9", DEFAULT, DEFAULT)
    yield Arm("A9", ONE_START, DEFAULT, one_start=True)
    yield from _others("A9", settings, "share_weights", _PASSES)


def _others(
    ablation: str, settings: BlockAblationSettings, knob: str, values: Mapping[str, object]
) -> Iterator[Arm]:
    own = getattr(PROFILES[settings.profile], knob)
    for name, value in values.items():
        if value != own:
            yield Arm(ablation, name, DEFAULT, {knob: value})


def _profiles(settings: BlockAblationSettings) -> Iterator[Arm]:
    """The three readings of the method as they are."""
    for name in PROFILES:
        yield Arm("profiles", name, settings.profile, {"profile": name})


_ARMS = {
    "A1": _tracking,
    "A5": _depths,
    "A6": _latents,
    "A8": _reading,
    "A9": _starts,
    "profiles": _profiles,
}


def fewest_options(profile: str, options: Mapping[str, object]) -> dict[str, object]:
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


def train_arm(
    fold: Fold,
    modality: str,
    arm: Arm,
    settings: BlockAblationSettings,
    store: FitStore,
    encoder: tuple[Outcome, Unimodal],
) -> tuple[Outcome, Unimodal]:
    """Train the block of one modality as an arm asks for, wrapped round its trained encoder.

    The seed depends on the fold and the modality only: all arms see the same batches, and arms
    whose blocks have the same shapes start at the same weights.
    """
    if arm.one_start:
        return _train_from_one_start(fold, modality, settings, store, encoder)
    options = fewest_options(settings.profile, arm.options)
    return train_block(fold, modality, BLOCKS, settings, store, encoder=encoder, options=options)


def _train_from_one_start(
    fold: Fold,
    modality: str,
    settings: BlockAblationSettings,
    store: FitStore,
    encoder: tuple[Outcome, Unimodal],
) -> tuple[Outcome, Unimodal]:
    """Train a block whose latent and head start as those of every other modality."""

    def build() -> Unimodal:
        trained = encoder[1].model.encoder
        block = build_block(fold, modality, settings, encoder=trained, variant=BLOCKS)
        start = block_start(fold, settings)
        chosen = {k: v for k, v in start.items() if k == "latent" or k.startswith("head.")}
        return Unimodal(modality, load_shared(block, chosen))

    shape = {"profile", "latent_channels", "latent_dim", "depth"}
    recipe = Recipe(
        method=LEGO_BLOCK,
        variant=BLOCKS,
        names=(modality,),
        fit=fit_settings(settings),
        options=settings.model_dump(include=shape) | {"start": "one latent and head"},
        seed=settings.seed,
        device=settings.device,
    )
    return train_recipe(
        fold,
        recipe,
        build,
        store,
        parent=encoder[0].key,
        code=code_digest(train_arm),
    )
