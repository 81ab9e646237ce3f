"""MM-Lego: blocks, and what is put together from them."""

from __future__ import annotations

from mmlego.lego.block import LegoBlock
from mmlego.lego.fuse import LegoFuse
from mmlego.lego.merge import LegoMerge
from mmlego.methods import names
from mmlego.methods.making import block, wrapping_block
from mmlego.methods.method import (
    COST_BY_SIZE,
    FUSED,
    MERGED,
    MULTIMODAL,
    SCARCE,
    UNIMODAL,
    Family,
    Making,
    Method,
    Printed,
    SearchSpace,
)

_FAMILY = Family("MM-Lego", "#00507d")
_TABLE1 = "mmlego_table1.csv"

LEGO: dict[str, Method] = {
    names.LEGO_BLOCK: Method(
        title="LegoBlock",
        family=_FAMILY,
        shade=0.42,
        build=LegoBlock,
        kind=UNIMODAL,
        page="book/methods/lego_block",
        images=True,
        search=SearchSpace(
            sizes={"depth": (1, 2, 4)},
            dropouts={"attn_dropout": 0.45, "ff_dropout": 0.36},
            from_settings=("depth",),
        ),
        printed=(
            Printed(_TABLE1, "LegoBlock", "unimodal_tabular"),
            Printed(_TABLE1, "LegoBlock", "unimodal_image_or_timeseries"),
        ),
    ),
    names.LEGO_MERGE: Method(
        title="LegoMerge",
        family=_FAMILY,
        shade=0.21,
        build=LegoMerge,
        kind=MULTIMODAL,
        trained=MERGED,
        page="book/methods/lego_merge",
        images=True,
        making=Making(has_latent=True, part=block, wrap=wrapping_block, assemble=LegoMerge),
        printed=(Printed(_TABLE1, "LegoMerge", "multimodal"),),
        roles=frozenset({SCARCE, COST_BY_SIZE}),
    ),
    names.LEGO_FUSE: Method(
        title="LegoFuse",
        family=_FAMILY,
        build=LegoFuse,
        kind=MULTIMODAL,
        trained=FUSED,
        page="book/methods/lego_fuse",
        images=True,
        making=Making(has_latent=True, part=block, wrap=wrapping_block, assemble=LegoFuse),
        printed=(Printed(_TABLE1, "LegoFuse (2 epochs)", "multimodal"),),
        roles=frozenset({COST_BY_SIZE}),
    ),
}
