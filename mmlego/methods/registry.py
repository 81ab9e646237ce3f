"""The registry: every method by the name that it has in the table of results."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from mmlego.learning.classical import fit_classes, fit_survival
from mmlego.lego.block import LegoBlock
from mmlego.lego.fuse import LegoFuse
from mmlego.lego.merge import LegoMerge
from mmlego.models.amc import AMC
from mmlego.models.baselines.ensemble import Ensemble
from mmlego.models.baselines.healnet import HEALNet
from mmlego.models.baselines.late_fusion import LateFusion
from mmlego.models.baselines.mcat import MCAT
from mmlego.models.baselines.multimodn import MultiModN
from mmlego.models.baselines.perceiver import Perceiver
from mmlego.models.baselines.weight_merging import soup
from mmlego.models.dynamics import MMDynamics, MMStatic
from mmlego.models.encoders.amil import ABMIL
from mmlego.models.encoders.snn import SNN
from mmlego.models.encoders.vision import ConvNet
from mmlego.models.token_models import MUSE, FlexMoE, FuseMoE, LIMoE, MAGGate, MulT, TensorFusion


@dataclass(frozen=True)
class Method:
    """One method of the comparison.

    Attributes:
        title: Name for readers.
        build: Class of the model, or what makes it.
        modalities: ``one`` for models of a single modality, ``many`` for models under the
            multimodal contract, ``any`` for those under the contract that also take a single one,
            ``columns`` for estimators on a table of numbers, ``weights`` for merging of weights.
        trained: Whether it is trained itself, or put together from trained models.
        page: Page of the book that explains it.
        takes: What modalities it needs: ``""`` any, ``pair`` exactly two, ``tables+bag`` at least
            one table and exactly one bag or series, ``survival`` or ``classes`` for a task.
        images: Whether it can be given images, through an encoder.
        volumes: Whether it can be given volumes.
        raw_images: Whether it wants them with colors in [0, 1] rather than standardized.
        asked: Whether it runs only where it is named.
    """

    title: str
    build: Callable[..., object]
    modalities: str
    trained: bool
    page: str
    takes: str = ""
    images: bool = False
    volumes: bool = False
    raw_images: bool = False
    asked: bool = False


_ENCODERS, _RIVALS = "book/methods/encoders", "book/methods/baselines"
_DYNAMICS = "book/methods/mm_dynamics"
_AMC, _TOKENS = "book/methods/amc", "book/methods/token_models"


def _token_model(title: str, build: Callable[..., object]) -> Method:
    """A model that reads the same tokens as AMC, run where it is named."""
    return Method(title, build, "many", True, _TOKENS, images=True, volumes=True, asked=True)


METHODS: dict[str, Method] = {
    "snn": Method("SNN", SNN, "one", True, _ENCODERS),
    "abmil": Method("ABMIL", ABMIL, "one", True, _ENCODERS),
    "convnet": Method("ConvNet", ConvNet, "one", True, _ENCODERS, images=True),
    "lego_block": Method(
        "LegoBlock", LegoBlock, "one", True, "book/methods/lego_block", images=True
    ),
    "lego_merge": Method(
        "LegoMerge", LegoMerge, "many", False, "book/methods/lego_merge", images=True
    ),
    "lego_fuse": Method("LegoFuse", LegoFuse, "many", True, "book/methods/lego_fuse", images=True),
    "ensemble": Method("Ensemble", Ensemble, "many", False, _RIVALS, images=True),
    "late_concat": Method(
        "Late fusion (concatenation)",
        partial(LateFusion, fusion="concat"),
        "many",
        True,
        _RIVALS,
    ),
    "late_bilinear": Method(
        "Late fusion (bilinear)",
        partial(LateFusion, fusion="bilinear"),
        "many",
        True,
        _RIVALS,
        takes="pair",
    ),
    "perceiver": Method("Perceiver", Perceiver, "any", True, _RIVALS),
    "multimodn": Method("MultiModN", MultiModN, "any", True, _RIVALS),
    "mcat": Method("MCAT", MCAT, "many", True, _RIVALS, takes="tables+bag"),
    "healnet": Method("HEALNet", HEALNet, "many", True, _RIVALS),
    "mm_dynamics": Method(
        "MM dynamics", MMDynamics, "many", True, _DYNAMICS, images=True, raw_images=True
    ),
    "mm_static": Method(
        "MM static (equal weights)", MMStatic, "many", True, _DYNAMICS, images=True, raw_images=True
    ),
    "amc": Method("AMC", AMC, "many", True, _AMC, images=True, volumes=True),
    "flexmoe": _token_model("Flex-MoE", FlexMoE),
    "fusemoe": _token_model("FuseMoE", FuseMoE),
    "limoe": _token_model("LIMoE", LIMoE),
    "maggate": _token_model("MAGGate", MAGGate),
    "mult": _token_model("MulT", MulT),
    "tensor_fusion": _token_model("Tensor fusion", TensorFusion),
    "muse": _token_model("MUSE", MUSE),
    "weight_merging": Method("Weight merging", soup, "weights", False, _RIVALS),
    "coxnet": Method(
        "Cox (elastic net)",
        partial(fit_survival, "coxnet"),
        "columns",
        True,
        _RIVALS,
        takes="survival",
    ),
    "rsf": Method(
        "Random survival forest",
        partial(fit_survival, "rsf"),
        "columns",
        True,
        _RIVALS,
        takes="survival",
    ),
    "boosting": Method(
        "Gradient boosting", partial(fit_classes, "boosting"), "columns", True, _RIVALS
    ),
    "logistic": Method(
        "Logistic regression",
        partial(fit_classes, "logistic"),
        "columns",
        True,
        _RIVALS,
        takes="classes",
    ),
    **{
        name: Method(
            title,
            partial(fit_classes, name),
            "columns",
            True,
            _RIVALS,
            takes="classes",
            asked=True,
        )
        for name, title in {
            "knn": "Nearest neighbors",
            "svm": "Support vector machine",
            "random_forest": "Random forest",
            "mlp": "Single-layer network",
        }.items()
    },
}
