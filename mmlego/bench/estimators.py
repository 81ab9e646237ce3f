"""Fit a classical reference on the modalities of a fold side by side, and test it."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from mmlego.bench.outcome import Outcome
from mmlego.bench.settings import BlockSettings
from mmlego.bench.store.code import code_digest
from mmlego.bench.store.data import samples_digest
from mmlego.bench.store.fits import FitStore, StoredFit, fit_key
from mmlego.bench.trained import Labels, TrainedModel
from mmlego.bench.training import derived_seed
from mmlego.data.cohorts.cohort import check_modalities
from mmlego.data.folds.fold import Fold
from mmlego.data.folds.samples import Samples
from mmlego.errors import ModalityError, SettingsError
from mmlego.learning.classical import (
    CLASS_METHODS,
    SURVIVAL_METHODS,
    ClassReference,
    SurvivalReference,
    fit_classes,
    fit_survival,
)
from mmlego.learning.metrics.scores import concordance_index, evaluate

SMALLEST = 1e-7  # below it a probability counts as this in a log loss, as in ``clamped_nll``
Arrays = dict[str, np.ndarray]


def classical_methods(task: str) -> tuple[str, ...]:
    """Names of the references for a task, ``survival`` or ``classification``."""
    return SURVIVAL_METHODS if task == "survival" else CLASS_METHODS


def design_matrix(samples: Samples, names: Sequence[str]) -> np.ndarray:
    """Put modalities side by side as one table.

    Tables stay as they are; of bags and series the mean over instances is taken. What a sample
    lacks is 0, the mean of the training part after standardization.

    Args:
        samples: One part of a fold, scaled.
        names: Modalities, in the order of their columns.

    Returns:
        (n, p) float64, p the sum of the widths.

    Raises:
        ModalityError: If a name is unknown, or a modality is an image.
    """
    check_modalities("design matrix", names, samples.names)
    images = [name for name in names if samples.kinds[name] == "image"]
    if images:
        raise ModalityError(
            f"design matrix: expected tables, bags or series, got images {images}; leave them out, "
            "or give a bag of embedded patches"
        )
    return np.concatenate([_columns(samples, name) for name in names], axis=1)


def train_estimator(
    fold: Fold,
    method: str,
    names: Sequence[str],
    settings: BlockSettings,
    store: FitStore,
    *,
    inputs: str = "",
) -> TrainedModel:
    """Fit a reference on the training part and test it, where that is not done.

    Fitted, chosen and tested on samples that have any of the modalities. The strength of the
    penalty is the one with the best score on the validation part: concordance for survival, log
    loss for classes; of equal ones the strongest. The log loss is also what networks are stopped
    by, and so is a ``best_val_loss``; the concordance is not, and is the fact ``val_score``.
    Of what it returns only the outcome can be had: a reference is no network.

    Args:
        fold: Data.
        method: One of ``classical_methods`` for the fold's task.
        names: Modalities that the reference sees.
        settings: For the seed; nothing else of it decides the fit.
        store: Where finished fits lie.
        inputs: How columns are divided into modalities.

    Raises:
        SettingsError: If the method is none for the fold's task.
        ModalityError: As ``design_matrix``.
        MetricError: If no penalty can be chosen, since the validation part has no comparable pair.
        RunError: If the store is read-only and has no such fit.
    """
    names = tuple(sorted(names))
    parts = {
        part: samples.select(names).where_present(names) for part, samples in fold.parts().items()
    }
    seed = derived_seed(settings.seed, fold.cohort, fold.unit, fold.repeat, method, names)
    key = fit_key(
        model=[method, list(names)],
        data={part: samples_digest(samples) for part, samples in parts.items()},
        edges=None if fold.bin_edges is None else fold.bin_edges.tolist(),
        n_outputs=fold.n_outputs,
        seed=seed,
        code=code_digest(train_estimator),
    )
    labels = Labels(method, names, {"inputs": inputs})

    def make() -> tuple[Outcome, None]:
        stored = store.get(key)
        if stored is None:
            store.require_writable(f"{method} of {'+'.join(names)}, repeat {fold.repeat}")
            stored = _fit_and_store(key, method, parts, names, fold, seed, store)
        return _outcome(stored, fold, labels, parts), None

    return TrainedModel(fold, labels, key, make, labels.recalled(store, fold, key))


def _columns(samples: Samples, name: str) -> np.ndarray:
    """The columns of one modality, (n, c)."""
    present = samples.present[name].numpy()
    if samples.kinds[name] == "tabular":
        table = samples.tensor(name).double().numpy()
    elif samples.kinds[name] == "series":
        table = samples.tensor(name).double().mean(dim=1).numpy()
    else:
        table = np.zeros((len(samples), samples.widths[name]))
        for row in np.flatnonzero(present):
            table[row] = samples.values[name][row].double().mean(dim=0).numpy()
    return np.where(present[:, None], table, 0.0)


def _fit_and_store(
    key: str,
    method: str,
    parts: dict[str, Samples],
    names: Sequence[str],
    fold: Fold,
    seed: int,
    store: FitStore,
) -> StoredFit:
    x = {part: design_matrix(samples, names) for part, samples in parts.items()}
    target = {
        part: {name: values.numpy() for name, values in samples.target.items()}
        for part, samples in parts.items()
    }
    started = time.perf_counter()
    model: SurvivalReference | ClassReference
    if fold.task == "survival":
        survival, facts = _survival(method, x, target, seed)
        prediction = {
            "risk": survival.risk(x["test"]),
            "survival": survival.survival(x["test"], fold.edges[1:]),
        }
        model = survival
    else:
        classes, facts = _classes(method, x, target, fold.n_outputs, seed)
        prediction = {"probability": classes.probability(x["test"])}
        model = classes
    facts |= {
        "seconds": time.perf_counter() - started,
        "n_parameters": model.n_parameters,
        "n_features": x["train"].shape[1],
    }
    if model.penalty is not None:
        facts |= {"penalty": model.penalty, "n_nonzero": model.n_nonzero}
    tensors = {name: torch.from_numpy(values) for name, values in prediction.items()}
    return store.put(key, tensors, facts)


def _survival(
    method: str, x: Arrays, target: dict[str, Arrays], seed: int
) -> tuple[SurvivalReference, dict[str, Any]]:
    """The reference with the best concordance on the validation part, and its facts."""
    train, val = target["train"], target["val"]
    models = fit_survival(method, x["train"], train["event"], train["time"], seed=seed)
    scores = [concordance_index(val["event"], val["time"], m.risk(x["val"])) for m in models]
    best = int(np.argmax(scores))  # the first of equal ones, which has the strongest penalty
    risk = models[best].risk(x["train"])
    return models[best], {
        "val_score": scores[best],
        "train_risk_median": float(np.median(risk)),
    }


def _classes(
    method: str, x: Arrays, target: dict[str, Arrays], n_classes: int, seed: int
) -> tuple[ClassReference, dict[str, Any]]:
    """The reference with the least log loss on the validation part, and its facts."""
    train, val = target["train"], target["val"]
    models = fit_classes(method, x["train"], train["label"], n_classes, seed=seed)
    if not len(val["label"]):
        if len(models) > 1:
            raise SettingsError(
                f"{method}: expected a validation part to choose a penalty by, got none; use a "
                "method without penalties, or splits with a validation part"
            )
        return models[0], {}
    losses = [_log_loss(val["label"], model.probability(x["val"])) for model in models]
    best = int(np.argmin(losses))
    return models[best], {"best_val_loss": losses[best]}


def _log_loss(label: np.ndarray, probability: np.ndarray) -> float:
    """Mean of -log of the probability of the true class."""
    true = probability[np.arange(len(label)), label]
    return float(-np.log(np.maximum(true, SMALLEST)).mean())


def _outcome(stored: StoredFit, fold: Fold, labels: Labels, parts: dict[str, Samples]) -> Outcome:
    facts: dict[str, Any] = dict(stored.facts)
    prediction = {name: values.numpy() for name, values in stored.tensors.items()}
    test = parts["test"]
    return labels.outcome(
        fold,
        stored.key,
        ids=test.ids,
        prediction=prediction,
        metrics=evaluate(prediction, test, fold.train, fold),
        n_train=len(parts["train"]),
        seconds=facts.pop("seconds"),
        facts=facts | {"sha256": stored.sha256},
    )
