"""Tokens that know where they stand: what attention-based baselines read of a batch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from mmlego.lego.profiles import number
from mmlego.models.checks import check_sizes
from mmlego.models.contract import Part, Tensors, check_kinds, read_batch


def relative_positions(valid: Tensor) -> Tensor:
    """Place the valid tokens of each sample evenly on [-1, 1], in their order.

    A single valid token stands at -1, and so does whatever precedes the first one. Padding moves
    nothing, wherever it is.

    Args:
        valid: (b, n) bool, True = a valid token.

    Returns:
        Positions (b, n); what stands at invalid tokens has no meaning, but is finite.
    """
    rank = (valid.cumsum(dim=1) - 1).clamp(min=0)
    steps = (valid.sum(dim=1, keepdim=True) - 1).clamp(min=1)
    return 2.0 * rank / steps - 1.0


def fourier_features(positions: Tensor, bands: int, max_freq: float) -> Tensor:
    """Return (..., 2 * bands + 1): sines, cosines, and the positions t themselves.

    The features are sin(pi f_k t) and cos(pi f_k t) with ``bands`` frequencies f_k spread evenly
    from 1 to ``max_freq`` / 2. With ``max_freq`` = 2 all frequencies are 1, so bands repeat.

    Source: Jaegle et al. 2021 (Perceiver), section 3.2.
    """
    frequencies = torch.linspace(
        1.0, max_freq / 2, bands, dtype=positions.dtype, device=positions.device
    )
    angles = torch.pi * positions[..., None] * frequencies
    return torch.cat([angles.sin(), angles.cos(), positions[..., None]], dim=-1)


@dataclass(frozen=True)
class Tokens:
    """One modality of a batch.

    Attributes:
        values: (b, n, e), finite everywhere; zeros stand for whatever was absent or padding.
        valid: (b, n) bool, True = a token of a sample that has the modality.
    """

    values: Tensor
    valid: Tensor


class Tokenizer:
    """Turns a batch into tokens by modality: a table is one token, bags and series are many.

    Tokens of bags and series carry Fourier features of their position behind their values.
    """

    def __init__(
        self,
        owner: str,
        widths: Mapping[str, int],
        kinds: Mapping[str, str] | None,
        *,
        bands: int,
        max_freq: float,
    ) -> None:
        """Check the modalities.

        Args:
            owner: What to call the model in an error.
            widths: Number of features by modality name.
            kinds: "tabular", "bag" or "series" by name, names beyond ``widths`` are ignored; None =
                all are tables.
            bands: Number of frequencies, 1 or more.
            max_freq: Twice the highest frequency, above 0.

        Raises:
            ModalityError: If there is no modality, or a name cannot name a sub-module.
            SettingsError: If a width, a kind, or an option is out of range.
        """
        self.kinds = check_kinds(owner, widths, kinds)
        check_sizes(owner, bands=bands)
        number("max_freq", max_freq, low=0.0, open_low=True)
        self.owner, self.bands, self.max_freq = owner, bands, float(max_freq)
        self.features = dict(widths)
        extra = {
            name: 0 if kind == "tabular" else 2 * bands + 1 for name, kind in self.kinds.items()
        }
        self.widths = {name: width + extra[name] for name, width in widths.items()}

    def read(
        self,
        inputs: Tensors,
        present: Tensors | None,
        masks: Tensors | None,
        dtype: torch.dtype,
    ) -> dict[str, Tokens]:
        """Return tokens of every modality that some sample has, in the order of ``widths``.

        A sample whose bag has no valid instance lacks the modality.

        Raises:
            ModalityError: If a name is unknown or a sample has no modality.
            ShapeError: If a shape or type is wrong, or a valid entry is not finite.
        """
        parts = read_batch(self.owner, self.features, self.kinds, inputs, present, masks)
        return {
            name: self._tokens(part, dtype)
            for name, part in parts.items()
            if part.values is not None
        }

    def _tokens(self, part: Part, dtype: torch.dtype) -> Tokens:
        assert part.values is not None, "read() leaves empty parts out"
        values = part.values.to(dtype)
        if part.mask is None:
            return Tokens(values[:, None], part.here[:, None])
        positions = relative_positions(part.mask).to(dtype)
        features = fourier_features(positions, self.bands, self.max_freq)
        return Tokens(torch.cat([values, features], dim=-1), part.mask)
