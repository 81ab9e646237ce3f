"""Small multimodal baselines by name, and batches for them: what the tests of the contract run."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from mmlego.models.amc import AMC
from mmlego.models.baselines.healnet import HEALNet
from mmlego.models.baselines.late_fusion import LateFusion
from mmlego.models.baselines.mcat import MCAT
from mmlego.models.baselines.multimodn import MultiModN
from mmlego.models.baselines.perceiver import Perceiver
from mmlego.models.dynamics import VARIANTS, MMDynamics, MMStatic
from mmlego.models.token_models import MUSE, FlexMoE, FuseMoE, LIMoE, MAGGate, MulT, TensorFusion

N_OUTPUTS = 3
WIDTHS = {"rna": 5, "mut": 3, "img": 4, "vitals": 2}
LENGTHS = {"img": 6, "vitals": 4}
TABLES_AND_BAG = {"rna": "tabular", "mut": "tabular", "img": "bag"}
ANY_KIND = TABLES_AND_BAG | {"vitals": "series"}
LATENT = {"latent_channels": 3, "latent_dim": 12, "dim_head": 6, "ff_mult": 2}
DROPOUT = {"attn_dropout": 0.1, "ff_dropout": 0.1}


@dataclass(frozen=True)
class Small:
    """A small configuration of one baseline.

    Attributes:
        build: From widths, number of outputs and kinds to a model, with some dropout.
        kinds: The modalities it is tested with, by name.
        blind: Pattern of the parameters that cannot influence a prediction by construction.
        additive: Whether the logits are a sum of one function per modality, so that what only
            several modalities tell together cannot be learned.
    """

    build: Callable[[Mapping[str, int], int, Mapping[str, str]], nn.Module]
    kinds: Mapping[str, str] = field(default_factory=lambda: ANY_KIND)
    blind: str = "(?!)"
    additive: bool = False

    def make(self, names: tuple[str, ...] | None = None, n_outputs: int = N_OUTPUTS) -> nn.Module:
        """The model in eval mode, the same at every call; for some of its modalities, or all."""
        kinds = {name: self.kinds[name] for name in names or self.kinds}
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            model = self.build({name: WIDTHS[name] for name in kinds}, n_outputs, kinds)
        return model.eval()

    def batch(self, rows: int = 4) -> dict[str, Tensor]:
        """Random values by modality, the same at every call."""
        generator = torch.Generator().manual_seed(1)
        return {
            name: torch.randn(self.shape(name, rows), generator=generator) for name in self.kinds
        }

    def shape(self, name: str, rows: int) -> tuple[int, ...]:
        """Shape of the values of one modality."""
        middle = () if self.kinds[name] == "tabular" else (LENGTHS[name],)
        return (rows, *middle, WIDTHS[name])


def _perceiver(widths: Mapping[str, int], n_outputs: int, kinds: Mapping[str, str]) -> nn.Module:
    options = {"self_heads": 2, "self_dim_head": 6}
    return Perceiver(widths, n_outputs, kinds=kinds, **LATENT, **DROPOUT, **options)


def _healnet(widths: Mapping[str, int], n_outputs: int, kinds: Mapping[str, str]) -> nn.Module:
    return HEALNet(widths, n_outputs, kinds=kinds, **LATENT, **DROPOUT)


def _multimodn(widths: Mapping[str, int], n_outputs: int, kinds: Mapping[str, str]) -> nn.Module:
    options = {"state_width": 20, "hidden": (16, 16), "dropout": 0.1}
    return MultiModN(widths, n_outputs, kinds=kinds, state_activation="relu", **options)


def _late(**options: object) -> Callable[..., nn.Module]:
    def build(widths: Mapping[str, int], n_outputs: int, kinds: Mapping[str, str]) -> nn.Module:
        return LateFusion(widths, n_outputs, kinds=kinds, width=16, dropout=0.1, **options)

    return build


def _mcat(widths: Mapping[str, int], n_outputs: int, kinds: Mapping[str, str]) -> nn.Module:
    sizes = {"width": 16, "heads": 2, "ff_dim": 32, "attn_dim": 8}
    return MCAT(widths, n_outputs, kinds=kinds, dropout=0.1, **sizes)


def _dynamics(variant: str) -> Callable[..., nn.Module]:
    def build(widths: Mapping[str, int], n_outputs: int, kinds: Mapping[str, str]) -> nn.Module:
        options = {"variant": variant, "hidden": 16, "dropout": 0.1}
        return MMDynamics(widths, n_outputs, kinds=kinds, **options)

    return build


def _static(widths: Mapping[str, int], n_outputs: int, kinds: Mapping[str, str]) -> nn.Module:
    weights = {name: float(place) for place, name in enumerate(widths, start=1)}
    return MMStatic(widths, n_outputs, kinds=kinds, weights=weights, hidden=16, dropout=0.1)


def _tokens(model: Callable[..., nn.Module], **options: object) -> Callable[..., nn.Module]:
    """A model behind the front end of AMC."""
    sizes = {"tokens": 4, "width": 16, "heads": 2, "dropout": 0.1}

    def build(widths: Mapping[str, int], n_outputs: int, kinds: Mapping[str, str]) -> nn.Module:
        return model(widths, n_outputs, kinds=kinds, **sizes, **options)

    return build


def _maggate(widths: Mapping[str, int], n_outputs: int, kinds: Mapping[str, str]) -> nn.Module:
    """With shifts that are never cut: else chance decides whose limit has a slope."""
    model = _tokens(MAGGate)(widths, n_outputs, kinds)
    for limit in model.gates.beta.values():
        nn.init.constant_(limit, 10.0)
    return model


# Vectors that stand in for what is absent, and the last bias of attention scores, which shifts all
# of them alike.
STAND_INS = r"absent\.|no_|.*\.score\.bias"
TOKEN_STAND_INS = r"front\.tokenizers\.\w+\.absent"
EXPERTS = {"layers": 2, "experts": 2, "top_k": 1}

MODELS = {
    "Perceiver": Small(_perceiver),
    # Attention to the single token of a table gives it all weight, whatever is asked.
    "HEALNet": Small(
        _healnet, blind=r"cross\.(rna|mut)\.\d\.attention\.(to_query|to_key|norm_query)\."
    ),
    "MultiModN": Small(_multimodn),
    "LateFusion concat": Small(_late(hidden=True), blind=STAND_INS),
    "LateFusion bilinear": Small(
        _late(fusion="bilinear"), {"rna": "tabular", "img": "bag"}, blind=STAND_INS
    ),
    # The unimodal classifiers are read by the loss only.
    **{
        f"MMDynamics {variant}": Small(_dynamics(variant), blind="classifiers", additive=True)
        for variant in VARIANTS
    },
    "MMStatic": Small(_static, additive=True),
    "MCAT": Small(_mcat, TABLES_AND_BAG, blind=STAND_INS),
    "AMC": Small(_tokens(AMC, **EXPERTS), blind=TOKEN_STAND_INS),
    "LIMoE": Small(_tokens(LIMoE, **EXPERTS), blind=TOKEN_STAND_INS),
    "LIMoE separate": Small(
        _tokens(LIMoE, reading="separate", **EXPERTS), blind=TOKEN_STAND_INS, additive=True
    ),
    "MAGGate": Small(_maggate, blind=TOKEN_STAND_INS + r"|gates\.beta"),
    "MAGGate original": Small(_tokens(MAGGate, variant="original"), blind=TOKEN_STAND_INS),
    "MulT": Small(_tokens(MulT, layers=1), blind=TOKEN_STAND_INS),
    "TensorFusion": Small(_tokens(TensorFusion), blind=TOKEN_STAND_INS),
    "FlexMoE": Small(_tokens(FlexMoE), blind=r"bank\.bank"),
    "FuseMoE": Small(_tokens(FuseMoE, layers=1, experts=4, top_k=2), blind="absent"),
    "FuseMoE disjoint": Small(
        _tokens(FuseMoE, layers=1, experts=12, router="disjoint"), blind="absent"
    ),
    # The two views are read by the auxiliary losses only.
    "MUSE": Small(_tokens(MUSE), blind=r"project\."),
}
