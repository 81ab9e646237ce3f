"""The image parts of multimodal dynamics: a gate of pixels, an encoder, and flips for training."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mmlego.errors import SettingsError, ShapeError
from mmlego.lego.profiles import count

CHANNELS = 3
PATCHES = (8, 4)  # pixels
SIDE_STEP = 16  # pixels; what the gate shrinks to one position


class ImageGate(nn.Module):
    """A small U-Net that weighs every patch of an image between 0 and 1.

    Source: the code published with the study of multimodal dynamics on single cells (arXiv
        2411.00725), as restated in the method page. Its text speaks of patches of 4 pixels, its
        code and its pictures show 8: ``patch=4`` puts a 1x1 convolution where the one with stride
        2 is. An up-sampling convolution that the text mentions is not in the code, nor here.

    The two channels before the last convolution pass a ReLU. With torch's initialization both are
    0 for every image in some fresh gates; these stay uniform over the image, whatever they are
    trained on.
    """

    def __init__(self, patch: int = 8) -> None:
        """Build an untrained gate with patches of 8 or 4 pixels."""
        super().__init__()
        self.outer = nn.Sequential(*_conv_relu(CHANNELS, 16), *_conv_relu(16, 16), nn.MaxPool2d(4))
        self.inner = nn.Sequential(*_conv_relu(16, 32), *_conv_relu(32, 32), nn.MaxPool2d(4))
        self.middle = nn.Sequential(*_conv_relu(32, 16), *_conv_relu(16, 16))
        stride = patch // 4
        self.decoder = nn.Sequential(
            nn.Conv2d(32, 8, stride, stride=stride),
            *_conv_relu(8, 8),
            *_conv_relu(8, 2),
            nn.Conv2d(2, 1, 1),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Return weights (b, 1, h, w) in (0, 1) of images (b, 3, h, w), equal within a patch."""
        outer = self.outer(x)
        middle = F.interpolate(self.middle(self.inner(outer)), outer.shape[2:], mode="nearest")
        heat = self.decoder(torch.cat([outer, middle], dim=1))
        return F.interpolate(heat, x.shape[2:], mode="nearest").sigmoid()


class ImageEncoder(nn.Sequential):
    """Two convolutions and two linear layers, from images (b, 3, s, s) to (b, out_dim).

    What follows every encoder here, a ReLU and dropout, is left to the caller.

    Source: as for ``ImageGate``; initialized as torch does by default.
    """

    def __init__(self, image_size: int, out_dim: int) -> None:
        """Build an untrained encoder of square images with a side of ``image_size`` pixels."""
        super().__init__(
            *_conv_relu(CHANNELS, 16),
            nn.MaxPool2d(2),
            *_conv_relu(16, 32),
            nn.MaxPool2d(2),
            nn.Flatten(),
            nn.Linear(32 * (image_size // 4) ** 2, 128),
            nn.ReLU(),
            nn.Linear(128, out_dim),
        )


def random_flips(x: Tensor) -> Tensor:
    """Return images (b, c, h, w), each turned left to right and upside down with probability 1/2.

    Source: the published code flips images in validation and testing as well; that is for the
        caller to avoid.
    """
    for axis in (-1, -2):
        turned = torch.rand(len(x), 1, 1, 1, device=x.device) < 0.5
        x = torch.where(turned, x.flip(axis), x)
    return x


def check_image_options(owner: str, image_size: int, patch: int) -> None:
    """Refuse sizes that the gate cannot halve, and patches that it cannot make.

    Raises:
        SettingsError: If the size is no positive multiple of 16, or the patch neither 8 nor 4.
    """
    count(f"{owner}: image_size", image_size)
    if image_size % SIDE_STEP:
        raise SettingsError(
            f"{owner}: expected image_size to be a multiple of {SIDE_STEP}, got {image_size}; "
            "resize the images"
        )
    if patch not in PATCHES:
        raise SettingsError(f"{owner}: expected a patch of 8 or 4 pixels, got {patch!r}")


def check_pixels(owner: str, x: Tensor, image_size: int) -> None:
    """Refuse images (b, 3, h, w) of another size, or with values outside [0, 1].

    Raises:
        ShapeError: If a side or a value differs.
    """
    if x.shape[2:] != (image_size, image_size):
        raise ShapeError(
            f"{owner}: expected images of {image_size} x {image_size} pixels, got "
            f"{x.shape[2]} x {x.shape[3]}; resize them, or build the model with their image_size"
        )
    low, high = torch.aminmax(x)
    if float(low) < 0.0 or float(high) > 1.0:
        raise ShapeError(
            f"{owner}: expected values in [0, 1], got {float(low):g} to {float(high):g}; divide "
            "bytes by 255, and leave them unscaled after that"
        )


def _conv_relu(fan_in: int, fan_out: int) -> tuple[nn.Module, nn.Module]:
    return nn.Conv2d(fan_in, fan_out, 3, padding=1), nn.ReLU()
