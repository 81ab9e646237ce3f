"""The models of a fold that are put to the test, on other samples than its own."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from mmlego.bench.fold_bench import Bench, methods_for
from mmlego.bench.inputs import headline_inputs
from mmlego.bench.merging import on_other_samples
from mmlego.bench.outcome import Outcome
from mmlego.bench.store.fits import FitStore, fit_key
from mmlego.bench.trained import TrainedModel
from mmlego.data.folds.fold import Fold
from mmlego.data.folds.samples import Samples
from mmlego.methods.names import LEGO_MERGE
from mmlego.methods.registry import METHODS

STATIC = "static head"


def methods_on(fold: Fold, names: Sequence[str], among: Sequence[str] = ()) -> list[str]:
    """Networks and merges that suit the modalities, in the order of the registry."""
    return [name for name in methods_for(fold, names, among) if METHODS[name].several]


def compared(bench: Bench, methods: Sequence[str]) -> Iterator[TrainedModel]:
    """Train (or fetch) methods on the set of modalities of a fold.

    A merge comes twice: with the head of the modalities that are there, and always with that of all
    modalities.
    """
    kind, names = headline_inputs(bench.fold)
    for method in methods:
        yield bench.combined(method, names, kind)
        if method == LEGO_MERGE:
            yield bench.merge(names, options={"head_mode": "static"}, arm=STATIC, inputs=kind)


def tested_on(
    bench: Bench, trained: TrainedModel, test: Samples, condition: str, **labels: Any
) -> TrainedModel:
    """A model tested on other samples than those of the fold, without training."""
    return on_other_samples(
        trained,
        test,
        bench.store,
        device=bench.settings.device,
        condition=condition,
        headline=False,
        **labels,
    )


def score_on(
    bench: Bench, trained: TrainedModel, test: Samples, condition: str, **labels: Any
) -> Outcome:
    """The outcome of ``tested_on``."""
    return tested_on(bench, trained, test, condition, **labels).outcome


def mean_over_draws(
    draws: Sequence[TrainedModel], store: FitStore, facts: Mapping[str, Any]
) -> Outcome:
    """One outcome for several draws: mean metrics, and the predictions of the first draw.

    Args:
        draws: One model on several draws of test samples, under one condition.
        store: What knows outcomes of earlier runs.
        facts: Further facts of the outcome.
    """
    first = draws[0]
    key = fit_key(mean_of=[draw.key for draw in draws])
    rest = dict(first.labels.rest) | {"facts": dict(facts) | {"draws": len(draws)}}
    labels = replace(first.labels, rest=rest)
    known = labels.recalled(store, first.fold, key)
    if known is not None:
        return known
    outcomes = [draw.outcome for draw in draws]
    metrics = {name: [o.metrics[name] for o in outcomes] for name in outcomes[0].metrics}
    means = {name: float(np.mean(values)) for name, values in metrics.items()}
    return replace(outcomes[0].relabelled(facts=rest["facts"]), metrics=means, key=key)
