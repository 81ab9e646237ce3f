"""Balance the parts of a split by outcome."""

from __future__ import annotations

import numpy as np

from mmlego.data.cohorts.cohort import Cohort


def stratified_order(strata: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return a random order of n items in which every prefix is stratified.

    Systematic sampling: item number j of a shuffled stratum of size s gets the place (j + u) / s
    with one uniform u per stratum; items are sorted by place.
    """
    place = np.empty(len(strata))
    for value in np.unique(strata):
        members = rng.permutation(np.flatnonzero(strata == value))
        place[members] = (np.arange(len(members)) + rng.random()) / len(members)
    return np.lexsort((rng.random(len(strata)), place))


def group_strata(cohort: Cohort) -> tuple[np.ndarray, np.ndarray]:
    """Return sorted patient ids (g,) and one stratum each (g,): the largest code of its rows."""
    groups, inverse = np.unique(cohort.groups, return_inverse=True)
    codes = np.full(len(groups), -1, dtype=np.int64)
    np.maximum.at(codes, inverse, cohort.target.strata())
    return groups, codes
