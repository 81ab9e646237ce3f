"""Cost of training and its growth: the tables and sentences of the notebook on efficiency."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from mmlego.bench.measuring import limited_threads
from mmlego.figures.style import title
from mmlego.methods.method import COST_BY_SIZE
from mmlego.methods.names import LEGO_FUSE, LEGO_MERGE
from mmlego.methods.registry import in_role
from mmlego.runs.settings import EfficiencySettings
from mmlego.studies.checks.contenders import CONTENDERS
from mmlego.studies.checks.costs import Cost, costs
from mmlego.studies.checks.scaling import FACTORS, ROUNDING, CostProbe, PowerLaw, fits, sweep

__all__ = [
    "conclusion",
    "costs",
    "cost_table",
    "describe",
    "fit_table",
    "fits",
    "lines",
    "record",
    "scaling_table",
]

SCALING = in_role(COST_BY_SIZE)
QUIET = 1.25  # slowest over fastest epoch up to which a machine counts as left alone
_MIB = 2**20
Laws = Mapping[tuple[str, str], PowerLaw]


def scaling_table(settings: EfficiencySettings, *, count: bool = False) -> pd.DataFrame:
    """Cost of a training step over tokens, modalities and latent width; see ``sweep``.

    Args:
        settings: Sizes and repeats.
        count: Count operations, which have no noise, instead of taking seconds.
    """
    probe = CostProbe.of(
        settings,
        tokens=settings.tokens,
        width=settings.bag_width,
        batch=settings.scaling_batch,
    )
    values = {
        "tokens": settings.token_counts,
        "modalities": settings.modality_counts,
        "latent_dim": settings.latent_dims,
    }
    chosen = [CONTENDERS[name] for name in SCALING]
    with limited_threads(settings.threads):
        tables = [
            sweep(chosen, probe, factor, values[factor], repeats=0 if count else settings.repeats)
            for factor in FACTORS
        ]
    return pd.concat(tables, ignore_index=True).assign(label=lambda t: t["method"].map(title))


def describe(settings: EfficiencySettings) -> str:
    """What was trained, on what, and how it was measured."""
    widths = ", ".join(map(str, settings.table_widths))
    return (
        f"{settings.n_samples} random samples with tables of {widths} features and a bag of "
        f"{settings.tokens} tokens of {settings.bag_width}; batches of {settings.batch_size}; "
        f"latents of {settings.latent_channels} by {settings.latent_dim}, {settings.depth} "
        f"pass(es); {settings.threads} thread(s) of a CPU.\n"
        f"Seconds are medians over {settings.repeats} epochs after one that warms up, of training "
        "alone: no validation pass is in them. All methods take turns, epoch by epoch.\n"
        f"Totals assume {settings.epochs} epochs for everything that is trained from scratch and "
        f"{settings.tune_epochs} for tuning; parts count as trained one after the other.\n"
        "Memory is the weights plus the most that torch's allocator held at once during one "
        "training step, from its own record of every allocation."
    )


def cost_table(found: Mapping[str, Cost]) -> pd.DataFrame:
    """One row per method, for reading, the cheapest total first."""
    rows = [
        {
            "method": cost.method,
            "parts, s per epoch": round(cost.part_seconds, 4) if cost.parts else "–",
            "whole, s per epoch": round(cost.joint_seconds, 4) if cost.joint else "–",
            "epochs of the whole": cost.joint_epochs,
            "total, s": round(cost.total_seconds, 3),
            "slowest / fastest epoch": round(cost.slowdown, 2),
            "assembly, s": round(cost.assembly_seconds, 5) if cost.parts else "–",
            "prediction, s": round(cost.inference_seconds, 4),
            "parameters": cost.parameters,
            "peak, MiB": round(cost.peak_bytes / _MIB, 1),
        }
        for cost in sorted(found.values(), key=lambda cost: cost.total_seconds)
    ]
    return pd.DataFrame(rows)


def lines(laws: Laws, factor: str) -> dict[str, PowerLaw]:
    """Power laws of one factor by the label that a figure gives their methods."""
    return {title(method): law for (method, name), law in laws.items() if name == factor}


def fit_table(timed: Laws, counted: Laws) -> pd.DataFrame:
    """Exponents of seconds and of operations, one row per method and factor, for reading."""
    return pd.DataFrame(
        {
            "method": method,
            "growing": FACTORS[factor],
            "exponent of time": round(law.exponent, 2),
            "95 % interval": f"{law.low:.2f} to {law.high:.2f}",
            "reading": law.verdict,
            "points": law.n_points,
            "exponent of operations": round(counted[method, factor].exponent, 2),
            "at the largest size": round(counted[method, factor].last, 2),
        }
        for (method, factor), law in timed.items()
    )


def answer(found: Mapping[str, Cost], counted: Laws) -> str:
    """What a merge costs beside other methods, and whether costs grow linearly."""
    merge = found[LEGO_MERGE]
    whole = [cost for cost in found.values() if not cost.parts]
    slower = sum(cost.total_seconds > merge.total_seconds for cost in whole)
    over = sum(law.last > 1.0 + ROUNDING for law in counted.values())
    return (
        f"With the training of its blocks counted, a merge takes {merge.total_seconds:.2g} s, less "
        f"than {slower} of {len(whole)} methods that are trained as a whole. "
        f"Operations grow more than linearly in {over} of {len(counted)} pairs of method and size."
    )


def conclusion(found: Mapping[str, Cost], timed: Laws, counted: Laws) -> str:
    """What the numbers say about cost, and about the claim that it grows linearly."""
    lines = [*_about_cost(found), *(_about_growth(name, timed, counted) for name in FACTORS)]
    return "\n".join(f"* {line}" for line in lines)


def _about_cost(found: Mapping[str, Cost]) -> list[str]:
    merge, fuse = found[LEGO_MERGE], found[LEGO_FUSE]
    whole = [cost for cost in found.values() if not cost.parts]
    slower = [cost for cost in whole if cost.total_seconds > merge.total_seconds]
    cheapest = min(found.values(), key=lambda cost: cost.total_seconds)
    return [
        f"Merging itself takes {merge.assembly_seconds:.2g} s and no epoch; the blocks that are "
        f"merged take {merge.total_seconds:.2g} s to train, which a comparison has to count.",
        f"Tuning a stack of them adds {fuse.joint_epochs * fuse.joint_seconds:.2g} s "
        f"({fuse.joint_seconds / merge.part_seconds:.2f} times an epoch of the blocks, per epoch).",
        f"With the blocks counted, the merge costs less than {len(slower)} of {len(whole)} methods "
        f"that are trained as a whole ({_names(slower)}); "
        f"{title(cheapest.method)} is the cheapest of all ({cheapest.total_seconds:.2g} s).",
        f"Most memory at once: {merge.peak_bytes / _MIB:.1f} MiB for the blocks of a merge, "
        f"{fuse.peak_bytes / _MIB:.1f} MiB for tuning, "
        f"{min(c.peak_bytes for c in whole) / _MIB:.1f} to "
        f"{max(c.peak_bytes for c in whole) / _MIB:.1f} MiB for methods trained as a whole.",
        _about_noise(found),
    ]


def _about_noise(found: Mapping[str, Cost]) -> str:
    worst = max(found.values(), key=lambda cost: cost.slowdown)
    if worst.slowdown <= QUIET:
        return "The machine was quiet: no epoch took much longer than the fastest of its kind."
    return (
        f"The machine was busy with other work: epochs of {title(worst.method)} differ by a factor "
        f"of {worst.slowdown:.1f}, so smaller differences between methods say nothing."
    )


def _about_growth(factor: str, timed: Laws, counted: Laws) -> str:
    chosen = {method: law for (method, name), law in timed.items() if name == factor}
    verdicts: dict[str, list[str]] = {}
    for method, law in chosen.items():
        verdicts.setdefault(law.verdict, []).append(f"{title(method)} {law}")
    words = "; ".join(f"{verdict}: {', '.join(named)}" for verdict, named in verdicts.items())
    over = [m for m in chosen if counted[m, factor].last > 1.0 + ROUNDING]
    more = ", ".join(f"{title(m)} {counted[m, factor].last:.2f}" for m in over)
    claim = (
        f"more than the linear growth that O(dMT) promises for {more}"
        if over
        else "at most linearly, as O(dMT) promises, for all of them"
    )
    return (
        f"{FACTORS[factor]}, exponent of the seconds with its 95 % interval: {words}. "
        f"Operations at the largest size grow {claim}."
    )


def _names(chosen: Sequence[Cost]) -> str:
    return ", ".join(title(cost.method) for cost in chosen) or "none"


def record(
    found: Mapping[str, Cost],
    table: pd.DataFrame,
    timed: Laws,
    counted: Laws,
    settings: EfficiencySettings,
) -> dict[str, Any]:
    """All numbers for the run's record."""
    return {
        "threads": settings.threads,
        "costs": [
            {
                "method": cost.method,
                "part_seconds": {name: part.seconds for name, part in cost.parts.items()},
                "joint_seconds": cost.joint.seconds if cost.joint else [],
                "part_epochs": cost.part_epochs,
                "joint_epochs": cost.joint_epochs,
                "total_seconds": cost.total_seconds,
                "assembly_seconds": cost.assembly_seconds,
                "inference_seconds": cost.inference_seconds,
                "parameters": cost.parameters,
                "peak_bytes": cost.peak_bytes,
            }
            for cost in found.values()
        ],
        "scaling": table.drop(columns="label").to_dict("records"),
        "exponents": [
            {"measure": measure, "method": method, "factor": factor} | dataclasses.asdict(law)
            for measure, laws in (("seconds", timed), ("operations", counted))
            for (method, factor), law in laws.items()
        ],
    }
