"""Digests of data, by which a stored fit is found again."""

from __future__ import annotations

import hashlib

import torch

from mmlego.data.folds.samples import Samples


def samples_digest(samples: Samples) -> str:
    """Hash the tensors of a part: inputs, presence, masks and targets."""
    digest = hashlib.sha256()
    batch = samples.batch(torch.arange(len(samples)))
    for group in (batch.inputs, batch.present, batch.masks, batch.target):
        for name in sorted(group):
            digest.update(name.encode())
            digest.update(group[name].contiguous().numpy().tobytes())
    return digest.hexdigest()[:16]
