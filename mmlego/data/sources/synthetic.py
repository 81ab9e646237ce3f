"""Generated cohorts whose unimodal, shared and synergistic signal is known, because it is set."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

import numpy as np

from mmlego.data.cohorts.cohort import Cohort
from mmlego.data.cohorts.modality import Modality
from mmlego.data.cohorts.target import ClassTarget, SurvivalTarget, Target
from mmlego.data.sources.request import Request
from mmlego.errors import DataError

_TYPICAL_TIME = 24.0  # months


@dataclass(frozen=True)
class SyntheticSettings:
    """What a generated cohort looks like.

    Every modality observes three latent factors: one that all modalities share, one of its own, and
    one sign. The outcome depends on ``shared * s + sum_m unique_m * u_m + synergy * a * b``, scaled
    to unit variance, where a and b are the signs of the two modalities in ``synergy_pair``: their
    product cannot be seen in either modality alone. All strengths are relative to each other; with
    all at 0 the outcome is noise.

    Args:
        n: Number of samples, 20 or more.
        unique: Strength of each modality's own factor; one number, or one per modality by name.
        shared: Strength of the shared factor.
        synergy: Strength of the product of two signs.
        synergy_pair: The two modalities that carry the signs.
        missing: Share of samples without a modality, in [0, 1); one number, or one per modality by
            name. A sample that would lose all keeps one.
        noise: Standard deviation of the noise in the features (signal: about 1).
        outcome_noise: Spread of the outcome around its expectation, 0 or more.
        n_features: Features per modality.
        bag_size: Smallest and largest number of instances; about half of them carry the signal.
        n_steps: Time steps of the series.
        task: "survival" or "classification".
        n_classes: Number of equally frequent classes.
        censoring: Share of censored samples, in [0, 1).
        seed: Random seed.
    """

    n: int = 200
    unique: float | Mapping[str, float] = 0.6
    shared: float = 0.6
    synergy: float = 0.0
    synergy_pair: tuple[str, str] = ("tab", "bag")
    missing: float | Mapping[str, float] = 0.0
    noise: float = 0.5
    outcome_noise: float = 0.4
    n_features: int = 16
    bag_size: tuple[int, int] = (4, 12)
    n_steps: int = 12
    task: str = "survival"
    n_classes: int = 2
    censoring: float = 0.3
    seed: int = 0

    def check(self, names: tuple[str, ...]) -> None:
        """Raise DataError if a setting is out of range."""
        shares = {
            "censoring": [self.censoring],
            "missing": [self.of("missing", name, names) for name in names],
        }
        strengths = [self.of("unique", name, names) for name in names] + [self.shared, self.synergy]
        for ok, message in (
            (self.n >= 20, f"n of 20 or more, got {self.n}"),
            (
                self.task in ("survival", "classification"),
                f"task 'survival' or 'classification', got '{self.task}'",
            ),
            (min(strengths) >= 0, f"strengths >= 0, got {min(strengths)}"),
            (
                min(self.noise, self.outcome_noise) >= 0,
                "noise and outcome_noise >= 0, got a negative one",
            ),
            (
                1 <= self.bag_size[0] <= self.bag_size[1],
                f"bag_size (smallest, largest) >= 1, got {self.bag_size}",
            ),
            (
                min(self.n_features, self.n_steps) >= 1,
                "n_features and n_steps of 1 or more, got less",
            ),
            (
                2 <= self.n_classes <= self.n // 2,
                f"n_classes from 2 to n / 2, got {self.n_classes}",
            ),
            (
                set(self.synergy_pair) <= set(names),
                f"synergy_pair from {names}, got {self.synergy_pair}",
            ),
            (
                all(0 <= s < 1 for v in shares.values() for s in v),
                f"shares in [0, 1), got {shares}",
            ),
        ):
            if not ok:
                raise DataError(f"synthetic cohort: expected {message}; correct the option")

    def of(self, field: str, name: str, names: tuple[str, ...]) -> float:
        """Return a setting that is one number for all modalities, or one per modality."""
        value = getattr(self, field)
        if not isinstance(value, Mapping):
            return float(value)
        unknown = set(value) - set(names)
        if unknown:
            raise DataError(
                f"synthetic cohort: expected {field} by {names}, got {sorted(unknown)}; correct "
                "the names"
            )
        return float(value.get(name, 0.0))


def load_synthetic(request: Request, **options: Any) -> Cohort:
    """Generate a cohort; see ``SyntheticSettings`` for the options.

    What is generated does not depend on which modalities are asked for. The same seed gives the
    same cohort.

    Raises:
        DataError: If a setting is out of range.
    """
    settings = SyntheticSettings(**options)
    names = tuple(request.card.modalities)
    settings.check(names)
    rng = np.random.default_rng(settings.seed)
    factors = _draw_factors(settings, names, rng)
    outcome = _outcome(settings, names, factors)
    target = _target(settings, outcome, rng)
    present = _presence(settings, names, rng)
    modalities = {
        name: _observe(request, settings, name, factors[name], present[name])
        for name in request.modalities
    }
    ids = np.array([f"synthetic-{i:05d}" for i in range(settings.n)])
    return request.cohort(ids, ids, modalities, target, task=settings.task)


# the options of the loader are the fields of its settings, so that a misspelled one is found early
cast(Any, load_synthetic).__signature__ = inspect.signature(SyntheticSettings)


def _draw_factors(
    settings: SyntheticSettings, names: tuple[str, ...], rng: np.random.Generator
) -> dict[str, np.ndarray]:
    """Return the latent factors by modality, (n, 3): shared, own, sign."""
    n = settings.n
    shared = rng.standard_normal(n)
    return {
        name: np.stack([shared, rng.standard_normal(n), rng.choice([-1.0, 1.0], n)], axis=1)
        for name in names
    }


def _outcome(
    settings: SyntheticSettings, names: tuple[str, ...], factors: Mapping[str, np.ndarray]
) -> np.ndarray:
    """Return the noise-free outcome, (n,), of unit variance (all 0 if every strength is 0)."""
    first, second = settings.synergy_pair
    eta = settings.shared * factors[names[0]][:, 0]
    eta = eta + sum(settings.of("unique", name, names) * factors[name][:, 1] for name in names)
    eta = eta + settings.synergy * factors[first][:, 2] * factors[second][:, 2]
    spread = eta.std()
    return (eta - eta.mean()) / spread if spread > 0 else eta


def _target(settings: SyntheticSettings, outcome: np.ndarray, rng: np.random.Generator) -> Target:
    if settings.task == "survival":
        return _survival(settings, outcome, rng)
    # without any signal the noise alone decides, whatever its spread
    spread = settings.outcome_noise if outcome.any() else 1.0
    score = outcome + spread * rng.standard_normal(settings.n)
    ranks = np.argsort(np.argsort(score))
    labels = ranks * settings.n_classes // settings.n
    return ClassTarget(
        labels.astype(np.int64), tuple(f"class {k}" for k in range(settings.n_classes))
    )


def _survival(
    settings: SyntheticSettings, outcome: np.ndarray, rng: np.random.Generator
) -> SurvivalTarget:
    """Draw Weibull times, 24 months * exp(-outcome) * E^noise, E exponential; censor at random."""
    spread = settings.outcome_noise if outcome.any() else 1.0
    time = _TYPICAL_TIME * np.exp(-outcome) * rng.exponential(size=settings.n) ** spread
    if settings.censoring == 0:
        return SurvivalTarget(time, np.ones(settings.n, dtype=bool), "months")
    follow_up = rng.exponential(size=settings.n)
    # scaled such that exactly the asked share of follow-ups ends before the event
    scale = np.quantile(time / follow_up, 1 - settings.censoring)
    return SurvivalTarget(np.minimum(time, scale * follow_up), time <= scale * follow_up, "months")


def _presence(
    settings: SyntheticSettings, names: tuple[str, ...], rng: np.random.Generator
) -> dict[str, np.ndarray]:
    rates = np.array([settings.of("missing", name, names) for name in names])
    here = rng.random((settings.n, len(names))) >= rates
    kept = rng.integers(len(names), size=settings.n)
    here[np.arange(settings.n), kept] |= ~here.any(axis=1)
    return {name: here[:, m] for m, name in enumerate(names)}


def _observe(
    request: Request,
    settings: SyntheticSettings,
    name: str,
    factors: np.ndarray,
    present: np.ndarray,
) -> Modality:
    """Mix the factors into features with loadings of their own, and add noise."""
    # a stream of its own, so that leaving out another modality changes nothing here
    rng = np.random.default_rng([settings.seed, list(request.card.modalities).index(name)])
    loadings = rng.standard_normal((3, settings.n_features))
    draw = {"tabular": _table, "bag": _bags, "series": _series}[request.card.modalities[name].kind]
    values = draw(settings, factors, loadings, rng)
    return request.modality(
        name, values, present, [f"{name}_{i:02d}" for i in range(settings.n_features)]
    )


def _table(
    settings: SyntheticSettings, factors: np.ndarray, loadings: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    signal = factors @ loadings
    return signal + settings.noise * rng.standard_normal(signal.shape)


def _bags(
    settings: SyntheticSettings, factors: np.ndarray, loadings: np.ndarray, rng: np.random.Generator
) -> tuple[np.ndarray, ...]:
    low, high = settings.bag_size
    bags = []
    for signal, size in zip(
        factors @ loadings, rng.integers(low, high + 1, len(factors)), strict=True
    ):
        carries = rng.random(size) < 0.5
        carries[rng.integers(size)] = True
        bags.append(
            carries[:, None] * signal + settings.noise * rng.standard_normal((size, len(signal)))
        )
    return tuple(bags)


def _series(
    settings: SyntheticSettings, factors: np.ndarray, loadings: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """Give each factor a course over time: a rise, a wave, a constant."""
    t = np.linspace(0.0, 1.0, settings.n_steps)
    courses = np.stack([2 * t, 1.5 * np.sin(np.pi * t), np.ones_like(t)])
    signal = np.einsum("nk,kt,kc->ntc", factors, courses, loadings)
    return signal + settings.noise * rng.standard_normal(signal.shape)
