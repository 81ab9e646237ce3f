"""What LegoMerge and LegoFuse share: named blocks that fit together, and who is present."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

import torch
from torch import Tensor

from mmlego.errors import ModalityError, SettingsError, ShapeError
from mmlego.lego import checks
from mmlego.lego.block import LegoBlock

Result = TypeVar("Result")


def check_blocks(blocks: object) -> dict[str, LegoBlock]:
    """Blocks by name that agree in latent shape, outputs, and the domain of their latents."""
    if not isinstance(blocks, Mapping) or not blocks:
        raise ModalityError("blocks: expected a mapping from modality to LegoBlock, at least one")
    for name, block in blocks.items():
        if not isinstance(block, LegoBlock):
            raise ModalityError(
                f"blocks: expected a LegoBlock for {name!r}, got {type(block).__name__}"
            )
        if not isinstance(name, str) or not name or "." in name:
            raise ModalityError(f"blocks: expected a name without dots, got {name!r}")
        if block.head is None:
            raise ModalityError(f"modality {name!r}: block without head; pass the original one")
    _agree(blocks, "latent shape", lambda block: tuple(block.latent.shape))
    _agree(blocks, "n_outputs", lambda block: block.n_outputs)
    _agree(blocks, "frequency_domain", lambda block: block.knobs.frequency_domain)
    _agree(blocks, "fft_axes", lambda block: block.knobs.fft_axes)
    named = {name: block for name, block in blocks.items() if block.outputs is not None}
    _agree(named, "outputs (classes or bin edges, in order)", lambda block: block.outputs)
    return dict(blocks)


def check_weights(weights: object, names: Sequence[str]) -> dict[str, float]:
    """Weight by modality, summing to 1."""
    if weights is None:
        return dict.fromkeys(names, 1.0 / len(names))
    if not isinstance(weights, Mapping) or set(weights) != set(names):
        got = sorted(weights) if isinstance(weights, Mapping) else type(weights).__name__
        raise SettingsError(f"weights: expected a mapping with the keys {list(names)}, got {got}")
    vector = checks.weights([weights[name] for name in names], len(names))
    return dict(zip(names, vector.tolist(), strict=True))


def presence(
    names: Sequence[str],
    inputs: Mapping[str, Tensor],
    present: Mapping[str, Tensor] | None,
    masks: Mapping[str, Tensor] | None,
) -> Tensor:
    """Who has what: bool (b, m) on the CPU, in the order of ``names``.

    A modality that is left out of ``inputs`` is missing for all samples, and a sample whose mask
    has no valid token lacks that modality.

    Raises:
        ModalityError: If a name is unknown, or a sample has no modality.
        ShapeError: If batch sizes, shapes or types do not fit.
    """
    present, masks = present or {}, masks or {}
    for mapping, what in ((inputs, "inputs"), (present, "present"), (masks, "masks")):
        checks.names(mapping, names, what)
    rows = checks.batch_size(inputs)
    table = torch.stack([_column(name, inputs, present, masks, rows) for name in names], dim=1)
    if not bool(table.any(1).all()):
        empty = (~table.any(1)).nonzero().flatten().tolist()
        raise ModalityError(f"present: samples {empty[:5]} have no modality; leave them out")
    return table


def on_rows(
    name: str, there: Tensor, tensors: Sequence[Tensor | None], call: Callable[..., Result]
) -> Result:
    """Call ``call(*tensors)`` on the samples that are there; errors get the modality's name."""
    if not bool(there.all()):
        rows = there.nonzero().flatten()
        tensors = [t if t is None else t[rows.to(t.device)] for t in tensors]
    with checks.named(name):
        return call(*tensors)


def scatter(part: Tensor, there: Tensor, into: Tensor) -> Tensor:
    """``into`` (b, ...) with the rows that are there replaced by ``part``, out of place."""
    if bool(there.all()):
        return part
    rows = there.nonzero().flatten().to(part.device)
    dtype = torch.promote_types(part.dtype, into.dtype)
    return into.to(dtype).index_copy(0, rows, part.to(dtype))


def _agree(blocks: Mapping[str, LegoBlock], what: str, read: Callable[[LegoBlock], object]) -> None:
    values = {name: read(block) for name, block in blocks.items()}
    if len(set(values.values())) > 1:
        raise ShapeError(f"blocks: expected one {what} for all, got {values}; train them alike")


def _column(
    name: str,
    inputs: Mapping[str, Tensor],
    present: Mapping[str, Tensor],
    masks: Mapping[str, Tensor],
    rows: int,
) -> Tensor:
    there = _flags(f"present[{name!r}]", present.get(name), rows, 1)
    if name not in inputs:
        if name in present and bool(there.any()):
            raise ModalityError(f"modality {name!r}: marked as present, but not among the inputs")
        return torch.zeros(rows, dtype=torch.bool)
    valid = _flags(f"masks[{name!r}]", masks.get(name), rows, 2)
    return there & valid.any(1) if valid.ndim == 2 else there


def _flags(what: str, flags: object, rows: int, ndim: int) -> Tensor:
    if flags is None:
        return torch.ones(rows, dtype=torch.bool)
    good = isinstance(flags, Tensor) and flags.dtype == torch.bool and flags.ndim == ndim
    if not isinstance(flags, Tensor) or not good or len(flags) != rows:
        shape = "(b,)" if ndim == 1 else "(b, n)"
        raise ShapeError(
            f"{what}: expected a bool tensor {shape} with b={rows}, got "
            f"{getattr(flags, 'dtype', '')} {checks.shape_of(flags)}"
        )
    return flags.detach().cpu()
