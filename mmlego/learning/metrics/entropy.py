"""How undecided predictions are."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import entr

from mmlego.learning.metrics.classification import check_distributions


def prediction_entropy(probability: ArrayLike) -> np.ndarray:
    """Return the entropy of each predicted distribution, ``-sum_i p_i ln p_i``, in nats.

    Args:
        probability: (n, k), non-negative rows that sum to 1; a probability of 0 adds nothing.

    Returns:
        (n,) float64, from 0 for a certain prediction to ln k for a uniform one.

    Raises:
        ShapeError: If it is not (n, k), is empty, or a row is no distribution.

    Source: AMC, section B.4, which does not say over what it averages; the mean over the samples of
        a part is left to the caller.
    """
    return entr(check_distributions(probability)).sum(axis=1)
