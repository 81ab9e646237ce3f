"""Late fusion: one encoder per modality, and one classifier on what they say."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from einops import einsum
from torch import Tensor, nn

from mmlego.errors import SettingsError
from mmlego.lego.profiles import choose
from mmlego.models.checks import check_dropout, check_sizes
from mmlego.models.contract import MultimodalModel, Part
from mmlego.models.encoders.amil import ABMILEncoder
from mmlego.models.encoders.snn import SNNEncoder
from mmlego.models.layers.plain import relu_layers

FUSIONS = ("concat", "bilinear")
SNN_DEPTH = 4
REDUCED = 32


class LateFusion(MultimodalModel):
    """Encode tables by an SNN, bags and series by attention pooling, and classify all together.

    A modality that a sample lacks is replaced by a learned vector that starts at zero, wherever its
    encoding would be read, gates included.

    Source: Hemker et al. 2025, appendix E (SNN and ABMIL joined); the gated Kronecker product after
        Chen et al. 2020 (Pathomic Fusion) and Chen et al. 2022 (PORPOISE). Behind ``concat`` is a
        single linear layer by default, as in the code of Hemker et al.: it adds up what the
        modalities say, so that no interaction between them can be learned; ``hidden`` lifts that.
        The vector for an absent modality is our addition.
    """

    def __init__(
        self,
        widths: Mapping[str, int],
        n_outputs: int,
        *,
        kinds: Mapping[str, str] | None = None,
        fusion: str = "concat",
        hidden: bool = False,
        width: int = 256,
        dropout: float = 0.25,
    ) -> None:
        """Build an untrained network.

        Args:
            widths: Number of features by modality: two or more, exactly two for ``bilinear``.
            n_outputs: Number of logits k: classes or time bins.
            kinds: ``tabular``, ``bag`` or ``series`` by modality; None = tables.
            fusion: ``concat`` joins encodings side by side; ``bilinear`` gates both, and multiplies
                every feature of one with every feature of the other.
            hidden: Put two ReLU layers before the last layer of ``concat``.
            width: Width of the encodings and of all hidden layers.
            dropout: Dropout of encoders and of the gated product, in [0, 1).

        Raises:
            ModalityError: If there is no modality, or a name cannot name a sub-module.
            SettingsError: If the number of modalities does not fit, or an argument is out of range.
        """
        super().__init__(widths, n_outputs, kinds)
        check_sizes("LateFusion", width=width)
        check_dropout("LateFusion", dropout)
        choose("LateFusion: fusion", fusion, FUSIONS)
        _check_number(fusion, hidden, tuple(widths))
        self.encoders = nn.ModuleDict(
            {name: _encoder(self.kinds[name], c, width, dropout) for name, c in widths.items()}
        )
        self.absent = nn.ParameterDict({name: torch.zeros(width) for name in widths})
        self.fuse: GatedProduct | Concatenation
        if fusion == "bilinear":
            self.fuse = GatedProduct(width, dropout=dropout)
        else:
            self.fuse = Concatenation(len(widths) * width, width if hidden else None)
        self.head = nn.Linear(self.fuse.out_dim, n_outputs)

    def predict(self, batch: Mapping[str, Part]) -> Tensor:
        """Return logits (b, k) of the parts of a batch."""
        encoded = [
            part.encode(self.encoders[name], self.absent[name]) for name, part in batch.items()
        ]
        return self.head(self.fuse(encoded))


class Concatenation(nn.Module):
    """Encodings (b, w) side by side, and two ReLU layers on them if a width is given."""

    def __init__(self, in_dim: int, hidden: int | None) -> None:
        """Build layers for encodings of ``in_dim`` features in all."""
        super().__init__()
        self.out_dim = hidden or in_dim
        self.layers = nn.Identity() if hidden is None else relu_layers(in_dim, hidden, hidden)

    def forward(self, encoded: Sequence[Tensor]) -> Tensor:
        """Return (b, out_dim)."""
        return self.layers(torch.cat(list(encoded), dim=1))


class GatedProduct(nn.Module):
    """Kronecker product of two encodings, each reduced and gated by both.

    With h_k = ReLU(W_k e_k) and z_k = sigmoid(V_k [e_1, e_2] + c_k), o_k = ReLU(U_k (z_k * h_k)
    + d_k) with dropout gets a 1 appended, so that the outer product of both o_k holds each of
    them alone besides all products. Two ReLU layers follow.

    Source: Chen et al. 2020 (Pathomic Fusion), gating-based attention and Kronecker product.
    """

    def __init__(self, width: int, *, reduced: int = REDUCED, dropout: float = 0.25) -> None:
        """Build layers for two encodings of the same width.

        Args:
            width: Width of both encodings, and of the layers behind the product.
            reduced: Width of a reduced encoding.
            dropout: Dropout on reduced encodings, on the product, and on the layers behind it.
        """
        super().__init__()
        self.out_dim = width
        self.reduce = nn.ModuleList(
            nn.Sequential(nn.Linear(width, reduced), nn.ReLU()) for _ in range(2)
        )
        self.gate = nn.ModuleList(
            nn.Sequential(nn.Linear(2 * width, reduced), nn.Sigmoid()) for _ in range(2)
        )
        self.out = nn.ModuleList(relu_layers(reduced, reduced, dropout=dropout) for _ in range(2))
        self.after = nn.Sequential(
            nn.Dropout(dropout), relu_layers((reduced + 1) ** 2, width, width, dropout=dropout)
        )

    def forward(self, encoded: Sequence[Tensor]) -> Tensor:
        """Return (b, width) of two encodings (b, width)."""
        both = torch.cat(list(encoded), dim=1)
        first, second = (
            _with_one(out(gate(both) * reduce(e)))
            for e, reduce, gate, out in zip(encoded, self.reduce, self.gate, self.out, strict=True)
        )
        return self.after(einsum(first, second, "b i, b j -> b i j").flatten(start_dim=1))


def _with_one(x: Tensor) -> Tensor:
    return torch.cat([x, torch.ones_like(x[:, :1])], dim=1)


def _encoder(kind: str, in_dim: int, width: int, dropout: float) -> nn.Module:
    if kind == "tabular":
        return SNNEncoder(in_dim, widths=(width,) * SNN_DEPTH, dropout=dropout)
    return ABMILEncoder(in_dim, out_dim=width, dropout=dropout)


def _check_number(fusion: str, hidden: bool, names: Sequence[str]) -> None:
    if len(names) < 2:
        raise SettingsError(
            f"LateFusion: expected two modalities or more, got {list(names)}; train SNN or ABMIL "
            "on a single one"
        )
    if fusion == "bilinear" and len(names) != 2:
        raise SettingsError(
            f"LateFusion: expected two modalities for fusion 'bilinear', got {list(names)}; join "
            "all tables into one modality with mmlego.data.with_tabular, or use fusion 'concat'"
        )
    if fusion == "bilinear" and hidden:
        raise SettingsError(
            "LateFusion: expected hidden=False for fusion 'bilinear', got True; its product is "
            "always followed by two hidden layers"
        )
