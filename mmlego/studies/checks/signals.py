"""Signal interference: what is left of two signals when they are merged, and what it resembles.

Two numbers describe a merged signal. Its energy, relative to that of the inputs, shows whether the
signals cancelled out. Its correlation with each input shows whether it still says the same: a rule
can keep all energy and resemble neither input.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from mmlego.errors import SettingsError, ShapeError

if TYPE_CHECKING:
    import pandas as pd

RULES = ("mean", "abs_mean", "harmonic", "harmonic_circular")
AMPLITUDES = ("one", "scalar", "pointwise")


def additive_inverse_pair(
    n: int = 1000, *, noise: float = 0.1, seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Return standard normal noise x (n,) and its noisy inverse -x + noise * N(0, 1).

    Args:
        n: Number of samples, 2 or more.
        noise: Standard deviation of what is added to the inverse, 0 or more.
        seed: Seed of both.

    Raises:
        SettingsError: If an argument is out of range.

    Source: Hemker et al. 2025, experiment on signal interference.
    """
    if n < 2 or not noise >= 0:
        raise SettingsError(
            f"signals: expected n of 2 or more, noise of 0 or more, got {n}, {noise}"
        )
    rng = np.random.default_rng(seed)
    x = rng.standard_normal(n)
    return x, -x + noise * rng.standard_normal(n)


def square_wave_pair(
    n: int = 1000,
    *,
    cycles: tuple[float, float] = (5, 6),
    phase: float = 0.0,
    amplitude: str = "one",
    seed: int = 0,
) -> tuple[np.ndarray, np.ndarray]:
    """Return two square waves (n,) that differ in frequency, in phase, or in both.

    Args:
        n: Number of samples, 2 or more.
        cycles: Periods of the first and of the second wave within the record.
        phase: Phase of the second wave, in radians; the first has none.
        amplitude: ``one``; ``scalar`` (one |N(0, 1)| per wave, as the experiment is usually read);
            ``pointwise`` (one N(0, 1) per sample, which makes the spectrum broad).
        seed: Seed of the amplitudes.

    Raises:
        SettingsError: If an argument is out of range.

    Source: Hemker et al. 2025, experiment on signal interference. The paper leaves open how the
        normal amplitude is drawn; here all three readings are offered.
    """
    if amplitude not in AMPLITUDES:
        raise SettingsError(f"signals: expected amplitude of {list(AMPLITUDES)}, got '{amplitude}'")
    rng = np.random.default_rng(seed)
    first, second = (
        square_wave(n, count, phase=offset) * _amplitude(amplitude, n, rng)
        for count, offset in zip(cycles, (0.0, phase), strict=True)
    )
    return first, second


def square_wave(n: int, cycles: float, *, phase: float = 0.0) -> np.ndarray:
    """Return a square wave (n,) of +1 and -1, sampled between its edges.

    Args:
        n: Number of samples, 2 or more.
        cycles: Periods within the record, above 0.
        phase: In radians.

    Raises:
        SettingsError: If an argument is out of range.
    """
    if n < 2 or not cycles > 0:
        raise SettingsError(f"signals: expected n of 2 or more, cycles above 0, got {n}, {cycles}")
    return np.where(np.sin(2 * np.pi * cycles * (np.arange(n) + 0.5) / n + phase) >= 0, 1.0, -1.0)


def merge_signals(a: ArrayLike, b: ArrayLike, rule: str) -> np.ndarray:
    """Merge two signals of equal weight into one of the same length.

    Args:
        a: First signal, (n,) real.
        b: Second signal, (n,) real.
        rule: ``mean``; ``abs_mean`` (mean of the absolute values); ``harmonic`` (harmonic mean of
            the magnitudes and arithmetic mean of the phases of each frequency); or
            ``harmonic_circular`` (the same with the circular mean of the phases).

    Returns:
        (n,) real for the first two rules, complex for the others, as a mean of phases keeps the
        symmetry of a real signal's spectrum only by chance.

    Raises:
        ShapeError: If lengths differ or a value is not finite.
        SettingsError: If the rule is unknown.
    """
    a, b = _pair(a, b)
    if rule == "mean":
        return (a + b) / 2
    if rule == "abs_mean":
        return (np.abs(a) + np.abs(b)) / 2
    if rule not in RULES:
        raise SettingsError(f"signals: expected rule of {list(RULES)}, got '{rule}'")
    return np.fft.ifft(_merged_spectrum(a, b, "circular" if "circular" in rule else "arithmetic"))


