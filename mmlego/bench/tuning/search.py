"""Search of hyper-parameters, by the validation loss and nothing else.

Every method gets the same number of trials. The first trial is the setting of the run, so that what
is chosen is never worse on the validation parts than what was given; the second hardly regularizes.
"""

from __future__ import annotations

import hashlib
import json
import math
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pandas as pd

from mmlego.bench.fold_bench import Bench, methods_for
from mmlego.bench.fusing import TUNED_FOR
from mmlego.bench.inputs import JOINED, SEPARATE, input_sets, unimodal_inputs
from mmlego.bench.settings import TuningSettings
from mmlego.bench.store.code import code_digest
from mmlego.bench.store.fits import FitStore
from mmlego.bench.tuning.space import given_values, light_values, readable, suggest
from mmlego.bench.tuning.values import TunedValues, study_name
from mmlego.data.folds.fold import Fold
from mmlego.errors import RunError, TrainingError
from mmlego.learning.loop import mean_loss
from mmlego.learning.objectives import objective_for
from mmlego.methods.encoders import encoder_for
from mmlego.methods.method import EITHER, FUSED, MERGED, UNIMODAL
from mmlego.methods.names import LEGO_BLOCK, LEGO_FUSE
from mmlego.methods.registry import METHODS, unimodal_methods

_RANDOM_TRIALS = 4
_DONE = (optuna.trial.TrialState.COMPLETE, optuna.trial.TrialState.PRUNED)
_FEWEST_FOR_IMPORTANCE = 4


@dataclass(frozen=True)
class Search:
    """One search: a method on one role of modalities, with the modalities that stand for it."""

    method: str
    role: str
    names: tuple[str, ...]

    @property
    def name(self) -> str:
        """Name of the search."""
        return study_name(self.method, self.role)


@dataclass(frozen=True)
class FinishedSearch:
    """A finished search.

    Attributes:
        task: What was searched.
        trials: One row per trial: number, value (validation loss), state, and the values tried.
        values: The best values.
        loss: Mean validation loss of the best trial.
        given: Mean validation loss of the given settings; NaN if that trial failed.
        importances: Share of each hyper-parameter in the differences between trials.
    """

    task: Search
    trials: pd.DataFrame
    values: dict[str, Any]
    loss: float
    given: float
    importances: dict[str, float]


def tasks(fold: Fold, wanted: Sequence[str] = ()) -> list[Search]:
    """All searches for a cohort: encoders and blocks first, since fusion starts from them."""
    found = []
    known: set[str] = set()
    for name, role in unimodal_inputs(fold).items():
        # One search per role: values found on one bag are used on every bag.
        if role in known:
            continue
        known.add(role)
        own = (encoder_for(fold.kinds[name]), LEGO_BLOCK)
        for method in methods_for(fold, [name], wanted):
            if method in own or METHODS[method].kind == EITHER:
                found.append(Search(method, role, (name,)))
    sets = input_sets(fold)
    names = sets.get(JOINED) or sets.get(SEPARATE) or ()
    for method in methods_for(fold, names, wanted) if names else []:
        if METHODS[method].several and METHODS[method].trained != MERGED:
            found.append(Search(method, "all", tuple(names)))
    return sorted(found, key=lambda task: (_turn(task), task.name))


def _turn(task: Search) -> int:
    """When a search can start: encoders, then blocks, then what needs neither, fusion last."""
    first = unimodal_methods()
    if task.method in first:
        return first.index(task.method)
    return len(first) + (METHODS[task.method].trained == FUSED)


def search(
    folds: Sequence[Fold],
    settings: TuningSettings,
    storage: Path,
    *,
    log: Callable[[str], None] | None = None,
) -> list[FinishedSearch]:
    """Search the hyper-parameters of all methods on the validation parts of some folds.

    A search that was cut short goes on where it stopped.

    Args:
        folds: The splits on whose validation parts trials are judged.
        settings: Defaults, methods, and number of trials for each.
        storage: SQLite file of the searches.
        log: Called with one line per search.

    Raises:
        RunError: If every trial of a search failed.
    """
    storage.parent.mkdir(parents=True, exist_ok=True)
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    studies: list[FinishedSearch] = []
    for task in tasks(folds[0], settings.methods):
        chosen = TunedValues({study.task.name: {"values": study.values} for study in studies})
        studies.append(_search_one(task, folds, settings, storage, chosen))
        if log is not None:
            log(sentence(studies[-1]))
    return studies


def storage_path(results: Path, cohort: str) -> Path:
    """The SQLite file of the searches of a cohort."""
    return results / "artifacts" / "studies" / f"{cohort}.db"


def sentence(study: FinishedSearch) -> str:
    """What one search found, in a line."""
    return (
        f"{study.task.name}: {len(study.trials)} trials, validation loss {study.given:.4f} as "
        f"given, {study.loss:.4f} with {_text(study.values)}"
    )


