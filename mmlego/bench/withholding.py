"""Samples with less than they have: modalities withheld, bags cut down or doubled."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from mmlego.data.folds.fold import Fold
from mmlego.data.folds.samples import Samples, Values
from mmlego.data.folds.strata import stratified_order
from mmlego.errors import DataError, ModalityError


def keep_only(samples: Samples, keep: Mapping[str, Tensor]) -> Samples:
    """Withhold modalities: a sample keeps one that it has where ``keep`` is True.

    What is withheld becomes zeros, or an empty bag, so that nothing of it can leak.

    Args:
        samples: The samples, which stay as they are.
        keep: (n,) bool by modality; modalities that are not named are kept.

    Raises:
        ModalityError: If a modality is unknown.
    """
    unknown = sorted(set(keep) - set(samples.names))
    if unknown:
        raise ModalityError(
            f"withholding: expected modalities of {list(samples.names)}, got {unknown}"
        )
    present = {name: samples.present[name] & flags for name, flags in keep.items()}
    return replace(
        samples,
        values=samples.values
        | {name: _silenced(samples.values[name], here) for name, here in present.items()},
        present=samples.present | present,
    )


def _silenced(values: Values, here: Tensor) -> Values:
    if isinstance(values, tuple):
        return tuple(bag if yes else bag[:0] for bag, yes in zip(values, here, strict=True))
    return torch.where(here.view(-1, *[1] * (values.ndim - 1)), values, torch.zeros_like(values))


def only(samples: Samples, names: Sequence[str], kept: str) -> Samples:
    """Withhold all of some modalities but one."""
    nobody = torch.zeros(len(samples), dtype=torch.bool)
    return keep_only(samples, {name: nobody for name in names if name != kept})


def withhold_at_random(
    samples: Samples, names: Sequence[str], rate: float, chance: np.ndarray
) -> Samples:
    """Withhold each modality of each sample independently, but never all that a sample has.

    A sample that would lose everything keeps the modality with the largest number, so that more is
    withheld at every higher rate, and nothing comes back.

    Args:
        samples: The samples.
        names: Modalities that can be withheld.
        rate: Probability in [0, 1).
        chance: (n, m) uniform numbers in [0, 1), one per sample and modality in the order of
            ``names``; those below the rate are withheld.
    """
    has = torch.stack([samples.present[name] for name in names], dim=1).numpy()
    kept = has & (chance >= rate)
    last = np.argmax(np.where(has, chance, -1.0), axis=1)
    empty = np.flatnonzero(~kept.any(axis=1) & has.any(axis=1))
    kept[empty, last[empty]] = True
    return keep_only(
        samples, {name: torch.from_numpy(kept[:, m].copy()) for m, name in enumerate(names)}
    )


def share_withheld(before: Samples, after: Samples, names: Sequence[str]) -> float:
    """Share of what samples had of some modalities that they have no longer."""
    had, has = (sum(int(s.present[name].sum()) for name in names) for s in (before, after))
    return 1.0 - has / had


def complete_training(fold: Fold, names: Sequence[str]) -> Fold:
    """Train and validate on the samples that have every one of some modalities; test on all.

    Scaling and vocabularies stay those of the whole training part, so that inputs are the same.

    Args:
        fold: The fold, which stays as it is.
        names: The modalities.

    Raises:
        DataError: If no training sample lacks any of them, or a part keeps none.
    """
    if bool(fold.train.has(names, how="all").all()):
        raise DataError(
            f"{fold.cohort}: expected training samples that lack some of {list(names)}, got "
            "complete ones only; training on all of them is the same, so leave this out"
        )
    parts = {name: getattr(fold, name).where_present(names, how="all") for name in ("train", "val")}
    for name, part in parts.items():
        if not len(part) and len(getattr(fold, name)):
            raise DataError(
                f"{fold.cohort}: expected samples with all of {list(names)} in the {name} part, "
                "got none; choose modalities that more samples have"
            )
    return replace(fold, train=parts["train"], val=parts["val"])


def scarce_in_training(fold: Fold, name: str, share: float, seed: int) -> Fold:
    """Withhold a modality from all but a share of the training samples that have it.

    Validation and test part stay complete. The share is drawn alike from every outcome, and a
    smaller share is part of every larger one.

    Args:
        fold: The fold, which stays as it is.
        name: The modality.
        share: In (0, 1]; at least one sample keeps the modality.
        seed: Of the draw.
    """
    if share >= 1.0:
        return fold
    owners = np.flatnonzero(fold.train.present[name].numpy())
    order = stratified_order(strata(fold.train)[owners], np.random.default_rng(seed))
    chosen = owners[order[: max(1, round(share * len(owners)))]]
    keep = torch.zeros(len(fold.train), dtype=torch.bool)
    keep[torch.from_numpy(chosen)] = True
    return replace(fold, train=keep_only(fold.train, {name: keep}))


def divide_patients(fold: Fold, names: tuple[str, str], overlap: float, seed: int) -> Fold:
    """Give each of two modalities its own half of the patients, a share of it common to both.

    Only patients with both modalities take part. Whatever the overlap, a modality has half of them:
    the first one always the same ones, the second one a share ``overlap`` of these, and others for
    the rest. Training and validation part are divided alike; the test part stays as it is. Patients
    without a part in it lose both modalities.

    Args:
        fold: The fold, which stays as it is.
        names: The two modalities.
        overlap: Share in [0, 1] of the patients of one modality that it has in common with the
            other; 0 for no patient in common, 1 for the same patients.
        seed: Of the division.

    Raises:
        DataError: If fewer than two patients of a part have both modalities.

    Source: Hemker et al. 2025, appendix G. There, the test set changes with the overlap.
    """
    train, val = (
        _divided(fold.parts()[part], part, names, overlap, seed) for part in ("train", "val")
    )
    return replace(fold, train=train, val=val)


def _divided(
    samples: Samples, part: str, names: tuple[str, str], overlap: float, seed: int
) -> Samples:
    both = samples.has(names, how="all").numpy()
    groups, codes = _patients(samples, both)
    size = len(groups) // 2
    if size < 1:
        raise DataError(
            f"division of the {part} part: expected two patients or more with both of "
            f"{list(names)}, got {len(groups)}; use more samples"
        )
    order = groups[stratified_order(codes, np.random.default_rng(seed))]
    common = round(overlap * size)
    chosen = (order[:size], np.r_[order[:common], order[size : 2 * size - common]])
    return keep_only(
        samples,
        {
            name: torch.from_numpy(both & np.isin(samples.groups, patients))
            for name, patients in zip(names, chosen, strict=True)
        },
    )


def _patients(samples: Samples, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Patients of some rows, and the largest stratum of each."""
    groups, inverse = np.unique(samples.groups[rows], return_inverse=True)
    codes = np.full(len(groups), -1, dtype=np.int64)
    np.maximum.at(codes, inverse, strata(samples)[rows])
    return groups, codes


def strata(samples: Samples) -> np.ndarray:
    """(n,) outcomes that draws are balanced by: event or not, or the class."""
    found = samples.target["event" if "event" in samples.target else "label"]
    return found.numpy().astype(np.int64)


def one_instance(samples: Samples, name: str, seed: int) -> Samples:
    """Keep a single instance of every bag of a modality, drawn at random."""
    rng = np.random.default_rng(seed)
    bags = tuple(
        bag[int(u * len(bag)) :][:1]
        for u, bag in zip(rng.random(len(samples)), samples.values[name], strict=True)
    )
    return replace(samples, values=samples.values | {name: bags})


def doubled(samples: Samples, name: str) -> Samples:
    """Give every bag of a modality each of its instances twice."""
    bags = tuple(bag.repeat(2, 1) for bag in samples.values[name])
    return replace(samples, values=samples.values | {name: bags})