def energy_ratio(merged: ArrayLike, a: ArrayLike, b: ArrayLike) -> float:
    """Return the energy of a merged signal over the mean energy of its inputs; 0 = cancelled out.

    Raises:
        ShapeError: If lengths differ, a value is not finite, or both inputs are zero.
    """
    a, b = _pair(a, b)
    merged = np.asarray(merged)
    if merged.shape != a.shape or not np.isfinite(merged).all():
        raise ShapeError(f"merged signal: expected {a.shape} finite values, got {merged.shape}")
    energy = (np.sum(a**2) + np.sum(b**2)) / 2
    if energy == 0.0:
        raise ShapeError("signals: expected energy in one of them, got zeros only")
    return float(np.sum(np.abs(merged) ** 2) / energy)


def correlation(merged: ArrayLike, signal: ArrayLike) -> float:
    """Return Pearson's correlation of the real part of a merged signal with an input, in [-1, 1].

    It is NaN where one of them is constant up to rounding: nothing is left to correlate with.

    Raises:
        ShapeError: If lengths differ or a value is not finite.
    """
    x, y = _pair(np.real(merged), signal)
    x, y = x - x.mean(), y - y.mean()
    size, other = np.sqrt(np.sum(x**2)), np.sqrt(np.sum(y**2))
    if size <= 1e-9 * other or other <= 1e-9 * size:
        return float("nan")
    return float(np.clip(np.sum(x * y) / (size * other), -1.0, 1.0))


def interference_table(a: ArrayLike, b: ArrayLike) -> pd.DataFrame:
    """Merge two signals by every rule.

    Returns:
        One row per rule: ``rule``, ``energy_ratio``, ``correlation_a``, ``correlation_b``, and
        ``correlation``, the one of these two that is larger in size (NaN if undefined).

    Raises:
        ShapeError: If lengths differ, a value is not finite, or both signals are zero.
    """
    import pandas as pd

    rows = []
    for rule in RULES:
        merged = merge_signals(a, b, rule)
        with_a, with_b = correlation(merged, a), correlation(merged, b)
        rows.append(
            {
                "rule": rule,
                "energy_ratio": energy_ratio(merged, a, b),
                "correlation_a": with_a,
                "correlation_b": with_b,
                "correlation": with_a if abs(with_a) >= abs(with_b) else with_b,
            }
        )
    return pd.DataFrame(rows)


def _merged_spectrum(a: np.ndarray, b: np.ndarray, phase: str) -> np.ndarray:
    """Merge the spectra as the latents of a block with one channel would be merged."""
    import torch

    from mmlego.lego import merge_latents

    spectra = [torch.from_numpy(np.fft.fft(x))[None, None, :] for x in (a, b)]
    return merge_latents(spectra, method="harmonic", phase=phase)[0, 0].numpy()


def _amplitude(amplitude: str, n: int, rng: np.random.Generator) -> np.ndarray | float:
    if amplitude == "one":
        return 1.0
    return abs(rng.standard_normal()) if amplitude == "scalar" else rng.standard_normal(n)


def _pair(a: ArrayLike, b: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    a, b = np.asarray(a, dtype=float), np.asarray(b, dtype=float)
    if a.ndim != 1 or a.shape != b.shape or len(a) < 2:
        raise ShapeError(
            f"signals: expected two of equal length (n,) of 2 or more, got {a.shape} and {b.shape}"
        )
    if not (np.isfinite(a).all() and np.isfinite(b).all()):
        raise ShapeError("signals: expected finite values, got NaN or infinity")
    return a, b
