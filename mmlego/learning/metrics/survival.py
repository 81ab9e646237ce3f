"""Metrics of survival predictions, on continuous time."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from mmlego.errors import MetricError, ShapeError

# Networks compute in single precision: below this, risks of samples differ by rounding only, and a
# model that predicts the same for everybody would be ranked by its rounding errors.
TIED_RISK = 1e-5
_GRID_QUANTILES = np.linspace(0.1, 0.9, 17)


def concordance_index(event: ArrayLike, time: ArrayLike, risk: ArrayLike) -> float:
    """Return Harrell's C-index: how often the sample that fails earlier has the higher risk.

    A pair is comparable if the earlier time is an event; a sample censored at the time of an event
    counts as later. Two events at the same time are not comparable. Risks closer than 1e-5 count
    one half.

    Args:
        event: (n,) bool, True = observed.
        time: (n,) non-negative times.
        risk: (n,) scores, higher = earlier event; not survival probabilities.

    Returns:
        Concordance in [0, 1]; 0.5 = uninformative.

    Raises:
        ShapeError: If shapes differ, event is not bool, or a value is not finite.
        MetricError: If no pair is comparable.

    Source: Harrell et al. 1982, as implemented in scikit-survival.
    """
    from sksurv.metrics import concordance_index_censored

    event, time = check_outcome(event, time)
    risk = _check_risk(risk, event)
    check_comparable(event, time)
    return float(concordance_index_censored(event, time, risk, tied_tol=TIED_RISK)[0])


def concordance_index_ipcw(
    train_event: ArrayLike,
    train_time: ArrayLike,
    event: ArrayLike,
    time: ArrayLike,
    risk: ArrayLike,
) -> float:
    """Return the C-index weighted by the inverse probability of not being censored.

    Follow-up is truncated at the last training time at which the censoring distribution of the
    training part is above 0, because no weight exists beyond it.

    Args:
        train_event: (n_train,) bool, from which the censoring distribution is estimated.
        train_time: (n_train,) times.
        event: (n,) bool, True = observed.
        time: (n,) times.
        risk: (n,) scores, higher = earlier event.

    Raises:
        ShapeError: If shapes differ, event is not bool, or a value is not finite.
        MetricError: If no pair is comparable before the truncation.

    Source: Uno et al. 2011, as implemented in scikit-survival.
    """
    from sksurv.metrics import concordance_index_ipcw as weighted

    train_event, train_time = check_outcome(train_event, train_time)
    event, time = check_outcome(event, time)
    risk = _check_risk(risk, event)
    tau = truncation_time(train_event, train_time)
    check_comparable(event & (time < tau), time)
    train, test = _outcome(train_event, train_time), _outcome(event, time)
    return float(weighted(train, test, risk, tau=tau, tied_tol=TIED_RISK)[0])


def integrated_brier(
    train_event: ArrayLike,
    train_time: ArrayLike,
    event: ArrayLike,
    time: ArrayLike,
    survival: ArrayLike,
    bin_edges: ArrayLike,
) -> float:
    """Return the Brier score of survival curves, integrated over the grid of ``time_grid``.

    Args:
        train_event: (n_train,) bool, from which the censoring distribution is estimated.
        train_time: (n_train,) times.
        event: (n,) bool, True = observed.
        time: (n,) times.
        survival: (n, k) probability of surviving past each bin.
        bin_edges: (k + 1,) rising edges of the bins.

    Returns:
        A score in [0, 1], lower is better; 0.25 = always saying one half.

    Raises:
        ShapeError: If shapes differ, event is not bool, or a value is not finite.
        MetricError: If follow-up of the two parts leaves no grid.

    Source: Graf et al. 1999, as implemented in scikit-survival.
    """
    from sksurv.metrics import integrated_brier_score

    train_event, train_time = check_outcome(train_event, train_time)
    event, time = check_outcome(event, time)
    times = time_grid(train_event, train_time, event, time)
    curves = survival_at(survival, bin_edges, times)
    if len(curves) != len(event):
        raise ShapeError(f"survival: expected ({len(event)}, k), got {np.shape(survival)}")
    # Times of the test part beyond the training follow-up have no weight, and need none there.
    time = np.minimum(time, train_time.max())
    train, test = _outcome(train_event, train_time), _outcome(event, time)
    return float(integrated_brier_score(train, test, curves, times))


def auc_td(
    train_event: ArrayLike,
    train_time: ArrayLike,
    event: ArrayLike,
    time: ArrayLike,
    risk: ArrayLike,
) -> float:
    """Return the cumulative/dynamic AUC, averaged over the grid of ``time_grid``.

    At each time it is the probability that a sample that has failed by then has a higher risk than
    one that has not. The average is weighted by how many fail between two grid times.

    Args:
        train_event: (n_train,) bool, from which the censoring distribution is estimated.
        train_time: (n_train,) times.
        event: (n,) bool, True = observed.
        time: (n,) times.
        risk: (n,) scores, higher = earlier event.

    Raises:
        ShapeError: If shapes differ, event is not bool, or a value is not finite.
        MetricError: If follow-up of the two parts leaves no grid.

    Source: Lambert & Chevret 2016, as implemented in scikit-survival.
    """
    from sksurv.metrics import cumulative_dynamic_auc

    train_event, train_time = check_outcome(train_event, train_time)
    event, time = check_outcome(event, time)
    risk = _check_risk(risk, event)
    times = time_grid(train_event, train_time, event, time)
    # Beyond the grid the order of times is irrelevant, but weights would be asked for there.
    beyond = time > times[-1]
    event, time = event & ~beyond, np.minimum(time, train_time.max())
    train, test = _outcome(train_event, train_time), _outcome(event, time)
    return float(cumulative_dynamic_auc(train, test, risk, times, tied_tol=TIED_RISK)[1])


def survival_at(survival: ArrayLike, bin_edges: ArrayLike, times: ArrayLike) -> np.ndarray:
    """Read discrete survival curves at given times, as a step function.

    S(t) is 1 up to the right edge of the first bin, and drops to the survival past bin j at that
    bin's right edge: a hazard of the whole bin is known to have acted only when it has passed.

    Args:
        survival: (n, k) probability of surviving past each bin.
        bin_edges: (k + 1,) rising edges of the bins.
        times: (t,) times.

    Returns:
        (n, t) probabilities.

    Raises:
        ShapeError: If shapes do not fit, edges do not rise, or values leave [0, 1].
    """
    survival, edges = np.asarray(survival, float), np.asarray(bin_edges, float)
    if survival.ndim != 2 or edges.shape != (survival.shape[1] + 1,):
        raise ShapeError(
            f"survival: expected (n, k) with (k + 1,) bin edges, got {survival.shape} and "
            f"{edges.shape}; use the edges that the bins were made with"
        )
    if not (np.diff(edges) > 0).all() or not ((survival >= 0) & (survival <= 1)).all():
        raise ShapeError("survival: expected values in [0, 1] and rising bin edges; check them")
    curves = np.concatenate([np.ones((len(survival), 1)), survival], axis=1)
    return curves[:, np.searchsorted(edges[1:], np.asarray(times, float), side="right")]


def time_grid(
    train_event: np.ndarray, train_time: np.ndarray, event: np.ndarray, time: np.ndarray
) -> np.ndarray:
    """Return the times at which time-dependent metrics are evaluated.

    They are 17 quantiles (.1 to .9) of the event times of the training part, as far as they lie
    after the first event and before the last time of the test part, and within the truncation of
    ``concordance_index_ipcw``. The papers use none of these metrics; the grid is our choice.

    Raises:
        MetricError: If fewer than two times are left.
    """
    if not train_event.any() or not event.any():
        raise MetricError("time grid: expected an event in training and in test, got none")
    grid = np.unique(np.quantile(train_time[train_event], _GRID_QUANTILES))
    last = min(time.max(), truncation_time(train_event, train_time))
    grid = grid[(grid >= time[event].min()) & (grid < last)]
    if len(grid) < 2:
        raise MetricError(
            f"time grid: expected two times or more within the follow-up of training and test, got "
            f"{len(grid)}; use a larger test part"
        )
    return grid


def truncation_time(train_event: np.ndarray, train_time: np.ndarray) -> float:
    """Return the last training time at which the censoring distribution is above 0."""
    last = train_time.max()
    earlier = train_time[train_time < last]
    # Events precede censorings at the same time, so a censoring at the end takes it down to 0.
    if train_event[train_time == last].all() or len(earlier) == 0:
        return float(last)
    return float(earlier.max())


def check_outcome(event: ArrayLike, time: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """Return event (n,) bool and time (n,) float64.

    Raises:
        ShapeError: If shapes differ, they are empty, event is not bool, or a time is negative or
            not finite.
    """
    event, time = np.asarray(event), np.asarray(time, dtype=float)
    if event.ndim != 1 or event.shape != time.shape or len(event) == 0:
        raise ShapeError(
            f"outcome: expected event and time (n,), got {event.shape} and {time.shape}"
        )
    if event.dtype != bool:
        raise ShapeError(
            f"event: expected bool, got {event.dtype}; True = the event was observed, so a "
            "censoring flag has to be inverted"
        )
    if not np.isfinite(time).all() or (time < 0).any():
        raise ShapeError("time: expected finite, non-negative times; drop samples without one")
    return event, time


def check_comparable(event: np.ndarray, time: np.ndarray) -> None:
    """Refuse outcomes in which no event has a sample that outlives it.

    Raises:
        MetricError: If there is no comparable pair.
    """
    first = time[event].min() if event.any() else np.inf
    if not ((time > first) | ((time == first) & ~event)).any():
        raise MetricError(
            f"c-index: expected a comparable pair, got none among {len(event)} samples with "
            f"{int(event.sum())} events; use a larger part"
        )


def _check_risk(risk: ArrayLike, event: np.ndarray) -> np.ndarray:
    risk = np.asarray(risk, dtype=float)
    if risk.shape != event.shape or not np.isfinite(risk).all():
        raise ShapeError(f"risk: expected {event.shape} finite values, got {risk.shape}")
    return risk


def _outcome(event: ArrayLike, time: ArrayLike) -> np.ndarray:
    from sksurv.util import Surv

    return Surv.from_arrays(event=event, time=time)
