"""Imputation and scaling of one modality, fitted on the training part only."""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import numpy as np

from mmlego.data.cohorts.modality import Modality
from mmlego.errors import DataError

CLIP = 10.0  # standard deviations; some expression values lie hundreds away
N_QUANTILES = 101
MINMAX_OFFSET = 1e-10  # added to the range, as in the published code of multimodal dynamics


@dataclass(frozen=True, eq=False)
class Scaler:
    """The fitted statistics of one modality and their application.

    The steps are: an optional transform (``signed_log`` or ``quantile``), imputation of NaN with
    the training mean, division by the training standard deviation, clipping to +-10. A feature that
    is constant in the training part carries no information there and becomes 0 in every part. With
    ``minmax``, the training minimum is subtracted and the rest divided by the training range
    (+ 1e-10), without clipping, so training values lie in [0, 1] and others may leave it. With
    ``none``, only NaN is replaced.

    Attributes:
        scaling: "standard", "signed_log", "quantile", "minmax" or "none".
        mean: (c,) float64, training mean after the transform.
        std: (c,) float64, training standard deviation after the transform; 0 marks a constant
            feature.
        quantiles: (101, c) float64 for ``quantile``, otherwise None.
        limits: (2, c) float64, training minimum and maximum for ``minmax``, otherwise None.
    """

    scaling: str
    mean: np.ndarray
    std: np.ndarray
    quantiles: np.ndarray | None = None
    limits: np.ndarray | None = None

    def __call__(self, rows: np.ndarray) -> np.ndarray:
        """Scale values (..., c), NaN allowed; returns finite float32 of the same shape."""
        x = _transform(np.asarray(rows, dtype=np.float64), self.scaling, self.quantiles)
        x = np.where(np.isnan(x), self.mean, x)
        if self.scaling == "none":
            return x.astype(np.float32)
        constant = self.std == 0
        if self.limits is not None:
            low, high = self.limits
            x = (x - low) / (high - low + MINMAX_OFFSET)
        else:
            x = (x - self.mean) / np.where(constant, 1.0, self.std)
            x = np.clip(x, -CLIP, CLIP)
        x[..., constant] = 0.0
        return x.astype(np.float32)


def fit_scaler(modality: Modality) -> Scaler:
    """Fit the scaler of a modality on the samples given: the training part, nothing else.

    Raises:
        DataError: If none of the samples has the modality.
    """
    rows = modality.rows().astype(np.float64)
    if len(rows) == 0:
        raise DataError(
            f"modality '{modality.name}': expected training samples that have it, got none; leave "
            "the modality out "
            "or use another repeat"
        )
    quantiles = _fit_quantiles(rows) if modality.scaling == "quantile" else None
    x = _transform(rows, modality.scaling, quantiles)
    known = ~np.isnan(x)
    count = np.maximum(known.sum(axis=0), 1)
    mean = np.where(known, x, 0.0).sum(axis=0) / count
    std = np.sqrt((np.where(known, x - mean, 0.0) ** 2).sum(axis=0) / count)
    # rounding leaves a tiny spread in constant columns; below this it is not information
    std[std <= 1e-8 * np.maximum(1.0, np.abs(mean))] = 0.0
    limits = _fit_limits(rows) if modality.scaling == "minmax" else None
    return Scaler(scaling=modality.scaling, mean=mean, std=std, quantiles=quantiles, limits=limits)


def _transform(x: np.ndarray, scaling: str, quantiles: np.ndarray | None) -> np.ndarray:
    if scaling == "signed_log":
        return np.sign(x) * np.log1p(np.abs(x))
    if scaling == "quantile":
        return _to_normal_scores(x, cast(np.ndarray, quantiles))
    return x


def _fit_limits(rows: np.ndarray) -> np.ndarray:
    """Return minimum and maximum (2, c) of the known values; 0 and 0 where none is known."""
    known = ~np.isnan(rows)
    low = np.where(known, rows, np.inf).min(axis=0)
    high = np.where(known, rows, -np.inf).max(axis=0)
    return np.where(known.any(axis=0), np.stack([low, high]), 0.0)


def _fit_quantiles(rows: np.ndarray) -> np.ndarray:
    levels = np.linspace(0.0, 1.0, N_QUANTILES)
    columns = [column[~np.isnan(column)] for column in rows.T]
    return np.stack([np.quantile(c if c.size else np.zeros(1), levels) for c in columns], axis=1)


def _to_normal_scores(x: np.ndarray, quantiles: np.ndarray) -> np.ndarray:
    """Map each feature to the normal quantile of its rank in training; NaN stays NaN."""
    from scipy.special import ndtri

    levels = np.linspace(0.0, 1.0, len(quantiles))
    scores = np.empty_like(x)
    for c in range(x.shape[-1]):
        column, reference = x[..., c], quantiles[:, c]
        # mean of the left and the right end where many training values are equal
        upper = np.interp(column, reference, levels)
        lower = 1.0 - np.interp(-column, -reference[::-1], levels)
        rank = 0.5 * (upper + lower)
        scores[..., c] = np.where(np.isnan(column), np.nan, rank)
    return ndtri(np.clip(scores, 1e-3, 1 - 1e-3))
