"""Dropout whose random mask costs little on a CPU."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

LEVELS = 2**15


def dropout(x: Tensor, rate: float, training: bool) -> Tensor:
    """Zero each element with probability ``rate``, scale the others so that the mean is kept.

    torch draws one random number per element with a slow generator on the CPU, which took a quarter
    of a training step. Here 15 random bits per element decide, so on the CPU ``rate`` is rounded to
    a multiple of 2^-15; the scale fits the rounded rate.
    """
    if not training or rate == 0:
        return x
    if x.device.type != "cpu":
        return F.dropout(x, rate)
    dropped = min(round(rate * LEVELS), LEVELS - 1)
    words = torch.empty((x.numel() + 3) // 4, dtype=torch.int64).random_()
    # The sign bit of a word is always 0, so the top bit of every 16-bit piece is left out.
    bits = words.view(torch.int16)[: x.numel()].bitwise_and_(LEVELS - 1).view(x.shape)
    scale = torch.tensor(LEVELS / (LEVELS - dropped), dtype=x.dtype)
    return x * ((bits >= dropped) * scale)
