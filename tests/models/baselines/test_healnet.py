from __future__ import annotations

import pytest
import torch
from contract_models import ANY_KIND, DROPOUT, LATENT, N_OUTPUTS, WIDTHS, small_of

from mmlego.errors import SettingsError
from mmlego.learning.penalty import l1_parameters
from mmlego.methods.names import HEALNET
from mmlego.models.baselines.healnet import HEALNet

SMALL = small_of(HEALNET)


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


def build(**options):
    return HEALNet(WIDTHS, N_OUTPUTS, kinds=ANY_KIND, **LATENT, **DROPOUT, **options).eval()


def parameters(model):
    return sum(p.numel() for p in model.parameters())


def test_each_layer_updates_with_each_modality_in_turn(model, inputs):
    tokens = model.tokenizer.read(inputs, None, None, torch.float32)
    latent = model.latent.expand(4, -1, -1)
    for _ in range(2):
        for name in WIDTHS:
            update = model.cross[name][0]
            context = tokens[name].values
            latent = latent + update.attention(latent, update.attention.remember(context))
            latent = latent + update.feed_forward(latent)
    torch.testing.assert_close(model(inputs), model.head(latent))


def test_the_order_of_inputs_is_that_of_the_widths(model, inputs):
    torch.testing.assert_close(model(dict(reversed(inputs.items()))), model(inputs))
    twin = SMALL.make(tuple(reversed(SMALL.kinds)))
    twin.load_state_dict(model.state_dict())
    assert not torch.allclose(twin(inputs), model(inputs), atol=1e-4)


def test_a_missing_modality_skips_attention_and_feed_forward(model, inputs):
    absent = {"img": torch.zeros(4, dtype=torch.bool)}
    before = model(inputs, absent)
    with torch.no_grad():
        for parameter in model.cross["img"].parameters():
            parameter.fill_(float("nan"))
    assert torch.equal(model(inputs, absent), before)


def test_shared_weights_are_shared_by_all_layers(inputs):
    shared, one = build(depth=3), build(depth=1)
    assert parameters(shared) == parameters(one)
    one.load_state_dict(shared.state_dict())
    assert not torch.allclose(one(inputs), shared(inputs), atol=1e-4)


def test_weights_that_are_not_shared_are_those_of_each_layer(inputs):
    apart = build(share_weights=False, self_layers=1)
    shared = build(self_layers=1)
    fixed = shared.latent.numel() + parameters(shared.head)
    assert parameters(apart) - fixed == 2 * (parameters(shared) - fixed)
    apart(inputs).square().sum().backward()
    grads = [apart.cross["img"][layer].attention.to_value.weight.grad for layer in range(2)]
    assert all(grad.abs().sum() > 0 for grad in grads)
    for copies in (*apart.cross.values(), apart.own):
        copies[1].load_state_dict(copies[0].state_dict())
    state = {n: v for n, v in apart.state_dict().items() if n in shared.state_dict()}
    shared.load_state_dict(state)
    torch.testing.assert_close(apart(inputs), shared(inputs))


def test_the_order_of_steps_matters(model, inputs):
    swapped = inputs | {"vitals": inputs["vitals"].flip(1)}
    assert not torch.allclose(model(swapped), model(inputs), atol=1e-5)


def test_padding_in_front_influences_nothing(model, inputs):
    x = inputs["vitals"]
    front = torch.cat([torch.full((4, 2, 2), float("nan")), x], dim=1)
    mask = {"vitals": torch.arange(6).expand(4, 6) >= 2}
    torch.testing.assert_close(model(inputs | {"vitals": front}, masks=mask), model(inputs))


def test_self_attention_is_off_by_default_and_reached_when_on(inputs):
    assert parameters(build().own) == 0
    model = build(self_layers=2)
    model(inputs).square().sum().backward()
    assert all(p.grad.abs().sum() > 1e-7 for p in model.own.parameters())


def test_defaults_are_those_of_the_appendix():
    model = HEALNet({"rna": 30, "img": 20}, 4, kinds={"rna": "tabular", "img": "bag"})
    assert model.latent.shape == (17, 126)
    assert (model.depth, model.share_weights, len(model.cross["rna"])) == (2, True, 1)
    update = model.cross["img"][0]
    assert (update.attention.heads, update.attention.dim_head) == (1, 64)
    assert (update.attention.dropout, update.feed_forward.dropout) == (0.4, 0.27)
    assert model.tokenizer.widths == {"rna": 30, "img": 25}
    assert abs(model.latent.std().item() - 1) < 0.1


def test_the_penalty_spares_the_latent(model):
    penalized = {id(p) for p in l1_parameters(model)}
    free = {n for n, p in model.named_parameters() if p.ndim >= 2 and id(p) not in penalized}
    assert free == {"latent"}


@pytest.mark.parametrize("options", [{"depth": 0}, {"ff_dropout": -0.1}, {"share_weights": 1}])
def test_refuses_options_out_of_range(options):
    with pytest.raises(SettingsError, match="HEALNet"):
        HEALNet({"rna": 3}, 2, **options)
