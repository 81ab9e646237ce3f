"""Convolutional network: the encoder of images."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from math import gcd

from torch import Tensor, nn

from mmlego.errors import SettingsError
from mmlego.models.checks import check_dropout, check_image, check_sizes

MIN_SIDE = 8  # pixels


class ConvEncoder(nn.Module):
    """Convolutions that halve an image, the mean over its positions, and a projection.

    Each stage is a 3x3 convolution with stride 2, a group normalization within the sample, and a
    ReLU. Nothing is normalized over the batch, so the result for an image does not depend on the
    rest of the batch, nor on whether the model is trained or evaluated, apart from dropout.

    Source: Wu and He 2018 for group normalization; the widths are ours, small enough for a few
    thousand images and a CPU.
    """

    def __init__(
        self,
        in_channels: int,
        *,
        widths: Sequence[int] = (16, 32, 64),
        out_dim: int = 256,
        dropout: float = 0.25,
    ) -> None:
        """Build an untrained network.

        Args:
            in_channels: Number of channels ch of an image.
            widths: Channels of the stages, in order; each stage halves height and width.
            out_dim: Width of the encoding.
            dropout: Dropout on the pooled vector, in [0, 1).

        Raises:
            SettingsError: If a stage has fewer than two channels, there is none, ``out_dim`` is
                below 1, or dropout is outside [0, 1).
        """
        super().__init__()
        check_sizes("ConvEncoder", in_channels=in_channels, stages=len(widths), out_dim=out_dim)
        check_sizes("ConvEncoder", **{f"widths[{i}]": width for i, width in enumerate(widths)})
        if min(widths) < 2:
            raise SettingsError(
                f"ConvEncoder: expected widths of 2 or more, got {tuple(widths)}; a single channel "
                "is normalized to 0 once the image has shrunk to one position"
            )
        check_dropout("ConvEncoder", dropout)
        self.in_channels = in_channels
        self.out_dim = out_dim
        self.stages = nn.Sequential(*(_stage(a, b) for a, b in pairwise((in_channels, *widths))))
        self.project = nn.Sequential(nn.Dropout(dropout), nn.Linear(widths[-1], out_dim), nn.ReLU())

    def forward(self, x: Tensor) -> Tensor:
        """Encode images (b, ch, h, w), h and w of 8 or more, as (b, out_dim).

        Raises:
            ShapeError: If the shape or type does not fit.
        """
        check_image("ConvEncoder", x, self.in_channels, MIN_SIDE)
        return self.project(self.stages(x).mean(dim=(2, 3)))


class ConvNet(nn.Module):
    """A convolutional encoder with a linear head, for images (b, ch, h, w) to logits (b, k)."""

    def __init__(
        self,
        in_channels: int,
        n_outputs: int,
        *,
        widths: Sequence[int] = (16, 32, 64),
        out_dim: int = 256,
        dropout: float = 0.25,
    ) -> None:
        """Build an untrained network.

        Args:
            in_channels: Number of channels ch of an image.
            n_outputs: Number of logits k: classes or time bins.
            widths: Channels of the stages, in order.
            out_dim: Width of the encoding.
            dropout: Dropout on the pooled vector, in [0, 1).

        Raises:
            SettingsError: If an argument is out of range.
        """
        super().__init__()
        check_sizes("ConvNet", n_outputs=n_outputs)
        self.encoder = ConvEncoder(in_channels, widths=widths, out_dim=out_dim, dropout=dropout)
        self.head = nn.Linear(out_dim, n_outputs)

    def forward(self, x: Tensor) -> Tensor:
        """Return logits (b, k) of images (b, ch, h, w)."""
        return self.head(self.encoder(x))


def _stage(fan_in: int, fan_out: int) -> nn.Sequential:
    """One halving of an image.

    A group holds at least two channels: one alone would be normalized to 0 once the image has
    shrunk to a single position.
    """
    groups = gcd(8, fan_out // 2, fan_out)
    return nn.Sequential(
        nn.Conv2d(fan_in, fan_out, 3, stride=2, padding=1, bias=False),
        nn.GroupNorm(groups, fan_out),
        nn.ReLU(),
    )
