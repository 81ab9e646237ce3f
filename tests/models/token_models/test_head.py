from __future__ import annotations

import pytest
import torch

from mmlego.errors import ModalityError, SettingsError
from mmlego.models.token_models import LIMoE, MAGGate, MulT, TensorFusion
from mmlego.models.token_models.head import PooledHead, ResidualHead

MODELS = (LIMoE, MAGGate, MulT, TensorFusion)
KINDS = {
    "table": ("tabular", 3, (3,)),
    "bag": ("bag", 2, (5, 2)),
    "steps": ("series", 2, (4, 2)),
    "photo": ("image", 3, (3, 8, 12)),
    "scan": ("volume", 1, (1, 4, 5, 6)),
}


@pytest.mark.parametrize("model", MODELS)
def test_reads_every_kind_of_modality(model):
    torch.manual_seed(0)
    widths = {name: width for name, (_, width, _) in KINDS.items()}
    kinds = {name: kind for name, (kind, _, _) in KINDS.items()}
    built = model(widths, 2, kinds=kinds, tokens=4, width=8, heads=2, patch=4).eval()
    inputs = {name: torch.randn(3, *shape) for name, (_, _, shape) in KINDS.items()}
    before = built(inputs)
    assert before.shape == (3, 2)
    for name, x in inputs.items():
        moved = (built(inputs | {name: x.flip(0) + 1.0}) - before).abs().amax(dim=1)
        assert (moved > 1e-6).all(), name


@pytest.mark.parametrize("model", MODELS)
def test_one_modality_is_enough(model, make, inputs):
    built = make(model, modalities=1)
    logits = built({"lab": inputs["lab"]})
    assert logits.shape == (4, 3)
    assert torch.isfinite(logits).all()
    changed = built({"lab": inputs["lab"] + torch.eye(4, 5)})
    assert ((changed - logits).abs().amax(dim=1) > 1e-6).all()


@pytest.mark.parametrize("model", MODELS)
def test_terms_come_beside_the_same_logits(model, make, inputs, present):
    built = make(model)
    logits, terms = built.forward_with_auxiliary(inputs, present, None, {}, None)
    assert torch.equal(logits, built(inputs, present))
    assert set(terms) == ({"balance", "local", "global"} if model is LIMoE else set())


@pytest.mark.parametrize("model", MODELS)
def test_options_reach_the_front_end(model, make):
    built = make(model, tokenizer="query", own_layers=2, missing_tokens="zeros", dropout=0.3)
    names = set(dict(built.named_parameters()))
    assert "front.tokenizers.note.network.queries.query" in names
    assert "front.own.note.1.attention.to_out.weight" in names
    assert not any(name.endswith("absent") for name in names)
    assert built.front.own["note"][0].dropout == 0.3
    assert built.front.tokenizers["note"].position.shape == (4, 16)


@pytest.mark.parametrize("model", MODELS)
def test_refuses_what_it_cannot_be_built_of(model):
    name = model.__name__
    with pytest.raises(SettingsError, match=f"{name}: expected n_outputs"):
        model({"lab": 3}, 0)
    with pytest.raises(SettingsError, match=f"{name}: expected dropout"):
        model({"lab": 3}, 2, dropout=1.0)
    with pytest.raises(SettingsError, match=f"{name}: expected heads"):
        model({"lab": 3}, 2, heads=0)
    with pytest.raises(SettingsError, match="kinds.*'audio'"):
        model({"lab": 3}, 2, kinds={"lab": "audio"})
    with pytest.raises(ModalityError, match="without dots"):
        model({"a.b": 3}, 2)


def test_the_pooled_head_is_linear_in_the_mean_tokens():
    head, tokens = PooledHead(2, 3, 4), torch.randn(5, 2, 6, 3)
    side_by_side = torch.cat([tokens[:, 0].mean(1), tokens[:, 1].mean(1)], dim=1)
    torch.testing.assert_close(head(tokens), head.linear(side_by_side))


def test_the_residual_head_adds_a_hidden_layer_to_what_it_reads():
    head, x = ResidualHead(3, 2, dropout=0.0), torch.randn(5, 3)
    hidden = torch.relu(x @ head.expand.weight.T + head.expand.bias)
    expected = head.linear(x + hidden @ head.contract.weight.T + head.contract.bias)
    torch.testing.assert_close(head(x), expected)
