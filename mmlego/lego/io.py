"""Saving and loading blocks: weights and settings in one safetensors file, nothing is unpickled."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from mmlego.errors import DataError, ModalityError, SettingsError
from mmlego.lego.block import LegoBlock
from mmlego.lego.modalities import check_blocks

FORMAT = "mmlego.blocks.1"


def save_blocks(path: str | os.PathLike[str], blocks: Mapping[str, LegoBlock]) -> Path:
    """Write blocks, encoders' weights included, to one file, or leave nothing behind.

    Raises:
        ModalityError: If ``blocks`` is no mapping of blocks with heads.
        ShapeError: If the blocks do not fit together.
    """
    from safetensors.torch import save_file

    path = Path(path)
    blocks = check_blocks(blocks)
    tensors = {
        f"{name}.{key}": value.detach().cpu().contiguous().clone()
        for name, block in blocks.items()
        for key, value in block.state_dict().items()
    }
    settings = json.dumps(
        {
            name: {"config": block.config(), "encoder": block.encoder is not None}
            for name, block in blocks.items()
        }
    )
    metadata = {"format": FORMAT, "blocks": settings, "sha256": _digest(settings, tensors)}
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    os.close(handle)
    try:
        save_file(tensors, temporary, metadata=metadata)
        os.replace(temporary, path)
    finally:
        Path(temporary).unlink(missing_ok=True)
    return path


def load_blocks(
    path: str | os.PathLike[str], encoders: Mapping[str, nn.Module] | None = None
) -> dict[str, LegoBlock]:
    """Rebuild blocks from a file written by ``save_blocks``, in eval mode on the CPU.

    Args:
        path: File to read.
        encoders: A module for each block that was saved with an encoder; its weights are loaded.

    Raises:
        DataError: If the file is missing, truncated, altered, or of another kind.
        ModalityError: If the encoders are not those that the blocks were saved with.
    """
    settings, tensors = _read(Path(path))
    needed = {name for name, entry in settings.items() if entry["encoder"]}
    encoders = dict(encoders or {})
    if set(encoders) != needed:
        raise ModalityError(
            f"encoders: {path} needs one for each of {sorted(needed)}, got {sorted(encoders)}"
        )
    blocks = {}
    for name, entry in settings.items():
        block = _build(entry["config"], encoders.get(name), path)
        prefix = f"{name}."
        part = {key.removeprefix(prefix): t for key, t in tensors.items() if key.startswith(prefix)}
        _fill(block, part, f"{path}, modality {name!r}")
        blocks[name] = block.eval()
    return blocks


def _build(config: dict, encoder: nn.Module | None, path: str | os.PathLike[str]) -> LegoBlock:
    try:
        return LegoBlock(**config, encoder=encoder)
    except (SettingsError, TypeError) as error:
        raise DataError(
            f"blocks: {path} holds settings that this version does not know ({error})"
        ) from error


def _read(path: Path) -> tuple[dict[str, dict], dict[str, Tensor]]:
    from safetensors import SafetensorError, safe_open

    if not path.is_file():
        raise DataError(f"blocks: expected a file at {path}, found none")
    try:
        with safe_open(path, framework="pt") as source:
            metadata = source.metadata() or {}
            tensors = {key: source.get_tensor(key) for key in source.keys()}  # noqa: SIM118
        if metadata.get("format") != FORMAT:
            raise DataError(f"blocks: {path} was not written by save_blocks ({FORMAT})")
        if metadata["sha256"] != _digest(metadata["blocks"], tensors):
            raise DataError(f"blocks: {path} was altered (checksum differs); save the blocks again")
        return json.loads(metadata["blocks"]), tensors
    except (SafetensorError, OSError, KeyError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise DataError(
            f"blocks: {path} is truncated or was altered ({error}); save the blocks again"
        ) from error


def _digest(settings: str, tensors: Mapping[str, Tensor]) -> str:
    """SHA-256 of settings and weights: the file format itself would not notice a changed number."""
    digest = hashlib.sha256(settings.encode())
    for key in sorted(tensors):
        digest.update(f"{key} {tensors[key].dtype} {tuple(tensors[key].shape)}".encode())
        digest.update(tensors[key].contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _fill(block: LegoBlock, tensors: Mapping[str, Tensor], what: str) -> None:
    dtype = tensors["latent"].dtype if "latent" in tensors else block.latent.dtype
    try:
        block.to(dtype).load_state_dict(tensors)
    except RuntimeError as error:
        raise DataError(
            f"blocks: {what}: weights do not fit the settings ({error}); the file was altered, or "
            "the encoder is another one"
        ) from error
