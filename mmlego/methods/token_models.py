"""AMC, and the models that read the same tokens."""

from __future__ import annotations

from collections.abc import Callable

from mmlego.methods import names
from mmlego.methods.method import MULTIMODAL, Family, Method, Printed, SearchSpace
from mmlego.models.amc import AMC
from mmlego.models.token_models import MUSE, FlexMoE, FuseMoE, LIMoE, MAGGate, MulT, TensorFusion

_FAMILY = Family("Other fusion", "#4d4d7f")
_FILE = "amc.csv"
_SEARCH = SearchSpace(sizes={"width": (32, 64)}, dropouts={"dropout": 0.1}, given={"width": 64})


def _token_model(title: str, build: Callable[..., object], shade: float, printed: str) -> Method:
    """A model that is compared with AMC, run where it is named."""
    return Method(
        title=title,
        family=_FAMILY,
        shade=shade,
        build=build,
        kind=MULTIMODAL,
        page="book/methods/token_models",
        images=True,
        volumes=True,
        tokens=True,
        opt_in=True,
        search=_SEARCH,
        printed=(Printed(_FILE, printed),),
    )


TOKEN_MODELS: dict[str, Method] = {
    names.AMC: Method(
        title="AMC",
        family=Family("AMC", "#a4262c"),
        build=AMC,
        kind=MULTIMODAL,
        page="book/methods/amc",
        images=True,
        volumes=True,
        tokens=True,
        search=_SEARCH,
        printed=(Printed(_FILE, "AMC"),),
    ),
    "flexmoe": _token_model("Flex-MoE", FlexMoE, 0.0, "FlexMoE"),
    "fusemoe": _token_model("FuseMoE", FuseMoE, 0.06, "FuseMoE"),
    "limoe": _token_model("LIMoE", LIMoE, 0.12, "LiMoE"),
    "maggate": _token_model("MAGGate", MAGGate, 0.18, "MAGGate"),
    "mult": _token_model("MulT", MulT, 0.24, "MulT"),
    names.TENSOR_FUSION: _token_model("Tensor fusion", TensorFusion, 0.30, "TF"),
    "muse": _token_model("MUSE", MUSE, 0.36, "MUSE"),
}
