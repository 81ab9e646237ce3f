"""Where to compute: one rule for every function that takes a device."""

from __future__ import annotations

import torch

from mmlego.errors import SettingsError


def resolve_device(device: str | torch.device = "auto") -> torch.device:
    """Return the device to compute on: CUDA if there is one, else the CPU, unless named.

    Args:
        device: ``auto``, ``cpu``, ``cuda``, ``cuda:<index>``, or a torch device.

    Raises:
        SettingsError: If the device is unknown or this machine does not have it.
    """
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        chosen = torch.device(device)
    except (RuntimeError, TypeError):
        chosen = None
    if chosen is None or chosen.type not in ("cpu", "cuda"):
        raise SettingsError(f"device: expected 'auto', 'cpu' or 'cuda', got {device!r}; use 'auto'")
    if chosen.type == "cuda" and (chosen.index or 0) >= torch.cuda.device_count():
        raise SettingsError(
            f"device: expected one that this machine has, got '{chosen}' with "
            f"{torch.cuda.device_count()} CUDA devices; use 'auto' or 'cpu'"
        )
    return chosen
