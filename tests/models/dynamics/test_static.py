from __future__ import annotations

import pytest
import torch

from mmlego.errors import ModalityError, SettingsError
from mmlego.models.dynamics import MMDynamics, MMStatic

WIDTHS = {"protein": 4, "rna": 3}
PUBLISHED = {"rna": 1.0, "protein": 3}


@pytest.fixture
def inputs():
    return {"protein": torch.randn(5, 4), "rna": torch.randn(5, 3)}


def test_modalities_are_weighted_joined_and_classified(inputs):
    model = MMStatic(WIDTHS, 2, weights=PUBLISHED, hidden={"protein": 6, "rna": 7}).eval()
    encoded = [
        PUBLISHED[name] * torch.relu(model.branches[name].encoder(inputs[name])) for name in WIDTHS
    ]
    expected = torch.cat(encoded, dim=1) @ model.head.weight.T + model.head.bias
    torch.testing.assert_close(model(inputs), expected)
    assert sum(p.numel() for p in model.parameters()) == 5 * 6 + 4 * 7 + (6 + 7 + 1) * 2
    assert not hasattr(model, "forward_with_auxiliary")


def test_equal_weights_are_the_variant_without_parts(inputs):
    model = MMStatic(WIDTHS, 2, hidden=6).eval()
    plain = MMDynamics(WIDTHS, 2, hidden=6, variant="none").eval()
    plain.load_state_dict(model.state_dict())
    assert torch.equal(model(inputs), plain(inputs))


def test_refuses_weights_that_do_not_fit():
    with pytest.raises(SettingsError, match=r"MMStatic: weights\['rna'\].*-1"):
        MMStatic(WIDTHS, 2, weights={"protein": 1.0, "rna": -1.0})
    with pytest.raises(SettingsError, match=r"MMStatic.*weights.*\['rna'\]"):
        MMStatic(WIDTHS, 2, weights={"protein": 1.0})
    with pytest.raises(ModalityError, match="MMStatic: weights.*'ct'"):
        MMStatic(WIDTHS, 2, weights=PUBLISHED | {"ct": 1.0})
