"""Stack or weave trained blocks and tune the result on patients who have every modality."""

from __future__ import annotations

import copy
import dataclasses
import math
import random
from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor, nn

from mmlego.bench.merging import Models, bare_blocks, select_models
from mmlego.bench.outcome import Outcome
from mmlego.bench.settings import BlockSettings
from mmlego.bench.store.code import code_digest
from mmlego.bench.store.data import samples_digest, target_digest
from mmlego.bench.store.fits import FitStore, StoredFit, fit_key
from mmlego.bench.trained import Labels, TrainedModel, outcome_of
from mmlego.bench.training import derived_seed, fit_settings, objective_of, risk_median
from mmlego.data.folds.fold import Fold
from mmlego.data.folds.samples import Samples
from mmlego.errors import SettingsError
from mmlego.learning.device import resolve_device
from mmlego.learning.loop import fit
from mmlego.learning.predict import predict_logits
from mmlego.learning.settings import FitSettings
from mmlego.lego.block import LegoBlock
from mmlego.lego.fuse import LegoFuse
from mmlego.lego.merge import LegoMerge
from mmlego.methods.names import LEGO_FUSE, LEGO_MERGE

STACK, WEAVE, MERGE = "stack", "weave", "merge"
MODES = (STACK, WEAVE)
TUNED_FOR = 2  # epochs, as published
_LOGITS = "__logits_{}__"


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


@dataclasses.dataclass(frozen=True)
class Tuning:
    """Blocks put together, and the tuning that follows.

    Attributes:
        fold: Data.
        blocks: Trained blocks by modality.
        names: Modalities in the order in which they are fused.
        mode: ``stack``, ``weave``, or ``merge``.
        how: Training settings.
        seed: Of the order of batches.
        device: ``auto``, ``cpu`` or ``cuda``.
    """

    fold: Fold
    blocks: Models
    names: tuple[str, ...]
    mode: str
    how: FitSettings
    seed: int
    device: str

    @property
    def paired(self) -> Samples:
        """The training samples that have every modality."""
        return _of(self.fold.train, self.names, "all")

    @property
    def test(self) -> Samples:
        """The test samples that have any."""
        return _of(self.fold.test, self.names, "any")

    def key(self) -> str:
        """Everything that decides a tuning but for its number of epochs, as a hash."""
        return fit_key(
            model=[self.mode, list(self.names)],
            parents=[self.blocks[name].key for name in self.names],
            fit=dataclasses.asdict(dataclasses.replace(self.how, epochs=1)),
            data=[samples_digest(self.paired), samples_digest(self.test)],
            train=target_digest(self.fold.train),
            seed=self.seed,
            device=resolve_device(self.device).type,
            code=code_digest(Tuning),
        )


def tune(
    fold: Fold,
    blocks: Models,
    names: Sequence[str],
    settings: BlockSettings,
    store: FitStore,
    *,
    mode: str,
    tune_epochs: Sequence[int],
    fit_changes: Mapping[str, object] | None = None,
    **labels: Any,
) -> dict[int, TrainedModel]:
    """Fuse or merge copies of blocks, tune, and test after each number of tuning epochs.

    Only patients of the training part who have every modality are tuned on. There is no early
    stopping: the weights after the last epoch count. One pass over the longest tuning gives all
    shorter ones, since epochs do not know how many will follow; the model itself is that of the
    longest one.

    Args:
        fold: Data.
        blocks: Trained blocks by modality.
        names: Modalities in the order in which they are fused.
        settings: Learning rate, batch size and so on; the number of epochs is not taken from here.
        store: Where finished tunings lie.
        mode: ``stack``, ``weave``, or ``merge``.
        tune_epochs: Numbers of epochs at which to test, 0 for no tuning.
        fit_changes: Training settings that differ from those of the run.
        labels: Fields of the outcomes; the arm is the mode unless given.

    Source: Hemker et al. 2025, section 3.3 and appendix E (two epochs). The order is that of
        ``names``.
    """
    if not tune_epochs or min(tune_epochs) < 0:
        raise SettingsError(
            f"tune_epochs: expected numbers of epochs from 0 on, got {list(tune_epochs)}"
        )
    if mode not in (*MODES, MERGE):
        raise SettingsError(f"mode: expected one of {[*MODES, MERGE]}, got '{mode}'")
    wanted = sorted(set(tune_epochs))
    # The merged head is where tuning starts, so its bias stays.
    # Two epochs are over before a warm-up of a training from scratch would be.
    kept = {"patience": None, "output_bias": "as_built", "warmup": 0, "warmup_mode": "linear"}
    work = Tuning(
        fold,
        select_models(blocks, names),
        tuple(names),
        mode,
        fit_settings(settings, **(dict(fit_changes or {}) | kept)),
        derived_seed(settings.seed, fold.cohort, fold.unit, fold.repeat, mode, tuple(names)),
        settings.device,
    )
    return {epochs: _tuned_for(work, epochs, wanted, store, labels) for epochs in wanted}


