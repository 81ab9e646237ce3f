from __future__ import annotations

import pytest
import torch
from contract_models import small_of

from mmlego.errors import SettingsError
from mmlego.learning.penalty import l1_parameters
from mmlego.models.baselines.perceiver import Perceiver
from mmlego.models.layers.latent_attention import PaddedAttention

SMALL = small_of("perceiver")


@pytest.fixture(autouse=True)
def _seeded():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        yield


@pytest.fixture
def model():
    return SMALL.make()


@pytest.fixture
def inputs():
    return SMALL.batch()


def test_projecting_padded_tokens_equals_padding_them_first():
    attention = PaddedAttention(12, 20, heads=2, dim_head=6, dropout=0.0).double().eval()
    with torch.no_grad():  # an untrained norm hides its gain and offset
        for parameter in attention.norm_context.parameters():
            parameter.add_(torch.randn_like(parameter))
    latent = torch.randn(3, 4, 12).double()
    parts = [
        (5 + 3 * torch.randn(3, n, e).double(), torch.randn(20 - e).double())
        for n, e in ((1, 1), (5, 12))
    ]
    valid = torch.rand(3, 6) < 0.7
    valid[:, 0] = True
    written = [torch.cat([x, pad.expand(*x.shape[:2], -1)], dim=2) for x, pad in parts]
    expected = attention(latent, attention.remember(torch.cat(written, dim=1), valid))
    result = attention(latent, attention.remember_padded(parts, valid))
    torch.testing.assert_close(result, expected)


def test_every_token_is_padded_to_the_widest_plus_eight(model):
    widest = max(model.tokenizer.widths.values())
    for name, width in model.tokenizer.widths.items():
        assert len(model.pads[name]) == widest + 8 - width
    assert model.cross[0].attention.to_key.in_features == widest + 8


def test_the_order_of_modalities_has_no_influence(model, inputs):
    backwards = dict(reversed(inputs.items()))
    torch.testing.assert_close(model(backwards), model(inputs))
    names = tuple(reversed(SMALL.kinds))
    twin = SMALL.make(names)
    twin.load_state_dict(model.state_dict())
    torch.testing.assert_close(twin(inputs), model(inputs))


def test_modalities_of_equal_width_are_told_apart_by_their_vectors():
    model = Perceiver({"a": 4, "b": 4}, 2, latent_dim=12, latent_channels=3).eval()
    x, y = torch.randn(2, 3, 4)
    assert not torch.allclose(model({"a": x, "b": y}), model({"a": y, "b": x}), atol=1e-4)
    with torch.no_grad():
        model.pads["b"].copy_(model.pads["a"])
    torch.testing.assert_close(model({"a": x, "b": y}), model({"a": y, "b": x}))


def test_the_order_of_steps_matters(model, inputs):
    swapped = inputs | {"vitals": inputs["vitals"].flip(1)}
    assert not torch.allclose(model(swapped), model(inputs), atol=1e-4)


def test_padding_in_front_influences_nothing(model, inputs):
    x = inputs["vitals"]
    front = torch.cat([torch.full((4, 2, 2), float("nan")), x], dim=1)
    mask = {"vitals": torch.arange(6).expand(4, 6) >= 2}
    torch.testing.assert_close(model(inputs | {"vitals": front}, masks=mask), model(inputs))


def test_defaults_are_those_of_the_appendix():
    model = Perceiver({"rna": 30, "img": 20}, 4, kinds={"rna": "tabular", "img": "bag"})
    assert model.latent.shape == (17, 126)
    assert (len(model.cross), [len(own) for own in model.own]) == (2, [1, 1])
    cross, own = model.cross[0], model.own[0][0]
    assert (cross.attention.heads, cross.attention.dim_head) == (1, 64)
    assert (own.attention.heads, own.attention.dim_head) == (8, 64)
    assert {u.attention.dropout for u in (cross, own)} == {0.4}
    assert {u.feed_forward.dropout for u in (cross, own)} == {0.36}
    assert model.tokenizer.widths == {"rna": 30, "img": 25}
    assert abs(model.latent.std().item() - 1) < 0.1


def test_self_attention_is_optional():
    model = Perceiver({"rna": 3}, 2, self_layers=0)
    assert sum(p.numel() for p in model.own.parameters()) == 0
    assert model({"rna": torch.randn(5, 3)}).shape == (5, 2)


def test_the_penalty_spares_latent_and_modality_vectors(model):
    penalized = {id(p) for p in l1_parameters(model)}
    free = {n for n, p in model.named_parameters() if p.ndim >= 2 and id(p) not in penalized}
    assert free == {"latent"}
    assert not penalized & {id(p) for p in model.pads.values()}


@pytest.mark.parametrize("options", [{"depth": 0}, {"self_layers": -1}, {"attn_dropout": 1.0}])
def test_refuses_options_out_of_range(options):
    with pytest.raises(SettingsError, match="Perceiver"):
        Perceiver({"rna": 3}, 2, **options)
