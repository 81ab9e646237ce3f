from __future__ import annotations

import pytest
import torch


@pytest.fixture(scope="module", autouse=True)
def _one_thread(one_thread):
    """In every test here."""


@pytest.fixture(autouse=True)
def _seeded(seeded):
    """In every test here."""


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
