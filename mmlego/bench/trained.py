"""A model on one fold: what it predicted, and the model itself where it is needed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from types import ModuleType
from typing import Any, TypeVar

import pandas as pd
import torch
from torch import Tensor, nn

from mmlego.bench.configurations import Configuration
from mmlego.bench.outcome import Outcome, log_outcome
from mmlego.bench.store.code import code_digest
from mmlego.bench.store.data import samples_digest, target_digest
from mmlego.bench.store.fits import FitStore, fit_key
from mmlego.data.folds.fold import Fold
from mmlego.data.folds.samples import Samples
from mmlego.errors import RunError
from mmlego.learning.metrics.scores import evaluate
from mmlego.learning.objectives import Objective, objective_for
from mmlego.learning.predict import predict_logits
from mmlego.models.encoders.unimodal import Unimodal

Network = TypeVar("Network", bound=nn.Module)
Make = Callable[[], "tuple[Outcome, nn.Module | None]"]
Measure = Callable[[nn.Module, Tensor], Mapping[str, Any]]


@dataclass(frozen=True)
class Labels:
    """What an outcome is called, whoever computed it.

    Attributes:
        method: Name in the registry.
        names: Modalities that the model sees, in its order.
        rest: Further fields of ``Outcome``: arm, inputs, condition, headline and so on.
    """

    method: str
    names: tuple[str, ...]
    rest: Mapping[str, Any] = field(default_factory=dict)

    def outcome(self, fold: Fold, key: str, **content: Any) -> Outcome:
        """An outcome with these labels; facts of both are joined."""
        facts = dict(content.pop("facts", {})) | dict(self.rest.get("facts", {}))
        members = {member for name in self.names for member in fold.members(name)}
        fields = {"method": self.method, "modalities": tuple(sorted(members))} | dict(self.rest)
        return Outcome(**(content | fields | {"repeat": fold.repeat, "key": key, "facts": facts}))

    def recalled(self, store: FitStore, fold: Fold, key: str) -> Outcome | None:
        """The outcome of this key as a record has it, or None."""
        content = store.recall(key)
        if content is None:
            return None
        whole = content.pop("headline")
        if self.rest.get("headline", True) and not whole:
            return None
        return self.outcome(fold, key, **content)


@dataclass
class TrainedModel:
    """One model on one fold.

    An outcome that is known already is not made again, and nothing is trained before the outcome
    or the model is asked for.

    Attributes:
        fold: The fold that it was trained on.
        labels: What its outcome is called.
        key: Everything that decides it, as a hash.
        make: Trains, fetches or assembles it.
        known: Its outcome, where that is known without making it.
        configuration: The configuration that it is, where several are compared.
    """

    fold: Fold
    labels: Labels
    key: str
    make: Make
    known: Outcome | None = None
    configuration: Configuration | None = None

    @property
    def method(self) -> str:
        """Name in the registry."""
        return self.labels.method

    @property
    def names(self) -> tuple[str, ...]:
        """Modalities that it sees, in its order."""
        return self.labels.names

    @property
    def arm(self) -> str:
        """What tells it from others of the same method; empty for the default."""
        return str(self.labels.rest.get("arm", ""))

    @cached_property
    def _made(self) -> tuple[Outcome, nn.Module | None]:
        # It may first be asked for where somebody only looks, and train all the same.
        with torch.enable_grad():
            return self.make()

    @property
    def outcome(self) -> Outcome:
        """What it predicted on the test part of its fold."""
        return self._made[0] if self.known is None else self.known

    @property
    def model(self) -> nn.Module:
        """The model under the contract of several modalities.

        Raises:
            RunError: If it is no network, or its weights are not kept.
        """
        model = self._made[1]
        if model is None:
            raise RunError(
                f"{self.method} on {'+'.join(self.names)}: expected a network, got none; a "
                "reference is no network, and of a tuning only the last epoch is kept"
            )
        return model

    def network(self, kind: type[Network]) -> Network:
        """The model as the kind of network that it is.

        Raises:
            RunError: If it is of another kind, or ``model`` cannot be had.
        """
        return as_kind(self.model, kind)

    def inner(self, kind: type[Network]) -> Network:
        """The network inside of a model of a single modality, such as a ``LegoBlock``.

        Raises:
            RunError: As ``network`` does.
        """
        return as_kind(self.network(Unimodal).model, kind)

    @property
    def chosen_configuration(self) -> Configuration:
        """Its configuration, where several are compared.

        Raises:
            RunError: If it was trained by itself.
        """
        if self.configuration is None:
            raise RunError(
                f"{self.method} on {'+'.join(self.names)}: expected one of several configurations, "
                "got a model that was trained by itself; train it through its study"
            )
        return self.configuration

    def measured(
        self,
        store: FitStore,
        measure: Callable[..., object],
        make: Callable[[TrainedModel], pd.DataFrame],
        **options: Any,
    ) -> pd.DataFrame:
        """Something that was measured on it, as a run recorded it, or measured now.

        Args:
            store: What knows tables of earlier runs.
            measure: The function that asks for it; gives the name, and its code covers ``make``.
            make: Measures it.
            options: What else decides it, in JSON types.
        """
        return store.table(
            measure.__name__,
            lambda: make(self),
            parents=[self.key],
            code=code_digest(measure),
            **options,
        )

    @property
    def test(self) -> Samples:
        """The test samples that have any of the modalities."""
        return self.fold.test.select(sorted(self.names)).where_present(sorted(self.names))


def train_configurations(
    folds: Iterable[Fold],
    wanted: Callable[[Fold], Iterable[tuple[Configuration, Sequence[str]]]],
    train: Callable[[Fold, Configuration, Sequence[str]], TrainedModel],
    log: Callable[[str], None] | None = None,
) -> Iterator[TrainedModel]:
    """Train, or fetch, several configurations on every fold.

    Args:
        folds: The splits.
        wanted: The configurations of a fold, each with the modalities that it sees.
        train: Trains one of them.
        log: Called with one line per fit.
    """
    for fold in folds:
        for configuration, names in wanted(fold):
            trained = train(fold, configuration, names)
            log_outcome(log, trained.outcome)
            yield trained


def as_kind(model: object, kind: type[Network]) -> Network:
    """A network as the kind that it is.

    Raises:
        RunError: If it is of another kind.
    """
    if not isinstance(model, kind):
        raise RunError(
            f"trained model: expected a {kind.__name__}, got {type(model).__name__}; name the "
            "method whose model is meant"
        )
    return model


def outcome_of(
    logits: Tensor,
    test: Samples,
    fold: Fold,
    labels: Labels,
    *,
    key: str = "",
    objective: Objective | None = None,
    **content: Any,
) -> Outcome:
    """Score logits of the test part and wrap them up.

    The objective is the usual one of the fold's task unless another is given.
    """
    prediction = (objective or objective_for(fold)).predict(logits)
    return labels.outcome(
        fold,
        key,
        ids=test.ids,
        prediction=prediction,
        metrics=evaluate(prediction, test, fold.train, fold),
        **content,
    )


def assembled(
    fold: Fold,
    store: FitStore,
    labels: Labels,
    build: Callable[[], nn.Module],
    *,
    parents: Sequence[str],
    code: Sequence[ModuleType | Callable[..., object]],
    options: Mapping[str, object] | None = None,
    test: Samples | None = None,
    n_train: int | None = None,
    objective: Objective | None = None,
    device: str = "auto",
    measure: Measure | None = None,
) -> TrainedModel:
    """A model that is put together from trained ones without training, and tested.

    Everybody is tested who has at least one of its modalities.

    Args:
        fold: Data.
        store: What knows outcomes of earlier runs.
        labels: What the outcome is called.
        build: Makes the model; called only where the outcome is not known, or the model is used.
        parents: Keys of what it is made of.
        code: Code that makes it, as functions, classes or modules.
        options: What else decides it, in JSON types.
        test: Samples to test on, if not those of the fold.
        n_train: Samples trained on; all of the fold's training part unless given.
        objective: What its logits mean; the usual objective of the task unless given.
        device: Where to predict.
        measure: Further facts of the outcome, from the model and its logits; ``code`` covers it.
    """
    names = sorted(labels.names)
    part = (fold.test if test is None else test).select(names).where_present(names, how="any")
    key = fit_key(
        method=labels.method,
        names=list(labels.names),
        parents=list(parents),
        options=dict(options or {}),
        test=samples_digest(part),
        train=target_digest(fold.train),
        code=code_digest(assembled, *code),
    )

    def make() -> tuple[Outcome, nn.Module]:
        model = build()
        content = {"n_train": len(fold.train) if n_train is None else n_train}
        logits = predict_logits(model, part, device=device)
        facts = {} if measure is None else measure(model, logits)
        outcome = outcome_of(
            logits, part, fold, labels, key=key, objective=objective, facts=facts, **content
        )
        return outcome, model

    return TrainedModel(fold, labels, key, make, labels.recalled(store, fold, key))
