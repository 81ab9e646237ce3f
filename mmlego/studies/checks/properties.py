"""The tables and sentences of the notebook on the properties of transform and merge."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from mmlego.lego import merge_latents
from mmlego.runs.settings import PropertiesSettings
from mmlego.studies.checks.identities import TOLERANCES, Measure, measure_all, ortho, size

__all__ = ["conclusion", "describe", "distances", "measure_all", "record", "table"]

TRANSFORMED, MERGED = "transform alone", "merge with a fixed latent"


@dataclass(frozen=True)
class Distances:
    """What transform and merge do to distances between latents.

    Attributes:
        table: One row per pair and step: ``kind``, ``before`` and ``after`` (both > 0).
        collapsed: Distance of two different pairs of latents, and of their merges.
        jumped: The same for two pairs that differ by a phase across the negative real axis.
    """

    table: pd.DataFrame
    collapsed: tuple[float, float]
    jumped: tuple[float, float]

    def ratios(self, kind: str) -> pd.Series:
        """Distance after over distance before, one per pair."""
        rows = self.table[self.table["kind"] == kind]
        return rows["after"] / rows["before"]


def distances(settings: PropertiesSettings) -> Distances:
    """Move one latent by steps of many sizes, and see how far its transform and merge move."""
    rng = np.random.default_rng(settings.seed + 1)
    shape = (settings.pairs, settings.latent_channels, settings.latent_dim)
    x, step, y = (torch.from_numpy(rng.standard_normal(shape)) for _ in range(3))
    moved = x + step * torch.logspace(-3, 0, settings.pairs, dtype=x.dtype)[:, None, None]
    a, other, b = ortho(x), ortho(moved), ortho(y)
    before = size(moved - x).numpy()
    after = {
        TRANSFORMED: size(other - a),
        MERGED: size(merge_latents([other, b]) - merge_latents([a, b])),
    }
    frames = [
        pd.DataFrame({"kind": kind, "before": before, "after": values.numpy()})
        for kind, values in after.items()
    ]
    return Distances(pd.concat(frames, ignore_index=True), _collapse(a, b), _jump(settings))


def _collapse(a: Tensor, b: Tensor) -> tuple[float, float]:
    """Two latents in both orders: far apart as pairs, and the same merge."""
    apart = float(size(a - b)[0]) * 2**0.5  # both members of the pair differ
    return apart, float(size(merge_latents([a, b]) - merge_latents([b, a]))[0])


def _jump(settings: PropertiesSettings, turn: float = 1e-6) -> tuple[float, float]:
    """Turn one latent by a tiny angle across the negative real axis, where phases wrap round."""
    shape = (1, settings.latent_channels, settings.latent_dim)
    ones = torch.ones(shape, dtype=torch.float64)
    near, across = (torch.polar(ones, angle * ones) for angle in (np.pi - turn, turn - np.pi))
    apart = float(size(across - near))
    return apart, float(size(merge_latents([near, across]) - merge_latents([near, near])))


def table(found: Sequence[Measure]) -> pd.DataFrame:
    """One row per statement, for reading."""
    return pd.DataFrame(
        {
            "property": measure.key,
            "statement": measure.statement,
            "verdict": "holds" if measure.holds else "does not hold",
            "largest error": f"{measure.error:.1e}",
            "tolerance": f"{measure.tolerance:.0e}",
            "in float32": f"{measure.single:.1e}",
        }
        for measure in found
    )


def describe(found: Sequence[Measure], settings: PropertiesSettings) -> str:
    """What was measured."""
    return (
        f"{len(found)} statements under {len({measure.key for measure in found})} properties, each "
        f"on {settings.draws} random latents of {settings.latent_channels} by "
        f"{settings.latent_dim}.\n"
        "An error is the largest relative departure over all of them; a statement holds if its "
        f"error in float64 is at most {TOLERANCES[torch.float64]:.0e}."
    )


def answer(found: Sequence[Measure], moved: Distances) -> str:
    """How many statements hold, and whether a merge keeps distances, in two sentences."""
    kept, merged = moved.ratios(TRANSFORMED), moved.ratios(MERGED)
    return (
        f"{sum(measure.holds for measure in found)} of {len(found)} statements hold within the "
        "tolerance. "
        f"The transform multiplies every distance by {kept.min():.3f} to {kept.max():.3f}, the "
        f"merge by {merged.min():.2f} to {merged.max():.2f}, depending on the pair."
    )


def conclusion(found: Sequence[Measure], moved: Distances) -> str:
    """What holds, what does not, and what that means for merged latents."""
    failing = [measure for measure in found if not measure.holds]
    ratios = moved.ratios(MERGED)
    kept = moved.ratios(TRANSFORMED)
    lines = [
        f"{len(found) - len(failing)} of {len(found)} statements hold within the tolerance.",
        "Those that do not: "
        + ("; ".join(f"{m.key}, {_lower(m.statement)}" for m in failing) or "none")
        + ".",
        f"The transform alone multiplies every distance by {kept.min():.6f} to {kept.max():.6f}; "
        f"the merge by {ratios.min():.2f} to {ratios.max():.2f}, depending on the pair.",
        f"Two pairs of latents that are {moved.collapsed[0]:.1f} apart have merges that are "
        f"{moved.collapsed[1]:.1e} apart: which latent came from which modality is lost.",
        f"Two pairs that are {moved.jumped[0]:.1e} apart have merges that are "
        f"{moved.jumped[1]:.1f} apart: the mean of two phases jumps where they wrap round.",
        _about_distance(found),
    ]
    return "\n".join(f"* {line}" for line in lines)


def _about_distance(found: Sequence[Measure]) -> str:
    by_key = {key: all(m.holds for m in found if m.key == key) for key in ("P2", "P8")}
    if by_key["P2"] and not by_key["P8"]:
        return (
            "So what is proved about the transform, that it keeps distances, does not carry over "
            "to merged latents: P8 does not hold."
        )
    return f"Distances are kept by the transform: {by_key['P2']}; by the merge: {by_key['P8']}."


def _lower(text: str) -> str:
    return text[0].lower() + text[1:]


def record(found: Sequence[Measure], moved: Distances) -> dict[str, Any]:
    """All numbers for the run's record."""
    return {
        "statements": [
            {
                "property": measure.key,
                "statement": measure.statement,
                "error": measure.error,
                "error_float32": measure.single,
                "tolerance": measure.tolerance,
                "holds": measure.holds,
            }
            for measure in found
        ],
        "distance_ratio": {
            kind: moved.ratios(kind).agg(["min", "median", "max"]).to_dict()
            for kind in (TRANSFORMED, MERGED)
        },
        "collapsed": {"before": moved.collapsed[0], "after": moved.collapsed[1]},
        "jumped": {"before": moved.jumped[0], "after": moved.jumped[1]},
    }
