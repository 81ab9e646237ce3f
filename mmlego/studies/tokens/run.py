"""Which tokens a trained AMC replaces on its test part, as tidy tables."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from mmlego.bench.store.fits import FitStore
from mmlego.bench.trained import TrainedModel
from mmlego.errors import DataError
from mmlego.learning.metrics.entropy import prediction_entropy
from mmlego.learning.predict import evaluating
from mmlego.models.amc import AMC
from mmlego.models.amc.rebalancing import Trace
from mmlego.models.layers.attention import DifferentialAttention

_BATCH = 256
COUNT_COLUMNS = ["repeat", "layer", "sample", "modality", "importance", "count", "replaced"]


@dataclass
class ReplacementTrace:
    """What a trained AMC does on its test part; it is run there once something is asked for.

    Attributes:
        trained: The model.
        store: What knows tables of earlier runs.
        importance: Another ``importance`` than the model's own, such as ``equal``.
    """

    trained: TrainedModel
    store: FitStore
    importance: str | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """Modalities in the order of the model."""
        return self.trained.names

    @property
    def logits(self) -> Tensor:
        """(n, k)."""
        return self._run[0]

    @property
    def traces(self) -> tuple[Trace, ...]:
        """One per re-balancing, over all n samples."""
        return self._run[1]

    def table(self, make: Callable[..., pd.DataFrame], **options: Any) -> pd.DataFrame:
        """What one of the functions below makes of it, as a run recorded it, or made now.

        Args:
            make: The function, such as ``count_table``.
            options: Its further arguments, in JSON types.
        """
        return self.trained.measured(
            self.store,
            make,
            lambda trained: make(self, **options),
            importance=self.importance,
            **options,
        )

    @cached_property
    @torch.no_grad()
    def _run(self) -> tuple[Tensor, tuple[Trace, ...]]:
        """Logits and traces of the test part, on the CPU."""
        model = self.trained.network(AMC).to("cpu")
        logits, traces = [], []
        with evaluating(model):
            for batch in self.trained.test.batches(_BATCH):
                run = model.run(
                    batch.inputs, batch.present, batch.masks, importance=self.importance
                )
                logits.append(run.logits)
                traces.append(run.traces)
        joined = [_joined(parts) for parts in zip(*traces, strict=True)]
        return torch.cat(logits).float(), tuple(joined)


def _joined(parts: Sequence[Trace]) -> Trace:
    return Trace(**{name: torch.cat([getattr(p, name) for p in parts]) for name in vars(parts[0])})


def count_table(done: ReplacementTrace, *, complete: bool = False) -> pd.DataFrame:
    """Importance, K and really replaced tokens: a row per replacement, sample and modality.

    Absent modalities are left out. Columns as ``COUNT_COLUMNS``.

    Args:
        done: What was done.
        complete: Only samples with all modalities; the importance of the others is shared by fewer,
            so that its mean is no longer comparable with an equal share.
    """
    rows = []
    for layer, trace in enumerate(done.traces, start=1):
        replaced = trace.mask.sum(dim=-1)
        for m, name in enumerate(done.names):
            here = (trace.here.all(dim=1) if complete else trace.here[:, m]).numpy()
            rows.append(
                pd.DataFrame(
                    {
                        "repeat": done.trained.fold.repeat,
                        "layer": layer,
                        "sample": done.trained.test.ids[here],
                        "modality": name,
                        "importance": trace.importance[:, m].numpy()[here],
                        "count": trace.count[:, m].numpy()[here],
                        "replaced": replaced[:, m].numpy()[here],
                    }
                )
            )
    return pd.concat(rows, ignore_index=True) if rows else pd.DataFrame(columns=COUNT_COLUMNS)


def pair_table(done: ReplacementTrace) -> pd.DataFrame:
    """Tokens by donor and by whom they replaced: repeat, layer, sample, donor, ..., tokens.

    A pair without a token has no row.
    """
    rows = []
    for layer, trace in enumerate(done.traces, start=1):
        for m, name in enumerate(done.names):
            for d, donor in enumerate(done.names):
                if d == m:
                    continue
                tokens = (trace.mask[:, m] & (trace.donor[:, m] == d)).sum(dim=-1).numpy()
                some = tokens > 0
                rows.append(
                    pd.DataFrame(
                        {
                            "repeat": done.trained.fold.repeat,
                            "layer": layer,
                            "sample": done.trained.test.ids[some],
                            "donor": donor,
                            "replaced_modality": name,
                            "tokens": tokens[some],
                        }
                    )
                )
    return pd.concat(rows, ignore_index=True)


def score_table(done: ReplacementTrace) -> pd.DataFrame:
    """Token scores of present modalities: repeat, layer, modality, score."""
    rows = [
        pd.DataFrame(
            {
                "repeat": done.trained.fold.repeat,
                "layer": layer,
                "modality": name,
                "score": trace.score[:, m][trace.here[:, m]].flatten().numpy(),
            }
        )
        for layer, trace in enumerate(done.traces, start=1)
        for m, name in enumerate(done.names)
    ]
    return pd.concat(rows, ignore_index=True)


def origins(done: ReplacementTrace, shown: int, seed: int = 0) -> dict[str, np.ndarray]:
    """Whose token stands where after all replacements, for some random complete samples.

    Args:
        done: What was done.
        shown: Number of samples at most.
        seed: Of the draw.

    Returns:
        (samples, positions) by modality: the place of the origin among the names.

    Raises:
        DataError: If no sample has all modalities, or nothing is ever replaced.
    """
    if not done.traces:
        raise DataError("origins: expected a model that re-balances, got none; use two modalities")
    complete = np.flatnonzero(done.traces[0].here.all(dim=1).numpy())
    if not len(complete):
        raise DataError(
            f"origins: expected a test sample with all of {list(done.names)}, got none; use more "
            "samples or fewer modalities"
        )
    chosen = np.sort(np.random.default_rng(seed).permutation(complete)[:shown])
    source = torch.arange(len(done.names))[None, :, None].expand_as(done.traces[0].donor)
    for trace in done.traces:
        source = source.gather(1, trace.donor)
    return {name: source[chosen, m].numpy() for m, name in enumerate(done.names)}


def origin_table(done: ReplacementTrace, shown: int) -> pd.DataFrame:
    """``origins`` as a table: sample (from 0), and a column by modality; a row per position."""
    source = origins(done, shown)
    samples, positions = next(iter(source.values())).shape
    places = {name: values.ravel() for name, values in source.items()}
    return pd.DataFrame({"sample": np.repeat(np.arange(samples), positions), **places})


def origins_of(table: pd.DataFrame) -> dict[str, np.ndarray]:
    """``origins`` from the table of them."""
    samples = table["sample"].nunique()
    names = table.columns.drop("sample")
    return {name: table[name].to_numpy().reshape(samples, -1) for name in names}


def entropy_table(done: ReplacementTrace) -> pd.DataFrame:
    """Mean entropy of predictions under the model's own, or under equal importance.

    Returns:
        repeat, scores ("own" or "equal"), entropy in nats; a single row. Classes only.

    Source: AMC paper, appendix B.4.
    """
    probability = done.logits.double().softmax(dim=-1).numpy()
    row = {"repeat": done.trained.fold.repeat, "scores": done.importance or "own"}
    return pd.DataFrame([row | {"entropy": float(prediction_entropy(probability).mean())}])


def lambda_table(done: ReplacementTrace) -> pd.DataFrame:
    """The weight of the second softmax in every shared block with differential attention.

    Returns:
        weight; without a row where attention is ordinary.
    """
    layers = done.trained.network(AMC).blocks.modules()
    differential = [layer for layer in layers if isinstance(layer, DifferentialAttention)]
    weights = [float(attention.weight().detach()) for attention in differential]
    return pd.DataFrame({"weight": weights}, dtype=float)


def size_table(done: ReplacementTrace) -> pd.DataFrame:
    """Tokens of each modality: tokens; a single row."""
    return pd.DataFrame({"tokens": [int(done.trained.network(AMC).options.tokens)]})


def extremes(
    done: ReplacementTrace, of: str, titles: Mapping[str, str], most: int = 2
) -> pd.DataFrame:
    """The samples in which a modality has the lowest and the highest importance.

    Args:
        done: What was done; its first replacement counts.
        of: The modality.
        titles: What to call modalities.
        most: Samples at each end.

    Returns:
        case, extreme, modality, importance, count, risk, outcome: a row per sample and modality.
        Risk is the predicted one, or the probability of the true class; only samples with all
        modalities are looked at.
    """
    trace = done.traces[0]
    complete = np.flatnonzero(trace.here.all(dim=1).numpy())
    share = trace.importance[:, done.names.index(of)].numpy()[complete]
    order = complete[np.argsort(share, kind="stable")]
    prediction = done.trained.outcome.prediction
    rows = []
    ends = (("lowest", order[:most]), ("highest", order[::-1][:most]))
    for extreme, samples in ends:
        for number, i in enumerate(samples, start=1):
            risk, outcome = _case(done, prediction, int(i))
            rows += [
                {
                    "case": f"{extreme} {number}",
                    "extreme": extreme,
                    "modality": titles.get(name, name),
                    "importance": float(trace.importance[i, m]),
                    "count": int(trace.count[i, m]),
                    "risk": risk,
                    "outcome": outcome,
                }
                for m, name in enumerate(done.names)
            ]
    return pd.DataFrame(rows)


def _case(
    done: ReplacementTrace, prediction: Mapping[str, np.ndarray], i: int
) -> tuple[float, str]:
    """Predicted risk and true outcome of one test sample, in words."""
    target, fold = done.trained.test.target, done.trained.fold
    if fold.task == "survival":
        event = "event" if bool(target["event"][i]) else "censored"
        return float(
            prediction["risk"][i]
        ), f"{event} at {float(target['time'][i]):.0f} {fold.time_unit}"
    label = int(target["label"][i])
    return float(prediction["probability"][i, label]), fold.class_names[label]
