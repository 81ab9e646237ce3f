"""Small networks of the registry by name, and batches for them: what the tests of the contract run.

A method that the registry calls a network of several modalities is tested without being named here;
one whose class is not in ``SETTINGS`` is built with its defaults, some dropout among them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from mmlego.methods.method import PAIR, TABLES_AND_BAG
from mmlego.methods.registry import METHODS, networks
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
ONE_BAG = {"rna": "tabular", "mut": "tabular", "img": "bag"}
ANY_KIND = ONE_BAG | {"vitals": "series"}
# Modalities that suit what a method requires.
KINDS_FOR = {PAIR: {"rna": "tabular", "img": "bag"}, TABLES_AND_BAG: ONE_BAG}
LATENT = {"latent_channels": 3, "latent_dim": 12, "dim_head": 6, "ff_mult": 2}
DROPOUT = {"attn_dropout": 0.1, "ff_dropout": 0.1}


@dataclass(frozen=True)
class Small:
    """A small configuration of one network.

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


def _order(widths: Mapping[str, int]) -> dict[str, object]:
    """Unequal weights for a network that has them equal by default."""
    return {"weights": {name: float(place) for place, name in enumerate(widths, start=1)}}


def _uncut(model: nn.Module) -> None:
    """Let shifts never be cut: else chance decides whose limit has a slope."""
    for limit in model.gates.beta.values():
        nn.init.constant_(limit, 10.0)


@dataclass(frozen=True)
class Setting:
    """How the models of a class are made small.

    Attributes:
        options: Options of the class.
        for_widths: Further options that depend on the widths.
        blind: As that of ``Small``.
        prepare: What is done to an untrained model.
    """

    options: Mapping[str, object] = field(default_factory=dict)
    for_widths: Callable[[Mapping[str, int]], dict[str, object]] = lambda widths: {}
    blind: str = "(?!)"
    prepare: Callable[[nn.Module], object] = lambda model: None

    def small(self, build: Callable[..., nn.Module], **rest: object) -> Small:
        """A small configuration of what makes a model of the class."""

        def made(widths: Mapping[str, int], n_outputs: int, kinds: Mapping[str, str]) -> nn.Module:
            options = {**self.options, **self.for_widths(widths)}
            model = build(widths, n_outputs, kinds=kinds, **options)
            self.prepare(model)
            return model

        return Small(made, blind=self.blind, **rest)


# Vectors that stand in for what is absent, and the last bias of attention scores, which shifts all
# of them alike.
STAND_INS = r"absent\.|no_|.*\.score\.bias"
TOKEN_STAND_INS = r"front\.tokenizers\.\w+\.absent"
EXPERTS = {"layers": 2, "experts": 2, "top_k": 1}
TOKENS = {"tokens": 4, "width": 16, "heads": 2, "dropout": 0.1}
DYNAMICS = {"hidden": 16, "dropout": 0.1}
LATE = {"width": 16, "dropout": 0.1}

SETTINGS: dict[type[nn.Module], Setting] = {
    Perceiver: Setting({**LATENT, **DROPOUT, "self_heads": 2, "self_dim_head": 6}),
    # Attention to the single token of a table gives it all weight, whatever is asked.
    HEALNet: Setting(
        {**LATENT, **DROPOUT},
        blind=r"cross\.(rna|mut)\.\d\.attention\.(to_query|to_key|norm_query)\.",
    ),
    MultiModN: Setting(
        {"state_width": 20, "hidden": (16, 16), "dropout": 0.1, "state_activation": "relu"}
    ),
    LateFusion: Setting(LATE, blind=STAND_INS),
    # The unimodal classifiers are read by the loss only.
    MMDynamics: Setting(DYNAMICS, blind="classifiers"),
    MMStatic: Setting(DYNAMICS, for_widths=_order),
    MCAT: Setting(
        {"width": 16, "heads": 2, "ff_dim": 32, "attn_dim": 8, "dropout": 0.1}, blind=STAND_INS
    ),
    AMC: Setting({**TOKENS, **EXPERTS}, blind=TOKEN_STAND_INS),
    LIMoE: Setting({**TOKENS, **EXPERTS}, blind=TOKEN_STAND_INS),
    MAGGate: Setting(TOKENS, blind=TOKEN_STAND_INS + r"|gates\.beta", prepare=_uncut),
    MulT: Setting({**TOKENS, "layers": 1}, blind=TOKEN_STAND_INS),
    TensorFusion: Setting(TOKENS, blind=TOKEN_STAND_INS),
    FlexMoE: Setting(TOKENS, blind=r"bank\.bank"),
    FuseMoE: Setting({**TOKENS, "layers": 1, "experts": 4, "top_k": 2}, blind="absent"),
    # The two views are read by the auxiliary losses only.
    MUSE: Setting(TOKENS, blind=r"project\."),
}


def small_of(name: str) -> Small:
    """The small configuration of a method of the registry."""
    method = METHODS[name]
    setting = SETTINGS.get(getattr(method.build, "func", method.build), Setting())
    return setting.small(
        method.build,
        kinds=KINDS_FOR.get(method.requires, ANY_KIND),
        additive=method.additive,
    )


# Configurations that are no methods of their own.
FURTHER = {
    "LateFusion hidden": Setting({**LATE, "hidden": True}, blind=STAND_INS).small(LateFusion),
    **{
        f"MMDynamics {variant}": Setting(
            {**DYNAMICS, "variant": variant}, blind="classifiers"
        ).small(MMDynamics, additive=True)
        for variant in VARIANTS[1:]  # the first one is the method itself
    },
    "LIMoE separate": Setting(
        {**TOKENS, **EXPERTS, "reading": "separate"}, blind=TOKEN_STAND_INS
    ).small(LIMoE, additive=True),
    "MAGGate original": Setting({**TOKENS, "variant": "original"}, blind=TOKEN_STAND_INS).small(
        MAGGate
    ),
    "FuseMoE disjoint": Setting(
        {**TOKENS, "layers": 1, "experts": 12, "router": "disjoint"}, blind="absent"
    ).small(FuseMoE),
}


def models() -> dict[str, Small]:
    """Every network of the registry, and the further configurations."""
    return {name: small_of(name) for name in networks()} | FURTHER


MODELS = models()
