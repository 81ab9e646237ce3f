"""Discrete Fourier transforms of latents and data, and what the blocks read from them.

All transforms are unnormalized forward and divided by their size on the way back. They run in
float32 (float64 for float64 input) with autocast off, because half-precision transforms exist for
power-of-two sizes only. Axes ``"2d"`` means both trailing axes, ``"1d"`` the second-to-last one
(latent channels, or tokens).
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

AXES: dict[str, tuple[int, ...]] = {"2d": (-2, -1), "1d": (-2,)}
CONTEXTS = ("real", "hartley", "spatial", "concat")
TINY = 1e-24  # inside the root, whose gradient at 0 would be infinite


def _wide(x: Tensor) -> Tensor:
    """Promote half-precision tensors to float32; leave the others as they are."""
    return x.float() if x.dtype in (torch.float16, torch.bfloat16) else x


def transform(x: Tensor, axes: str) -> Tensor:
    """Transform real or complex ``x`` (..., c, d) to the frequency domain, complex (..., c, d).

    Of real ``x``, a coefficient that is its own mirror image is exactly real, on every processor:
    round-off in its imaginary part would turn a phase of pi into -pi.

    Source: MM-Lego, Eq. 2.
    """
    z = _fft(x, axes)
    if x.is_complex():
        return z
    rows, columns = x.shape[-2:]
    own = _own_mirror(rows, columns, axes, x.device)
    return torch.complex(z.real, z.imag.masked_fill(own, 0.0))


def _fft(x: Tensor, axes: str) -> Tensor:
    with torch.autocast(x.device.type, enabled=False):
        return torch.fft.fftn(_wide(x), dim=AXES[axes])


def _own_mirror(rows: int, columns: int, axes: str, device: torch.device) -> Tensor:
    """Which coefficients (c, d) are their own mirror image: -u = u modulo the size, per axis."""
    u = 2 * torch.arange(rows, device=device) % rows == 0
    v = 2 * torch.arange(columns, device=device) % columns == 0
    return u[:, None] & v if axes == "2d" else u[:, None].expand(rows, columns)


def invert(z: Tensor, axes: str) -> Tensor:
    """Transform complex ``z`` (..., c, d) back; the result is complex too."""
    with torch.autocast(z.device.type, enabled=False):
        return torch.fft.ifftn(_wide(z), dim=AXES[axes])


def energy(x: Tensor, axes: str) -> Tensor:
    """Sum of squared magnitudes over the transformed axes, which are kept with size 1."""
    square = x.real.square() + x.imag.square() if x.is_complex() else x.square()
    return square.sum(AXES[axes], keepdim=True)


def normalize(x: Tensor, axes: str) -> Tensor:
    """Divide ``x`` (..., c, d) by its Frobenius norm ("2d"), or each column by its norm ("1d").

    A zero latent stays zero, with a finite gradient. The papers give no epsilon; here it is 1e-24
    inside the root.
    """
    return x * torch.rsqrt(energy(x, axes) + TINY)


def phase(z: Tensor) -> Tensor:
    """Principal phase in (-pi, pi]; adding 0.0 removes the sign of a zero imaginary part."""
    return torch.angle(torch.complex(z.real, z.imag + 0.0))


def view_of(h: Tensor, axes: str, context: str) -> Tensor:
    """The part of the transformed data (b, n, c) that the attention reads.

    ``"real"`` is Re F(h), as printed in Eq. 3, which keeps only the even part of ``h``;
    ``"hartley"`` is Re - Im and keeps everything; ``"concat"`` is [Re, Im], twice as wide;
    ``"spatial"`` is ``h`` itself.
    """
    if context == "spatial":
        return h
    z = _fft(h, axes)
    if context == "hartley":
        return z.real - z.imag
    return z.real if context == "real" else torch.cat((z.real, z.imag), dim=-1)


def compact(h: Tensor, mask: Tensor | None) -> tuple[Tensor, Tensor | None]:
    """Move the valid tokens of each sample to the front, in order, and cut what is padding for all.

    Returns (b, n', c) with n' the longest sample, and its mask (b, n'), None where nothing is
    padded.
    """
    if mask is None or bool(mask.all()):
        return h, None
    order = torch.argsort((~mask).to(torch.uint8), dim=1, stable=True)
    lengths = mask.sum(1)
    longest = int(lengths.max())
    rows = order[:, :longest, None].expand(-1, -1, h.shape[-1])
    valid = torch.arange(longest, device=h.device) < lengths[:, None]
    return torch.where(valid[..., None], h.gather(1, rows), 0), None if valid.all() else valid


def read_data(
    h: Tensor, mask: Tensor | None, *, axes: str, context: str
) -> tuple[Tensor, Tensor | None]:
    """Context (b, n', e) of the attention, each sample transformed over its valid tokens only.

    Zero padding before a Fourier transform would change every coefficient, so samples are grouped
    by length, transformed, and padded afterwards.
    """
    h, mask = compact(h, mask)
    if mask is None or context == "spatial":
        return view_of(h, axes, context), mask
    lengths = mask.sum(1)
    parts, rows = [], []
    for length in lengths.unique().tolist():
        members = (lengths == length).nonzero().squeeze(1)
        part = view_of(h[members, :length], axes, context)
        parts.append(F.pad(part, (0, 0, 0, h.shape[1] - length)))
        rows.append(members)
    return torch.cat(parts)[torch.cat(rows).argsort()], mask
