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


def target_digest(samples: Samples) -> str:
    """Hash who is in a part and what is predicted, but not the inputs."""
    digest = hashlib.sha256("\n".join(map(str, samples.ids)).encode())
    for name in sorted(samples.target):
        digest.update(name.encode())
        digest.update(samples.target[name].contiguous().numpy().tobytes())
    return digest.hexdigest()[:16]
