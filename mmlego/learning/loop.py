"""The training loop: Adam, L1, learning-rate schedule, early stopping, and an honest record."""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import ReduceLROnPlateau, StepLR

from mmlego.errors import DataError, SettingsError, TrainingError
from mmlego.learning.criterion import check_criterion, validation_score
from mmlego.learning.device import resolve_device
from mmlego.learning.objectives import Objective
from mmlego.learning.output_bias import start_at_base_rate
from mmlego.learning.penalty import add_l1_gradient, l1_parameters, l1_value
from mmlego.learning.predict import evaluating
from mmlego.learning.seeding import check_seed, torch_seed
from mmlego.learning.settings import FitSettings
from mmlego.learning.warmup import Warmup

if TYPE_CHECKING:
    from mmlego.data.folds.samples import Batch, Samples

Log = Callable[[str], None]
OnEpoch = Callable[[int, float], None]
Schedule = StepLR | ReduceLROnPlateau | None


@dataclass(frozen=True)
class FitResult:
    """What a training did.

    Attributes:
        history: One entry per epoch: ``epoch`` (from 1), ``train_loss`` (mean over samples, dropout
            active, no penalty), ``l1`` (value of the penalty after the epoch), ``val_loss`` (no
            penalty; NaN without a validation part), ``learning_rate`` of the last step of the
            epoch, ``seconds`` of training and validating, ``aux_<name>`` for every auxiliary term
            of the model, and ``val_<criterion>`` where that is not the loss.
        best_epoch: Epoch whose weights the model ends with; 0 if it was not trained.
        best_val_loss: Validation loss of those weights; NaN without a validation part.
        seconds: Time spent training and validating.
        n_parameters: Number of trainable values.
        stopped: Whether early stopping ended it before the last epoch.
    """

    history: list[dict[str, float]]
    best_epoch: int
    best_val_loss: float
    seconds: float
    n_parameters: int
    stopped: bool


def fit(
    model: nn.Module,
    train: Samples,
    val: Samples | None,
    objective: Objective,
    *,
    settings: FitSettings,
    seed: int,
    device: str | torch.device = "auto",
    log: Log | None = None,
    on_epoch: OnEpoch | None = None,
) -> FitResult:
    """Train a model in place.

    Adam gets the parameters that require a gradient. The schedule and early stopping act once per
    epoch on the validation loss without penalty, or stopping on another criterion that the settings
    name; the first epochs may differ, see ``Warmup``. With ``settings.patience`` the weights of the
    best epoch come back at the end, and without it the final ones stay.
    The model ends on the device, every module in the mode in which it came. Shuffling and dropout
    follow ``seed`` alone, and the global generators are left as found: the same call on the CPU
    repeats to the last bit.

    A model with a method ``forward_with_auxiliary(inputs, present, masks, target, loss)`` that
    returns logits and a dict of scalar terms is trained on the loss of the logits plus all of them;
    ``loss(logits, target)`` is the loss of the objective, for terms that need it.

    Args:
        model: Maps ``inputs``, ``present`` and ``masks`` to logits (b, k).
        train: Training part.
        val: Validation part, or None if nothing is to be chosen by it.
        objective: Loss on logits.
        settings: How to train.
        seed: Whole number in [0, 2**32).
        device: See ``resolve_device``.
        log: Called with one line per epoch.
        on_epoch: Called after each epoch with its number and the seconds spent so far, which leave
            out the calls themselves; it must not change the model.

    Raises:
        DataError: If a part is empty, or the validation part has no comparable pair for the
            criterion ``c_index``.
        SettingsError: If there is a patience but no validation part, the criterion or the warm-up
            does not suit the task or the model, or the device is unknown.
        TrainingError: If nothing is trainable, or a loss is not finite.

    Source: Hemker et al. 2025, appendix E. The paper leaves out when the schedule acts and what the
        penalty covers; here once per epoch, and the weight matrices that get a gradient.
    """
    _check_parts(train, val, settings)
    check_criterion(settings.criterion, objective, val)
    warmup = Warmup(model, settings)
    check_seed(seed)
    where = resolve_device(device)
    if settings.output_bias == "base_rate":
        start_at_base_rate(model.cpu(), train, objective)
    model.to(where)
    trainer = _Trainer(model, objective, settings, warmup, where)
    shuffle = torch.Generator().manual_seed(int(seed))
    modes = [(module, module.training) for module in model.modules()]
    try:
        with torch_seed(seed):
            trainer.run(train, val, shuffle, log or _silent, on_epoch or _idle)
    finally:
        warmup.end()
        for module, training in modes:
            module.training = training
    return trainer.result()


