from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from mmlego.errors import SettingsError, ShapeError
from mmlego.studies.checks import signals

CASES = json.loads((Path(__file__).parents[2] / "reference" / "mmlego.json").read_text())
CASES = CASES["signal_interference"]


def reference_pair(name):
    k = np.arange(256)
    if name == "F5_additive_inverse":
        a = np.sin(2.1 * k) + 0.7 * np.cos(0.013 * k**2) + 0.3 * np.cos(0.9 * k)
        return a, -a + 0.1 * np.sin(5.3 * k + 1)
    other = {"cycles": (5, 6)} if name == "F6_square_5_vs_6" else {"cycles": (5, 5)}
    return signals.square_wave_pair(256, phase=np.pi / 2 * (other["cycles"] == (5, 5)), **other)


@pytest.mark.parametrize(
    "name", ["F5_additive_inverse", "F6_square_5_vs_6", "F6_square_5_phase_pi_over_2"]
)
def test_reference_case(name):
    a, b = reference_pair(name)
    table = signals.interference_table(a, b).set_index("rule")
    expected = {key: np.nan if v is None else v for key, v in CASES[name].items()}
    found = {
        "mean_energy_ratio": table.energy_ratio["mean"],
        "harmonic_energy_ratio": table.energy_ratio["harmonic"],
        "mean_abs_energy_ratio": table.energy_ratio["abs_mean"],
        "corr_harmonic_with_A": table.correlation_a["harmonic"],
        "corr_mean_with_A": table.correlation_a["mean"],
    }
    for key, value in found.items():
        assert value == pytest.approx(expected[key], abs=1e-6, nan_ok=True), key


def test_frequency_offset_loses_what_a_phase_offset_keeps():
    apart = signals.interference_table(*signals.square_wave_pair(1000, cycles=(5, 6)))
    shifted = signals.interference_table(
        *signals.square_wave_pair(1000, cycles=(5, 5), phase=np.pi / 2)
    )
    rules = list(apart.rule)
    assert apart.energy_ratio[rules.index("harmonic")] < 0.05
    assert shifted.energy_ratio[rules.index("harmonic")] > 0.95


def test_merging_a_signal_with_itself_returns_it():
    a = np.random.default_rng(0).standard_normal(50)
    for rule in ("mean", "harmonic", "harmonic_circular"):
        np.testing.assert_allclose(signals.merge_signals(a, a, rule), a, atol=1e-12)
        assert signals.energy_ratio(a, a, a) == pytest.approx(1.0)
        assert signals.correlation(signals.merge_signals(a, a, rule), a) == pytest.approx(1.0)


def test_additive_inverse_is_what_it_says_and_seeded():
    x, y = signals.additive_inverse_pair(1000, noise=0.1, seed=3)
    assert (x + y).std() == pytest.approx(0.1, rel=0.1)
    assert np.array_equal(x, signals.additive_inverse_pair(1000, noise=0.1, seed=3)[0])
    assert not np.array_equal(x, signals.additive_inverse_pair(1000, noise=0.1, seed=4)[0])
    assert np.array_equal(*np.abs(signals.additive_inverse_pair(20, noise=0.0)))


def test_amplitudes():
    plain, _ = signals.square_wave_pair(100)
    assert set(plain) == {-1.0, 1.0}
    scalar, other = signals.square_wave_pair(100, amplitude="scalar", seed=1)
    assert len(set(np.abs(scalar))) == 1
    assert abs(scalar[0]) != abs(other[0])
    assert len(set(signals.square_wave_pair(100, amplitude="pointwise", seed=1)[0])) == 100


def test_a_constant_signal_has_no_correlation():
    assert np.isnan(signals.correlation(np.zeros(5), np.arange(5.0)))


def test_refusals():
    with pytest.raises(SettingsError, match="rule"):
        signals.merge_signals([1.0, 2.0], [1.0, 2.0], "median")
    with pytest.raises(SettingsError, match="amplitude"):
        signals.square_wave_pair(10, amplitude="loud")
    with pytest.raises(SettingsError, match="cycles"):
        signals.square_wave(10, 0)
    with pytest.raises(SettingsError, match="noise"):
        signals.additive_inverse_pair(10, noise=-1.0)
    with pytest.raises(ShapeError, match="equal length"):
        signals.merge_signals([1.0, 2.0], [1.0], "mean")
    with pytest.raises(ShapeError, match="finite"):
        signals.merge_signals([1.0, np.nan], [1.0, 2.0], "mean")
    with pytest.raises(ShapeError, match="zeros only"):
        signals.energy_ratio(np.zeros(3), np.zeros(3), np.zeros(3))
