"""MM dynamics with images: what is trained, and every test image replaced."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence

from mmlego.bench.configurations import Configuration
from mmlego.bench.outcome import Outcome
from mmlego.bench.store.fits import FitStore
from mmlego.bench.trained import TrainedModel, train_configurations
from mmlego.bench.training import train_encoder
from mmlego.data.folds.fold import Fold
from mmlego.errors import ModalityError
from mmlego.runs.settings import ImageSettings
from mmlego.studies.dynamics import stand_ins
from mmlego.studies.dynamics.run import (
    ARMS,
    BOTH,
    FEATURE,
    NONE,
    arms_for,
    modalities_of,
    train_arm,
)

IMAGE_ARMS = (BOTH, FEATURE, NONE, "static")
ALONE = (BOTH, FEATURE)
USUAL_PATCH = 8


def image_of(fold: Fold) -> str:
    """The image modality of a fold.

    Raises:
        ModalityError: If there is none, or more than one.
    """
    names = [name for name in modalities_of(fold) if fold.kinds[name] == "image"]
    if len(names) != 1:
        raise ModalityError(
            f"image dynamics on {fold.cohort}: expected one modality of images, got {names}; name "
            "it in 'modalities'"
        )
    return names[0]


def run_all(
    folds: Sequence[Fold],
    settings: ImageSettings,
    store: FitStore,
    log: Callable[[str], None] | None = None,
) -> list[TrainedModel]:
    """Every arm on everything, some on the image alone or without it, and other patches.

    Args:
        folds: The splits.
        settings: How to train, which arms, and sides of patches.
        store: Where finished fits lie.
        log: Called with one line per fit.
    """
    found = train_configurations(
        folds,
        lambda fold: _configurations(fold, settings),
        lambda fold, arm, names: train_arm(fold, arm, names, settings, store),
        log,
    )
    return list(found)


def _configurations(
    fold: Fold, settings: ImageSettings
) -> Iterator[tuple[Configuration, tuple[str, ...]]]:
    """Every arm with what it sees: everything, the image alone, or everything else."""
    wanted, image, names = settings.arms or IMAGE_ARMS, image_of(fold), modalities_of(fold)
    yield from ((arm, names) for arm in arms_for([fold], wanted))
    if len(names) > 1:
        yield from ((_alone(ARMS[name]), (image,)) for name in ALONE if name in wanted)
        rest = tuple(name for name in names if name != image)
        yield from ((_blind(ARMS[name]), rest) for name in (BOTH, "static") if name in wanted)
    for patch in settings.patches:
        if patch != USUAL_PATCH and BOTH in wanted:
            yield _patched(ARMS[BOTH], patch), names


def _alone(arm: Configuration) -> Configuration:
    return dataclasses.replace(arm, title=f"{arm.title}, image only")


def _blind(arm: Configuration) -> Configuration:
    return dataclasses.replace(arm, title=f"{arm.title}, trained without images")


def _patched(arm: Configuration, patch: int) -> Configuration:
    return dataclasses.replace(
        arm,
        name=f"{arm.name}, patch {patch}",
        reference=arm.name,
        facts={"patch": f"patch {patch}"},
        title=f"{arm.title}, patches of {patch}",
        options=dict(arm.options) | {"patch": patch},
    )


def plain_networks(
    folds: Sequence[Fold], settings: ImageSettings, store: FitStore
) -> list[Outcome]:
    """A convolutional network on the image alone, the encoder that blocks and ensembles use."""
    return [train_encoder(fold, image_of(fold), settings, store).outcome for fold in folds]


def masked(runs: Sequence[TrainedModel], store: FitStore) -> list[Outcome]:
    """Every model of several modalities with the image of every test sample replaced."""
    return [
        outcome
        for trained in runs
        if len(trained.names) > 1 and image_of(trained.fold) in trained.names
        for outcome in stand_ins.withheld(trained, image_of(trained.fold), store)
    ]
