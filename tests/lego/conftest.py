"""Reference values, blocks built from formulas, and small random blocks."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
import torch

from mmlego.lego import LegoBlock

REFERENCE = Path(__file__).parents[1] / "reference" / "mmlego.json"


def generate(shape, seed, scale=0.5):
    """scale * sin(1.3 (k + 1) + seed), k row-major from 0."""
    k = torch.arange(math.prod(shape), dtype=torch.float64)
    return (scale * torch.sin(1.3 * (k + 1) + seed)).reshape(shape)


def reference_block(width=6, shift=0.0, **options):
    """The block of the reference cases; ``shift`` moves every seed."""
    settings = {"latent_channels": 3, "latent_dim": 4, "depth": 2, "heads": 2, "dim_head": 2}
    options = {**settings, "attn_dropout": 0.0, "ff_dropout": 0.0, "share_weights": True, **options}
    block = LegoBlock(width, 3, **options).double().eval()
    attention, feed_forward, head = block.attention[0], block.feed_forward[0], block.head
    values = {
        block.latent: generate((3, 4), 0.2 + shift, 1.0),
        attention.norm_query.weight: 1 + generate((4,), 0.3 + shift, 0.1),
        attention.norm_query.bias: generate((4,), 0.4 + shift, 0.1),
        attention.norm_context.weight: 1 + generate((width,), 0.5 + shift, 0.1),
        attention.norm_context.bias: generate((width,), 0.6 + shift, 0.1),
        attention.to_query.weight: generate((4, 4), 1.1 + shift),
        attention.to_key.weight: generate((4, width), 1.2 + shift),
        attention.to_value.weight: generate((4, width), 1.3 + shift),
        attention.project.weight: generate((4, 4), 1.4 + shift),
        attention.project.bias: generate((4,), 1.5 + shift, 0.1),
        feed_forward.norm.weight: 1 + generate((4,), 1.6 + shift, 0.1),
        feed_forward.norm.bias: generate((4,), 1.7 + shift, 0.1),
        feed_forward.expand.weight: generate((32, 4), 1.8 + shift),
        feed_forward.expand.bias: generate((32,), 1.9 + shift, 0.1),
        feed_forward.contract.weight: generate((4, 16), 2.0 + shift, 0.2),
        feed_forward.contract.bias: generate((4,), 2.1 + shift, 0.1),
        head.norm.weight: 1 + generate((4,), 2.2 + shift, 0.1),
        head.norm.bias: generate((4,), 2.3 + shift, 0.1),
        head.linear.weight: generate((3, 4), 2.4 + shift),
        head.linear.bias: generate((3,), 2.5 + shift, 0.1),
    }
    with torch.no_grad():
        for parameter, value in values.items():
            parameter.copy_(value)
    return block


@pytest.fixture(autouse=True, scope="module")
def _one_thread():
    """Small tensors gain nothing from threads, and lose much where the cores are busy."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def reference():
    return json.loads(REFERENCE.read_text())


@pytest.fixture(scope="session")
def gen():
    return generate


@pytest.fixture(scope="session")
def make_reference_block():
    return reference_block


@pytest.fixture(scope="session")
def to_complex():
    def build(entry):
        return torch.complex(*(torch.tensor(entry[p], dtype=torch.float64) for p in ("re", "im")))

    return build


@pytest.fixture(scope="session")
def close():
    def check(actual, expected, atol=1e-6):
        expected = torch.as_tensor(expected, dtype=actual.dtype)
        torch.testing.assert_close(actual, expected, rtol=0, atol=atol)

    return check


@pytest.fixture
def small():
    """Builder of small float64 blocks without dropout, seeded by their width unless told."""

    def build(width=7, seed=None, n_outputs=3, **options):
        torch.manual_seed(width if seed is None else seed)
        settings = {"latent_channels": 4, "latent_dim": 6, "depth": 2, "heads": 2, "dim_head": 3}
        settings |= {"attn_dropout": 0.0, "ff_dropout": 0.0}
        return LegoBlock(width, n_outputs, **{**settings, **options}).double().eval()

    return build


@pytest.fixture
def trio(small):
    """Three blocks with their inputs: a table, a bag and a narrow series (4 samples)."""
    blocks = {
        "table": small(7, seed=1),
        "bag": small(5, seed=2, depth=3),
        "series": small(2, seed=3, share_weights=False),
    }
    with torch.no_grad():  # untrained norms are all alike
        for block in blocks.values():
            for parameter in block.head.parameters():
                parameter.add_(0.3 * torch.randn_like(parameter))
    generator = torch.Generator().manual_seed(9)
    shapes = {"table": (4, 7), "bag": (4, 6, 5), "series": (4, 5, 2)}
    inputs = {
        name: torch.randn(shape, generator=generator, dtype=torch.float64)
        for name, shape in shapes.items()
    }
    return blocks, inputs
