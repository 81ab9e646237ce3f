"""The stated properties of transform and merge, each measured as a departure from equality."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.linalg import vector_norm

from mmlego.lego import merge_latents
from mmlego.lego.spectrum import invert, transform
from mmlego.runs.settings import PropertiesSettings

TOLERANCES = {torch.float64: 1e-12, torch.float32: 1e-5}
_AXES = (-2, -1)


@dataclass(frozen=True)
class Measure:
    """One measured statement.

    Attributes:
        key: Number of the property in appendix B, P1 to P8.
        statement: What is claimed.
        error: Largest departure from it over all draws, in float64, >= 0.
        single: The same in float32, the precision that blocks run in.
        tolerance: Departure in float64 up to which the statement counts as holding.
    """

    key: str
    statement: str
    error: float
    single: float
    tolerance: float

    @property
    def holds(self) -> bool:
        """Whether the statement holds within the tolerance."""
        return self.error <= self.tolerance


Row = tuple[str, str, float]


def measure_all(settings: PropertiesSettings) -> list[Measure]:
    """Measure all properties in two precisions on the same random latents.

    Source: Hemker et al. 2025, appendix B. That the merge keeps distances (P8) is no claim of the
    paper; it is the reading that invites itself after P2, so it is measured as well.
    """
    double, single = (
        [row for rows in _rows(*_draw(settings, dtype)) for row in rows] for dtype in TOLERANCES
    )
    return [
        Measure(key, statement, error, other, TOLERANCES[torch.float64])
        for (key, statement, error), (_, _, other) in zip(double, single, strict=True)
    ]


def _draw(settings: PropertiesSettings, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Two stacks of real latents (draws, c, d), the same numbers in every precision."""
    shape = (2, settings.draws, settings.latent_channels, settings.latent_dim)
    values = np.random.default_rng(settings.seed).standard_normal(shape)
    first, second = torch.from_numpy(values).to(dtype)
    return first, second


def _rows(x: Tensor, y: Tensor) -> Iterator[Sequence[Row]]:
    a, b = ortho(x), ortho(y)
    yield from (_energy(x), _distance(x, y), _inverse(x), _powers(x))
    yield from (_locality(a, b), _symmetry(x), _means(a, b), _merged_distance(a, b))


def ortho(x: Tensor) -> Tensor:
    """The transform scaled to keep lengths."""
    return torch.fft.fftn(x, dim=_AXES, norm="ortho")


def _reversed(z: Tensor) -> Tensor:
    """Element (u, v) becomes element (-u mod c, -v mod d)."""
    return z.flip(_AXES).roll((1, 1), _AXES)


def size(z: Tensor) -> Tensor:
    """Frobenius norm of every latent, (draws,)."""
    return vector_norm(z, dim=_AXES)


def _off(found: Tensor, expected: Tensor | float) -> float:
    """Largest relative departure of a positive quantity from what is expected."""
    return float((found / expected - 1).abs().max())


def _gap(found: Tensor, expected: Tensor) -> float:
    """Largest departure of an element, relative to the largest element."""
    return float((found - expected).abs().max() / expected.abs().max())


def _energy(x: Tensor) -> list[Row]:
    count = x.shape[-2] * x.shape[-1]
    plain, scaled = (size(z).square() for z in (transform(x, "2d"), ortho(x)))
    before = size(x).square()
    return [
        ("P1", "Energy is kept, divided by the number of elements", _off(plain / count, before)),
        ("P1", "Energy is kept by the transform scaled to keep lengths", _off(scaled, before)),
        ("P1", "Energy is kept without any factor", _off(plain, before)),
    ]


def _distance(x: Tensor, y: Tensor) -> list[Row]:
    count = x.shape[-2] * x.shape[-1]
    plain = size(transform(x, "2d") - transform(y, "2d"))
    return [
        (
            "P2",
            "Distances are kept by the transform scaled to keep lengths",
            _off(size(ortho(x) - ortho(y)), size(x - y)),
        ),
        (
            "P2",
            "Distances grow by the root of the number of elements otherwise",
            _off(plain, count**0.5 * size(x - y)),
        ),
    ]


def _inverse(x: Tensor) -> list[Row]:
    back = invert(transform(x, "2d"), "2d")
    return [("P3", "The inverse transform recovers the latent", _gap(back, x))]


def _powers(x: Tensor) -> list[Row]:
    twice = ortho(ortho(x))
    return [
        ("P4", "Transforming twice reverses the indices", _gap(twice, _reversed(x))),
        ("P4", "Transforming four times changes nothing", _gap(ortho(ortho(twice)), x)),
    ]


def _locality(a: Tensor, b: Tensor) -> list[Row]:
    """Change one element of one latent, and look at all others of the merged one."""
    u, v = a.shape[-2] // 2, a.shape[-1] // 3
    changed = a.clone()
    changed[:, u, v] *= 2
    moved = (merge_latents([changed, b]) - merge_latents([a, b])).abs()
    here = moved[:, u, v].clone()
    moved[:, u, v] = 0
    # A merge that ignores the change would be local too, and must not pass.
    spread = moved.amax(_AXES) / here if bool((here > 0).all()) else torch.tensor(torch.inf)
    return [("P5", "One changed element changes no other of the merge", float(spread.max()))]


def _symmetry(x: Tensor) -> list[Row]:
    z = transform(x, "2d")
    return [
        (
            "P6",
            "The real part of a real latent's transform is even",
            _gap(_reversed(z.real), z.real),
        ),
        ("P6", "Its imaginary part is odd", _gap(-_reversed(z.imag), z.imag)),
    ]


def _means(a: Tensor, b: Tensor) -> list[Row]:
    harmonic, geometric = (merge_latents([a, b], method=m) for m in ("harmonic", "geometric"))
    arithmetic = (a.abs() + b.abs()) / 2
    over = torch.maximum(
        harmonic.abs() / geometric.abs() - 1, geometric.abs() / arithmetic - 1
    ).amax()
    return [
        (
            "P7",
            "Magnitudes: harmonic mean <= geometric mean <= arithmetic mean",
            max(float(over), 0.0),
        ),
        ("P7", "The order of the latents does not matter", _gap(merge_latents([b, a]), harmonic)),
        (
            "P7",
            "Scaling all latents scales the merge",
            _gap(merge_latents([3 * a, 3 * b]), 3 * harmonic),
        ),
    ]


def _merged_distance(a: Tensor, b: Tensor) -> list[Row]:
    other = a.roll(1, 0)
    merged = size(merge_latents([a, b]) - merge_latents([other, b]))
    return [("P8", "The merge keeps distances", _off(merged, size(a - other)))]
