from __future__ import annotations

import pytest
import torch
from torch import nn

from mmlego.errors import SettingsError, ShapeError
from mmlego.models.encoders import SNN, SNNEncoder


@pytest.mark.parametrize("b", [1, 3])
def test_shapes(b):
    assert SNNEncoder(21)(torch.randn(b, 21)).shape == (b, 256)
    assert SNNEncoder(21, widths=(256, 512)).out_dim == 512
    assert SNN(21, 4)(torch.randn(b, 21)).shape == (b, 4)


def test_activations_keep_zero_mean_and_unit_variance():
    encoder = SNNEncoder(400, widths=(400,) * 8, dropout=0.0).eval()
    out = encoder(torch.randn(2000, 400))
    assert abs(out.mean().item()) < 0.1
    assert out.var(dim=0).mean().item() == pytest.approx(1.0, abs=0.15)


def test_weights_start_with_variance_one_over_fan_in_and_biases_at_zero():
    linear = SNN(1000, 3).encoder.layers[0]
    assert linear.weight.std().item() == pytest.approx(1000**-0.5, rel=0.02)
    assert not linear.bias.any()


def test_elu_switch_replaces_every_activation():
    kinds = {type(m) for m in SNNEncoder(5, activation="elu").modules()}
    assert nn.ELU in kinds
    assert nn.SELU not in kinds
    assert nn.AlphaDropout in kinds


def test_ignores_batch_mates():
    model, x = SNN(7, 3).eval(), torch.randn(5, 7)
    torch.testing.assert_close(model(x)[2:3], model(x[2:3]))


def test_every_parameter_receives_gradient_and_inputs_stay():
    model, x = SNN(7, 3), torch.randn(4, 7)
    before = x.clone()
    model(x).sum().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in model.parameters())
    assert torch.equal(x, before)


def test_overfits_32_samples(overfit):
    assert overfit(SNN(20, 2, dropout=0.0), torch.randn(32, 20)) == 1.0


@pytest.mark.parametrize("x", [torch.zeros(2, 6), torch.zeros(2, 3, 7), torch.zeros(7)])
def test_refuses_other_shapes(x):
    with pytest.raises(ShapeError, match=r"expected \(b, 7\).*in_dim"):
        SNN(7, 2)(x)


def test_refuses_integers():
    with pytest.raises(ShapeError, match="floating point"):
        SNN(7, 2)(torch.zeros(2, 7, dtype=torch.int64))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"dropout": 1.0}, "dropout"),
        ({"activation": "relu"}, "activation"),
        ({"widths": ()}, "layers"),
        ({"widths": (3, 0)}, "widths"),
    ],
)
def test_refuses_bad_settings(options, words):
    with pytest.raises(SettingsError, match=words):
        SNNEncoder(7, **options)
