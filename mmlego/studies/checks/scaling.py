"""How the cost of a training step grows with tokens, modalities and the width of the latent."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
import torch
from numpy.typing import ArrayLike
from torch import Tensor, nn

from mmlego.bench.measuring import flops, median_seconds
from mmlego.errors import MetricError
from mmlego.learning.seeding import torch_seed
from mmlego.methods.making import Sizes
from mmlego.runs.settings import EfficiencySettings, RequirementsSettings
from mmlego.studies.checks.contenders import Contender

Step = Callable[[], object]
ROUNDING = 0.005  # an exponent is read to two decimals
FACTORS = {
    "tokens": "Tokens per modality",
    "modalities": "Number of modalities",
    "latent_dim": "Width of the latent",
}


@dataclass(frozen=True)
class CostProbe:
    """The sizes that a sweep starts from; each sweep changes one of them.

    Attributes:
        tokens: Tokens of every bag.
        modalities: Number of bags.
        width: Features of a token.
        batch: Samples in a step.
        latent_channels: Rows of the latent.
        latent_dim: Width of the latent.
        depth: Passes over the data.
        seed: Of weights and inputs.
        hidden: Width of hidden layers, see ``Sizes``.
    """

    tokens: int
    modalities: int
    width: int
    batch: int
    latent_channels: int
    latent_dim: int
    depth: int
    seed: int
    hidden: int | None = None

    @classmethod
    def of(
        cls,
        settings: EfficiencySettings | RequirementsSettings,
        *,
        tokens: int,
        width: int,
        batch: int,
        hidden: int | None = None,
    ) -> CostProbe:
        """Two bags, with the latent and the seed of a notebook's settings."""
        return cls(
            tokens=tokens,
            modalities=2,
            width=width,
            batch=batch,
            latent_channels=settings.latent_channels,
            latent_dim=settings.latent_dim,
            depth=settings.depth,
            seed=settings.seed,
            hidden=hidden,
        )

    def sizes(self, *, one_bag: bool = False) -> Sizes:
        """What models are built for: bags, or one bag and tables."""
        names = [f"modality{index:03d}" for index in range(self.modalities)]
        return Sizes(
            widths=dict.fromkeys(names, self.width),
            kinds=dict.fromkeys(names, "tabular" if one_bag else "bag") | {names[0]: "bag"},
            n_outputs=4,
            latent_channels=self.latent_channels,
            latent_dim=self.latent_dim,
            depth=self.depth,
            hidden=self.hidden,
        )

    def inputs(self, sizes: Sizes) -> dict[str, Tensor]:
        """Random bags (batch, tokens, width) and tables (batch, width) by name."""
        source = torch.Generator().manual_seed(self.seed)
        shapes = {"bag": (self.batch, self.tokens, self.width), "tabular": (self.batch, self.width)}
        return {
            name: torch.randn(shapes[kind], generator=source) for name, kind in sizes.kinds.items()
        }


def training_step(contender: Contender, probe: CostProbe) -> Step:
    """Forward and backward of everything that a method trains, on one batch.

    For a method that is put together without training these are the steps of its parts, and one
    forward of the whole; for one that is tuned, the step of the whole.
    """
    sizes = probe.sizes(one_bag=contender.one_bag)
    inputs = probe.inputs(sizes)
    with torch_seed(probe.seed):
        parts = contender.parts(sizes)
        whole = contender.whole(sizes, parts).train()
    if contender.joint != "none":
        return lambda: _step(whole, inputs)

    def run() -> None:
        for name, part in parts.items():
            _step(part, inputs[name])
        with torch.no_grad():
            whole(inputs)

    return run


def _step(model: nn.Module, inputs: Tensor | Mapping[str, Tensor]) -> None:
    model.zero_grad(set_to_none=True)
    model(inputs).square().mean().backward()


