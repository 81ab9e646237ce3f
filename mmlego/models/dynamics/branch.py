"""One branch per modality: stand-ins for what is absent, a gate, an encoder, dropout."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from mmlego.errors import SettingsError
from mmlego.lego import checks
from mmlego.lego.dropout import dropout as drop
from mmlego.lego.profiles import choose
from mmlego.models.checks import check_dropout, check_sizes
from mmlego.models.contract import KINDS, MultimodalModel, Part, Tensors
from mmlego.models.dynamics.image import (
    CHANNELS,
    ImageEncoder,
    ImageGate,
    check_image_options,
    check_pixels,
    random_flips,
)
from mmlego.models.dynamics.options import FILLS, by_modality, fill_values
from mmlego.models.layers.plain import masked_mean


@dataclass(frozen=True)
class Reading:
    """What a branch made of its modality.

    Attributes:
        here: (b,) bool, True = the sample has the modality, False = a stand-in was read.
        hidden: (b, w), with dropout if there was any.
        gate: Weights of the features in (0, 1): (b, c), (b, n, c), or (b, 1, h, w) of images; None
            without a gate.
        mask: (b, n) bool of bags and series, True = an instance that was read; None for others.
    """

    here: Tensor
    hidden: Tensor
    gate: Tensor | None
    mask: Tensor | None

    def gate_mean(self) -> Tensor:
        """Return the mean of the gate over present samples, a scalar; 0 if there is none.

        Instances of a bag are averaged first, so that a sample counts the same whatever its size.
        """
        assert self.gate is not None, "asked of gated branches only"
        per_sample = self.gate if self.mask is None else masked_mean(self.gate, self.mask)
        rows = per_sample[self.here]
        return rows.mean() if len(rows) else self.hidden.new_zeros(())

    def shown_gate(self) -> Tensor:
        """Return the gate without its graph; NaN at padding."""
        assert self.gate is not None, "asked of gated branches only"
        gate = self.gate.detach()
        return gate if self.mask is None else gate.masked_fill(~self.mask[..., None], torch.nan)


class Branch(nn.Module):
    """From the values of a modality to its hidden features (b, w)."""

    fill: Tensor

    def __init__(
        self, shape: Sequence[int], fill: Tensor, gate: nn.Module | None, encoder: nn.Module
    ) -> None:
        """Take the parts.

        Args:
            shape: Shape of the values of one sample, of a bag with a single instance.
            fill: What stands in for an absent sample; ``shape`` after broadcasting.
            gate: From values to weights that multiply them; None = no gate.
            encoder: From weighted values to (b, w), or (b, n, w) of bags.
        """
        super().__init__()
        self.shape = tuple(shape)
        self.register_buffer("fill", fill)
        self.gate = gate
        self.encoder = encoder

    def forward(self, part: Part, *, dropout: float, flip: bool) -> Reading:
        """Read one modality of a batch.

        Args:
            part: Its values.
            dropout: Rate of dropout on the hidden features; 0 = none.
            flip: Whether images are flipped at random.
        """
        values, mask = self._filled(part)
        if flip and values.ndim == 4:
            values = random_flips(values)
        gate = None if self.gate is None else self.gate(values)
        hidden = self.encoder(values if gate is None else gate * values).relu()
        hidden = hidden if mask is None else masked_mean(hidden, mask)
        return Reading(part.here, drop(hidden, dropout, True), gate, mask)

    def _filled(self, part: Part) -> tuple[Tensor, Tensor | None]:
        """Return values without holes, and which instances count; all do of an absent bag."""
        here = part.here
        if part.values is None:
            values = self.fill.expand(len(here), *self.shape)
            bag = len(self.shape) == 2
            return values, values.new_ones(len(here), 1, dtype=torch.bool) if bag else None
        shown = here.view(-1, *[1] * (part.values.ndim - 1))
        values = torch.where(shown, part.values, self.fill.to(part.values))
        return values, None if part.mask is None else part.mask | ~here[:, None]


class BranchedModel(MultimodalModel):
    """What multimodal dynamics and its static rival share: branches side by side, one classifier.

    The logits are an affine map of all branches joined side by side, each of which sees one
    modality: a constant plus one function per modality. So no interaction between modalities can be
    learned, whatever weighs a branch.
    """

    def __init__(
        self,
        widths: Mapping[str, int],
        n_outputs: int,
        *,
        kinds: Mapping[str, str] | None = None,
        gated: bool = False,
        hidden: int | Mapping[str, int] = 256,
        dropout: float = 0.5,
        missing_fill: str = "train_mean",
        means: Mapping[str, Sequence[float]] | None = None,
        mask_weight: bool = False,
        image_size: int = 64,
        patch: int = 8,
    ) -> None:
        """Build untrained branches and the classifier.

        Args:
            widths: Number of features by modality; 3, the channels, for images.
            n_outputs: Number of logits k: classes, time bins, or 1 for a Cox risk.
            kinds: ``tabular``, ``bag``, ``series`` or ``image`` by modality; None = tables.
            gated: Whether features are weighted.
            hidden: Width of the hidden features, one for all or by modality.
            dropout: Dropout on them, in [0, 1).
            missing_fill: What stands in for an absent modality: ``train_mean``, ``zero``, or
                ``grey``, which is 0.5. Images without a given mean are grey instead.
            means: Training means of the features by modality, for ``train_mean``; a modality
                without has zeros, the means of standardized features.
            mask_weight: Multiply a modality by 0 where it is absent, which drops it exactly.
            image_size: Height and width of images in pixels, a multiple of 16.
            patch: Side of the patches of an image that share a weight, 8 or 4 pixels.

        Raises:
            ModalityError: If there is no modality, or a name is unknown or cannot name a module.
            SettingsError: If an argument is out of range.
        """
        super().__init__(widths, n_outputs, kinds, (*KINDS, "image"))
        owner = self.owner
        check_dropout(owner, dropout)
        choose(f"{owner}: missing_fill", missing_fill, FILLS)
        check_image_options(owner, image_size, patch)
        self.dropout = dropout
        self.mask_weight = mask_weight
        self.image_size = image_size
        self.hidden = by_modality(owner, "hidden", hidden, tuple(widths))
        check_sizes(owner, **{f"hidden of '{name}'": size for name, size in self.hidden.items()})
        checks.names(means or {}, widths, f"{owner}: means")
        self.branches = nn.ModuleDict()
        for name, kind in self.kinds.items():
            where = f"{owner}: modality '{name}'"
            fill = fill_values(where, missing_fill, kind, widths[name], (means or {}).get(name))
            self.branches[name] = _branch(
                where, kind, fill, self.hidden[name], gated, image_size, patch
            )
        self.head = affine(sum(self.hidden.values()), n_outputs)

    def read(
        self, inputs: Tensors, present: Tensors | None = None, masks: Tensors | None = None
    ) -> dict[str, Part]:
        """Return the parts of a batch.

        Raises:
            ShapeError: As for ``forward``; also if a present image has another size or values
                outside [0, 1].
        """
        parts: dict[str, Part] = super().read(inputs, present, masks)
        for name, part in parts.items():
            if self.kinds[name] == "image" and part.values is not None:
                check_pixels(f"modality '{name}'", part.values, self.image_size)
        return parts

    def _readings(self, parts: Mapping[str, Part], *, noisy: bool) -> dict[str, Reading]:
        """Return what every branch makes of its part; ``noisy`` turns on dropout and flips."""
        dropout = self.dropout if noisy else 0.0
        return {
            name: self.branches[name](part, dropout=dropout, flip=noisy)
            for name, part in parts.items()
        }

    def _fuse(
        self, readings: Mapping[str, Reading], weights: Mapping[str, Tensor | float]
    ) -> Tensor:
        """Return logits (b, k); weights by modality are (b, 1), or one number for all samples."""
        fused = [reading.hidden * weights.get(name, 1.0) for name, reading in readings.items()]
        if self.mask_weight:
            here = [reading.here for reading in readings.values()]
            fused = [f * flag[:, None] for f, flag in zip(fused, here, strict=True)]
        return self.head(torch.cat(fused, dim=1))


def affine(fan_in: int, fan_out: int) -> nn.Linear:
    """Build an affine map that starts from Xavier-normal weights and a bias of zero."""
    layer = nn.Linear(fan_in, fan_out)
    nn.init.xavier_normal_(layer.weight)
    nn.init.zeros_(layer.bias)
    return layer


def _branch(
    owner: str, kind: str, fill: Tensor, hidden: int, gated: bool, image_size: int, patch: int
) -> Branch:
    width = len(fill)
    if kind != "image":
        gate = nn.Sequential(affine(width, width), nn.Sigmoid()) if gated else None
        shape = (width,) if kind == "tabular" else (1, width)
        return Branch(shape, fill, gate, affine(width, hidden))
    if width != CHANNELS:
        raise SettingsError(
            f"{owner}: expected images of {CHANNELS} channels, got a width of {width}; repeat the "
            "channel of a grey image"
        )
    sides = (width, image_size, image_size)
    windows = ImageGate(patch) if gated else None
    return Branch(sides, fill[:, None, None], windows, ImageEncoder(image_size, hidden))
