"""What a training step of AMC costs beside the models that read the same tokens."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import pandas as pd
import torch
from torch import nn

from mmlego.bench.fold_bench import methods_for
from mmlego.bench.measuring import flops, median_seconds, peak_bytes, silent_stderr
from mmlego.bench.training import fit_settings, objective_of
from mmlego.data.folds.fold import Fold
from mmlego.data.folds.samples import Batch, Samples
from mmlego.errors import SettingsError
from mmlego.learning.objectives import Objective
from mmlego.learning.predict import evaluating
from mmlego.learning.seeding import torch_seed
from mmlego.methods.names import AMC
from mmlego.methods.registry import METHODS, printed_in, rivals_on_tokens
from mmlego.models.contract import Tensors
from mmlego.models.layers.frontend import Encoded, FusionModel
from mmlego.reporting.published import read_published
from mmlego.runs.settings import AMCSettings
from mmlego.studies.amc.published import TABLE
from mmlego.studies.amc.run import model_options

COLUMNS = (
    "method",
    "step_ms",
    "step_ms_without_encoders",
    "gflops",
    "gflops_without_encoders",
    "parameters",
    "peak_mib",
)
_MEASURES = {"gflops": "Operations of a prediction", "step_ms": "Time of a training step"}
_MIB = 2**20
_ALIKE = 1.02  # most over fewest operations of all but AMC in the paper's table


class GivenTokens(nn.Module):
    """Stands in the place of a front end, and hands out tokens that were computed before.

    Each reading starts a graph of its own, so that a step also computes what it would hand back to
    the encoders.
    """

    def __init__(self, names: tuple[str, ...], encoded: Encoded) -> None:
        """Keep the tokens."""
        super().__init__()
        self.names, self.encoded = names, encoded

    def read(
        self, inputs: Tensors, present: Tensors | None = None, masks: Tensors | None = None
    ) -> Encoded:
        """Return the tokens, whatever the batch."""
        return Encoded(self.encoded.tokens.clone().requires_grad_(), self.encoded.here)


def without_encoders(model: FusionModel, batch: Batch) -> FusionModel:
    """Return a copy of a model with a front end that has the tokens of one batch ready."""
    with torch.no_grad():
        encoded = model.front.read(batch.inputs, batch.present, batch.masks)
    bare = copy.deepcopy(model)
    bare.add_module("front", GivenTokens(model.names, encoded))
    return bare


def training_step(
    model: FusionModel, batch: Batch, objective: Objective, rate: float
) -> Callable[[], None]:
    """One step as in training: loss with auxiliary terms, backward, Adam."""
    model.train()
    adam = torch.optim.Adam(model.parameters(), lr=rate, fused=True)

    def run() -> None:
        logits, terms = model.forward_with_auxiliary(
            batch.inputs, batch.present, batch.masks, batch.target, objective.loss
        )
        adam.zero_grad(set_to_none=True)
        (objective.loss(logits, batch.target) + sum(terms.values())).backward()
        adam.step()

    return run


def token_costs(fold: Fold, names: Sequence[str], settings: AMCSettings) -> pd.DataFrame:
    """Cost of AMC and of each model that shares its tokens, in their sizes, on a CPU.

    All have the same front end. Without encoders, its tokens are there before the clock starts.

    Args:
        fold: Data.
        names: Modalities, in the order in which the models see them.
        settings: Sizes, size of a batch, and number of timed steps.

    Returns:
        method (name); step_ms and step_ms_without_encoders, median milliseconds of a training step
        on one random batch, all methods in turn after a step that warms up; gflops and
        gflops_without_encoders, 10^9 floating-point operations of the matrix products and
        convolutions of one prediction, for the first test sample with the most modalities;
        parameters; peak_mib, the weights and the most that a first training step holds beyond them
        and the batch. One row per method that suits the data.

    Source: AMC, Table 10, which leaves out data, machine, and what is counted.
    """
    objective = objective_of(fold, fit_settings(settings))
    parts = {
        part: samples.select(names).where_present(names)
        for part, samples in (("train", fold.train), ("test", fold.test))
    }
    batch, one = _random_batch(parts["train"], settings), _most_complete(parts["test"])
    methods = methods_for(fold, names, (AMC, *rivals_on_tokens()))
    with torch_seed(settings.seed):
        found = [_Measured.of(fold, names, name, settings, objective, batch) for name in methods]
        counts = [each.gigaflops(one) for each in found]
        peaks = [each.peak() for each in found]
        seconds = median_seconds(
            *(each.step for each in found),
            *(each.bare_step for each in found),
            repeats=settings.timed_steps,
        )
    times = zip(seconds[: len(found)], seconds[len(found) :], strict=True)
    rows = [
        (each.method, 1e3 * whole, 1e3 * bare, *operations, each.parameters, peak)
        for each, (whole, bare), operations, peak in zip(found, times, counts, peaks, strict=True)
    ]
    return pd.DataFrame(rows, columns=list(COLUMNS))


@dataclass(frozen=True)
class _Measured:
    """A model with its two steps, ready to be measured."""

    method: str
    model: FusionModel
    step: Callable[[], None]
    bare_step: Callable[[], None]

    @classmethod
    def of(
        cls,
        fold: Fold,
        names: Sequence[str],
        method: str,
        settings: AMCSettings,
        objective: Objective,
        batch: Batch,
    ) -> _Measured:
        model = METHODS[method].build(
            {name: fold.widths[name] for name in names},
            objective.n_outputs,
            kinds={name: fold.kinds[name] for name in names},
            **model_options(method, settings),
        )
        if not isinstance(model, FusionModel):
            raise SettingsError(
                f"cost of '{method}': expected a model that reads the tokens of AMC, got "
                f"{type(model).__name__}; name one of {[AMC, *rivals_on_tokens()]}"
            )
        bare = without_encoders(model, batch)
        rate = settings.learning_rate
        return cls(
            method,
            model,
            training_step(model, batch, objective, rate),
            training_step(bare, batch, objective, rate),
        )

    @property
    def parameters(self) -> int:
        return sum(p.numel() for p in self.model.parameters())

    def gigaflops(self, one: Batch) -> tuple[float, float]:
        """Of one prediction, with encoders and without."""
        # The counter cannot follow parameters through modules where gradients are off.
        with evaluating(self.model):
            whole, bare = (
                flops(partial(model, one.inputs, one.present, one.masks)) / 1e9
                for model in (self.model, without_encoders(self.model, one))
            )
            return whole, bare

    def peak(self) -> float:
        """MiB of the weights and of a first step."""
        weights = sum(p.numel() * p.element_size() for p in self.model.parameters())
        with silent_stderr():
            return (weights + peak_bytes(self.step)) / _MIB


def _random_batch(samples: Samples, settings: AMCSettings) -> Batch:
    order = torch.Generator().manual_seed(settings.seed)
    return next(samples.batches(settings.batch_size, order))


def _most_complete(samples: Samples) -> Batch:
    """The first sample that no other one has more modalities than."""
    counts = torch.stack(list(samples.present.values())).sum(dim=0)
    return samples.batch([int(np.argmax(counts.numpy()))])


def cost_table(table: pd.DataFrame) -> pd.DataFrame:
    """The table of ``token_costs`` for reading, the fewest operations first."""
    rows = table.sort_values("gflops", kind="stable")
    return pd.DataFrame(
        {
            "method": [METHODS[name].title for name in rows["method"]],
            "training step, ms": rows["step_ms"].map(_short).to_list(),
            "without encoders, ms": rows["step_ms_without_encoders"].map(_short).to_list(),
            "prediction, GFLOP": rows["gflops"].map(_short).to_list(),
            "without encoders, GFLOP": rows["gflops_without_encoders"].map(_short).to_list(),
            "parameters": rows["parameters"].to_list(),
            "peak, MiB": rows["peak_mib"].map(_short).to_list(),
        }
    )


def _short(value: float) -> float:
    """Three significant digits."""
    return float(f"{value:.3g}")


def cost_sentences(table: pd.DataFrame) -> str:
    """What ``token_costs`` says in ratios, which depend less on the machine than the numbers do."""
    rows = table.set_index("method")
    lines = [
        f"{what}, AMC over each other model: {_ratios(rows, column)}. "
        f"Without encoders: {_ratios(rows, f'{column}_without_encoders')}."
        for column, what in _MEASURES.items()
    ]
    bare = rows["gflops_without_encoders"] / rows["gflops"]
    seconds = rows.loc[AMC, "step_ms_without_encoders"] / rows.loc[AMC, "step_ms"]
    lines += [
        f"What all models share makes {1 - bare[AMC]:.1%} of AMC's operations, and "
        f"{1 - bare.max():.1%} to {1 - bare.min():.1%} of those of any model; AMC's step takes "
        f"{seconds:.2f} times as long without it.",
        _about_span(rows),
        *(_about_paper(rows, column, what) for column, what in _MEASURES.items()),
    ]
    return "\n".join(f"* {line}" for line in lines if line)


def _times(ratio: float) -> str:
    return f"{ratio:.2f}" if ratio < 10 else f"{ratio:,.0f}"


def _ratios(rows: pd.DataFrame, column: str) -> str:
    others = rows.drop(index=AMC)[column].sort_values(kind="stable")
    return ", ".join(
        f"{METHODS[name].title} {_times(rows.loc[AMC, column] / value)}"
        for name, value in others.items()
    )


def _about_span(rows: pd.DataFrame) -> str:
    whole, bare = (
        rows[column].max() / rows[column].min() for column in ("gflops", "gflops_without_encoders")
    )
    hides = "Encoders hide what fusion costs" if whole <= _ALIKE else "Encoders do not hide it"
    return (
        f"The model with the most operations has {_times(whole)} times as many as the one with "
        f"the fewest, and {_times(bare)} times without encoders. {hides}."
    )


def _about_paper(rows: pd.DataFrame, column: str, what: str) -> str:
    """AMC over the median of the others, as printed and here, over those that both have."""
    printed = published_costs()[column].dropna()
    shared = [name for name in printed.index if name in rows.index and name != AMC]
    if not shared:
        return ""
    there, here = (one[AMC] / one[shared].median() for one in (printed, rows[column]))
    return (
        f"{what}, AMC over the median of {len(shared)} models that the paper has too: "
        f"{_times(there)} in the paper, {_times(here)} here."
    )


def published_costs() -> pd.DataFrame:
    """Printed costs: step_ms and gflops by method.

    Source: AMC, Table 10.
    """
    table = read_published(TABLE)
    table = table[table["table"] == "Table10"]
    known = {row.model: name for name, row in printed_in(TABLE)}
    wide = table.pivot(index="model", columns="metric", values="mean").rename(index=known)
    return pd.DataFrame(
        {
            "step_ms": 1e3 * wide["mean_time_s_per_training_iteration"],
            "gflops": wide["GFLOPs_test"],
        }
    )
