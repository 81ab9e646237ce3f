"""Merging heads tensor by tensor: along great circles, linearly, or after an alignment."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor
from torch.linalg import vector_norm

from mmlego.errors import SettingsError, ShapeError
from mmlego.lego import checks
from mmlego.lego.head import Head, HeadTensors
from mmlego.lego.profiles import choose, number

METHODS = ("slerp", "linear", "ot")
FLAT = 1e-6  # sine (or resultant) below which directions no longer define a great circle
TOLERANCE, MAX_STEPS = 1e-12, 100


def slerp(a: Tensor, b: Tensor, weight: float) -> Tensor:
    """Interpolate two tensors of any equal shape along the great circle between their directions.

    ``weight`` 0 returns ``a`` and 1 returns ``b``, exactly. Where no great circle is defined (a
    norm is 0, or the sine of the angle is below 1e-6), the result is (1 - weight) a + weight b.

    Args:
        a: First tensor, finite.
        b: Second tensor, same shape.
        weight: Share of ``b`` in [0, 1].

    Returns:
        Tensor of the shape and type of ``a``; differentiable in both.

    Warns:
        UserWarning: If opposite tensors cancel to zero.

    Raises:
        ShapeError: If shapes differ or values are not finite.
        SettingsError: If ``weight`` is outside [0, 1].

    Source: MM-Lego, section 3.2 (heads). The paper calls the weight binary, which would only select
    a head; here it is real. The authors' code has no degenerate branch and yields NaN for equal
    tensors.
    """
    number("weight", weight, low=0.0, high=1.0)
    _check_pair([a, b])
    if weight in (0, 1):
        return (b if weight else a).clone()
    u, v = a.double(), b.double()
    sizes = vector_norm(u), vector_norm(v)
    if 0 in (_value(sizes[0]), _value(sizes[1])):
        return _linear([a, b], [1 - weight, weight])
    angle = _angle(u / sizes[0], v / sizes[1])
    if math.sin(_value(angle)) < FLAT:
        return _linear([a, b], [1 - weight, weight])
    mixed = u * torch.sin((1 - weight) * angle) + v * torch.sin(weight * angle)
    return (mixed / torch.sin(angle)).to(a.dtype)


def spherical_mean(tensors: Sequence[Tensor], weights: Sequence[float] | None = None) -> Tensor:
    """Weighted mean of any number of tensors along great circles; equals ``slerp`` for two.

    The directions' weighted Karcher mean u is found by iterating the log and exponential maps; the
    raw tensors are then summed with coefficients w (t / sin t) / sum(w t cot t), t their angle to
    u. The order does not matter. Falls back to the weighted mean where a norm is 0, where the
    directions cancel (mean resultant below 1e-6), or spread so far that the coefficients' sum is
    not positive.

    Source: extension of MM-Lego's SLERP to more than two heads, which the paper leaves open.
    """
    tensors = list(tensors)
    _check_pair(tensors)
    shares = checks.weights(weights, len(tensors)).tolist()
    kept = [(t, w) for t, w in zip(tensors, shares, strict=True) if w > 0]
    tensors, shares = [t for t, _ in kept], [w for _, w in kept]
    if len(tensors) == 1:
        return tensors[0].clone()
    if len(tensors) == 2:
        return slerp(tensors[0], tensors[1], shares[1])
    flat = torch.stack([t.double().flatten() for t in tensors])
    sizes, w = vector_norm(flat, dim=1), flat.new_tensor(shares)
    if bool((sizes == 0).any()):
        return _linear(tensors, shares)
    units = flat / sizes[:, None]
    if _value(vector_norm(w @ units)) < FLAT:
        return _linear(tensors, shares)
    angles = _angle(_karcher(units, w), units)
    small = angles < FLAT
    angles = torch.where(small, FLAT, angles)
    stretch = torch.where(small, 1.0, angles / angles.sin())
    total = (w * stretch * torch.where(small, 1.0, angles.cos())).sum()
    if _value(total) < FLAT:
        return _linear(tensors, shares)
    return ((w * stretch / total) @ flat).view_as(tensors[0]).to(tensors[0].dtype)


def merge_heads(
    heads: Sequence[Head],
    weights: Sequence[float] | None = None,
    method: str = "slerp",
) -> Head:
    """New head with copies of the merged parameters of several heads of the same shape.

    Args:
        heads: Heads of blocks, at least one.
        weights: One number >= 0 per head, scaled to sum 1; None means equal.
        method: ``slerp``, ``linear``, or ``ot`` (aligns the latent features of all heads with the
            first, see ``align_heads``, then averages linearly; the latents must be permuted alike).

    Raises:
        ShapeError: If the heads differ in latent width or number of outputs.
        SettingsError: If the method or a weight is unknown or out of range.

    Source: MM-Lego, section 3.2; LayerNorm gain and offset, weight and bias are merged one by one.
    """
    tensors = [head.tensors() for head in heads]
    choose("method", method, METHODS)
    if method == "ot":
        orders = align_heads(heads)
        tensors = [permute_head(t, order) for t, order in zip(tensors, orders, strict=True)]
    merged = merge_head_tensors(tensors, weights, "linear" if method == "ot" else method)
    outputs, width = merged.weight.shape
    head = Head(width, outputs).to(merged.weight)
    with torch.no_grad():
        for parameter, value in zip(head.tensors(), merged, strict=True):
            parameter.copy_(value)
    return head


def merge_head_tensors(
    heads: Sequence[HeadTensors], weights: Sequence[float] | None, method: str
) -> HeadTensors:
    """Merge the tensors of several heads by ``slerp`` or ``linear``, attached to the graph."""
    if not heads:
        raise SettingsError("heads: expected at least one, got none")
    shapes = sorted({tuple(head.weight.shape) for head in heads})
    if len(shapes) != 1:
        raise ShapeError(
            f"heads: expected one shape (outputs, latent width) for all, got {shapes}; train the "
            "blocks with the same n_outputs and latent_dim"
        )
    if len(heads) == 1:
        return heads[0]
    shares = checks.weights(weights, len(heads)).tolist()
    mean = spherical_mean if method == "slerp" else _linear
    return HeadTensors(*(mean(parts, shares) for parts in zip(*heads, strict=True)))


def align_heads(heads: Sequence[Head]) -> list[Tensor]:
    """Orders (d,) of the latent features of each head that match those of the first head best.

    Feature j of a head is the point ``(gamma[j], beta[j], W[:, j])``; the assignment with the least
    sum of squared distances is solved exactly. Outputs are never permuted. Needs SciPy.

    Source: optimal transport of MM-Lego's ablations; the authors' code transports output rows
    instead, and so can swap classes.
    """
    from scipy.optimize import linear_sum_assignment

    points = [_points(head.tensors()) for head in heads]
    orders = [torch.arange(len(points[0]), device=points[0].device)]
    for other in points[1:]:
        cost = torch.cdist(points[0], other).square().cpu().numpy()
        orders.append(torch.as_tensor(linear_sum_assignment(cost)[1], device=other.device))
    return orders


def permute_head(head: HeadTensors, order: Tensor) -> HeadTensors:
    """The head that gives the same logits on latents whose columns were put in ``order``."""
    return HeadTensors(head.gamma[order], head.beta[order], head.weight[:, order], head.bias)


def _points(head: HeadTensors) -> Tensor:
    parts = (head.gamma[:, None], head.beta[:, None], head.weight.T)
    return torch.cat(parts, dim=1).detach().double()


def _value(scalar: Tensor) -> float:
    return float(scalar.detach())


def _check_pair(tensors: Sequence[Tensor]) -> None:
    shapes = {tuple(t.shape) for t in tensors}
    if len(shapes) != 1:
        raise ShapeError(f"tensors: expected one shape, got {sorted(shapes)}")
    for t in tensors:
        checks.finite(t, "tensor")


def _linear(tensors: Sequence[Tensor], weights: Sequence[float]) -> Tensor:
    mixed = cast(Tensor, sum(w * t for t, w in zip(tensors, weights, strict=True)))
    largest = max(_value(vector_norm(t)) for t in tensors)
    if largest > 0 and _value(vector_norm(mixed)) < 1e-9 * largest:
        warnings.warn(
            "opposite head tensors cancel to zero; use unequal weights or another head method",
            UserWarning,
            stacklevel=3,
        )
    return mixed


def _angle(u: Tensor, v: Tensor) -> Tensor:
    """Angle between unit vectors; the half-angle form stays exact where arccos loses its digits."""
    if v.ndim > 1 and u.ndim == 1:
        return 2 * torch.atan2(vector_norm(u - v, dim=1), vector_norm(u + v, dim=1))
    return 2 * torch.atan2(vector_norm(u - v), vector_norm(u + v))


def _karcher(units: Tensor, weights: Tensor) -> Tensor:
    """Weighted Frechet mean of unit vectors (m, p) on the sphere."""
    mean = weights @ units
    mean = mean / vector_norm(mean)
    for _ in range(MAX_STEPS):
        angle = _angle(mean, units)
        tangent = units - (units @ mean)[:, None] * mean
        factor = torch.where(angle < FLAT, 1.0, angle / angle.clamp_min(FLAT).sin())
        step = (weights * factor) @ tangent
        size = vector_norm(step)
        if _value(size) < TOLERANCE:
            break
        mean = mean * size.cos() + step / size * size.sin()
        mean = mean / vector_norm(mean)
    return mean
