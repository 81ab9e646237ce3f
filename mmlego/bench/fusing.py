"""Stack or weave trained blocks and tune the result on patients who have every modality."""

from __future__ import annotations

import copy
import dataclasses
import math
import random
from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor

from mmlego.bench.merging import pick
from mmlego.bench.outcome import Outcome
from mmlego.bench.settings import BlockSettings
from mmlego.bench.store.code import code_digest
from mmlego.bench.store.data import samples_digest
from mmlego.bench.store.fits import FitStore, StoredFit, fit_key
from mmlego.bench.training import (
    Log,
    derived_seed,
    fit_settings,
    objective_of,
    outcome_of,
    risk_median,
)
from mmlego.data.folds.fold import Fold
from mmlego.errors import SettingsError
from mmlego.learning.loop import fit
from mmlego.learning.predict import predict_logits
from mmlego.learning.settings import FitSettings
from mmlego.lego.block import LegoBlock
from mmlego.lego.fuse import LegoFuse
from mmlego.lego.merge import LegoMerge
from mmlego.methods.names import LEGO_FUSE, LEGO_MERGE

MODES = ("stack", "weave")


def orders(names: Sequence[str], limit: int, seed: int = 1) -> list[tuple[str, ...]]:
    """The sorted order first, then others in a seeded random order, ``limit`` of them at most."""
    names = tuple(sorted(names))
    limit = min(limit, math.factorial(len(names)))
    rest = random.Random(seed)
    found = [names]
    while len(found) < limit:
        order = tuple(rest.sample(names, len(names)))
        if order not in found:
            found.append(order)
    return found


def tuned_outcomes(
    fold: Fold,
    blocks: Mapping[str, LegoBlock],
    names: Sequence[str],
    settings: BlockSettings,
    store: FitStore,
    *,
    mode: str,
    tune_epochs: Sequence[int],
    parents: Mapping[str, str],
    fit_changes: Mapping[str, object] | None = None,
    log: Log = None,
) -> list[Outcome]:
    """Fuse or merge copies of blocks, tune, and test after each number of tuning epochs.

    Only patients of the training part who have every modality are tuned on. There is no early
    stopping: the weights after the last epoch count. One pass over the longest tuning gives all
    shorter ones, since epochs do not know how many will follow.

    Args:
        fold: Data.
        blocks: Trained blocks by modality.
        names: Modalities in the order in which they are fused.
        settings: Learning rate, batch size and so on; the number of epochs is not taken from here.
        store: Where finished tunings lie.
        mode: ``stack``, ``weave``, or ``merge``.
        tune_epochs: Numbers of epochs at which to test, 0 for no tuning.
        parents: Keys of the fits that the blocks come from.
        fit_changes: Training settings that differ from those of the run.
        log: Called with one line per epoch.

    Source: Hemker et al. 2025, section 3.3 and appendix E (two epochs). The order is that of
        ``names``.
    """
    if not tune_epochs or min(tune_epochs) < 0:
        raise SettingsError(
            f"tune_epochs: expected numbers of epochs from 0 on, got {list(tune_epochs)}"
        )
    wanted = sorted(set(tune_epochs))
    paired = fold.train.select(sorted(names)).having(sorted(names), how="all")
    test = fold.test.select(sorted(names)).having(sorted(names), how="any")
    # The merged head is where tuning starts, so its bias stays.
    # Two epochs are over before a warm-up of a training from scratch would be.
    kept = {"patience": None, "output_bias": "as_built", "warmup": 0, "warmup_mode": "linear"}
    how = fit_settings(settings, **(dict(fit_changes or {}) | kept))
    seed = derived_seed(settings.seed, fold.cohort, fold.unit, fold.repeat, mode, tuple(names))
    key = fit_key(
        model=[mode, list(names)],
        parents={name: parents[name] for name in names},
        fit=dataclasses.asdict(how),
        tune_epochs=wanted,
        data=[samples_digest(paired), samples_digest(test)],
        seed=seed,
        device=settings.device,
        code=code_digest(tuned_outcomes),
    )
    stored = store.get(key)
    if stored is None:
        model = build(mode, pick(blocks, names), names)
        stored = _tune(
            key, model, fold, paired, test, how, settings.device, seed, wanted, store, log
        )
    members = tuple({member for name in names for member in fold.members(name)})
    return [
        outcome_of(
            stored.tensors[f"epoch_{epochs}"],
            test,
            fold,
            method=LEGO_MERGE if mode == "merge" else LEGO_FUSE,
            variant=f"{mode}, {epochs} epochs",
            modalities=members,
            n_train=len(paired),
            key=key,
            headline=False,
            **_story_of(stored, epochs, names),
        )
        for epochs in wanted
    ]


def _story_of(stored: StoredFit, epochs: int, names: Sequence[str]) -> dict[str, Any]:
    """How one number of tuning epochs was reached: seconds, history, and facts."""
    facts = {"order": list(names), "n_parameters": stored.facts["n_parameters"]}
    return {
        "seconds": stored.facts["seconds"].get(str(epochs), 0.0),
        "history": stored.facts["history"][:epochs],
        "facts": facts | stored.facts["medians"][str(epochs)],
    }


def build(mode: str, blocks: Mapping[str, LegoBlock], names: Sequence[str]) -> LegoFuse | LegoMerge:
    """A fused or merged model whose tuning leaves the given blocks as they are."""
    if mode == "merge":
        return LegoMerge(copy.deepcopy(dict(blocks)))
    if mode not in MODES:
        raise SettingsError(f"mode: expected one of {[*MODES, 'merge']}, got '{mode}'")
    return LegoFuse(blocks, mode=mode, order=list(names))


def _tune(
    key: str,
    model: LegoFuse | LegoMerge,
    fold: Fold,
    paired: object,
    test: object,
    how: FitSettings,
    device: str,
    seed: int,
    tune_epochs: Sequence[int],
    store: FitStore,
    log: Log,
) -> StoredFit:
    """Tune up to the largest number of epochs, keeping test logits at each wanted number."""
    logits: dict[str, Tensor] = {}
    seconds: dict[str, float] = {}
    medians: dict[str, dict[str, float]] = {}

    def keep(epoch: int, elapsed: float) -> None:
        if epoch in tune_epochs:
            logits[f"epoch_{epoch}"] = predict_logits(model, test, device=device)
            seconds[str(epoch)] = elapsed
            medians[str(epoch)] = risk_median(model, paired, fold, device)

    keep(0, 0.0)
    facts = {
        "history": [],
        "n_parameters": sum(p.numel() for p in model.parameters() if p.requires_grad),
    }
    if tune_epochs[-1] > 0:
        result = fit(
            model,
            paired,
            None,
            objective_of(fold, how),
            settings=dataclasses.replace(how, epochs=tune_epochs[-1]),
            seed=seed,
            device=device,
            log=log,
            on_epoch=keep,
        )
        facts |= {"history": result.history, "n_parameters": result.n_parameters}
    return store.put(key, logits, facts | {"seconds": seconds, "medians": medians})
