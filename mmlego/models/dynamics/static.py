"""The static rival of multimodal dynamics: modalities weighted once and for all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from torch import Tensor

from mmlego.lego.profiles import number
from mmlego.models.contract import Tensors
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
        kinds: Mapping[str, str] | None = None,
        weights: Mapping[str, float] | None = None,
        hidden: int | Mapping[str, int] = 256,
        dropout: float = 0.5,
        missing_fill: str = "train_mean",
        means: Mapping[str, Sequence[float]] | None = None,
        mask_weight: bool = False,
        image_size: int = 64,
    ) -> None:
        """Build an untrained network.

        Args:
            widths: Number of features by modality; 3, the channels, for images.
            n_outputs: Number of logits k: classes or time bins.
            kinds: ``tabular``, ``bag``, ``series`` or ``image`` by modality; None = tables.
            weights: Weight of each modality, 0 or more; None = 1 each.
            hidden: Width of the hidden features, one for all or by modality.
            dropout: Dropout on them, in [0, 1).
            missing_fill: As for ``MMDynamics``.
            means: As for ``MMDynamics``.
            mask_weight: As for ``MMDynamics``.
            image_size: Height and width of images in pixels, a multiple of 16.

        Raises:
            ModalityError: If there is no modality, or a name is unknown or cannot name a module.
            SettingsError: If an argument is out of range.
        """
        super().__init__(
            widths,
            n_outputs,
            kinds=kinds,
            gated=False,
            hidden=hidden,
            dropout=dropout,
            missing_fill=missing_fill,
            means=means,
            mask_weight=mask_weight,
            image_size=image_size,
        )
        chosen = by_modality(
            "MMStatic", "weights", 1.0 if weights is None else weights, tuple(widths)
        )
        for name, weight in chosen.items():
            number(f"MMStatic: weights['{name}']", weight, low=0.0)
        self.weights = {name: float(weight) for name, weight in chosen.items()}

    def forward(
        self, inputs: Tensors, present: Tensors | None = None, masks: Tensors | None = None
    ) -> Tensor:
        """Return logits (b, k).

        Args:
            inputs: Values by modality, (b, c), (b, n, c) or (b, 3, s, s); one left out is absent
                for all samples.
            present: (b,) bool by modality; None = every sample has everything that was passed.
            masks: (b, n) bool by modality, True = a valid instance.

        Raises:
            ModalityError: If a name is unknown or a sample has no modality.
            ShapeError: If a shape or type is wrong, a valid entry is not finite, or a present image
                has another size or values outside [0, 1].
        """
        readings = self._read(inputs, present, masks, noisy=self.training)
        return self._fuse(readings, self.weights)
