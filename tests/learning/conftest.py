from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from mmlego.data.folds.samples import Samples


@pytest.fixture(scope="module", autouse=True)
def _one_thread(one_thread):
    """In every test here."""


@pytest.fixture(autouse=True)
def _seeded(seeded):
    """In every test here."""


def samples_of(x, target):
    n = len(x)
    ids = np.array([f"s{i}" for i in range(n)])
    return Samples(
        ids=ids,
        groups=ids,
        values={"tab": x},
        present={"tab": torch.ones(n, dtype=torch.bool)},
        kinds={"tab": "tabular"},
        widths={"tab": x.shape[1]},
        target=target,
    )


@pytest.fixture
def classes():
    """Make a part with a binary label that a linear model can learn up to some noise."""

    def make(n=40, c=5, seed=0, noise=1.0):
        rng = torch.Generator().manual_seed(seed)
        x = torch.randn(n, c, generator=rng)
        label = (x[:, 0] + noise * torch.randn(n, generator=rng) > 0).long()
        return samples_of(x, {"label": label})

    return make


@pytest.fixture
def patients():
    """Make a part with times that a linear model can rank, in four bins, a third censored."""

    def make(n=60, c=5, seed=0):
        rng = torch.Generator().manual_seed(seed)
        x = torch.randn(n, c, generator=rng)
        time = torch.exp(1.0 - x[:, 0] + 0.3 * torch.randn(n, generator=rng)).double()
        event = torch.rand(n, generator=rng) > 0.33
        edges = torch.quantile(time, torch.tensor([0.25, 0.5, 0.75]).double())
        target = {"time_bin": torch.bucketize(time, edges), "event": event, "time": time}
        return samples_of(x, target)

    return make


@pytest.fixture
def fold_of():
    """Make the few attributes of a fold that learning reads."""

    def make(train, task, n_outputs, bin_edges=None):
        return SimpleNamespace(
            train=train, task=task, n_outputs=n_outputs, bin_edges=bin_edges, cohort="made up"
        )

    return make


class Net(nn.Module):
    """A small net under the model contract, with every kind of parameter that L1 tells apart."""

    l1_exempt = ("latent",)

    def __init__(self, c=5, k=2, dropout=0.0):
        super().__init__()
        self.latent = nn.Parameter(torch.randn(2, c))
        self.norm = nn.LayerNorm((1, c))  # two axes, and still no weight matrix
        self.inner = nn.Linear(c, 8)
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(8, k)

    def forward(self, inputs, present=None, masks=None):
        x = self.norm((inputs["tab"] + self.latent.mean(dim=0))[:, None])[:, 0]
        return self.head(self.dropout(torch.tanh(self.inner(x))))


@pytest.fixture
def net():
    """Build the small net with a fixed initialisation."""

    def make(c=5, k=2, dropout=0.0, seed=0):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            return Net(c, k, dropout)

    return make
