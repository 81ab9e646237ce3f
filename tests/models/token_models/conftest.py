"""Reference values, small models, and a batch with holes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

REFERENCE = Path(__file__).parents[2] / "reference" / "amc.json"
WIDTHS = {"lab": 5, "note": 7, "code": 3}
SIZES = {"tokens": 4, "width": 16, "heads": 2}


@pytest.fixture(autouse=True)
def _seeded():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        yield


@pytest.fixture(scope="session")
def reference():
    return {case["name"]: case for case in json.loads(REFERENCE.read_text())["cases"]}


@pytest.fixture
def make():
    """Build a small model in eval mode, of the first modalities or of all three."""

    def build(model, modalities=3, n_outputs=3, **options):
        widths = dict(list(WIDTHS.items())[:modalities])
        return model(widths, n_outputs, **SIZES, **options).eval()

    return build


@pytest.fixture
def inputs():
    return {name: torch.randn(4, width) for name, width in WIDTHS.items()}


@pytest.fixture
def present():
    """The first modality is absent in row 1, the second in row 2."""
    return {
        "lab": torch.tensor([True, False, True, True]),
        "note": torch.tensor([True, True, False, True]),
    }
