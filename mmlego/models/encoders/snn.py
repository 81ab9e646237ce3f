"""Self-normalising network: the encoder of tables."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from torch import Tensor, nn

from mmlego.errors import SettingsError
from mmlego.models.checks import check_dropout, check_sizes, check_table

ACTIVATIONS = {"selu": nn.SELU, "elu": nn.ELU}


class SNNEncoder(nn.Module):
    """A stack of Linear, SELU, AlphaDropout that keeps activations near zero mean, unit variance.

    Weights start from N(0, 1/fan_in), biases from 0; inputs should be standardised on training
    data, or the property is lost.

    Source: Klambauer et al. 2017, sections 2 and 3; four layers of 256 after Hemker et al. 2025.
    """

    def __init__(
        self,
        in_dim: int,
        *,
        widths: Sequence[int] = (256, 256, 256, 256),
        dropout: float = 0.25,
        activation: str = "selu",
    ) -> None:
        """Build an untrained network.

        Args:
            in_dim: Number of features c.
            widths: Widths of the layers, in order.
            dropout: Probability of AlphaDropout, in [0, 1).
            activation: ``selu``, or ``elu`` as in several published survival models.

        Raises:
            SettingsError: If a width is below 1, dropout outside [0, 1), or the activation
                unknown.
        """
        super().__init__()
        check_sizes("SNNEncoder", in_dim=in_dim, layers=len(widths))
        check_sizes("SNNEncoder", **{f"widths[{i}]": width for i, width in enumerate(widths)})
        check_dropout("SNNEncoder", dropout)
        if activation not in ACTIVATIONS:
            raise SettingsError(
                f"SNNEncoder: expected activation of {sorted(ACTIVATIONS)}, got '{activation}'"
            )
        self.in_dim = in_dim
        self.out_dim = widths[-1]
        layers: list[nn.Module] = []
        for fan_in, fan_out in pairwise((in_dim, *widths)):
            layers += [
                _linear(fan_in, fan_out),
                ACTIVATIONS[activation](),
                nn.AlphaDropout(dropout),
            ]
        self.layers = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        """Encode a table (b, c) as (b, out_dim).

        Raises:
            ShapeError: If the number of features differs from ``in_dim``.
        """
        check_table("SNNEncoder", x, self.in_dim)
        return self.layers(x)


class SNN(nn.Module):
    """An SNN encoder with a linear head, for tables (b, c) to logits (b, k)."""

    def __init__(
        self,
        in_dim: int,
        n_outputs: int,
        *,
        widths: Sequence[int] = (256, 256, 256, 256),
        dropout: float = 0.25,
        activation: str = "selu",
    ) -> None:
        """Build an untrained network.

        Args:
            in_dim: Number of features c.
            n_outputs: Number of logits k: classes or time bins.
            widths: Widths of the layers, in order.
            dropout: Probability of AlphaDropout, in [0, 1).
            activation: ``selu`` or ``elu``.

        Raises:
            SettingsError: If an argument is out of range.
        """
        super().__init__()
        check_sizes("SNN", n_outputs=n_outputs)
        self.encoder = SNNEncoder(in_dim, widths=widths, dropout=dropout, activation=activation)
        self.head = _linear(self.encoder.out_dim, n_outputs)

    def forward(self, x: Tensor) -> Tensor:
        """Return logits (b, k) of a table (b, c)."""
        return self.head(self.encoder(x))


def _linear(fan_in: int, fan_out: int) -> nn.Linear:
    layer = nn.Linear(fan_in, fan_out)
    nn.init.normal_(layer.weight, std=fan_in**-0.5)
    nn.init.zeros_(layer.bias)
    return layer
