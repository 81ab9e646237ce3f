"""Reference values, and the model of the reference case."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from mmlego.models.dynamics import MMDynamics

REFERENCE = Path(__file__).parents[2] / "reference" / "amc.json"


@pytest.fixture(autouse=True)
def _seeded(seeded):
    """In every test here."""


@pytest.fixture(scope="session")
def reference():
    return {case["name"]: case for case in json.loads(REFERENCE.read_text())["cases"]}


@pytest.fixture
def make_reference_model(reference):
    """Build the two-modality model of the reference case, in eval mode and float64."""
    given = reference["mm_dynamics_forward_and_losses"]["inputs"]

    def build(**options):
        model = MMDynamics({"one": 3, "two": 2}, 3, hidden=2, **options).double().eval()
        layers = [(model.head, given["Wf"], given["bf"])]
        for m, name in enumerate(("one", "two")):
            branch = model.branches[name]
            layers.append((branch.encoder, given["We"][m], given["be"][m]))
            if branch.gate is not None:
                layers.append((branch.gate[0], given["Wg"][m], given["bg"][m]))
            if name in model.classifiers:
                layers.append((model.classifiers[name], given["Wc"][m], given["bc"][m]))
                layers.append((model.regressors[name], given["Wt"][m], given["bt"][m]))
        with torch.no_grad():
            for layer, weight, bias in layers:
                layer.weight.copy_(torch.tensor(weight, dtype=torch.float64))
                layer.bias.copy_(torch.tensor(bias, dtype=torch.float64).view(-1))
        return model

    return build


@pytest.fixture
def reference_batch(reference):
    """Inputs and target of the reference case, in float64."""
    given = reference["mm_dynamics_forward_and_losses"]["inputs"]
    inputs = {
        name: torch.tensor(given[key], dtype=torch.float64)
        for name, key in (("one", "x0"), ("two", "x1"))
    }
    return inputs, {"label": torch.tensor(given["y"])}
