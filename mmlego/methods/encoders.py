"""Encoders of a single modality, and which kind of modality each is for."""

from __future__ import annotations

from mmlego.methods.method import UNIMODAL, Family, Making, Method, Printed, SearchSpace
from mmlego.methods.names import ABMIL, CONVNET, SNN
from mmlego.models.encoders import amil, snn, vision

_FAMILY = Family("Unimodal encoders", "#006e52")
_PAGE = "book/methods/encoders"
_TABLE1 = "mmlego_table1.csv"

ENCODERS: dict[str, Method] = {
    SNN: Method(
        title="SNN",
        family=_FAMILY,
        build=snn.SNN,
        kind=UNIMODAL,
        page=_PAGE,
        search=SearchSpace(
            sizes={"widths": ("64x2", "256x2", "256x4")},
            dropouts={"dropout": 0.25},
            given={"widths": "256x4"},
        ),
        making=Making(narrow=lambda width: {"widths": (width, width)}),
        printed=(Printed(_TABLE1, "SNN", "unimodal_tabular"),),
    ),
    ABMIL: Method(
        title="ABMIL",
        family=_FAMILY,
        shade=0.21,
        build=amil.ABMIL,
        kind=UNIMODAL,
        page=_PAGE,
        search=SearchSpace(
            sizes={"embed_dim": (128, 512)},
            dropouts={"dropout": 0.25},
            given={"embed_dim": 512},
        ),
        making=Making(
            narrow=lambda width: {"embed_dim": width, "attn_dim": width, "out_dim": width}
        ),
        printed=(Printed(_TABLE1, "ABMIL", "unimodal_image_or_timeseries"),),
    ),
    CONVNET: Method(
        title="ConvNet",
        family=_FAMILY,
        shade=0.42,
        build=vision.ConvNet,
        kind=UNIMODAL,
        page=_PAGE,
        images=True,
        search=SearchSpace(dropouts={"dropout": 0.25}),
        printed=(Printed("mmdynamics.csv", "CNN I", "Image_dynamics"),),
    ),
}


def encoder_for(kind: str) -> str:
    """The encoder that suits a kind of modality.

    The SNN for tables, the ConvNet for images, ABMIL for everything else.
    """
    return {"tabular": SNN, "image": CONVNET}.get(kind, ABMIL)
