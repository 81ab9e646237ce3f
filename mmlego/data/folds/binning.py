"""Discrete time bins of a survival target, fitted on training patients only."""

from __future__ import annotations

import numpy as np

from mmlego.errors import DataError

# in the unit of time; puts the earliest and the latest time strictly inside the outer edges
MARGIN = 1e-6


def fit_bin_edges(time: np.ndarray, event: np.ndarray, *, n_bins: int = 4) -> np.ndarray:
    """Return the edges of ``n_bins`` time bins, (n_bins + 1,) float64, increasing.

    Inner edges are the quantiles (linear interpolation) of the times of observed events; the outer
    edges are the smallest and largest time of all given samples, widened by 1e-6.

    Args:
        time: Times of the training samples, (n,), finite.
        event: (n,) bool, True = observed.
        n_bins: Number of bins, 2 or more.

    Raises:
        DataError: If no event was observed, or equal quantiles leave fewer than ``n_bins`` bins.

    Source: quartiles of the uncensored times as in Zadeh and Schmid (2020) and the survival models
    that follow them; here the quantiles see the training patients only.
    """
    event = np.asarray(event, dtype=bool)
    if n_bins < 2:
        raise DataError(
            f"time bins: expected n_bins of 2 or more, got {n_bins}; the usual number is 4"
        )
    if not event.any():
        raise DataError(
            f"time bins: expected observed events in the training part, got 0 of {len(event)}; use "
            "another repeat, "
            "more samples, or a stratified split"
        )
    inner = np.quantile(time[event], np.arange(1, n_bins) / n_bins)
    edges = np.unique(np.concatenate([[time.min() - MARGIN], inner, [time.max() + MARGIN]]))
    if len(edges) < n_bins + 1:
        raise DataError(
            f"time bins: expected {n_bins + 1} distinct edges, got {len(edges)} from "
            f"{int(event.sum())} events with "
            "tied times; use fewer bins (n_bins) or more samples"
        )
    return edges


def assign_bins(time: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """Return the bin of each time, (n,) int64; left-closed, right-open, outer bins open-ended."""
    return np.searchsorted(edges[1:-1], np.asarray(time), side="right").astype(np.int64)