def sweep(
    contenders: Iterable[Contender],
    probe: CostProbe,
    factor: str,
    values: Sequence[int],
    *,
    repeats: int = 0,
) -> pd.DataFrame:
    """Cost of a training step at several sizes.

    Args:
        contenders: Methods; those that the factor does not apply to are left out.
        probe: All other sizes.
        factor: One of ``FACTORS``.
        values: Sizes, each above 0.
        repeats: Measure the median time of so many steps; 0 counts operations instead, which
            needs no repetition and is the same on every machine.

    Returns:
        One row per method and size: ``method``, ``factor``, ``x``, and ``value`` in seconds or in
        operations.
    """
    chosen = [
        contender
        for contender in contenders
        if not contender.joins_tables and (factor != "latent_dim" or contender.has_latent)
    ]
    sizes = sorted(set(values))
    turns: list[pd.DataFrame] = []
    # Sizes take turns, so that a machine that is busy for a while does not bend the line.
    for _ in range(max(repeats, 1)):
        found = {x: _costs_at(chosen, replace(probe, **{factor: x}), bool(repeats)) for x in sizes}
        turns.append(pd.DataFrame(found, index=[contender.method for contender in chosen]))
    medians = pd.concat(turns).groupby(level=0, sort=False).median()
    rows = medians.rename_axis("method").melt(ignore_index=False, var_name="x").reset_index()
    return rows.assign(factor=factor)[["method", "factor", "x", "value"]].astype({"x": int})


def _costs_at(chosen: Sequence[Contender], probe: CostProbe, timed: bool) -> list[float]:
    """Seconds of the second step of every method, or operations of its first."""
    steps = [training_step(contender, probe) for contender in chosen]
    return median_seconds(*steps, repeats=1) if timed else [flops(step) for step in steps]


@dataclass(frozen=True)
class PowerLaw:
    """Cost = scale * x ** exponent, with the interval of the exponent.

    Attributes:
        exponent: Slope on logarithmic axes.
        low: Lower end of its 95 % interval.
        high: Upper end.
        scale: Cost at x = 1 by the fitted line.
        n_points: Sizes that the fit rests on.
        last: Slope between the two largest sizes alone; what counts where nothing is noise.
    """

    exponent: float
    low: float
    high: float
    scale: float
    n_points: int
    last: float

    @property
    def verdict(self) -> str:
        """Whether the exponent is 1 within its interval, or below, or above.

        An interval wider than 1 tells no linear growth from none, or from quadratic growth.
        """
        if self.high - self.low > 1.0:
            return "not determined"
        if self.high < 1.0 - ROUNDING:
            return "below linear"
        return "above linear" if self.low > 1.0 + ROUNDING else "linear"

    def __str__(self) -> str:
        """The exponent with its interval, two decimals."""
        return f"{self.exponent:.2f} [{self.low:.2f}, {self.high:.2f}]"


def fit_power_law(x: ArrayLike, value: ArrayLike, *, level: float = 0.95) -> PowerLaw:
    """Fit a power law to the upper half of a range, where fixed costs no longer bend the line.

    Args:
        x: Sizes, above 0, three of them or more.
        value: Costs, above 0.
        level: Coverage of the interval of the exponent.

    Raises:
        MetricError: If there are fewer than three sizes, or a value is not above 0.
    """
    from scipy import stats

    x, value = np.asarray(x, dtype=float), np.asarray(value, dtype=float)
    if len(x) < 3 or len(x) != len(value) or not (np.r_[x, value] > 0).all():
        raise MetricError(
            f"power law: expected three sizes or more with costs above 0, got {x.tolist()} and "
            f"{value.tolist()}"
        )
    upper = np.argsort(x)[-max(3, math.ceil(len(x) / 2)) :]
    line = stats.linregress(np.log(x[upper]), np.log(value[upper]))
    half = float(stats.t.ppf((1 + level) / 2, len(upper) - 2) * line.stderr)
    slope = float(line.slope)
    last = np.diff(np.log(value[upper[-2:]]))[0] / np.diff(np.log(x[upper[-2:]]))[0]
    return PowerLaw(
        exponent=slope,
        low=slope - half,
        high=slope + half,
        scale=math.exp(line.intercept),
        n_points=len(upper),
        last=float(last),
    )


def fits(table: pd.DataFrame) -> dict[tuple[str, str], PowerLaw]:
    """Power laws by method and factor of a table of sweeps."""
    return {
        (str(method), str(factor)): fit_power_law(part["x"], part["value"])
        for (method, factor), part in table.groupby(["method", "factor"], sort=False)
    }