@torch.no_grad()
def mean_loss(
    model: nn.Module,
    samples: Samples,
    objective: Objective,
    *,
    batch_size: int = 64,
    device: str | torch.device = "auto",
) -> float:
    """Return the mean loss of a part in evaluation mode, without penalty or auxiliary terms.

    Raises:
        DataError: If there is no sample.
    """
    if len(samples) == 0:
        raise DataError("loss: expected samples, got none; check the selection of modalities")
    where = resolve_device(device)
    total = torch.zeros((), dtype=torch.float64, device=where)
    with evaluating(model):
        for batch in samples.batches(batch_size):
            batch = batch.to(where)
            logits = model(batch.inputs, batch.present, batch.masks)
            total += objective.loss(logits, batch.target).double() * len(batch)
    return float(total) / len(samples)


@dataclass
class _Best:
    """The weights with the lowest score so far: a validation loss, or minus another criterion."""

    score: float = math.inf
    loss: float = math.inf
    epoch: int = 0
    weights: dict[str, object] = field(default_factory=dict)


class _Trainer:
    """The state of one training."""

    def __init__(
        self,
        model: nn.Module,
        objective: Objective,
        settings: FitSettings,
        warmup: Warmup,
        device: torch.device,
    ) -> None:
        self.model, self.objective = model, objective
        self.settings, self.warmup, self.device = settings, warmup, device
        trainable = [p for p in model.parameters() if p.requires_grad]
        if not trainable and settings.epochs > 0:
            raise TrainingError(
                f"{type(model).__name__}: expected a trainable parameter, got none; "
                "unfreeze a part, or evaluate it without training"
            )
        self.n_parameters = sum(p.numel() for p in trainable)
        self.penalised = l1_parameters(model)
        # One fused kernel for all parameters: a step of a small model is mostly overhead otherwise.
        self._adam = (
            torch.optim.Adam(
                trainable,
                lr=settings.learning_rate,
                weight_decay=settings.weight_decay,
                fused=True,
            )
            if trainable
            else None
        )
        self.history: list[dict[str, float]] = []
        self.best = _Best()
        self.seconds = 0.0
        self.stopped = False

    @property
    def adam(self) -> torch.optim.Adam:
        """The optimizer, which a model with nothing to train lacks: it is run for 0 epochs only."""
        return cast(torch.optim.Adam, self._adam)

    def run(
        self,
        train: Samples,
        val: Samples | None,
        shuffle: torch.Generator,
        log: Log,
        on_epoch: OnEpoch,
    ) -> None:
        """Train until the last epoch or until patience ends, then restore the best weights."""
        settings = self.settings
        if settings.epochs == 0:
            self.best.loss = math.nan if val is None else self._validate(val, 0)
            return
        schedule = _schedule(self.adam, settings)
        for epoch in range(1, settings.epochs + 1):
            entry = self._epoch(epoch, train, val, shuffle)
            if not self.warmup.covers(epoch):
                _advance(schedule, entry["val_loss"])
            self._remember(epoch, entry)
            log(_line(entry, settings.epochs))
            on_epoch(epoch, self.seconds)
            waited = epoch - max(self.best.epoch, self.warmup.barred)
            if settings.patience is not None and waited >= settings.patience:
                self.stopped = epoch < settings.epochs
                break
        if self.best.weights:
            self.model.load_state_dict(self.best.weights)

    def result(self) -> FitResult:
        """Return the record."""
        return FitResult(
            history=self.history,
            best_epoch=self.best.epoch,
            best_val_loss=self.best.loss,
            seconds=self.seconds,
            n_parameters=self.n_parameters,
            stopped=self.stopped,
        )

    def _epoch(
        self, epoch: int, train: Samples, val: Samples | None, shuffle: torch.Generator
    ) -> dict[str, float]:
        start = time.perf_counter()
        self.warmup.begin(epoch)
        terms = self._train(epoch, train, shuffle)
        val_loss = math.nan if val is None else self._validate(val, epoch)
        scores = self._score(val)
        seconds = time.perf_counter() - start
        self.seconds += seconds
        entry = {
            "epoch": epoch,
            "train_loss": terms.pop("train_loss"),
            "l1": l1_value(self.penalised, self.settings.l1),
            "val_loss": val_loss,
            "learning_rate": self.adam.param_groups[0]["lr"],
            "seconds": seconds,
        } | {f"aux_{name}": value for name, value in terms.items()}
        entry |= scores
        self.history.append(entry)
        return entry

    def _train(self, epoch: int, train: Samples, shuffle: torch.Generator) -> dict[str, float]:
        """Make one pass over the training part and return the mean of every loss term."""
        self.model.train()
        steps: list[dict[str, Tensor]] = []
        batches: list[Tensor] = []
        for step, batch in enumerate(self.warmup.batches(epoch, train, shuffle)):
            self.warmup.set_rate(self.adam, epoch, step, len(train))
            batches.append(batch.index)
            steps.append(self._step(batch.to(self.device)))
        # Losses are read once per epoch: reading each would make a GPU wait after every step.
        values = {name: torch.stack([s[name] for s in steps]).double().cpu() for name in steps[0]}
        total = torch.stack(list(values.values())).sum(dim=0)
        bad = (~torch.isfinite(total)).nonzero().flatten().tolist()
        if bad:
            raise _not_finite(epoch, bad[0], train.batch(batches[bad[0]]), self.settings)
        sizes = torch.tensor([len(index) for index in batches], dtype=torch.float64)
        return {name: float((v * sizes).sum() / sizes.sum()) for name, v in values.items()}

    def _step(self, batch: Batch) -> dict[str, Tensor]:
        auxiliary: dict[str, Tensor] = {}
        if hasattr(self.model, "forward_with_auxiliary"):
            logits, auxiliary = cast(Any, self.model).forward_with_auxiliary(
                batch.inputs, batch.present, batch.masks, batch.target, self.objective.loss
            )
        else:
            logits = self.model(batch.inputs, batch.present, batch.masks)
        loss = self.objective.loss(logits, batch.target)
        self.adam.zero_grad(set_to_none=True)
        (loss + sum(auxiliary.values())).backward()
        add_l1_gradient(self.penalised, self.settings.l1)
        self.adam.step()
        return {name: t.detach() for name, t in {"train_loss": loss, **auxiliary}.items()}

    def _validate(self, val: Samples, epoch: int) -> float:
        size = self.settings.batch_size
        loss = mean_loss(self.model, val, self.objective, batch_size=size, device=self.device)
        if not math.isfinite(loss):
            raise TrainingError(
                f"epoch {epoch}: expected a finite validation loss, got {loss}; lower the learning "
                f"rate ({self.settings.learning_rate:g}) and check the validation inputs for NaN"
            )
        return loss

    def _score(self, val: Samples | None) -> dict[str, float]:
        """Return the validation scores that a criterion other than the loss needs."""
        if val is None or self.settings.criterion == "loss":
            return {}
        criterion = self.settings.criterion
        score = validation_score(criterion, self.model, val, self.objective, self.device)
        return {f"val_{criterion}": score}

    def _remember(self, epoch: int, entry: dict[str, float]) -> None:
        settings, loss = self.settings, entry["val_loss"]
        sign = 1 if settings.criterion == "loss" else -1
        score = sign * entry.get(f"val_{settings.criterion}", math.nan)
        checked = epoch % settings.check_every == 0 or epoch == settings.epochs
        eligible = checked and epoch > self.warmup.barred
        if settings.patience is None:
            self.best = _Best(score, loss, epoch)
        elif eligible and score < self.best.score:
            # state_dict() only refers to the weights, which the next step overwrites.
            self.best = _Best(score, loss, epoch, copy.deepcopy(self.model.state_dict()))


