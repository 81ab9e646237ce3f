"""A small task that needs two modalities, and training of any method on it under conditions."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch
from torch import Tensor, nn

from mmlego.bench.training import derived_seed
from mmlego.data.folds.samples import Samples
from mmlego.errors import SettingsError
from mmlego.learning.loop import fit
from mmlego.learning.metrics.classification import auc
from mmlego.learning.objectives import ClassificationObjective
from mmlego.learning.predict import predict_logits
from mmlego.learning.seeding import torch_seed
from mmlego.learning.settings import FitSettings
from mmlego.methods.making import Sizes
from mmlego.models.encoders.unimodal import Unimodal
from mmlego.runs.settings import RequirementsSettings
from mmlego.studies.checks.contenders import Contender

NAMES = ("table", "series")
CHANCE = 0.5
TUNE_EPOCHS = 2
_NOISE = 0.5


@dataclass(frozen=True)
class Score:
    """The area under the ROC curve over seeds, with the 95 % t interval of its mean."""

    values: tuple[float, ...]

    @property
    def mean(self) -> float:
        """Mean over seeds."""
        return float(np.mean(self.values))

    @cached_property
    def half_width(self) -> float:
        """Half of the interval."""
        from scipy import stats

        n = len(self.values)
        return float(stats.t.ppf(0.975, n - 1) * np.std(self.values, ddof=1) / n**0.5)

    @property
    def above_chance(self) -> bool:
        """Whether the whole interval lies above chance."""
        return self.mean - self.half_width > CHANCE

    def __str__(self) -> str:
        """Mean and interval, two decimals."""
        return (
            f"{self.mean:.2f} [{self.mean - self.half_width:.2f}, "
            f"{self.mean + self.half_width:.2f}]"
        )


def score_over(trials: Sequence[Trial], measure: Callable[[Trial], float]) -> Score:
    """Score of something that is measured once per trial."""
    return Score(tuple(measure(trial) for trial in trials))


class Trial:
    """The task of one seed: its samples, and the models that were trained on them so far.

    The class depends on one factor that only the table shows plus one that only the series shows,
    so that either modality alone is above chance and both together are better.
    """

    def __init__(self, settings: RequirementsSettings, seed: int) -> None:
        """Draw training and test samples that have both modalities."""
        self.settings, self.seed = settings, seed
        rng = np.random.default_rng(seed)
        loadings = rng.standard_normal((2, settings.width))
        self.complete = _draw(settings, settings.n_train, loadings, rng)
        self.test = _draw(settings, settings.n_test, loadings, rng)
        self._parts: dict[tuple[str, str], dict[str, nn.Module]] = {}
        self._wholes: dict[tuple[str, str], nn.Module] = {}

    def sizes(self) -> Sizes:
        """What models are built for."""
        settings = self.settings
        return Sizes(
            widths=self.complete.widths,
            kinds=self.complete.kinds,
            n_outputs=2,
            latent_channels=settings.latent_channels,
            latent_dim=settings.latent_dim,
            depth=settings.depth,
            hidden=settings.hidden,
        )

    def train_samples(self, condition: str) -> Samples:
        """Training samples under a condition.

        ``complete``: all have both modalities; ``imbalanced``: a share of them has the series;
        ``disjoint``: one half has the table, the other half the series, nobody both.
        """
        n = len(self.complete)
        first = torch.arange(n) < n // 2
        some = torch.arange(n) < max(2, round(self.settings.imbalance * n))
        every = torch.ones(n, dtype=torch.bool)
        table, series = {
            "complete": (every, every),
            "imbalanced": (every, some),
            "disjoint": (first, ~first),
        }[condition]
        return with_presence(self.complete, {"table": table, "series": series})

    def parts(self, contender: Contender, condition: str) -> dict[str, nn.Module]:
        """Parts that are each trained on the samples that have their modality, and on no other."""
        if contender.part is None:
            raise SettingsError(
                f"{contender.method}: expected a method made of parts, got one that is trained "
                "as a whole; ask for `whole`"
            )
        key = (contender.part.__name__, condition)
        if key not in self._parts:
            samples = self.train_samples(condition)
            with torch_seed(self._seed(*key)):
                self._parts[key] = contender.parts(self.sizes())
            for name, part in self._parts[key].items():
                self.fit(Unimodal(name, part), samples.select([name]).where_present([name]))
        return self._parts[key]

    def untrained_whole(self, contender: Contender, condition: str) -> nn.Module:
        """The whole before any training on several modalities: from trained parts, if any."""
        parts = self.parts(contender, condition) if contender.part else {}
        with torch_seed(self._seed(contender.method, condition)):
            return contender.whole(self.sizes(), parts)

    def whole(self, contender: Contender, condition: str) -> nn.Module:
        """The whole as the method has it, trained on everything that the condition leaves."""
        key = (contender.method, condition)
        if key not in self._wholes:
            model = self.untrained_whole(contender, condition)
            if contender.joint != "none":
                epochs = TUNE_EPOCHS if contender.joint == "tuning" else self.settings.epochs
                self.fit(model, self.train_samples(condition), epochs=epochs)
            self._wholes[key] = model
        return self._wholes[key]

    def fit(self, model: nn.Module, samples: Samples, *, epochs: int | None = None) -> None:
        """Train in place, without a validation part and without a penalty."""
        settings = FitSettings(
            epochs=self.settings.epochs if epochs is None else epochs,
            batch_size=64,
            learning_rate=0.003,
            l1=0.0,
            patience=None,
        )
        objective = ClassificationObjective(2)
        fit(model, samples, None, objective, settings=settings, seed=self.seed, device="cpu")

    def auc(self, model: nn.Module, absent: str | None = None) -> float:
        """Area under the ROC curve on test samples that have both modalities, or lack one."""
        test = self.test
        if absent:
            nobody = torch.zeros(len(test), dtype=torch.bool)
            test = with_presence(test, {absent: nobody})
        logits = predict_logits(model, test, device="cpu")
        return auc(test.target["label"].numpy(), (logits[:, 1] - logits[:, 0]).numpy())

    def _seed(self, *parts: object) -> int:
        return derived_seed(self.seed, *parts)


def trials(settings: RequirementsSettings) -> list[Trial]:
    """One trial per repeat, each with a seed of its own."""
    return [Trial(settings, settings.seed + index) for index in range(settings.repeats)]


def with_presence(samples: Samples, present: Mapping[str, Tensor]) -> Samples:
    """The samples with other flags, and zeros where these say that a modality is absent."""
    values = dict(samples.values)
    for name, flag in present.items():
        whole = samples.tensor(name)
        values[name] = torch.where(flag.view(-1, *[1] * (whole.ndim - 1)), whole, 0.0)
    return replace(samples, values=values, present={**samples.present, **present})


def _draw(
    settings: RequirementsSettings, n: int, loadings: np.ndarray, rng: np.random.Generator
) -> Samples:
    factors = rng.standard_normal((n, 2))
    score = factors.sum(axis=1) + 0.3 * rng.standard_normal(n)
    table = factors[:, :1] * loadings[0]
    series = np.repeat((factors[:, 1:] * loadings[1])[:, None, :], settings.tokens, axis=1)
    ids = np.array([f"trial-{index:05d}" for index in range(n)])
    return Samples(
        ids=ids,
        groups=ids,
        values={name: _noisy(x, rng) for name, x in zip(NAMES, (table, series), strict=True)},
        present={name: torch.ones(n, dtype=torch.bool) for name in NAMES},
        kinds={"table": "tabular", "series": "series"},
        widths=dict.fromkeys(NAMES, settings.width),
        target={"label": torch.from_numpy((score > np.median(score)).astype(np.int64))},
    )


def _noisy(x: np.ndarray, rng: np.random.Generator) -> Tensor:
    return torch.from_numpy((x + _NOISE * rng.standard_normal(x.shape)).astype(np.float32))
