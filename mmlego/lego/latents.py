"""Merging frequency-domain latents element by element: no two frequency bins ever mix."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, cast

import torch
from torch import Tensor

from mmlego.errors import ModalityError, SettingsError, ShapeError
from mmlego.lego import checks
from mmlego.lego.profiles import choose
from mmlego.lego.spectrum import phase as phase_of

UNWEIGHTED = ("sum", "product", "max_magnitude")
POLAR = ("harmonic", "geometric", "official_harmonic")
METHODS = (*POLAR, "complex_harmonic", "mean", *UNWEIGHTED)
PHASES = ("arithmetic", "circular")
RESULTANT = 1e-8  # below this the circular mean has no direction


def merge_latents(
    latents: Sequence[Tensor],
    weights: Sequence[float] | Tensor | None = None,
    method: str = "harmonic",
    phase: str = "arithmetic",
    present: Tensor | None = None,
) -> Tensor:
    """Merge complex latents of several modalities into one of the same shape.

    Merging a single latent returns it unchanged, and so does a sample that has a single modality.

    Args:
        latents: Complex tensors, all (b, c, d), one per modality.
        weights: One number >= 0 per modality, scaled to sum 1; None means equal. ``sum``,
            ``product`` and ``max_magnitude`` take none.
        method: ``harmonic`` (weighted harmonic mean of the magnitudes; 0 if any is 0),
            ``geometric`` (weighted geometric mean), ``official_harmonic`` (two latents; the
            authors' code, which scales the harmonic mean by 2a(1-a)), ``complex_harmonic`` (1 /
            sum of w/Z, 0 where singular), ``mean``, ``sum``, ``product`` or ``max_magnitude`` (per
            element, the latent of largest magnitude).
        phase: For the first three methods: ``arithmetic`` (weighted mean of principal phases, as
            printed, which flips the sign of two nearly equal numbers on both sides of the negative
            real axis) or ``circular`` (direction of the weighted sum of unit phasors).
        present: (b, m) bool, False where a sample lacks a modality; weights are rescaled over the
            rest. If all remaining weights are 0, the remaining modalities count equally.

    Returns:
        Complex tensor (b, c, d).

    Raises:
        ShapeError: If shapes or types differ, or a present latent is not finite.
        ModalityError: If a sample has no modality.
        SettingsError: If a method, phase or weight is unknown or out of range.

    Source: MM-Lego, Eq. 4, for two latents of equal weight; weights, more than two latents, the
    circular phase and missing modalities are this package's extension.
    """
    latents = list(latents)
    choose("method", method, METHODS)
    choose("phase", phase, PHASES)
    present = _check(latents, present)
    if method in UNWEIGHTED and weights is not None:
        raise SettingsError(f"weights: method {method!r} takes none; leave weights=None")
    if method == "official_harmonic" and len(latents) > 2:
        raise SettingsError(f"official_harmonic: expected two latents, got {len(latents)}")
    base = checks.weights(weights, len(latents))
    shares = _shares(base, present).to(latents[0].real)
    if not bool(present.all()):
        latents = [_fill(z, present[:, m]) for m, z in enumerate(latents)]
    for m, z in enumerate(latents):
        checks.finite(z, f"latent {m}")
    if len(latents) == 1:
        return latents[0]
    merged = _merge(latents, shares, present, method, phase)
    return _keep_single(merged, latents, present)


def _check(latents: list[Tensor], present: Tensor | None) -> Tensor:
    if not latents or not all(isinstance(z, Tensor) and z.is_complex() for z in latents):
        raise ShapeError("latents: expected a sequence of complex tensors (b, c, d), at least one")
    shapes = {tuple(z.shape) for z in latents}
    if len(shapes) != 1 or latents[0].ndim != 3:
        raise ShapeError(f"latents: expected one shape (b, c, d) for all, got {sorted(shapes)}")
    expected = (len(latents[0]), len(latents))
    if present is None:
        return torch.ones(expected, dtype=torch.bool, device=latents[0].device)
    if present.dtype != torch.bool or tuple(present.shape) != expected:
        raise ShapeError(
            f"present: expected bool {expected}, got {present.dtype} {tuple(present.shape)}"
        )
    if not bool(present.any(1).all()):
        raise ModalityError(
            f"present: samples {(~present.any(1)).nonzero().flatten().tolist()[:5]} have no "
            "modality; leave them out"
        )
    return present.to(latents[0].device)


def _shares(base: Tensor, present: Tensor) -> Tensor:
    """Weights (b, m) rescaled over the present modalities of each sample."""
    mask = present.to(base)
    shares = mask * base.to(present.device)
    shares = torch.where(shares.sum(1, keepdim=True) > 0, shares, mask)
    return shares / shares.sum(1, keepdim=True)


def _fill(z: Tensor, there: Tensor) -> Tensor:
    """Zeros where a sample lacks the modality: garbage reaches neither value nor gradient."""
    return torch.where(there[:, None, None], z, torch.zeros((), dtype=z.dtype, device=z.device))


def _keep_single(merged: Tensor, latents: list[Tensor], present: Tensor) -> Tensor:
    """Samples with one modality keep its latent exactly."""
    single = present.sum(1) == 1
    if not bool(single.any()):
        return merged
    for m, z in enumerate(latents):
        merged = torch.where((single & present[:, m])[:, None, None], z, merged)
    return merged


def _merge(
    latents: list[Tensor], shares: Tensor, present: Tensor, method: str, phase: str
) -> Tensor:
    if method in POLAR:
        size = _geometric if method == "geometric" else _harmonic
        magnitude = size(latents, shares)
        if method == "official_harmonic":
            magnitude = magnitude * (2 * shares.prod(1))[:, None, None]
        mean = _circular if phase == "circular" else _arithmetic
        angle = mean(latents, shares)
        return torch.complex(magnitude * angle.cos(), magnitude * angle.sin())
    if method == "complex_harmonic":
        return _complex_harmonic(latents, shares)
    if method == "product":
        return _product(latents, present)
    if method == "max_magnitude":
        return _largest(latents, present)
    scale = shares if method == "mean" else torch.ones_like(shares)  # absent latents are zero
    return cast(Tensor, sum(_column(scale, m) * z for m, z in enumerate(latents)))


def _column(shares: Tensor, m: int) -> Tensor:
    return shares[:, m, None, None]


def _safe(z: Tensor) -> tuple[Tensor, Tensor]:
    """``z`` with zeros replaced by 1, and where they were: abs and angle have no gradient at 0."""
    zero = z == 0
    return torch.where(zero, torch.ones((), dtype=z.dtype, device=z.device), z), zero


def _total(
    latents: list[Tensor], shares: Tensor, term: Callable[[Tensor, Tensor], Tensor]
) -> tuple[Tensor, Tensor]:
    """The sum of ``term(weight, latent)``, and where a latent that has a weight is 0."""
    total: Any = 0.0
    vanishes = torch.zeros_like(latents[0], dtype=torch.bool)
    for m, z in enumerate(latents):
        safe, zero = _safe(z)
        total = total + term(_column(shares, m), safe)
        vanishes = vanishes | (zero & (_column(shares, m) > 0))
    return total, vanishes


def _harmonic(latents: list[Tensor], shares: Tensor) -> Tensor:
    total, vanishes = _total(latents, shares, lambda weight, z: weight / z.abs())
    return torch.where(vanishes, 0.0, 1.0 / total)


def _geometric(latents: list[Tensor], shares: Tensor) -> Tensor:
    total, vanishes = _total(latents, shares, lambda weight, z: weight * z.abs().log())
    return torch.where(vanishes, 0.0, total.exp())


def _arithmetic(latents: list[Tensor], shares: Tensor) -> Tensor:
    angle: Any = 0.0
    for m, z in enumerate(latents):
        safe, zero = _safe(z)
        angle = angle + _column(shares, m) * torch.where(zero, 0.0, phase_of(safe))
    return angle


def _circular(latents: list[Tensor], shares: Tensor) -> Tensor:
    resultant: Any = 0.0
    for m, z in enumerate(latents):
        safe, _ = _safe(z)
        resultant = resultant + _column(shares, m) * (safe / safe.abs())
    weak = resultant.detach().abs() < RESULTANT
    one = torch.ones((), dtype=resultant.dtype, device=resultant.device)
    direction = phase_of(torch.where(weak, one, resultant))
    return torch.where(weak, _arithmetic(latents, shares), direction)


def _complex_harmonic(latents: list[Tensor], shares: Tensor) -> Tensor:
    total, vanishes = _total(latents, shares, lambda weight, z: weight / z)
    total, singular = _safe(total)
    nothing = torch.zeros((), dtype=total.dtype, device=total.device)
    return torch.where(vanishes | singular, nothing, 1.0 / total)


def _product(latents: list[Tensor], present: Tensor) -> Tensor:
    one = torch.ones((), dtype=latents[0].dtype, device=latents[0].device)
    merged = one
    for m, z in enumerate(latents):
        merged = merged * torch.where(present[:, m, None, None], z, one)
    return merged


def _largest(latents: list[Tensor], present: Tensor) -> Tensor:
    merged, best = torch.zeros_like(latents[0]), torch.full_like(latents[0].real, -1.0)
    for m, z in enumerate(latents):
        size = torch.where(present[:, m, None, None], z.detach().abs(), -1.0)
        merged = torch.where(size > best, z, merged)
        best = torch.maximum(size, best)
    return merged
