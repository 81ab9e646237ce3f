from __future__ import annotations

import pytest
import torch

from mmlego.errors import ShapeError
from mmlego.models.encoders import ABMIL, ABMILEncoder, GatedAttention

SMALL = {"embed_dim": 12, "attn_dim": 6, "out_dim": 8}


@pytest.fixture
def encoder():
    return ABMILEncoder(5, **SMALL).eval()


def test_gated_attention_matches_the_reference(reference, gen):
    case = reference["gated_attention"]
    attention = GatedAttention(3, 2).double().eval()
    with torch.no_grad():
        attention.content.weight.copy_(gen((2, 3), 1.0))
        attention.gate.weight.copy_(gen((2, 3), 2.0))
        attention.score.weight.copy_(gen((2,), 3.0)[None])
        for layer in (attention.content, attention.gate, attention.score):
            layer.bias.zero_()
        h = gen((2, 4, 3), 0.5, 1.0)
        weights = attention(h, torch.tensor(case["mask"]).bool())
    expected = torch.tensor(case["attention"], dtype=torch.float64)
    torch.testing.assert_close(weights, expected, atol=1e-6, rtol=0)
    pooled = (weights[..., None] * h).sum(dim=1)
    expected = torch.tensor(case["pooled"], dtype=torch.float64)
    torch.testing.assert_close(pooled, expected, atol=1e-6, rtol=0)


@pytest.mark.parametrize("b", [1, 3])
def test_shapes(b):
    assert ABMIL(5, 4)(torch.randn(b, 7, 5)).shape == (b, 4)
    assert ABMILEncoder(5)(torch.randn(b, 7, 5)).shape == (b, 256)


def test_attention_sums_to_one_within_a_bag(encoder):
    mask = torch.tensor([[1, 1, 0], [1, 1, 1]]).bool()
    weights = encoder.attention(torch.randn(2, 3, 5), mask)
    torch.testing.assert_close(weights.sum(dim=1), torch.ones(2))
    assert weights[0, 2] == 0


def test_ignores_batch_mates(encoder):
    x = torch.randn(4, 6, 5)
    torch.testing.assert_close(encoder(x)[1:2], encoder(x[1:2]))


def test_ignores_the_order_of_instances(encoder):
    x = torch.randn(2, 6, 5)
    torch.testing.assert_close(encoder(x[:, torch.randperm(6)]), encoder(x))


@pytest.mark.parametrize("filling", [0.0, 1e6, float("nan"), float("inf")])
def test_ignores_padding_whatever_it_holds(encoder, filling):
    x = torch.randn(2, 4, 5)
    padded = torch.cat([x, torch.full((2, 3, 5), filling)], dim=1)
    mask = torch.arange(7).expand(2, 7) < 4
    torch.testing.assert_close(encoder(padded, mask), encoder(x))


def test_nan_padding_leaves_gradients_finite():
    model = ABMIL(5, 2, **SMALL)
    x = torch.randn(2, 4, 5)
    x[:, 3] = float("nan")
    model(x, torch.arange(4).expand(2, 4) < 3).sum().backward()
    assert all(torch.isfinite(p.grad).all() for p in model.parameters())


def test_a_table_is_a_bag_of_one(encoder):
    x = torch.randn(3, 5)
    torch.testing.assert_close(encoder(x), encoder(x[:, None]))
    assert encoder.attention(x).tolist() == [[1.0]] * 3


def test_repeating_a_bag_changes_nothing(encoder):
    x = torch.randn(2, 4, 5)
    torch.testing.assert_close(encoder(x.repeat(1, 3, 1)), encoder(x))


def test_every_parameter_receives_gradient():
    model = ABMIL(5, 2, **SMALL)
    model(torch.randn(8, 4, 5)).square().sum().backward()
    # The last bias of the scores shifts all of them alike, which the softmax takes out again.
    blind = {"encoder.pool.score.bias"}
    reached = {n for n, p in model.named_parameters() if p.grad.abs().sum() > 1e-7}
    assert reached == {n for n, _ in model.named_parameters()} - blind


def test_overfits_32_bags(overfit):
    assert overfit(ABMIL(10, 2, embed_dim=64, dropout=0.0), torch.randn(32, 5, 10)) == 1.0


def test_refuses_a_bag_without_valid_instance(encoder):
    mask = torch.tensor([[True, True], [False, False]])
    with pytest.raises(ShapeError, match=r"valid instance in every bag.*\[1\]"):
        encoder(torch.zeros(2, 2, 5), mask)


@pytest.mark.parametrize("mask", [torch.ones(2, 3).bool(), torch.ones(2, 2)])
def test_refuses_other_masks(encoder, mask):
    with pytest.raises(ShapeError, match="bool mask"):
        encoder(torch.zeros(2, 2, 5), mask)


@pytest.mark.parametrize("shape", [(2, 3, 4), (2, 0, 5), (2, 3, 4, 5)])
def test_refuses_other_shapes(encoder, shape):
    with pytest.raises(ShapeError, match=r"expected \(b, n, 5\)"):
        encoder(torch.zeros(shape))