def _tuned_for(
    work: Tuning, epochs: int, wanted: Sequence[int], store: FitStore, labels: Mapping[str, Any]
) -> TrainedModel:
    """The model after some epochs of one tuning."""
    tuning = work.key()
    # Epochs do not know how many follow, so an outcome is the same in a longer tuning.
    key = fit_key(tuning=tuning, epochs=epochs)
    fit_of_all = fit_key(tuning=tuning, wanted=list(wanted))
    method, arm = (LEGO_MERGE, "") if work.mode == MERGE else (LEGO_FUSE, work.mode)
    facts = {"order": list(work.names)} | dict(labels.get("facts", {}))
    called = Labels(
        method, work.names, {"arm": arm, "tune_epochs": epochs} | dict(labels) | {"facts": facts}
    )

    def make() -> tuple[Outcome, nn.Module | None]:
        stored = store.get(fit_of_all)
        if stored is None:
            stored = _tune(fit_of_all, work, wanted, store)
        outcome = outcome_of(
            stored.tensors[_LOGITS.format(epochs)],
            work.test,
            work.fold,
            called,
            key=key,
            n_train=len(work.paired),
            **_until(stored, epochs),
        )
        return outcome, _model(work, stored) if epochs == wanted[-1] else None

    return TrainedModel(work.fold, called, key, make, called.recalled(store, work.fold, key))


def _until(stored: StoredFit, epochs: int) -> dict[str, Any]:
    """How one number of tuning epochs was reached: seconds, history, and facts."""
    facts = {"n_parameters": stored.facts["n_parameters"]}
    return {
        "seconds": stored.facts["seconds"].get(str(epochs), 0.0),
        "history": stored.facts["history"][:epochs],
        "facts": facts | stored.facts["medians"][str(epochs)],
    }


def _model(work: Tuning, stored: StoredFit) -> nn.Module:
    """The model with the weights at the end of a tuning; in between none are kept."""
    model = put_together(work.mode, bare_blocks(work.blocks), work.names)
    logits = _LOGITS.split("{}")[0]
    model.load_state_dict({k: v for k, v in stored.tensors.items() if not k.startswith(logits)})
    return model.eval()


def put_together(
    mode: str, blocks: Mapping[str, LegoBlock], names: Sequence[str]
) -> LegoFuse | LegoMerge:
    """A fused or merged model whose tuning leaves the given blocks as they are."""
    if mode == MERGE:
        return LegoMerge(copy.deepcopy(dict(blocks)))
    return LegoFuse(blocks, mode=mode, order=list(names))


def _tune(key: str, work: Tuning, tune_epochs: Sequence[int], store: FitStore) -> StoredFit:
    """Tune up to the largest number of epochs, keeping test logits at each wanted number."""
    model = put_together(work.mode, bare_blocks(work.blocks), work.names)
    store.require_writable(f"{work.mode} of '{'+'.join(work.names)}', repeat {work.fold.repeat}")
    logits: dict[str, Tensor] = {}
    seconds: dict[str, float] = {}
    medians: dict[str, dict[str, float]] = {}

    def keep(epoch: int, elapsed: float) -> None:
        if epoch in tune_epochs:
            logits[_LOGITS.format(epoch)] = predict_logits(model, work.test, device=work.device)
            seconds[str(epoch)] = elapsed
            medians[str(epoch)] = risk_median(model, work.paired, work.fold, work.device)

    keep(0, 0.0)
    facts: dict[str, Any] = {
        "history": [],
        "n_parameters": sum(p.numel() for p in model.parameters() if p.requires_grad),
    }
    if tune_epochs[-1] > 0:
        result = fit(
            model,
            work.paired,
            None,
            objective_of(work.fold, work.how),
            settings=dataclasses.replace(work.how, epochs=tune_epochs[-1]),
            seed=work.seed,
            device=work.device,
            on_epoch=keep,
        )
        facts |= {"history": result.history, "n_parameters": result.n_parameters}
    weights = {name: value.detach().cpu() for name, value in model.state_dict().items()}
    return store.put(key, weights | logits, facts | {"seconds": seconds, "medians": medians})


def _of(part: Samples, names: Sequence[str], how: str) -> Samples:
    """The samples of a part that have any, or all, of some modalities."""
    return part.select(sorted(names)).where_present(sorted(names), how=how)
