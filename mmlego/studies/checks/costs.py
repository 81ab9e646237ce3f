"""What it takes to have a method ready to use: its parts, its whole, and both together."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import nn

from mmlego.bench.measuring import limited_threads, median_seconds
from mmlego.data.folds.samples import Samples, Values
from mmlego.learning.predict import predict_logits
from mmlego.learning.seeding import torch_seed
from mmlego.methods.making import Sizes
from mmlego.models.encoders.unimodal import Unimodal
from mmlego.runs.settings import EfficiencySettings
from mmlego.studies.checks.contenders import CONTENDERS, Contender
from mmlego.studies.checks.timing import Job, Training, train_in_turn


@dataclass(frozen=True)
class Cost:
    """What it takes to have one method ready to use.

    Attributes:
        method: Name of the method.
        parts: Training of each part alone, by modality; empty where there are none.
        joint: Training of the whole on all modalities; None where that needs none.
        joint_epochs: Epochs of it.
        part_epochs: Epochs of each part.
        assembly_seconds: Median seconds of putting parts together.
        inference_seconds: Median seconds of one pass over all samples, without gradients.
        parameters: Values of the whole.
    """

    method: str
    parts: Mapping[str, Training]
    joint: Training | None
    joint_epochs: int
    part_epochs: int
    assembly_seconds: float
    inference_seconds: float
    parameters: int

    @property
    def part_seconds(self) -> float:
        """Seconds of one epoch of all parts, one after the other."""
        return sum(part.per_epoch for part in self.parts.values())

    @property
    def joint_seconds(self) -> float:
        """Seconds of one epoch of the whole, 0 where it is not trained."""
        return 0.0 if self.joint is None else self.joint.per_epoch

    @property
    def total_seconds(self) -> float:
        """Epochs times their median seconds, parts and whole."""
        return self.part_epochs * self.part_seconds + self.joint_epochs * self.joint_seconds

    @property
    def peak_bytes(self) -> int:
        """The most that was held at any time; parts are trained one after the other."""
        return max(training.peak_bytes for training in self.trainings)

    @property
    def slowdown(self) -> float:
        """Slowest over fastest epoch of what varied most."""
        return max(training.slowdown for training in self.trainings)

    @property
    def trainings(self) -> list[Training]:
        """Of parts and whole."""
        return [*self.parts.values(), *([] if self.joint is None else [self.joint])]


def random_samples(settings: EfficiencySettings) -> Samples:
    """Tables and a bag of noise in the sizes of a cohort, with random survival in four bins."""
    rng = np.random.default_rng(settings.seed)
    n, widths = settings.n_samples, _widths(settings)

    def noise(*shape: int) -> torch.Tensor:
        return torch.from_numpy(rng.standard_normal(shape, dtype=np.float32))

    values: dict[str, Values] = {
        name: noise(n, width) for name, width in widths.items() if name != "bag"
    }
    values["bag"] = tuple(noise(n, settings.tokens, settings.bag_width))
    ids = np.array([f"random-{index:05d}" for index in range(n)])
    return Samples(
        ids=ids,
        groups=ids,
        values=values,
        present={name: torch.ones(n, dtype=torch.bool) for name in widths},
        kinds=_kinds(widths),
        widths=widths,
        target={
            "time_bin": torch.from_numpy(rng.integers(4, size=n)),
            "event": torch.from_numpy(rng.random(n) < 0.5),
            "time": noise(n).abs(),
        },
    )


def _widths(settings: EfficiencySettings) -> dict[str, int]:
    tables = {f"table{index}": width for index, width in enumerate(settings.table_widths, 1)}
    return tables | {"bag": settings.bag_width}


def _kinds(widths: Mapping[str, int]) -> dict[str, str]:
    return {name: "bag" if name == "bag" else "tabular" for name in widths}


def _joined(samples: Samples) -> Samples:
    """All tables side by side as one, and the bag."""
    tables = [samples.tensor(name) for name in samples.values if name != "bag"]
    joined = torch.cat(tables, dim=1)
    values = {"tabular": joined, "bag": samples.values["bag"]}
    widths = {"tabular": joined.shape[1], "bag": samples.widths["bag"]}
    return replace(
        samples,
        values=values,
        widths=widths,
        kinds=_kinds(widths),
        present=dict.fromkeys(widths, samples.present["bag"]),
    )


def costs(settings: EfficiencySettings) -> dict[str, Cost]:
    """Cost of every method on the same random samples.

    Source: Hemker et al. 2025, table 3, which gives seconds on a GPU. There an epoch includes a
        validation pass for every batch; here it is training alone.
    """
    samples = random_samples(settings)
    with limited_threads(settings.threads), torch_seed(settings.seed):
        setups = [_set_up(contender, samples, settings) for contender in CONTENDERS.values()]
        jobs = {(one.contender.method, name): job for one in setups for name, job in one.jobs()}
        trained = train_in_turn(jobs, settings)
        passes = median_seconds(
            *(one.assemble for one in setups),
            *(one.predict for one in setups),
            repeats=settings.repeats,
        )
    return {
        one.contender.method: _cost(one, trained, assembly, inference, settings)
        for one, assembly, inference in zip(
            setups, passes[: len(setups)], passes[len(setups) :], strict=True
        )
    }


@dataclass(frozen=True)
class _SetUp:
    """One method, ready to be measured."""

    contender: Contender
    samples: Samples
    sizes: Sizes
    parts: Mapping[str, nn.Module]
    whole: nn.Module

    def jobs(self) -> Iterator[tuple[str, Job]]:
        """What is trained, by modality; the whole has no name."""
        for name, part in self.parts.items():
            yield name, (Unimodal(name, part), self.samples.select([name]))
        if self.contender.joint != "none":
            yield "", (self.whole, self.samples)

    def assemble(self) -> nn.Module:
        """Put the whole together, from parts where there are any."""
        return self.contender.whole(self.sizes, self.parts)

    def predict(self) -> torch.Tensor:
        """Logits of all samples."""
        return predict_logits(self.whole, self.samples, device="cpu")


def _set_up(contender: Contender, samples: Samples, settings: EfficiencySettings) -> _SetUp:
    samples = _joined(samples) if contender.joins_tables else samples
    sizes = _sizes(settings, samples)
    parts = contender.parts(sizes)
    return _SetUp(contender, samples, sizes, parts, contender.whole(sizes, parts))


def _cost(
    one: _SetUp,
    trained: Mapping[tuple[str, str], Training],
    assembly: float,
    inference: float,
    settings: EfficiencySettings,
) -> Cost:
    method, joint = one.contender.method, one.contender.joint
    epochs = {"none": 0, "tuning": settings.tune_epochs, "all": settings.epochs}
    return Cost(
        method=method,
        parts={name: trained[method, name] for name in one.parts},
        joint=trained.get((method, "")),
        joint_epochs=epochs[joint],
        part_epochs=settings.epochs if one.parts else 0,
        assembly_seconds=assembly if one.parts else 0.0,
        inference_seconds=inference,
        parameters=sum(p.numel() for p in one.whole.parameters()),
    )


def _sizes(settings: EfficiencySettings, samples: Samples) -> Sizes:
    return Sizes(
        widths=samples.widths,
        kinds=samples.kinds,
        n_outputs=4,
        latent_channels=settings.latent_channels,
        latent_dim=settings.latent_dim,
        depth=settings.depth,
    )
