"""What MM-Lego is compared with: ensembles, late fusion, networks of several modalities."""

from __future__ import annotations

from functools import partial

from mmlego.methods import names
from mmlego.methods.making import block, encoder, shared_weights, with_head, wrapping_block
from mmlego.methods.method import (
    COST_BY_SIZE,
    DIVIDED,
    EITHER,
    MERGED,
    MULTIMODAL,
    PAIR,
    SCARCE,
    TABLES_AND_BAG,
    TRAINED_AGAIN,
    WEIGHTS,
    Family,
    Making,
    Method,
    Printed,
    SearchSpace,
)
from mmlego.models.baselines.ensemble import Ensemble
from mmlego.models.baselines.healnet import HEALNet
from mmlego.models.baselines.late_fusion import LateFusion
from mmlego.models.baselines.mcat import MCAT
from mmlego.models.baselines.multimodn import MultiModN
from mmlego.models.baselines.perceiver import Perceiver
from mmlego.models.baselines.weight_merging import soup

PAGE = "book/methods/baselines"
_LATE = Family("Late fusion", "#c65a00")
_BASELINES = Family("Multimodal baselines", "#9c3f77")
_TABLE1, _CELLS = "mmlego_table1.csv", "mmdynamics.csv"
_ALL_GROUPS = ("unimodal_tabular", "unimodal_image_or_timeseries", "multimodal")
_HIDDEN = Making(narrow=lambda width: {"width": width})

BASELINES: dict[str, Method] = {
    names.ENSEMBLE: Method(
        title="Ensemble",
        family=_LATE,
        shade=0.42,
        build=Ensemble,
        kind=MULTIMODAL,
        trained=MERGED,
        page=PAGE,
        images=True,
        making=Making(part=encoder, wrap=with_head, assemble=Ensemble),
        roles=frozenset({SCARCE}),
    ),
    names.LATE_CONCAT: Method(
        title="Late fusion (concatenation)",
        family=_LATE,
        shade=0.21,
        build=partial(LateFusion, fusion="concat"),
        kind=MULTIMODAL,
        page=PAGE,
        additive=True,
        search=SearchSpace(dropouts={"dropout": 0.25}),
        making=_HIDDEN,
        printed=(Printed(_TABLE1, "SNN+ABMIL (concat, late)", "multimodal"),),
        roles=frozenset({SCARCE, DIVIDED, COST_BY_SIZE}),
    ),
    "late_bilinear": Method(
        title="Late fusion (bilinear)",
        family=_LATE,
        build=partial(LateFusion, fusion="bilinear"),
        kind=MULTIMODAL,
        page=PAGE,
        requires=PAIR,
        search=SearchSpace(dropouts={"dropout": 0.25}),
        making=_HIDDEN,
        printed=(Printed(_TABLE1, "SNN+ABMIL (bilinear, late)", "multimodal"),),
    ),
    "perceiver": Method(
        title="Perceiver",
        family=_BASELINES,
        shade=0.28,
        build=Perceiver,
        kind=EITHER,
        page=PAGE,
        search=SearchSpace(
            sizes={"depth": (1, 2), "self_layers": (0, 1)},
            dropouts={"attn_dropout": 0.4, "ff_dropout": 0.36},
            given={"depth": 2, "self_layers": 1},
        ),
        making=Making(has_latent=True),
        printed=(
            Printed(_TABLE1, "Perceiver", "unimodal_tabular"),
            Printed(_TABLE1, "Perceiver", "unimodal_image_or_timeseries"),
            Printed(_TABLE1, "Perceiver (concat, early)", "multimodal"),
        ),
        roles=frozenset({COST_BY_SIZE}),
    ),
    "multimodn": Method(
        title="MultiModN",
        family=_BASELINES,
        shade=0.42,
        build=MultiModN,
        kind=EITHER,
        page=PAGE,
        making=Making(narrow=lambda width: {"state_width": width, "hidden": (width, width)}),
        printed=tuple(Printed(_TABLE1, "MultiModN", group) for group in _ALL_GROUPS),
        roles=frozenset({SCARCE, COST_BY_SIZE}),
    ),
    "mcat": Method(
        title="MCAT",
        family=_BASELINES,
        shade=0.14,
        build=MCAT,
        kind=MULTIMODAL,
        page=PAGE,
        requires=TABLES_AND_BAG,
        search=SearchSpace(dropouts={"dropout": 0.25}),
        making=Making(
            narrow=lambda width: {"width": width, "ff_dim": 2 * width, "attn_dim": width}
        ),
        printed=(
            Printed(_TABLE1, "MCAT", "multimodal"),
            Printed(_CELLS, "MCAT (late)", "Reproduction_RNA_protein"),
        ),
    ),
    names.HEALNET: Method(
        title="HEALNet",
        family=_BASELINES,
        build=HEALNet,
        kind=MULTIMODAL,
        page=PAGE,
        search=SearchSpace(
            sizes={"depth": (1, 2)},
            dropouts={"attn_dropout": 0.4, "ff_dropout": 0.27},
            given={"depth": 2},
        ),
        making=Making(has_latent=True),
        printed=(
            Printed(_TABLE1, "HEALNet", "multimodal"),
            Printed(_CELLS, "HEALNet (intermediate)", "Reproduction_RNA_protein"),
        ),
        roles=frozenset({SCARCE, TRAINED_AGAIN, DIVIDED, COST_BY_SIZE}),
    ),
}
# The usual way in which models of one shape are merged; measured, but no row of the comparison.
MERGES_OF_WEIGHTS: dict[str, Method] = {
    names.WEIGHT_MERGING: Method(
        title="Weight merging",
        family=Family("Weight merging", "#5b6470"),
        build=soup,
        kind=WEIGHTS,
        trained=MERGED,
        page=PAGE,
        making=Making(has_latent=True, part=block, wrap=wrapping_block, assemble=shared_weights),
    ),
}
