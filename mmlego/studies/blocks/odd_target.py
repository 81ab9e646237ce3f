"""A target that Re F(h) cannot show: which blocks can learn from the odd part of their data?"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import nn

from mmlego.bench.training import derived_seed
from mmlego.data.folds.samples import Samples
from mmlego.learning.loop import fit
from mmlego.learning.metrics.classification import auc
from mmlego.learning.objectives import ClassificationObjective
from mmlego.learning.predict import predict_logits
from mmlego.learning.seeding import torch_seed
from mmlego.learning.settings import FitSettings
from mmlego.lego.block import LegoBlock
from mmlego.models.encoders.unimodal import Unimodal

WIDTH, N_TRAIN, N_TEST = 16, 600, 600
ODD, EVEN = "odd part", "even part"
BEHIND_ENCODER = "paper behind an encoder"
READERS: dict[str, Mapping[str, Any]] = {
    "paper": {"profile": "paper"},
    "official": {"profile": "official"},
    "lossless": {"profile": "lossless"},
    "paper with spatial context": {"profile": "paper", "context": "spatial"},
    BEHIND_ENCODER: {"profile": "paper"},
}
_NAME = "table"
_SIZES: dict[str, Any] = {
    "latent_channels": 4,
    "latent_dim": 16,
    "depth": 1,
    "heads": 2,
    "dim_head": 8,
}
_FIT = FitSettings(epochs=10, batch_size=150, learning_rate=0.02, l1=0.0, patience=None)


def scores(seed: int, draws: int = 3) -> pd.DataFrame:
    """Test AUC of every reader on both targets: label, target, repeat, value.

    The label of a sample of ``WIDTH`` normal numbers h is the sign of a fixed combination of
    h_j - h_(E-j), or of h_j + h_(E-j), with indices modulo the width E. Combinations leave out h_0
    and the mean, which the normalization of what a block reads takes away.

    Args:
        seed: Of the data, the start, and the batches.
        draws: Number of data sets; each has a combination of its own.
    """
    rows = []
    for draw in range(1, draws + 1):
        for target in (ODD, EVEN):
            train, test = draw_samples(target, derived_seed(seed, target, draw))
            for label in READERS:
                value = trained_auc(label, train, test, derived_seed(seed, draw))
                rows.append({"label": label, "target": target, "repeat": draw, "value": value})
    return pd.DataFrame(rows)


def draw_samples(target: str, seed: int) -> tuple[Samples, Samples]:
    """Training and test samples of one target, ``odd part`` or ``even part``."""
    rng = np.random.default_rng(seed)
    weights = rng.standard_normal(WIDTH)
    weights += {ODD: -1.0, EVEN: 1.0}[target] * weights[-np.arange(WIDTH)]
    weights[0] = 0.0
    weights[1:] -= weights[1:].mean()
    x = rng.standard_normal((N_TRAIN + N_TEST, WIDTH))
    label = (x @ weights > 0).astype(np.int64)
    return _samples(x[:N_TRAIN], label[:N_TRAIN]), _samples(x[N_TRAIN:], label[N_TRAIN:])


def _samples(x: np.ndarray, label: np.ndarray) -> Samples:
    ids = np.array([f"draw-{row:04d}" for row in range(len(x))])
    return Samples(
        ids=ids,
        groups=ids,
        values={_NAME: torch.from_numpy(x.astype(np.float32))},
        present={_NAME: torch.ones(len(x), dtype=torch.bool)},
        kinds={_NAME: "tabular"},
        widths={_NAME: WIDTH},
        target={"label": torch.from_numpy(label)},
    )


def trained_auc(reader: str, train: Samples, test: Samples, seed: int) -> float:
    """Train one of ``READERS`` without an encoder (but for the last) and test it."""
    with torch_seed(seed):
        encoder = nn.Linear(WIDTH, WIDTH) if reader == BEHIND_ENCODER else None
        block = LegoBlock(
            WIDTH, 2, encoder=encoder, attn_dropout=0.0, ff_dropout=0.0,
            **_SIZES, **READERS[reader],
        )  # fmt: skip
    model = Unimodal(_NAME, block)
    fit(model, train, None, ClassificationObjective(2), settings=_FIT, seed=seed, device="cpu")
    logits = predict_logits(model, test, device="cpu")
    return auc(test.target["label"].numpy(), (logits[:, 1] - logits[:, 0]).numpy())