def _schedule(adam: torch.optim.Adam, settings: FitSettings) -> Schedule:
    if settings.schedule == "constant":
        return None
    if settings.schedule == "step":
        return StepLR(adam, settings.step_size, gamma=settings.step_factor)
    return ReduceLROnPlateau(
        adam, factor=settings.plateau_factor, patience=settings.plateau_patience
    )


def _advance(schedule: Schedule, val_loss: float) -> None:
    """Make one step of a schedule; a plateau needs a validation loss."""
    if isinstance(schedule, StepLR):
        schedule.step()
    elif schedule is not None and not math.isnan(val_loss):
        schedule.step(val_loss)


def _not_finite(epoch: int, number: int, batch: Batch, settings: FitSettings) -> TrainingError:
    stats = "; ".join(_describe(name, x) for name, x in batch.inputs.items())
    return TrainingError(
        f"epoch {epoch}, batch {number}: expected a finite loss, got NaN or infinity ({stats}); "
        "repair inputs that are not finite, or lower the learning rate "
        f"({settings.learning_rate:g}) if they are"
    )


def _describe(name: str, x: Tensor) -> str:
    finite = x[torch.isfinite(x)]
    span = f"{finite.min():.4g} to {finite.max():.4g}" if finite.numel() else "no finite value"
    return f"'{name}' {tuple(x.shape)}: {span}, {x.numel() - finite.numel()} not finite"


def _check_parts(train: Samples, val: Samples | None, settings: FitSettings) -> None:
    for name, part in (("training", train), ("validation", val)):
        if part is not None and len(part) == 0:
            raise DataError(f"fit: expected samples in the {name} part, got none; use more samples")
    if val is None and settings.patience is not None and settings.epochs > 0:
        raise SettingsError(
            f"fit: expected a validation part for patience {settings.patience}, got none; "
            "pass one, or patience=None to keep the final weights"
        )


def _line(entry: dict[str, float], epochs: int) -> str:
    val = "" if math.isnan(entry["val_loss"]) else f"  val {entry['val_loss']:.4f}"
    return (
        f"epoch {entry['epoch']}/{epochs}  train {entry['train_loss']:.4f}  l1 {entry['l1']:.4f}"
        f"{val}  rate {entry['learning_rate']:.2g}  {entry['seconds']:.1f} s"
    )


def _silent(line: str) -> None:
    """Log nothing."""


def _idle(epoch: int, seconds: float) -> None:
    """Do nothing after an epoch."""
