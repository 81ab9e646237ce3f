"""The cases, tables and sentences of the notebook on signal interference."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import pandas as pd

from mmlego.reporting.tables import mean_with_sd
from mmlego.runs.settings import SignalSettings
from mmlego.studies.checks.signals import (
    RULES,
    additive_inverse_pair,
    interference_table,
    merge_signals,
    square_wave_pair,
)

NAMES = {
    "mean": "mean",
    "abs_mean": "mean of magnitudes",
    "harmonic": "harmonic mean, arithmetic phase",
    "harmonic_circular": "harmonic mean, circular phase",
}
Pair = tuple[np.ndarray, np.ndarray]


@dataclass(frozen=True)
class Case:
    """One experiment: the first draw for plots, and the table of all draws.

    Attributes:
        title: What the two signals are.
        signals: The two signals of the first draw.
        merged: The merged signals of the first draw by rule.
        spectra: Magnitudes of the two spectra of the first draw.
        table: Mean energy ratio and mean correlation over draws by rule.
        draws: All draws: rule, draw, energy_ratio, correlation.
    """

    title: str
    signals: dict[str, np.ndarray]
    merged: dict[str, np.ndarray]
    spectra: dict[str, np.ndarray]
    table: pd.DataFrame
    draws: pd.DataFrame


def cases(settings: SignalSettings) -> dict[str, Case]:
    """All cases of figures 5 and 6 of the paper, with the variations that change the answer.

    Source: Hemker et al. 2025, appendix F.
    """
    makers: dict[str, Callable[..., Pair]] = {
        "additive inverse": partial(additive_inverse_pair, settings.n, noise=settings.noise),
        "frequency offset": partial(
            square_wave_pair, settings.n, cycles=(5, 6), amplitude="scalar"
        ),
        "phase offset": partial(
            square_wave_pair, settings.n, cycles=(5, 5), phase=np.pi / 2, amplitude="one"
        ),
        "frequency offset, pointwise amplitude": partial(
            square_wave_pair, settings.n, cycles=(5, 6), amplitude="pointwise"
        ),
    }
    return {name: _case(name, make, settings) for name, make in makers.items()}


def _case(title: str, make: Callable[..., Pair], settings: SignalSettings) -> Case:
    draws = []
    for draw in range(settings.draws):
        pair = make(seed=settings.seed + draw)
        draws.append(interference_table(*pair).fillna({"correlation": 0.0}).assign(draw=draw))
    a, b = make(seed=settings.seed)
    frame = pd.concat(draws, ignore_index=True)
    means = frame.groupby("rule", sort=False)[["energy_ratio", "correlation"]].mean().reset_index()
    return Case(
        title=title,
        signals={"first": a, "second": b},
        merged={
            NAMES[rule]: np.real(merge_signals(a, b, rule)) for rule in RULES if rule != "abs_mean"
        },
        spectra={"first": np.abs(np.fft.rfft(a)), "second": np.abs(np.fft.rfft(b))},
        table=means.assign(rule=means["rule"].map(NAMES)),
        draws=frame,
    )


def describe(found: Mapping[str, Case]) -> str:
    """What was drawn."""
    first = next(iter(found.values()))
    return (
        f"{len(found)} experiments, {first.draws['draw'].nunique()} draws each, "
        f"signals of {len(first.signals['first'])} samples.\n"
        "The mean of magnitudes is shown for comparison: it keeps energy too, and no shape at all."
    )


def _value(case: Case, rule: str, column: str) -> float:
    return float(case.table.set_index("rule").loc[NAMES[rule], column])


def read(case: Case) -> str:
    """What one experiment shows, in its own numbers."""
    return (
        f"Energy kept: mean {_value(case, 'mean', 'energy_ratio'):.1%}, "
        f"harmonic mean {_value(case, 'harmonic', 'energy_ratio'):.1%}.\n"
        "Correlation with the input that is resembled most: mean "
        f"{_value(case, 'mean', 'correlation'):+.2f}, "
        f"harmonic mean {_value(case, 'harmonic', 'correlation'):+.2f}."
    )


def summary(found: Mapping[str, Case]) -> pd.DataFrame:
    """Mean and standard deviation over draws of every rule in every experiment."""
    rows = []
    for name, case in found.items():
        groups = case.draws.groupby("rule", sort=False)[["energy_ratio", "correlation"]]
        for rule, part in groups:
            rows.append(
                {
                    "experiment": name,
                    "rule": NAMES[rule],
                    "energy kept": mean_with_sd(*part["energy_ratio"].agg(["mean", "std"])),
                    "correlation": mean_with_sd(*part["correlation"].agg(["mean", "std"])),
                }
            )
    return pd.DataFrame(rows).set_index(["experiment", "rule"])


def answer(found: Mapping[str, Case]) -> str:
    """Where the harmonic mean keeps more energy, and what of the shape is left."""
    wins = [
        name
        for name, case in found.items()
        if _value(case, "harmonic", "energy_ratio") > _value(case, "mean", "energy_ratio")
    ]
    first = found["additive inverse"]
    return (
        f"The harmonic mean keeps more energy than the plain mean in {len(wins)} of "
        f"{len(found)} experiments ({', '.join(wins) or 'none'}). "
        "Of a signal and its inverse it keeps "
        f"{_value(first, 'harmonic', 'energy_ratio'):.0%} of the energy, with a correlation of "
        f"{abs(_value(first, 'harmonic', 'correlation')):.2f} with either of them."
    )


def conclusion(found: Mapping[str, Case]) -> str:
    """What holds over all experiments."""
    kept = {name: _value(case, "harmonic", "energy_ratio") for name, case in found.items()}
    plain = {name: _value(case, "mean", "energy_ratio") for name, case in found.items()}
    alike = {name: abs(_value(case, "harmonic", "correlation")) for name, case in found.items()}
    wins = [name for name in found if kept[name] > plain[name]]
    loses = [name for name in found if kept[name] < plain[name]]
    lines = [
        f"The harmonic mean keeps more energy than the plain mean in: {', '.join(wins) or 'none'}.",
        f"It keeps less in: {', '.join(loses) or 'none'}, where the spectra hardly overlap.",
        f"Kept energy is not kept signal: with an {list(found)[0]} it keeps "
        f"{kept['additive inverse']:.0%} "
        f"of the energy and has a correlation of {alike['additive inverse']:.2f} with either "
        "input.",
        "So the claim that merging in the frequency domain prevents interference holds for energy, "
        "and for signals "
        "whose spectra overlap; it does not hold for signals of different frequency, and says "
        "nothing about shape.",
    ]
    return "\n".join(f"* {line}" for line in lines)


def record(found: Mapping[str, Case]) -> dict[str, Any]:
    """Numbers of all experiments for the run's record."""
    return {name: case.table.to_dict("records") for name, case in found.items()}
