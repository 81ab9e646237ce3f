"""MM dynamics, and the same network with equal weights."""

from __future__ import annotations

from mmlego.methods import names
from mmlego.methods.method import MULTIMODAL, Family, Method, Printed, SearchSpace
from mmlego.models.dynamics import MMDynamics, MMStatic

_FAMILY = Family("MM dynamics", "#8f7a00")
_PAGE = "book/methods/mm_dynamics"
_FILE = "mmdynamics.csv"
_CELLS, _ABLATION = "Reproduction_RNA_protein", "Ablation_figure_digitised_R+P"
_IMAGES, _MASKED = "Image_dynamics", "Masked_image_test"
_CHECKPOINT = "Computed_here_from_official_checkpoint"
_SEARCH = SearchSpace(sizes={"hidden": (64, 256)}, dropouts={"dropout": 0.5}, given={"hidden": 256})

DYNAMICS: dict[str, Method] = {
    names.MM_DYNAMICS: Method(
        title="MM dynamics",
        family=_FAMILY,
        build=MMDynamics,
        kind=MULTIMODAL,
        page=_PAGE,
        images=True,
        raw_images=True,
        additive=True,
        search=_SEARCH,
        printed=(
            Printed(_FILE, "MM dynamics (late) R+P", _CELLS, "both"),
            Printed(_FILE, "None", _ABLATION, "none"),
            Printed(_FILE, "FI only", _ABLATION, "fi_only"),
            Printed(_FILE, "MI only", _ABLATION, "mi_only"),
            Printed(_FILE, "MM dynamics R+I", _IMAGES, "both, rna and images"),
            Printed(_FILE, "MM dynamics P+I", _IMAGES, "both, protein and images"),
            Printed(_FILE, "MM dynamics P+R+I", _IMAGES, "both"),
            Printed(_FILE, "MM dynamics P+R+I(grey 0.5)", _MASKED, "both, gray"),
            Printed(_FILE, "MM dynamics P+R", _MASKED, "both, without images"),
            Printed(_FILE, "Multimodal Dynamics (CVPR 2022 repo)", _CHECKPOINT, "both"),
        ),
    ),
    names.MM_STATIC: Method(
        title="MM static (equal weights)",
        family=_FAMILY,
        shade=0.42,
        build=MMStatic,
        kind=MULTIMODAL,
        page=_PAGE,
        images=True,
        raw_images=True,
        additive=True,
        search=_SEARCH,
        printed=(
            Printed(_FILE, "MM static (late) R+P", _CELLS, "static"),
            Printed(_FILE, "MM static P+R+I", _IMAGES, "static"),
            Printed(_FILE, "MM static P+R+I(grey 0.5)", _MASKED, "static, gray"),
        ),
    ),
}