def _text(values: Mapping[str, Any]) -> str:
    return ", ".join(
        f"{name} {value:.2g}" if isinstance(value, float) else f"{name} {value}"
        for name, value in values.items()
    )


def _search_one(
    task: Search,
    folds: Sequence[Fold],
    settings: TuningSettings,
    storage: Path,
    chosen: TunedValues,
) -> FinishedSearch:
    # A search must never be mixed with one of other code or settings.
    identity = [settings.block_signature(), folds[0].cohort, task.name, code_digest(search)]
    label = hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:8]
    study = optuna.create_study(
        study_name=f"{task.name} {label}",
        storage=f"sqlite:///{storage}",
        sampler=optuna.samplers.TPESampler(seed=settings.seed, n_startup_trials=_RANDOM_TRIALS),
        pruner=optuna.pruners.MedianPruner(n_startup_trials=2, n_warmup_steps=0),
        load_if_exists=True,
    )
    if not study.trials:
        study.enqueue_trial(given_values(task.method, settings))
        study.enqueue_trial(light_values(task.method, settings))
    _repeat_killed(study)
    done = [t for t in study.trials if t.state in _DONE]
    with tempfile.TemporaryDirectory(prefix="mmlego-search-") as folder:
        store = FitStore(folder)
        study.optimize(
            lambda trial: _mean_loss(trial, task, folds, settings, store, chosen),
            n_trials=max(0, settings.trials - len(done)),
        )
    return _finished(task, study)


def _repeat_killed(study: optuna.Study) -> None:
    """Put trials that were cut short by a kill, which count as running for ever, in line again."""
    for trial in study.trials:
        if trial.state == optuna.trial.TrialState.RUNNING:
            study.tell(trial.number, state=optuna.trial.TrialState.FAIL)
            study.enqueue_trial(trial.params)


def _mean_loss(
    trial: optuna.Trial,
    task: Search,
    folds: Sequence[Fold],
    settings: TuningSettings,
    store: FitStore,
    chosen: TunedValues,
) -> float:
    """Mean validation loss of one trial over the folds; hopeless ones end after the first."""
    values = suggest(trial, task.method)
    tried = TunedValues({**chosen.studies, task.name: {"values": values}})
    losses: list[float] = []
    for number, fold in enumerate(folds):
        try:
            losses.append(_val_loss(task, Bench(fold, settings, store, tried)))
        except TrainingError as problem:
            raise optuna.TrialPruned(str(problem)) from None
        trial.report(float(np.mean(losses)), number)
        if number + 1 < len(folds) and trial.should_prune():
            raise optuna.TrialPruned
    return float(np.mean(losses))


def _val_loss(task: Search, bench: Bench) -> float:
    """Validation loss of the model of one trial on one fold."""
    if task.method == LEGO_FUSE:
        return _fused_val_loss(task, bench)
    if task.method == LEGO_BLOCK:
        trained = bench.block(task.names[0])
    elif METHODS[task.method].kind == UNIMODAL:
        trained = bench.encoder(task.names[0])
    else:
        trained = bench.whole(task.method, task.names)
    return float(trained.outcome.facts["best_val_loss"])


def _fused_val_loss(task: Search, bench: Bench) -> float:
    """Validation loss of a stack after its tuning epochs, which have no early stopping."""
    names = sorted(task.names)
    val = bench.fold.val.select(names).where_present(names, how="all")
    fused = bench.fuse(task.names, tune_epochs=TUNED_FOR).model
    device = bench.settings.device
    return mean_loss(fused, val, objective_for(bench.fold), device=device)


def _finished(task: Search, study: optuna.Study) -> FinishedSearch:
    """Read a study.

    Raises:
        RunError: If no trial came to its end.
    """
    complete = [t for t in study.trials if t.state == optuna.trial.TrialState.COMPLETE]
    if not complete:
        raise RunError(
            f"search '{task.name}': expected a trial that ends, got none of {len(study.trials)}; "
            "look at the data of this cohort"
        )
    # A trial that waits, or was killed, is none; a pruned one keeps the loss of its first fold.
    done = [t for t in study.trials if t.state in _DONE]
    rows = [{"number": t.number, "value": t.value, "state": t.state.name} | t.params for t in done]
    first = done[0]
    return FinishedSearch(
        task=task,
        trials=pd.DataFrame(rows),
        values=readable(task.method, study.best_trial.params),
        loss=float(study.best_value),
        given=math.nan if first.value is None or first not in complete else float(first.value),
        importances=_importances(study, len(complete)),
    )


def _importances(study: optuna.Study, complete: int) -> dict[str, float]:
    """How much each hyper-parameter mattered (fANOVA); empty with too few trials to say."""
    if complete < _FEWEST_FOR_IMPORTANCE:
        return {}
    evaluator = optuna.importance.FanovaImportanceEvaluator(seed=1)
    return dict(optuna.importance.get_param_importances(study, evaluator=evaluator))
