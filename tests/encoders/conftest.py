from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

REFERENCE = Path(__file__).parents[1] / "reference" / "mmlego.json"


@pytest.fixture(scope="module", autouse=True)
def _one_thread():
    """Small tensors are computed faster by one thread than by several that wait for each other."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(autouse=True)
def _seeded():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        yield


@pytest.fixture(scope="session")
def reference():
    return json.loads(REFERENCE.read_text())


@pytest.fixture(scope="session")
def gen():
    """Return the formula of the reference inputs, in float64."""

    def generate(shape, seed, scale=0.5):
        size = torch.tensor(shape).prod().item()
        k = torch.arange(size, dtype=torch.float64)
        return (scale * torch.sin(1.3 * (k + 1) + seed)).reshape(shape)

    return generate


@pytest.fixture
def overfit():
    """Train a model on 32 samples with random binary labels and return its accuracy on them."""

    def train(model, *inputs, steps=80, **options):
        torch.manual_seed(1)
        label = torch.randint(0, 2, (len(inputs[0]),))
        adam = torch.optim.Adam(model.parameters(), lr=1e-3)
        for _ in range(steps):
            loss = torch.nn.functional.cross_entropy(model(*inputs, **options), label)
            adam.zero_grad()
            loss.backward()
            adam.step()
        model.eval()
        with torch.no_grad():
            return (model(*inputs, **options).argmax(dim=1) == label).float().mean().item()

    return train
