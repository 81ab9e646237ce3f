"""Generated pictures of spots on skin, with a small table: where the label is seen is known."""

from __future__ import annotations

import numpy as np

from mmlego.data.cohorts.cohort import Cohort
from mmlego.data.cohorts.target import ClassTarget
from mmlego.data.sources.request import Request
from mmlego.errors import DataError

SIDE = 64  # pixels
COLORS = ("red", "green", "blue")
_SKIN = np.array([0.85, 0.68, 0.60])
_BENIGN, _MALIGNANT = np.array([0.55, 0.38, 0.30]), np.array([0.35, 0.22, 0.28])
_RADII = (8.0, 14.0)  # pixels
_NOISE = 0.04


def load_spots(
    request: Request, *, n: int = 160, table_features: int = 4, noise: float = 1.0, seed: int = 0
) -> Cohort:
    """Generate pictures with one spot each, whose color tells two classes apart, and a table.

    Half of the signal is in the color of the spot, half in the first feature of the table; the
    place of the spot tells nothing.

    Args:
        request: Card and modalities.
        n: Number of samples, 20 or more.
        table_features: Features of the table, the first of which is informative.
        noise: Standard deviation of the noise on both signals, 0 or more.
        seed: Random seed.

    Raises:
        DataError: If an option is out of range.
    """
    if n < 20 or table_features < 1 or noise < 0:
        raise DataError(
            f"spots: expected n >= 20, table_features >= 1 and noise >= 0, got {n}, "
            f"{table_features} and {noise}; correct the options of the card"
        )
    rng = np.random.default_rng(seed)
    label = rng.permutation(np.arange(n) % 2)
    signs = 2.0 * label[:, None] - 1.0 + noise * rng.standard_normal((n, 2))
    table = rng.standard_normal((n, table_features))
    table[:, 0] = signs[:, 0]
    malignancy = 1.0 / (1.0 + np.exp(-2.0 * signs[:, 1]))
    pictures, _ = draw_spots(malignancy, rng)
    ids = np.array([f"spot-{i:04d}" for i in range(n)])
    made = {
        "clin": (table, [f"feature {i}" for i in range(table_features)]),
        "picture": (pictures, COLORS),
    }
    everybody = np.ones(n, dtype=bool)
    modalities = {
        name: request.modality(name, made[name][0], everybody, made[name][1])
        for name in request.modalities
    }
    target = ClassTarget(label, request.card.target.class_names)
    return request.cohort(ids, ids, modalities, target)


def draw_spots(malignancy: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Draw one spot per value in [0, 1], from light brown to dark violet.

    Returns:
        Pictures (n, 3, 64, 64) in [0, 1], float32, and masks of the spots (n, 64, 64), bool.
    """
    n = len(malignancy)
    radius = rng.uniform(*_RADII, size=(n, 1, 1))
    center = rng.uniform(radius, SIDE - radius, size=(2, n, 1, 1) if n else (2, 0, 1, 1))
    rows, columns = np.mgrid[:SIDE, :SIDE]
    masks = (rows - center[0]) ** 2 + (columns - center[1]) ** 2 <= radius**2
    weight = malignancy[:, None]
    color = (1.0 - weight) * _BENIGN + weight * _MALIGNANT
    pictures = np.where(masks[:, None], color[:, :, None, None], _SKIN[:, None, None])
    pictures = pictures + _NOISE * rng.standard_normal(pictures.shape)
    return np.clip(pictures, 0.0, 1.0).astype(np.float32), masks
