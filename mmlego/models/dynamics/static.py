"""The static rival of multimodal dynamics: modalities weighted once and for all."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from mmlego.lego.profiles import number
from mmlego.models.contract import Part
from mmlego.models.dynamics.branch import BranchedModel
from mmlego.models.dynamics.options import by_modality


class MMStatic(BranchedModel):
    """Late fusion with a fixed weight per modality: encode, multiply, join, classify.

    There is no gate, no confidence and no auxiliary loss. Like ``MMDynamics`` it adds modalities
    up, so that no interaction between them can be learned.

    Source: Wenderoth 2024 (arXiv 2411.00725), the baseline MM static; its code weighs protein by 3,
        RNA by 1 and images by 6. Kinds and missing modalities as in ``MMDynamics``.
    """

    def __init__(
        self,
        widths: Mapping[str, int],
        n_outputs: int,
        *,
        weights: Mapping[str, float] | None = None,
        **branches: Any,
    ) -> None:
        """Build an untrained network.

        Args:
            widths: See ``BranchedModel``, also for ``n_outputs``, ``kinds``, other options, errors.
            n_outputs: Number of logits k: classes or time bins.
            weights: Weight of each modality, 0 or more; None = 1 each.
            **branches: Options of ``BranchedModel``, without ``gated``.
        """
        super().__init__(widths, n_outputs, gated=False, **branches)
        chosen = by_modality(
            "MMStatic", "weights", 1.0 if weights is None else weights, tuple(widths)
        )
        for name, weight in chosen.items():
            number(f"MMStatic: weights['{name}']", weight, low=0.0)
        self.weights = {name: float(weight) for name, weight in chosen.items()}

    def predict(self, batch: Mapping[str, Part]) -> Tensor:
        """Return logits (b, k) of the parts of a batch."""
        return self._fuse(self._readings(batch, noisy=self.training), self.weights)
