"""Whether modalities of a trained AMC agree on where its last shared feed-forward should go."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from itertools import combinations

import pandas as pd
import torch

from mmlego.bench.trained import TrainedModel
from mmlego.data.folds.samples import Batch, Samples
from mmlego.learning.objectives import Objective
from mmlego.learning.predict import evaluating
from mmlego.models.amc import AMC
from mmlego.models.amc.conflict import cosine, modality_gradients

COLUMNS = ("repeat", "pair", "cosine")


def conflict_table(
    trained: TrainedModel, objective: Objective, batch_size: int, titles: Mapping[str, str]
) -> pd.DataFrame:
    """Cosines between the gradients of two modalities on mini-batches of the training part.

    Conflict matters where a step is taken: on the batches that training sees, here in another
    order, at the weights that it ended with. 1 is full agreement; below 0 a step for one modality
    harms the other.

    Args:
        trained: AMC on one fold; see ``mmlego.models.amc.conflict.modality_gradients``.
        objective: What it was trained on; auxiliary terms are left out.
        batch_size: Samples of a batch; the last one may have fewer.
        titles: What readers call each modality.

    Returns:
        repeat, pair ("Codes - Notes", titles in alphabetical order), cosine: one row per batch and
        pair, save batches in which no sample has both modalities, or one of them has no gradient.

    Source: AMC, Fig. 6.
    """
    names = sorted(trained.names)
    samples = trained.fold.train.select(names).where_present(names)
    with evaluating(trained.model):
        rows = [
            {"repeat": trained.fold.repeat, "pair": pair, "cosine": value}
            for batch in _shuffled(samples, batch_size, trained)
            for pair, value in _cosines(trained, objective, batch, titles).items()
            if not math.isnan(value)
        ]
    return pd.DataFrame(rows, columns=list(COLUMNS)).astype({"repeat": int, "cosine": float})


def _shuffled(samples: Samples, batch_size: int, trained: TrainedModel) -> Iterator[Batch]:
    """Batches in an order that the split alone decides, where the model is."""
    order = torch.Generator().manual_seed(trained.fold.repeat)
    device = next(trained.model.parameters()).device
    return (batch.to(device) for batch in samples.batches(batch_size, order))


def _cosines(
    trained: TrainedModel, objective: Objective, batch: Batch, titles: Mapping[str, str]
) -> dict[str, float]:
    """Cosine by pair of titles, NaN where a gradient is zero."""
    shares = modality_gradients(
        trained.network(AMC), batch.inputs, batch.present, batch.masks, batch.target, objective.loss
    )
    return {
        f"{titles[a]} - {titles[b]}": cosine(shares[a], shares[b])
        for a, b in combinations(sorted(shares, key=titles.__getitem__), 2)
        if bool((batch.present[a] & batch.present[b]).any())
    }
