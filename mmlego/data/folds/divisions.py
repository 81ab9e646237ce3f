"""Splits that follow what the publisher divided: an official test part, or donors and batches."""

from __future__ import annotations

import numpy as np

from mmlego.data.cohorts.cohort import Cohort
from mmlego.data.folds.strata import group_strata, stratified_order
from mmlego.errors import DataError

OFFICIAL = ("train", "test")
VALIDATION = "val"
DONOR_VALIDATION = 0.20  # of the samples of all other donors
DONOR_SEED = 42

Parts = tuple[np.ndarray, np.ndarray, np.ndarray]  # positions of train, test, validation


def official_parts(cohort: Cohort, repeat: int, fractions: tuple[float, float, float]) -> Parts:
    """Take the publisher's test part, and draw validation out of the official training part.

    The share that is drawn is the one that validation has of training and validation together,
    15/85 by default; it is stratified and keeps groups together. Repeat r uses seed r. Where the
    publisher has a validation part ("val"), it is taken as it is, and all repeats are equal.

    Raises:
        DataError: If the cohort has no division into "train" and "test".
    """
    train, val, test = _official(cohort)
    if len(val):
        return train, test, val
    share = fractions[2] / (fractions[0] + fractions[2])
    train, val = _without_share(cohort, train, share, seed=repeat)
    return train, test, val


def official_full_parts(cohort: Cohort) -> Parts:
    """Take the publisher's two parts as they are: validation is empty, and all repeats are equal.

    A published validation part belongs to training here.

    Raises:
        DataError: If the cohort has no division into "train" and "test".
    """
    train, val, test = _official(cohort)
    return np.sort(np.concatenate([train, val])), test, np.array([], dtype=np.int64)


def donor_parts(cohort: Cohort, repeat: int) -> Parts:
    """Hold out the donor of a repeat for test; a stratified fifth of the others is validation.

    Raises:
        DataError: If the cohort has no donors, or there are fewer than ``repeat`` of them.

    Source: the replication study of multimodal dynamics leaves each of three donors out and draws
    validation from the others with seed 42. Stratifying it by class is our choice.
    """
    held_out = donor_of(cohort, repeat)
    rest = np.flatnonzero(cohort.division != held_out)
    train, val = _without_share(cohort, rest, DONOR_VALIDATION, seed=DONOR_SEED)
    return train, np.flatnonzero(cohort.division == held_out), val


def donor_of(cohort: Cohort, repeat: int) -> str:
    """Return the donor that a repeat holds out: repeat 1 the first in sorted order, and so on.

    Raises:
        DataError: If the cohort has no donors, or there are fewer than ``repeat`` of them.
    """
    names = donors(cohort)
    if repeat > len(names):
        raise DataError(
            f"split of '{cohort.name}' by donor: expected at most {len(names)} repeats, one for "
            f"each of {', '.join(names)}, got repeat {repeat}; ask for {len(names)} or fewer"
        )
    return names[repeat - 1]


def donors(cohort: Cohort) -> list[str]:
    """Return the donors or batches of a cohort, sorted.

    Raises:
        DataError: If the cohort has no division, or only one donor.
    """
    names = np.unique(_division(cohort, "donors or batches")).tolist()
    if len(names) < 2:
        raise DataError(
            f"split of '{cohort.name}' by donor: expected two or more donors, got only "
            f"'{names[0]}'; use unit 'patient'"
        )
    return names


def _official(cohort: Cohort) -> Parts:
    """Return the positions of train, val (empty where the publisher has none) and test."""
    division = _division(cohort, "'train' and 'test'")
    found = np.unique(division).tolist()
    if [part for part in found if part != VALIDATION] != sorted(OFFICIAL):
        raise DataError(
            f"split of '{cohort.name}': expected a division into train and test, got "
            f"{', '.join(found[:5])}; use unit 'donor', or 'patient'"
        )
    train, val, test = (np.flatnonzero(division == part) for part in ("train", VALIDATION, "test"))
    return train, val, test


def _division(cohort: Cohort, what: str) -> np.ndarray:
    if cohort.division is None:
        raise DataError(
            f"split of '{cohort.name}': expected a cohort with a published division into {what}, "
            "got one without; use unit 'patient'"
        )
    return cohort.division


def _without_share(
    cohort: Cohort, positions: np.ndarray, share: float, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Draw a stratified share of the groups at some positions; returns the others, and these."""
    part = cohort.subset(positions)
    groups, strata = group_strata(part)
    order = stratified_order(strata, np.random.default_rng(seed))
    # the small constant keeps int(0.15 * 20) at 3 whatever the rounding of the product
    drawn = groups[order[: int(share * len(groups) + 1e-9)]]
    chosen = np.isin(part.groups, drawn)
    return positions[~chosen], positions[chosen]
