"""MAGGate: a main modality that the others shift, each by as much as a gate lets through."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from mmlego.lego.dropout import dropout as drop
from mmlego.lego.profiles import choose
from mmlego.models.checks import check_dropout
from mmlego.models.contract import Terms
from mmlego.models.layers.frontend import Encoded, FusionModel
from mmlego.models.token_models.head import ResidualHead

VARIANTS = ("fusemoe", "original")
_EPS = 1e-6
_BETA = 1.0


class MAGGate(FusionModel):
    """Multimodal adaptation gate: the others shift the main modality, and a residual head reads it.

    The shift is never longer than ``beta`` times the vector that is shifted. An absent modality
    shifts nothing; learned tokens stand in for an absent main modality, and the others shift those.
    A single modality is the residual head on its mean token.

    Source: Rahman et al. 2020 (MAG), section 3, and the code of FuseMoE, which AMC compares with.

    Args:
        widths: See ``FusionModel``, also for ``n_outputs``, ``kinds``, other options and errors;
            gives the order in which modalities shift the main one.
        n_outputs: Number of logits k.
        main: Name of the main modality; None = the first. The best single modality on validation
            data is a good choice (ours; none is published).
        variant: ``fusemoe``, see ``ScalarGates``, on mean tokens; ``original``, see
            ``VectorGates``, on the tokens at each position, averaged afterwards.
        gate_dropout: Behind a shift, in [0, 1); .5 in the original.
        **shared: Options of ``FusionModel``.
    """

    def __init__(
        self,
        widths: Mapping[str, int],
        n_outputs: int,
        *,
        main: str | None = None,
        variant: str = "fusemoe",
        gate_dropout: float = 0.1,
        **shared: Any,
    ) -> None:
        """Build the parameters."""
        super().__init__(widths, n_outputs, **shared)
        self.main = self.names[0] if main is None else main
        choose(f"{self.owner}: main", self.main, self.names)
        choose(f"{self.owner}: variant", variant, VARIANTS)
        check_dropout(self.owner, gate_dropout)
        self.variant = variant
        others = [name for name in self.names if name != self.main]
        build = {"fusemoe": ScalarGates, "original": VectorGates}[variant]
        self.gates = build(self.width, others, gate_dropout) if others else None
        self.head = ResidualHead(self.width, n_outputs, self.dropout)

    def fuse(self, encoded: Encoded) -> tuple[Tensor, Terms]:
        """Return logits (b, k) of a batch of tokens, and no further terms."""
        tokens = dict(zip(self.names, encoded.tokens.unbind(1), strict=True))
        here = dict(zip(self.names, encoded.here[..., None, None].unbind(1), strict=True))
        if self.variant == "fusemoe":
            tokens = {name: x.mean(dim=1, keepdim=True) for name, x in tokens.items()}
        shifted = tokens.pop(self.main)
        if self.gates is not None:
            shifted = self.gates(shifted, tokens, here)
        return self.head(shifted.mean(dim=1)), {}


class ScalarGates(nn.Module):
    """Modalities shift the main one after the other: z <- Dropout(LN(z + alpha W (w x))).

    w = sigmoid(v [z; x]) is one number, and alpha as in ``shift_length`` with a learned beta.

    Source: code of FuseMoE. It divides the norms of the whole batch, so that samples depend on each
        other; here each sample has its own. Its beta starts standard normal and may be negative,
        which turns shifts around; here the absolute value counts (a cut at zero would leave a beta
        below it without gradient).

    Args:
        width: Width w of a vector.
        names: The modalities that shift, in order.
        dropout: In [0, 1).
    """

    def __init__(self, width: int, names: list[str], dropout: float) -> None:
        """Build the parameters."""
        super().__init__()
        self.dropout = dropout
        self.gate = nn.ModuleDict({name: nn.Linear(2 * width, 1) for name in names})
        self.move = nn.ModuleDict({name: nn.Linear(width, width) for name in names})
        self.norm = nn.ModuleDict({name: nn.LayerNorm(width) for name in names})
        self.beta = nn.ParameterDict({name: torch.randn(()) for name in names})

    def forward(
        self, main: Tensor, others: Mapping[str, Tensor], here: Mapping[str, Tensor]
    ) -> Tensor:
        """Return (b, n, w) of the main (b, n, w) and others (b, n, w), where here (b, 1, 1)."""
        for name, x in others.items():
            gate = torch.sigmoid(self.gate[name](torch.cat([main, x], dim=-1)))
            shift = self.move[name](gate * x).masked_fill(~here[name], 0.0)
            moved = main + shift_length(main, shift, self.beta[name].abs()) * shift
            main = drop(self.norm[name](moved), self.dropout, self.training)
        return main


class VectorGates(nn.Module):
    """All modalities together shift the main one: Dropout(LN(z + alpha h)).

    h = sum_m g_m * (W_m x_m + b_m) with g_m = ReLU(V_m [x_m; z] + c_m), a gate per feature, and
    alpha as in ``shift_length`` with beta 1.

    Source: Rahman et al. 2020, section 3.

    Args:
        width: Width w of a vector.
        names: The modalities that shift.
        dropout: In [0, 1).
    """

    def __init__(self, width: int, names: list[str], dropout: float) -> None:
        """Build the parameters."""
        super().__init__()
        self.dropout = dropout
        self.gate = nn.ModuleDict({name: nn.Linear(2 * width, width) for name in names})
        self.move = nn.ModuleDict({name: nn.Linear(width, width) for name in names})
        self.norm = nn.LayerNorm(width)

    def forward(
        self, main: Tensor, others: Mapping[str, Tensor], here: Mapping[str, Tensor]
    ) -> Tensor:
        """Return (b, n, w) of the main (b, n, w) and others (b, n, w), where here (b, 1, 1)."""
        shift = self.displacement(main, others, here)
        moved = main + shift_length(main, shift, _BETA) * shift
        return drop(self.norm(moved), self.dropout, self.training)

    def displacement(
        self, main: Tensor, others: Mapping[str, Tensor], here: Mapping[str, Tensor]
    ) -> Tensor:
        """Return h (b, n, w); see ``forward``."""
        shift = torch.zeros_like(main)
        for name, x in others.items():
            gate = torch.relu(self.gate[name](torch.cat([x, main], dim=-1)))
            shift = shift + (gate * self.move[name](x)).masked_fill(~here[name], 0.0)
        return shift


def shift_length(main: Tensor, shift: Tensor, beta: Tensor | float) -> Tensor:
    """Return alpha (..., 1) = min(beta |z| / (|h| + 1e-6), 1) of z, h (..., w); 1 where h = 0."""
    length = torch.linalg.vector_norm(shift, dim=-1, keepdim=True)
    own = torch.linalg.vector_norm(main, dim=-1, keepdim=True)
    alpha = (own / (length + _EPS) * beta).clamp(max=1.0)
    return alpha.masked_fill(length == 0, 1.0)
