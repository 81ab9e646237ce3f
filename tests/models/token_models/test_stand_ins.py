"""What models share that have a rule of their own for absent modalities."""

from __future__ import annotations

import pytest
import torch

from mmlego.models.token_models import MUSE, FlexMoE, FuseMoE

MODELS = (FlexMoE, FuseMoE, MUSE)


@pytest.fixture(params=MODELS)
def model(request):
    return request.param


def test_reads_images_and_volumes_beside_tables(model):
    widths = {"lab": 3, "photo": 3, "scan": 1}
    kinds = {"lab": "tabular", "photo": "image", "scan": "volume"}
    shapes = {"lab": (3,), "photo": (3, 8, 12), "scan": (1, 4, 5, 6)}
    built = model(widths, 2, kinds=kinds, tokens=4, width=8, heads=2, patch=4).eval()
    inputs = {name: torch.randn(3, *shape) for name, shape in shapes.items()}
    before = built(inputs)
    assert before.shape == (3, 2)
    for name, x in inputs.items():
        moved = (built(inputs | {name: x.flip(0) + 1.0}) - before).abs().amax(dim=1)
        assert (moved > 1e-6).all(), name


def test_one_modality_is_enough(model, make, inputs):
    built = make(model, modalities=1)
    logits = built({"lab": inputs["lab"]})
    assert logits.shape == (4, 3)
    changed = built({"lab": inputs["lab"] + torch.eye(4, 5)})
    assert ((changed - logits).abs().amax(dim=1) > 1e-6).all()


def test_options_reach_the_front_end(model, make):
    built = make(model, tokenizer="query", own_layers=2, dropout=0.3)
    names = set(dict(built.named_parameters()))
    assert "front.tokenizers.note.network.queries.query" in names
    assert "front.own.note.1.attention.to_out.weight" in names
    assert built.front.own["note"][0].dropout == 0.3


def test_the_front_end_learns_no_stand_in_that_would_not_be_used(model, make):
    names = dict(make(model).named_parameters())
    assert not any(name.startswith("front.") and name.endswith("absent") for name in names)
    with pytest.raises(TypeError, match="missing_tokens"):
        make(model, missing_tokens="learned")
