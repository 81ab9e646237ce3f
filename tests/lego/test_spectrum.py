"""Properties of the transforms (Parseval, inverse, locality) and of masked reading."""

from __future__ import annotations

import pytest
import torch

from mmlego.lego import merge_latents, spectrum

SHAPES = [(3, 4), (17, 126), (1, 5), (4, 1)]


@pytest.fixture
def draw():
    generator = torch.Generator().manual_seed(3)

    def build(*shape):
        return torch.randn(shape, generator=generator, dtype=torch.float64)

    return build


@pytest.mark.parametrize("shape", SHAPES)
def test_parseval_and_distance(shape, draw):
    x, y = draw(2, *shape), draw(2, *shape)
    size = shape[0] * shape[1]
    for axes, factor in (("2d", size), ("1d", shape[0])):
        zx, zy = spectrum.transform(x, axes), spectrum.transform(y, axes)
        torch.testing.assert_close(spectrum.energy(zx, "2d") / factor, spectrum.energy(x, "2d"))
        distance = spectrum.energy(zx - zy, "2d").sqrt()
        torch.testing.assert_close(
            distance, spectrum.energy(x - y, "2d").sqrt() * factor**0.5, rtol=1e-10, atol=0
        )


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("axes", ["1d", "2d"])
def test_inverse_recovers(axes, shape, draw):
    x = torch.complex(draw(2, *shape), draw(2, *shape))
    back = spectrum.invert(spectrum.transform(x, axes), axes)
    assert float((back - x).abs().max()) < 1e-12


def test_twice_is_reversal_and_four_times_identity(draw):
    x = draw(5, 6)
    once = spectrum.transform(x, "2d") / 30**0.5
    twice = spectrum.transform(once, "2d") / 30**0.5
    rows, columns = -torch.arange(5) % 5, -torch.arange(6) % 6
    torch.testing.assert_close(twice.real, x[rows][:, columns])
    four = spectrum.transform(spectrum.transform(twice, "2d"), "2d") / 30
    torch.testing.assert_close(four.real, x)


def test_real_latents_have_even_real_and_odd_imaginary_parts(draw):
    z = spectrum.transform(draw(5, 6), "2d")
    rows, columns = -torch.arange(5) % 5, -torch.arange(6) % 6
    torch.testing.assert_close(z.real[rows][:, columns], z.real)
    torch.testing.assert_close(z.imag[rows][:, columns], -z.imag)


def test_own_mirror_bins_are_exactly_real(draw):
    # Their phase is 0 or pi; round-off in the imaginary part would turn pi into -pi.
    z = spectrum.transform(draw(17, 126).float(), "2d")
    assert torch.equal(z.imag[0, [0, 63]], torch.zeros(2))


def test_merge_is_local_and_does_not_preserve_distance(draw):
    zs = [spectrum.transform(draw(1, 3, 4), "2d") for _ in range(3)]
    changed = [zs[0].clone(), *zs[1:]]
    changed[0][0, 1, 2] *= 3
    differs = (merge_latents(zs) != merge_latents(changed))[0]
    assert differs[1, 2]
    assert int(differs.sum()) == 1
    a, b, c = zs
    before, after = (
        (a - b).abs().norm(),
        (merge_latents([a, c]) - merge_latents([b, c])).abs().norm(),
    )
    assert abs(float(before - after)) > 1e-2


def test_harmonic_below_geometric_below_arithmetic(draw):
    zs = [torch.complex(draw(2, 3, 4), draw(2, 3, 4)) for _ in range(3)]
    harmonic, geometric = (merge_latents(zs, method=m).abs() for m in ("harmonic", "geometric"))
    arithmetic = sum(z.abs() for z in zs) / 3
    assert bool((harmonic <= geometric + 1e-12).all())
    assert bool((geometric <= arithmetic + 1e-12).all())
    torch.testing.assert_close(merge_latents(zs[::-1]), merge_latents(zs))
    torch.testing.assert_close(merge_latents([2.5 * z for z in zs]), 2.5 * merge_latents(zs))


@pytest.mark.parametrize("axes", ["1d", "2d"])
def test_zero_latent_normalizes_to_zero_with_finite_gradient(axes):
    x = torch.zeros(2, 3, 4, requires_grad=True)
    out = spectrum.normalize(x, axes)
    out.sum().backward()
    assert torch.equal(out, torch.zeros_like(out))
    assert bool(torch.isfinite(x.grad).all())


@pytest.mark.parametrize("context", spectrum.CONTEXTS)
@pytest.mark.parametrize("axes", ["1d", "2d"])
def test_masked_reading_equals_each_sample_alone(axes, context, draw):
    h = draw(3, 6, 5)
    mask = torch.tensor([[1, 1, 1, 1, 0, 0], [0, 1, 0, 1, 1, 1], [0, 0, 1, 0, 0, 0]]).bool()
    out, valid = spectrum.read_data(h, mask, axes=axes, context=context)
    assert out.shape[1] == 4
    for i in range(3):
        alone, nothing = spectrum.read_data(h[i : i + 1, mask[i]], None, axes=axes, context=context)
        assert nothing is None
        torch.testing.assert_close(out[i, valid[i]], alone[0])


def test_half_precision_is_transformed_in_float32(draw):
    x = draw(2, 3, 5).float()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        z = spectrum.transform(x.bfloat16(), "2d")
    assert z.dtype == torch.complex64
    torch.testing.assert_close(z, spectrum.transform(x.bfloat16().float(), "2d"))
