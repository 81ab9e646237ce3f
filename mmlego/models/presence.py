"""Which samples of a batch have which modality: one check for every model that takes several."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from mmlego.errors import ModalityError, ShapeError

Inputs = Mapping[str, Tensor]
Flags = Mapping[str, Tensor] | None


def check_batch(
    owner: str, names: Sequence[str], inputs: Inputs, present: Flags = None
) -> dict[str, Tensor]:
    """Return (b,) bool by modality: which samples have it. A modality left out is absent for all.

    Args:
        owner: What to call the model in an error.
        names: Modalities that the model knows.
        inputs: Values by modality, batch first.
        present: (b,) bool by modality; one that is not named is present in every sample.

    Raises:
        ModalityError: If a name is unknown, or a sample has no modality at all.
        ShapeError: If batch sizes differ, or a flag is not bool (b,).
    """
    present = present or {}
    for name in (*inputs, *present):
        if name not in names:
            raise ModalityError(
                f"{owner}: expected modalities of {list(names)}, got '{name}'; select those first"
            )
    sizes = {name: x.shape[0] for name, x in inputs.items()}
    if len(set(sizes.values())) > 1:
        raise ShapeError(f"{owner}: expected one batch size, got {sizes}; align the samples")
    flags = {name: _flag(owner, name, inputs, present) for name in names if name in inputs}
    _check_nobody_empty(owner, names, flags)
    some = next(iter(flags.values()))
    return {name: flags.get(name, torch.zeros_like(some)) for name in names}


def _flag(owner: str, name: str, inputs: Inputs, present: Mapping[str, Tensor]) -> Tensor:
    x = inputs[name]
    flag = present.get(name)
    if flag is None:
        return torch.ones(x.shape[0], dtype=torch.bool, device=x.device)
    if flag.dtype != torch.bool or flag.shape != x.shape[:1]:
        raise ShapeError(
            f"{owner}: present['{name}']: expected bool ({x.shape[0]},), "
            f"got {flag.dtype} {tuple(flag.shape)}"
        )
    return flag


def _check_nobody_empty(owner: str, names: Sequence[str], flags: Mapping[str, Tensor]) -> None:
    if not flags:
        raise ModalityError(f"{owner}: expected at least one of {list(names)}, got no modality")
    empty = ~torch.stack(list(flags.values())).any(dim=0)
    if bool(empty.any()):
        rows = empty.nonzero().flatten().tolist()
        raise ModalityError(
            f"{owner}: expected a modality in every sample, got none in rows {rows[:5]}; "
            f"drop samples that have none of {list(names)}"
        )
