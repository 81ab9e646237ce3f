"""One call from the name of a data set to a cohort in memory."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import numpy as np

from mmlego.data.cards.card import Card
from mmlego.data.cards.catalog import card_path, is_path, load_card
from mmlego.data.cards.locate import Files
from mmlego.data.cards.suggest import did_you_mean
from mmlego.data.cohorts.cohort import Cohort, check_modalities
from mmlego.data.folds.strata import group_strata, stratified_order
from mmlego.data.sources import SOURCES, Request
from mmlego.errors import CardError, DataError


def load_cohort(
    name: str | Path,
    *,
    modalities: Sequence[str] | None = None,
    unit: str = "patient",
    max_samples: int | None = None,
    data_dir: str | Path | None = None,
    seed: int = 0,
    **options: Any,
) -> Cohort:
    """Load a data set.

    Files are looked for in ``data_dir``, the folder of a card of one's own, the folder in
    ``MMLEGO_DATA``, and the cache; a file that is in none of them is downloaded where its card
    gives an address.

    Args:
        name: Name of a shipped card, or the path of a YAML card.
        modalities: Modalities to load; None loads those that the card marks as default. Samples
            that have none of them stay, so that splits do not depend on the selection.
        unit: How the cohort will be divided, where the card offers it. With "row", there is one
            sample per published row; with any other, one per patient.
        max_samples: Keep at most this many samples, drawn by patient and stratified; None keeps
            all.
        data_dir: Data root to look in first.
        seed: Seed of the cap, and of generated data.
        **options: Options of the card's loader, for instance ``n=400`` of "synthetic".

    Raises:
        CardError: If there is no such card, or it is invalid.
        DownloadError: If a file is missing and cannot be fetched, or is altered.
        ModalityError: If a modality is unknown.
        DataError: If the data or an option cannot be used.
    """
    card = load_card(name)
    files = Files(card, data_dir, card_path(name).parent if is_path(name) else None)
    _check_unit(card, unit)
    chosen = (
        check_modalities(card.name, modalities, tuple(card.modalities))
        if modalities is not None
        else None
    )
    wanted = chosen or card.default_modalities
    load = find_source(card)
    given = _check_options(card, load, options, seed)
    sample = "row" if unit == "row" else "patient"
    cohort = load(Request(card=card, files=files, unit=sample, modalities=wanted), **given)
    if set(card.default_modalities) <= set(wanted):
        cohort.require_some_modality()
    return cohort if max_samples is None else cap(cohort, max_samples, seed=seed)


def find_source(card: Card) -> Callable[..., Cohort]:
    """Return the loader function that a card names.

    Raises:
        CardError: If there is no such function.
    """
    if card.loader.source not in SOURCES:
        raise CardError(
            f"card '{card.name}': field 'loader.source': expected one of {', '.join(SOURCES)}, got "
            f"'{card.loader.source}'"
            f"{did_you_mean(card.loader.source, SOURCES) or '; choose one of them'}"
        )
    return cast("Callable[..., Cohort]", SOURCES[card.loader.source])


def cap(cohort: Cohort, max_samples: int, *, seed: int = 0) -> Cohort:
    """Return at most ``max_samples`` samples: whole patients, stratified, fixed by the seed.

    Raises:
        DataError: If ``max_samples`` is below 1.
    """
    if max_samples < 1:
        raise DataError(
            f"max_samples: expected 1 or more, got {max_samples}; leave it out to keep all samples"
        )
    if cohort.n <= max_samples:
        return cohort
    groups, strata = group_strata(cohort)
    order = stratified_order(strata, np.random.default_rng(seed))
    sizes = np.unique(cohort.groups, return_counts=True)[1]
    kept = groups[order][np.cumsum(sizes[order]) <= max_samples]
    return replace(cohort.subset(np.isin(cohort.groups, kept)), capped_from=cohort.n)


def _check_unit(card: Card, unit: str) -> None:
    if unit not in card.split_units:
        raise DataError(
            f"cohort '{card.name}': expected unit to be one of {', '.join(card.split_units)}, got "
            f"'{unit}'; choose one"
        )


def _check_options(
    card: Card, load: Callable[..., Cohort], options: Mapping[str, Any], seed: int
) -> dict[str, Any]:
    """Return the options of the card, overridden by those of the call; refuse unknown ones."""
    known = [p for p in inspect.signature(load).parameters if p != "request"]
    merged = {**card.loader.options, **options}
    for option in merged:
        if option not in known:
            offered = ", ".join(known) if known else "no options"
            raise DataError(
                f"cohort '{card.name}': expected {offered}, got option '{option}'"
                f"{did_you_mean(option, known) or '; remove it'}"
            )
    if "seed" in known:
        merged.setdefault("seed", seed)
    return merged
