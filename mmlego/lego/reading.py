"""From the data of one modality to what the passes of a block attend to."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from mmlego.errors import ShapeError
from mmlego.lego import checks
from mmlego.lego.attention import CrossAttention, Memory


class Reading:
    """The data of one forward as the passes see it: context (b, n, e), mask (b, n) or None."""

    def __init__(
        self, attention: Sequence[CrossAttention], context: Tensor, mask: Tensor | None
    ) -> None:
        """Keep the context; keys and values are made on demand."""
        self.context, self.mask = context, mask
        self._attention = attention
        self._memory: tuple[int, Memory] | None = None

    @property
    def rows(self) -> int:
        """Batch size."""
        return len(self.context)

    def memory(self, index: int) -> Memory:
        """Keys and values for the attention with this index; the last one made is kept."""
        if self._memory is None or self._memory[0] != index:
            memory = self._attention[index].remember(self.context, self.mask)
            self._memory = (index, memory)
        return self._memory[1]


def clean(x: Tensor, mask: Tensor | None) -> Tensor:
    """Checked input of a block, with zeros for whatever stands in its padding, NaN included."""
    checks.block_input(x, mask)
    if mask is not None:
        x = torch.where(mask[..., None], x, 0)
    checks.finite(x, "input")
    return x


def run_encoder(
    encoder: nn.Module | None, x: Tensor, mask: Tensor | None, *, enc_dim: int, trained: bool
) -> tuple[Tensor, Tensor | None]:
    """Tokens (b, n, enc_dim), and their mask if there are as many tokens as before."""
    if encoder is None:
        checks.encoded(x, len(x), enc_dim, has_encoder=False)
        return _with_tokens(x), mask
    takes_mask = bool(getattr(encoder, "takes_mask", False))
    with torch.set_grad_enabled(torch.is_grad_enabled() and trained):
        h = encoder(x, mask=mask) if takes_mask else encoder(x)
    checks.encoded(h, len(x), enc_dim, has_encoder=True)
    if mask is None or (h.ndim == 3 and h.shape[1] == mask.shape[1]):
        return _with_tokens(h), mask
    if not takes_mask and not bool(mask.all()):
        raise ShapeError(
            "encoder: it pools over tokens without seeing the mask, so padding would leak into "
            "its output; accept mask= and set takes_mask = True on it"
        )
    return _with_tokens(h), None


def _with_tokens(h: Tensor) -> Tensor:
    """Give (b, e) a token axis."""
    return h[:, None] if h.ndim == 2 else h
