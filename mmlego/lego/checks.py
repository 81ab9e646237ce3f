"""Checks of what callers hand in; messages say what was expected, what came, and the remedy."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor

from mmlego.errors import ModalityError, SettingsError, ShapeError


@contextmanager
def named(name: str | None) -> Iterator[None]:
    """Put the modality's name in front of errors that do not carry one yet."""
    try:
        yield
    except (ShapeError, ModalityError) as error:
        if name is None or str(error).startswith("modality "):
            raise
        raise type(error)(f"modality {name!r}: {error}") from error


def shape_of(x: object) -> str:
    """Shape of a tensor, or the type of anything else, for messages."""
    return str(tuple(x.shape)) if isinstance(x, Tensor) else type(x).__name__


def finite(x: Tensor, what: str) -> None:
    """Raise ShapeError if a floating tensor holds NaN or infinity (one pass, no copy)."""
    if x.numel() and (x.is_floating_point() or x.is_complex()):
        parts = torch.view_as_real(x.resolve_conj()) if x.is_complex() else x
        low, high = torch.aminmax(parts.detach())
        if not bool(torch.isfinite(low) & torch.isfinite(high)):
            raise ShapeError(
                f"{what}: expected finite values, got NaN or infinity; impute or mask them"
            )


def block_input(x: object, mask: object) -> None:
    """Check the raw input of a block, before its encoder."""
    if not isinstance(x, Tensor) or x.ndim < 2 or len(x) == 0:
        raise ShapeError(f"input: expected a tensor (b, c) or (b, n, c), b >= 1, got {shape_of(x)}")
    if mask is None:
        return
    if not isinstance(mask, Tensor) or mask.dtype != torch.bool or x.ndim != 3:
        raise ShapeError(
            f"mask: expected a bool tensor (b, n) beside an input (b, n, c), got "
            f"{getattr(mask, 'dtype', type(mask).__name__)} beside {shape_of(x)}"
        )
    if mask.shape != x.shape[:2]:
        raise ShapeError(f"mask: expected {tuple(x.shape[:2])}, got {shape_of(mask)}")
    if not bool(mask.any(1).all()):
        empty = (~mask.any(1)).nonzero().flatten().tolist()
        raise ModalityError(
            f"mask: samples {empty[:5]} have no valid token; leave them out, or mark the modality "
            "as not present"
        )


def encoded(h: object, rows: int, enc_dim: int, has_encoder: bool) -> None:
    """Check what the attention will read: (b, e) or (b, n, e) with e = enc_dim."""
    source = "encoder output" if has_encoder else "input"
    width = None
    if isinstance(h, Tensor) and h.ndim in (2, 3) and h.shape[0] == rows and h.numel() > 0:
        width = h.shape[-1]
    if not isinstance(h, Tensor) or width != enc_dim:
        middle = ", n" if isinstance(h, Tensor) and h.ndim == 3 else ""
        hint = "check the shape" if width is None else f"build the block with enc_dim={width}"
        raise ShapeError(
            f"{source}: expected ({rows}{middle}, {enc_dim}), got {shape_of(h)}; {hint}"
        )
    if not (h.is_floating_point()):
        raise ShapeError(f"{source}: expected floating point values, got {h.dtype}; use .float()")


def state(value: object, rows: int, latent: Sequence[int]) -> None:
    """Check a spatial state (b, c, d) handed to a block."""
    expected = (rows, *latent)
    if not isinstance(value, Tensor) or tuple(value.shape) != expected:
        raise ShapeError(
            f"state: expected {expected}, got {shape_of(value)}; blocks that pass a state on must "
            "have the same latent shape"
        )


def names(inputs: object, known: Iterable[str], what: str) -> None:
    """Raise ModalityError unless ``inputs`` maps only known modality names."""
    known = list(known)
    if not isinstance(inputs, Mapping):
        raise ModalityError(
            f"{what}: expected a mapping from modality to tensor, got {type(inputs).__name__}"
        )
    unknown = sorted(str(name) for name in inputs if name not in known)
    if unknown:
        raise ModalityError(f"{what}: unknown modalities {unknown}; the model knows {known}")


def batch_size(inputs: Mapping[str, Tensor]) -> int:
    """Common batch size of all inputs."""
    if not inputs:
        raise ModalityError("inputs: expected at least one modality, got none")
    for name, x in inputs.items():
        if not isinstance(x, Tensor) or x.ndim < 2:
            raise ShapeError(f"modality {name!r}: expected a tensor (b, ...), got {shape_of(x)}")
    sizes = {name: len(x) for name, x in inputs.items()}
    if len(set(sizes.values())) != 1:
        raise ShapeError(f"inputs: expected one batch size, got {sizes}")
    return next(iter(sizes.values()))


def weights(values: object, expected: int) -> Tensor:
    """Weights as a float64 vector that sums to 1; None means equal weights."""
    if values is None:
        return torch.full((expected,), 1.0 / expected, dtype=torch.float64)
    vector = torch.as_tensor(values, dtype=torch.float64).detach().cpu()
    if vector.shape != (expected,):
        raise SettingsError(f"weights: expected {expected} numbers, got {shape_of(vector)}")
    if not bool(torch.isfinite(vector).all()) or bool((vector < 0).any()) or vector.sum() == 0:
        raise SettingsError(
            f"weights: expected finite, non-negative numbers, not all 0, got {vector.tolist()}"
        )
    return vector / vector.sum()
