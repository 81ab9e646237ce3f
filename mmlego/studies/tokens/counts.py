"""Which numbers of replaced tokens a rule of token replacement can give."""

from __future__ import annotations

from functools import cache

import numpy as np

from mmlego.errors import DataError
from mmlego.studies.tokens.origins import RULES


def feasible_counts(
    rule: str, tokens: int = 32, modalities: int = 3, passes: int = 1
) -> np.ndarray:
    """Return all numbers of replaced tokens by modality that a rule can give, (r, modalities).

    One pass. Importances s lie anywhere in the simplex; write N for tokens, M for modalities.

    * literal, K_m = floor(s_m N): with u_m = s_m N, the u_m are >= 0 and sum to N. Fractions of M
      numbers sum to less than M, so the total of K is N - M + 1 to N, and every such K is reached
      by handing the remainder out equally.
    * inverse, K_m = floor(N (1 - s_m) / (M - 1)): u_m again sum to N, but none exceeds N / (M - 1).
      K is reached if the remainder N - sum K fits into fractions below 1 that keep to this bound.
    * retain, K_m = N - floor(s_m N): N less each literal K_m, in all (M - 1) N to (M - 1) (N + 1).
    * positionwise: at each of N - 1 positions one modality is replaced, any: the total is N - 1.

    Two passes, each token counted once however often it is overwritten. Scores of the two passes
    can be anything, so the sets of replaced positions can overlap as much or as little as their
    sizes let them: after K and K' any number from max(K_m, K'_m) to min(N, K_m + K'_m) is reached,
    freely by modality. Positionwise ties modalities together: no position is replaced three times.
    If both passes spare the same position, N - 1 positions hold one or two modalities each; if not,
    N positions do, at least two of them a single one. Both give all numbers up to N with a total
    of N - 1 to 2 (N - 1), by the condition of Gale and Ryser.

    Args:
        rule: "literal", "inverse", "retain" or "positionwise".
        tokens: Tokens of a modality, 1 or more.
        modalities: 2 or 3, all present.
        passes: 1 or 2.

    Returns:
        Whole numbers in rising order.

    Raises:
        DataError: If an argument is outside what is named here.
    """
    _check(rule, tokens, modalities, passes)
    return np.argwhere(_grid(rule, tokens, modalities, passes))


def _check(rule: str, tokens: int, modalities: int, passes: int) -> None:
    if rule not in RULES or modalities not in (2, 3) or passes not in (1, 2) or tokens < 1:
        raise DataError(
            f"counts of a rule: expected a rule of {RULES}, one token or more, 2 or 3 modalities "
            f"and 1 or 2 passes, got {rule!r}, {tokens}, {modalities} and {passes}"
        )


@cache
def _grid(rule: str, n: int, m: int, passes: int) -> np.ndarray:
    """Whether counts can be reached, bool (n + 1,) * m; not to be written to."""
    counts = np.indices((n + 1,) * m)
    total = counts.sum(axis=0)
    if rule == "positionwise":
        return (total >= n - 1) & (total <= passes * (n - 1))
    once = _floors(counts, n, n / (m - 1) if rule == "inverse" else n)
    if rule == "retain":
        once = np.flip(once)
    return once if passes == 1 else _twice(once)


def _floors(counts: np.ndarray, n: int, bound: float) -> np.ndarray:
    """Whether counts are floors of numbers in [0, bound] that sum to n."""
    rest = n - counts.sum(axis=0)
    room = np.minimum(1, bound - counts)  # of a fraction; 1 itself is no fraction
    fits = np.where((bound - counts >= 1).any(axis=0), rest < room.sum(0), rest <= room.sum(0))
    return (rest >= 0) & (room >= 0).all(axis=0) & fits


def _twice(once: np.ndarray) -> np.ndarray:
    """Where U has K, K' in ``once`` with max(K, K') <= U <= min(n, K + K').

    For each K, the K' of a U lie in the box from U - K to U; sums over corners count them.
    """
    sums = np.pad(once.astype(int), [(1, 0)] * once.ndim)
    for axis in range(once.ndim):
        sums = sums.cumsum(axis=axis)
    found, n = np.zeros_like(once), len(once) - 1
    for start in np.argwhere(once):
        above = tuple(slice(k, None) for k in start)
        inside = np.zeros_like(found[above], dtype=int)
        for corner in np.ndindex((2,) * once.ndim):
            ends = tuple(slice(0, n + 1 - k) if low else slice(k + 1, None)
                         for low, k in zip(corner, start, strict=True))  # fmt: skip
            inside += (-1) ** sum(corner) * sums[ends]
        found[above] |= inside > 0
    return found


def can_be_given(counts: np.ndarray, rule: str, *, passes: int = 1, tokens: int = 32) -> np.ndarray:
    """Return for each instance whether the rule can replace that many tokens, bool (n,).

    Args:
        counts: Whole numbers (n, modalities), two or three modalities.
        rule: As in ``feasible_counts``.
        passes: 1 or 2.
        tokens: Tokens of a modality.

    Raises:
        DataError: If a number is no whole number from 0 to ``tokens``, or see ``feasible_counts``.
    """
    counts = np.asarray(counts)
    bad = counts.ndim != 2 or (counts < 0).any() or (counts > tokens).any() or (counts % 1).any()
    if bad:
        raise DataError(
            f"can_be_given: expected whole numbers (instances, modalities) from 0 to {tokens}, got "
            f"shape {counts.shape}; count the replaced tokens of every instance"
        )
    _check(rule, tokens, counts.shape[1], passes)
    return _grid(rule, tokens, counts.shape[1], passes)[tuple(counts.astype(int).T)]


def importance_needed(counts: np.ndarray, *, tokens: int = 32) -> np.ndarray:
    """Return what the highest importance must at least be under two literal passes, (n,).

    In the pass that replaces most of one modality K_m <= s_m N, so that the highest importance is
    at least the lowest possible max K / N. A bound c on all K works if each of two passes can reach
    its total, N - M + 1 to N, with K between U - c and c and no more than U, where U counts each
    overwritten token once; c rises until it does.

    Returns:
        Shares in [1 / M, 1], NaN where two literal passes cannot give the counts.
    """
    counts = np.asarray(counts)
    can = can_be_given(counts, "literal", passes=2, tokens=tokens)
    many = counts.shape[1]
    found = np.full(len(counts), np.nan)
    for at in np.flatnonzero(can):
        found[at] = max(_least_most(counts[at], tokens, many) / tokens, 1 / many)
    return found


def _least_most(counts: np.ndarray, n: int, m: int) -> int:
    low, high = n - m + 1, n
    for bound in range(n + 1):
        least, most = np.maximum(counts - bound, 0).sum(), np.minimum(counts, bound).sum()
        first = min(high, most)
        if 2 * bound >= counts.max() and first >= max(low, least) and counts.sum() - first <= high:
            return bound
    return n
