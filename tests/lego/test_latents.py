"""Merged latents: single ones, absent ones, zeros, and bad arguments."""

from __future__ import annotations

import pytest
import torch

from mmlego.errors import ModalityError, SettingsError, ShapeError
from mmlego.lego import merge_latents
from mmlego.lego.latents import METHODS


def complexes(*shape, count=2, seed=0):
    generator = torch.Generator().manual_seed(seed)
    parts = torch.randn(count, 2, *shape, generator=generator, dtype=torch.float64)
    return [torch.complex(*pair) for pair in parts]


@pytest.mark.parametrize("method", METHODS)
def test_one_latent_is_returned_unchanged(method):
    (z,) = complexes(2, 3, 4, count=1)
    assert torch.equal(merge_latents([z], method=method), z)
    other = torch.full_like(z, complex(float("nan"), 1.0))
    present = torch.tensor([[True, False], [True, False]])
    assert torch.equal(merge_latents([z, other], method=method, present=present), z)


@pytest.mark.parametrize("phase", ["arithmetic", "circular"])
@pytest.mark.parametrize("method", [m for m in METHODS if m != "official_harmonic"])
def test_absent_latents_neither_count_nor_poison_gradients(method, phase):
    zs = complexes(3, 2, 4, count=3)
    present = torch.tensor([[True, True, True], [True, False, True], [False, True, False]])
    leaves = [z.clone() for z in zs]
    for m, z in enumerate(leaves):
        z[~present[:, m]] = complex(float("nan"), float("inf"))
        z.requires_grad_()
    merged = merge_latents(leaves, None, method, phase, present)
    for i, row in enumerate(present):
        alone = [z[i : i + 1] for m, z in enumerate(zs) if row[m]]
        torch.testing.assert_close(merged[i : i + 1], merge_latents(alone, None, method, phase))
    torch.view_as_real(merged).square().sum().backward()
    assert all(bool(torch.isfinite(torch.view_as_real(z.grad)).all()) for z in leaves)


@pytest.mark.parametrize("phase", ["arithmetic", "circular"])
@pytest.mark.parametrize("method", METHODS)
def test_zeros_give_finite_values_and_gradients(method, phase):
    a, b = complexes(1, 2, 3)
    a[0, 0], b[0, :, 0] = 0, 0
    b[0, 1, 1] = -a[0, 1, 1]
    a.requires_grad_()
    b.requires_grad_()
    merged = merge_latents([a, b], None, method, phase)
    assert bool(torch.isfinite(torch.view_as_real(merged)).all())
    torch.view_as_real(merged).sum().backward()
    for z in (a, b):
        assert bool(torch.isfinite(torch.view_as_real(z.grad)).all())
    if method == "harmonic":
        assert torch.equal(merged[0, 0], torch.zeros(3, dtype=torch.complex128))


def test_negative_zero_has_the_phase_of_zero():
    a, b = (torch.complex(torch.tensor(-1.0), torch.tensor(s)).view(1, 1, 1) for s in (0.0, -0.0))
    merged = merge_latents([a, b])
    assert float(merged.real) == pytest.approx(-1.0)


def test_weight_zero_leaves_a_modality_out():
    zs = complexes(2, 3, 4, count=3)
    torch.testing.assert_close(merge_latents(zs, [1, 1, 0]), merge_latents(zs[:2]))
    torch.testing.assert_close(merge_latents(zs, [2, 1, 1]), merge_latents(zs, [0.5, 0.25, 0.25]))


def test_largest_magnitude_takes_whole_elements():
    a, b = complexes(2, 3, 4)
    merged = merge_latents([a, b], method="max_magnitude")
    torch.testing.assert_close(merged, torch.where(a.abs() >= b.abs(), a, b))


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({"method": "harmonc"}, SettingsError),
        ({"phase": "mean"}, SettingsError),
        ({"weights": [1.0]}, SettingsError),
        ({"weights": [-1.0, 2.0]}, SettingsError),
        ({"weights": [0.0, 0.0]}, SettingsError),
        ({"weights": [float("nan"), 1.0]}, SettingsError),
        ({"weights": [0.5, 0.5], "method": "sum"}, SettingsError),
        ({"present": torch.ones(2, 2)}, ShapeError),
        ({"present": torch.ones(2, 3).bool()}, ShapeError),
        ({"present": torch.tensor([[True, True], [False, False]])}, ModalityError),
    ],
)
def test_bad_latent_arguments(arguments, error):
    with pytest.raises(error):
        merge_latents(complexes(2, 3, 4), **arguments)


def test_bad_latents():
    a, b = complexes(2, 3, 4)
    for bad in ([], [a.real, b.real], [a, b[:1]], [a[0], b[0]], [a, b * float("nan")]):
        with pytest.raises(ShapeError):
            merge_latents(bad)
