from __future__ import annotations

import math

import pytest
import torch
from torch.nn import functional as F

from mmlego.errors import SettingsError
from mmlego.models.token_models import MulT
from mmlego.models.token_models.mult import CrossLayer, CrossStack, sinusoids


def test_every_target_asks_every_other_modality(make):
    model = make(MulT, layers=3, memory_layers=2)
    assert {t: list(s) for t, s in model.ask.items()} == {
        "lab": ["note", "code"],
        "note": ["lab", "code"],
        "code": ["lab", "note"],
    }
    assert len(model.ask["lab"]["note"].layers) == 3
    assert len(model.memory["lab"].layers) == 2
    # What two sources said stands side by side, and so do three targets.
    assert model.memory["lab"].norm.normalized_shape == (32,)
    assert model.head.linear.in_features == 3 * 32
    with pytest.raises(SettingsError, match="memory_layers"):
        make(MulT, memory_layers=0)


def test_parameters_of_a_layer():
    layer = CrossLayer(16, 2, dropout=0.0)
    count = sum(p.numel() for p in layer.parameters())
    assert count == 4 * 16**2 + (2 * 4 * 16**2 + 5 * 16) + 2 * 2 * 16


def test_a_layer_asks_with_one_norm_for_both_sides():
    layer, x, source = CrossLayer(4, 1, dropout=0.0), torch.randn(2, 3, 4), torch.randn(2, 5, 4)
    asks, told = (F.layer_norm(t, (4,)) for t in (x, source))
    query, key, value = (
        t @ to.weight.T
        for t, to in (
            (asks, layer.attention.to_query),
            (told, layer.attention.to_key),
            (told, layer.attention.to_value),
        )
    )
    weights = (query @ key.mT / 2).softmax(dim=-1)
    expected = x + weights @ value @ layer.attention.to_out.weight.T
    expected = expected + layer.contract(torch.relu(layer.expand(F.layer_norm(expected, (4,)))))
    torch.testing.assert_close(layer(x, source), expected)


def test_sources_stay_as_they_are_while_a_target_asks_and_memory_asks_itself():
    stack, x, source = CrossStack(4, 1, 2, 0.0).eval(), torch.randn(2, 3, 4), torch.randn(2, 3, 4)
    asks, told = (2 * t + sinusoids(t) for t in (x, source))
    expected = stack.norm(stack.layers[1](stack.layers[0](asks, told), told))
    torch.testing.assert_close(stack(x, source), expected)
    first = stack.layers[0](asks, asks)
    torch.testing.assert_close(stack(x, x), stack.norm(stack.layers[1](first, first)))


def test_sinusoids_run_from_the_shortest_wave_to_the_longest():
    waves = sinusoids(torch.zeros(1, 6, 8, dtype=torch.float64))
    place = torch.arange(6, dtype=torch.float64)
    torch.testing.assert_close(waves[:, 0], place.sin())
    torch.testing.assert_close(waves[:, 7], (place / 1e4).cos())
    torch.testing.assert_close(waves[:, 1], (place / 1e4 ** (1 / 3)).sin())
    assert math.isclose(waves.square().sum(dim=1).mean(), 4.0)
    assert (sinusoids(torch.zeros(1, 6, 3))[:, 2] == 0).all()


def test_an_absent_source_leaves_zeros(make, inputs, present):
    model, seen = make(MulT), {}
    for name, stack in model.memory.items():
        stack.register_forward_pre_hook(lambda _, args, name=name: seen.update({name: args[0]}))
    model(inputs, present)
    zero = {name: (x == 0).unflatten(-1, (2, 16)).all(dim=3).all(dim=1) for name, x in seen.items()}
    # Sources in the order of the modalities, without the target itself.
    assert zero["lab"].tolist() == [[False, False], [False, False], [True, False], [False, False]]
    assert zero["note"].tolist() == [[False, False], [True, False], [False, False], [False, False]]
    assert zero["code"].tolist() == [[False, False], [True, False], [False, True], [False, False]]


def test_learned_tokens_stand_in_for_an_absent_target(make, inputs, present):
    model = make(MulT)
    before = model(inputs, present)
    with torch.no_grad():
        model.front.tokenizers["lab"].absent += torch.randn(4, 16)
    changed = (model(inputs, present) - before).abs().amax(dim=1) > 1e-6
    assert changed.tolist() == [False, True, False, False]


def test_a_single_modality_asks_itself_alone(make, inputs):
    model = make(MulT, modalities=1)
    assert len(model.ask["lab"]) == 0
    inputs = {"lab": inputs["lab"]}
    tokens = model.front.read(inputs).tokens[:, 0]
    mean = model.memory["lab"](tokens, tokens).mean(dim=1)
    torch.testing.assert_close(model(inputs), model.head(mean))
