"""MM-Lego: one block per modality, merged without training or fused with a little of it."""

from __future__ import annotations

from mmlego.lego.block import LegoBlock
from mmlego.lego.fuse import LegoFuse
from mmlego.lego.head import Head
from mmlego.lego.heads import align_heads, merge_heads, slerp
from mmlego.lego.io import load_blocks, save_blocks
from mmlego.lego.latents import merge_latents
from mmlego.lego.merge import LegoMerge

__all__ = [
    "Head",
    "LegoBlock",
    "LegoFuse",
    "LegoMerge",
    "align_heads",
    "load_blocks",
    "merge_heads",
    "merge_latents",
    "save_blocks",
    "slerp",
]
