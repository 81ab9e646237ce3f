"""Checks of what an encoder is built with and called with."""

from __future__ import annotations

import torch
from torch import Tensor

from mmlego.errors import SettingsError, ShapeError


def check_dropout(owner: str, dropout: float) -> None:
    """Refuse a dropout probability outside [0, 1).

    Raises:
        SettingsError: If it is outside.
    """
    if not 0.0 <= dropout < 1.0:
        raise SettingsError(f"{owner}: expected dropout in [0, 1), got {dropout}; use 0 for none")


def check_sizes(owner: str, **sizes: int) -> None:
    """Refuse layer widths below 1.

    Raises:
        SettingsError: If one is not a positive whole number.
    """
    for name, size in sizes.items():
        if isinstance(size, bool) or not isinstance(size, int) or size < 1:
            raise SettingsError(
                f"{owner}: expected {name} to be a whole number of 1 or more, got {size!r}"
            )


def check_table(owner: str, x: Tensor, width: int) -> None:
    """Refuse anything but a float table (b, c) of the expected width.

    Raises:
        ShapeError: If the shape or the type differs.
    """
    if x.ndim != 2 or x.shape[1] != width:
        raise ShapeError(
            f"{owner}: expected (b, {width}), got {tuple(x.shape)}; "
            f"build it with in_dim={x.shape[-1] if x.ndim else 0} or pass a table"
        )
    _check_float(owner, x)


def as_bag(owner: str, x: Tensor, width: int) -> Tensor:
    """Return x (b, n, c), reading a table (b, c) as bags of one instance.

    Raises:
        ShapeError: If the shape or the type differs, or bags have no instance.
    """
    bag = x.unsqueeze(1) if x.ndim == 2 else x
    if bag.ndim != 3 or bag.shape[2] != width or bag.shape[1] == 0:
        raise ShapeError(
            f"{owner}: expected (b, n, {width}) with n of 1 or more, got {tuple(x.shape)}; "
            f"build it with in_dim={x.shape[-1] if x.ndim else 0} or pass a bag"
        )
    _check_float(owner, bag)
    return bag


def check_image(owner: str, x: Tensor, channels: int, min_side: int) -> None:
    """Refuse anything but float images (b, ch, h, w) with the expected channels, large enough.

    Raises:
        ShapeError: If the shape or the type differs.
    """
    _check_grid(owner, x, channels, min_side, ("h", "w"), "images")


def check_volume(owner: str, x: Tensor, channels: int, min_side: int) -> None:
    """Refuse anything but float volumes (b, ch, d, h, w) with the expected channels, large enough.

    Raises:
        ShapeError: If the shape or the type differs.
    """
    _check_grid(owner, x, channels, min_side, ("d", "h", "w"), "volumes")


def check_mask(owner: str, mask: Tensor, x: Tensor) -> None:
    """Refuse a mask that is not a bool (b, n) beside x (b, n, c), or leaves a bag without instance.

    Raises:
        ShapeError: If the shape or type differs, or a bag is fully masked.
    """
    check_mask_shape(owner, mask, x)
    if not bool(mask.any(dim=1).all()):
        rows = (~mask.any(dim=1)).nonzero().flatten().tolist()
        raise ShapeError(
            f"{owner}: expected a valid instance in every bag, got none in rows {rows[:5]}; "
            "declare the modality absent for these samples"
        )


def check_mask_shape(owner: str, mask: Tensor, x: Tensor) -> None:
    """Refuse a mask that is not a bool (b, n) beside x (b, n, c).

    Raises:
        ShapeError: If the shape or type differs.
    """
    if mask.shape != x.shape[:2] or mask.dtype != torch.bool:
        raise ShapeError(
            f"{owner}: expected a bool mask {tuple(x.shape[:2])}, got {mask.dtype} "
            f"{tuple(mask.shape)}; True marks a valid instance"
        )


def _check_grid(
    owner: str, x: Tensor, channels: int, min_side: int, sides: tuple[str, ...], what: str
) -> None:
    if x.ndim != 2 + len(sides) or x.shape[1] != channels or min(x.shape[2:]) < min_side:
        raise ShapeError(
            f"{owner}: expected (b, {channels}, {', '.join(sides)}) with {' and '.join(sides)} of "
            f"{min_side} or more, got {tuple(x.shape)}; pass {what} with the channels that it was "
            "built for"
        )
    _check_float(owner, x)


def _check_float(owner: str, x: Tensor) -> None:
    if not x.dtype.is_floating_point:
        raise ShapeError(f"{owner}: expected floating point values, got {x.dtype}; use x.float()")
