"""Reference values, and G of the reference formulas."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

REFERENCE = Path(__file__).parents[2] / "reference" / "amc.json"


@pytest.fixture(autouse=True)
def _seeded():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        yield


@pytest.fixture(scope="session")
def reference():
    return {case["name"]: case for case in json.loads(REFERENCE.read_text())["cases"]}


@pytest.fixture(params=[(torch.float64, 1e-6), (torch.float32, 1e-4)], ids=["double", "single"])
def precision(request):
    return request.param


@pytest.fixture
def tensor(precision):
    """From numbers of a reference case to a tensor of the precision that is tested."""
    return lambda values: torch.tensor(values, dtype=precision[0])


@pytest.fixture
def close(precision):
    dtype, tolerance = precision

    def check(actual, expected):
        expected = torch.as_tensor(expected, dtype=dtype)
        actual = torch.as_tensor(actual).to(dtype)
        torch.testing.assert_close(actual, expected, rtol=0, atol=tolerance)

    return check


@pytest.fixture
def wave(precision):
    """G(shape, a, b) of the reference cases: sin(a (k + 1) + b) in C order."""

    def build(shape, a, b):
        count = torch.Size(shape).numel()
        k = torch.arange(1, count + 1, dtype=torch.float64)
        return torch.sin(a * k + b).reshape(shape).to(precision[0])

    return build
