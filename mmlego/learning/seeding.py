"""Seeds of every random number generator that a run may draw from."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch

from mmlego.errors import SettingsError


def seed_everything(seed: int) -> None:
    """Seed the global generators of Python, NumPy and torch (all devices).

    Raises:
        SettingsError: If the seed is not a whole number in [0, 2**32).
    """
    check_seed(seed)
    random.seed(seed)
    # Libraries called without a seed of their own, scikit-learn among them, draw from this one.
    np.random.seed(seed)  # noqa: NPY002
    torch.manual_seed(seed)


@contextmanager
def torch_seed(seed: int) -> Iterator[None]:
    """Seed torch for the length of a block, and leave its generators as they were found.

    Raises:
        SettingsError: If the seed is not a whole number in [0, 2**32).
    """
    check_seed(seed)
    devices = range(torch.cuda.device_count()) if torch.cuda.is_available() else ()
    with torch.random.fork_rng(devices=devices):
        torch.manual_seed(seed)
        yield


def check_seed(seed: int) -> None:
    """Refuse anything but a whole number in [0, 2**32).

    Raises:
        SettingsError: If it is something else.
    """
    if isinstance(seed, bool) or not isinstance(seed, int | np.integer) or not 0 <= seed < 2**32:
        raise SettingsError(f"seed: expected a whole number in [0, 2**32), got {seed!r}")
