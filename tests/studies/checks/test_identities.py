from __future__ import annotations

from collections import defaultdict

import pytest
import torch

from mmlego.runs.settings import PropertiesSettings
from mmlego.studies.checks import identities

SETTINGS = PropertiesSettings(latent_channels=5, latent_dim=8, draws=3)


@pytest.fixture(scope="module")
def found():
    return identities.measure_all(SETTINGS)


def by_key(found):
    rows = defaultdict(list)
    for measure in found:
        rows[measure.key].append(measure)
    return rows


def test_eight_properties_are_measured(found):
    assert list(by_key(found)) == [f"P{number}" for number in range(1, 9)]


def test_what_theory_proves_holds_and_the_rest_does_not(found):
    failing = {(m.key, m.statement) for m in found if not m.holds}
    assert failing == {
        ("P1", "Energy is kept without any factor"),
        ("P8", "The merge keeps distances"),
    }


def test_energy_without_a_factor_is_off_by_the_number_of_elements(found):
    measure = next(m for m in found if m.statement == "Energy is kept without any factor")
    assert measure.error == pytest.approx(5 * 8 - 1)


def test_single_precision_is_less_exact_but_not_wrong(found):
    exact = [m for m in found if m.holds]
    assert max(m.single for m in exact) > 1e-9
    assert max(m.single for m in exact) < identities.TOLERANCES[torch.float32]


@pytest.mark.parametrize(
    ("name", "broken", "key"),
    [
        ("transform", lambda x, axes: 2 * torch.fft.fftn(x, dim=(-2, -1)), "P2"),
        ("invert", lambda z, axes: torch.fft.ifftn(z, dim=(-2,)), "P3"),
        ("transform", lambda x, axes: torch.fft.ifftn(x, dim=(-2,)) * (1 + 1j), "P6"),
        ("merge_latents", lambda zs, method="": zs[0].flip(-1) + zs[1], "P7"),
        ("merge_latents", lambda zs, method="": zs[0].mean(-1, keepdim=True) + zs[1], "P5"),
        ("merge_latents", lambda zs, method="": zs[1], "P5"),
    ],
)
def test_a_broken_transform_or_merge_is_found_out(monkeypatch, name, broken, key):
    monkeypatch.setattr(identities, name, broken)
    assert not all(m.holds for m in by_key(identities.measure_all(SETTINGS))[key])


def test_reversal_is_that_of_the_definition():
    z = torch.arange(12.0).reshape(1, 3, 4)
    for u in range(3):
        for v in range(4):
            assert identities._reversed(z)[0, u, v] == z[0, -u % 3, -v % 4]
