from __future__ import annotations

import pytest
import torch
from torch import nn

from mmlego.errors import SettingsError, ShapeError
from mmlego.lego import LegoBlock
from mmlego.models.encoders import ConvEncoder, ConvNet


@pytest.fixture
def stripes():
    """Images of noise on stripes that run across (label 0) or down (label 1), at random places."""

    def draw(n, side=16):
        label = torch.arange(n) % 2
        offset = torch.randint(0, 4, (n, 1))
        wave = ((torch.arange(side) + offset) % 4 < 2).float()
        across = wave[:, :, None].expand(n, side, side)
        image = torch.where(label[:, None, None] == 0, across, across.mT)
        return image[:, None].repeat(1, 3, 1, 1) + 0.3 * torch.randn(n, 3, side, side), label

    return draw


@pytest.mark.parametrize(("b", "h", "w"), [(1, 8, 8), (3, 9, 31), (2, 64, 64), (1, 8, 65)])
def test_shapes_for_any_height_and_width(b, h, w):
    x = torch.randn(b, 3, h, w)
    assert ConvEncoder(3)(x).shape == (b, 256)
    assert ConvNet(3, 4, out_dim=7)(x).shape == (b, 4)
    assert ConvEncoder(3, out_dim=7).out_dim == 7


def test_ignores_batch_mates_in_training_as_well():
    model, x = ConvNet(3, 2, dropout=0.0).train(), torch.randn(5, 3, 16, 16)
    x[3] *= 1e3
    torch.testing.assert_close(model(x)[2:3], model(x[2:3]))


def test_training_and_evaluation_differ_by_dropout_only():
    x = torch.randn(2, 3, 16, 16)
    model = ConvNet(3, 2, dropout=0.0)
    assert torch.equal(model.train()(x), model.eval()(x))
    model = ConvNet(3, 2, dropout=0.5)
    assert not torch.equal(model.train()(x), model.train()(x))
    assert torch.equal(model.eval()(x), model.eval()(x))


@pytest.mark.parametrize("widths", [(2,), (4, 4, 4), (5, 7, 3), (16, 32, 64, 64, 64)])
def test_images_stay_apart_however_far_they_shrink(widths):
    # a normalization of single channels at a single position would give every image the same
    encoding = ConvEncoder(1, widths=widths, dropout=0.0)(torch.randn(6, 1, 8, 8))
    assert encoding.std(dim=0).max() > 1e-3


def test_every_parameter_receives_gradient_and_inputs_stay():
    model, x = ConvNet(3, 2), torch.randn(4, 3, 16, 16)
    before = x.clone()
    model(x).square().sum().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in model.parameters())
    assert torch.equal(x, before)


def test_sees_the_direction_of_stripes_on_new_images(stripes):
    model, (x, label) = ConvNet(3, 2, widths=(8, 16), out_dim=16, dropout=0.0), stripes(64)
    adam = torch.optim.Adam(model.parameters(), lr=3e-3)
    for _ in range(60):
        loss = nn.functional.cross_entropy(model(x), label)
        adam.zero_grad()
        loss.backward()
        adam.step()
    fresh, truth = stripes(64)
    assert (model.eval()(fresh).argmax(dim=1) == truth).float().mean() > 0.95


def test_a_block_round_the_encoder_is_trained_and_told_apart_per_image(overfit):
    encoder = ConvEncoder(3, widths=(8, 16), out_dim=12, dropout=0.0)
    block = LegoBlock(
        encoder.out_dim,
        2,
        encoder=encoder,
        latent_channels=4,
        latent_dim=8,
        depth=2,
        heads=2,
        dim_head=8,
        attn_dropout=0.0,
        ff_dropout=0.0,
    )
    x = torch.randn(32, 3, 16, 16)
    assert block(x[:1]).shape == (1, 2)
    assert block.encode(x[:3]).shape == (3, 4, 8)
    before = encoder.stages[0][0].weight.clone()
    assert overfit(block, x, steps=150) >= 0.9
    assert not torch.equal(encoder.stages[0][0].weight, before)
    torch.testing.assert_close(block(x)[5:6], block(x[5:6]))


@pytest.mark.parametrize(
    "shape", [(2, 1, 16, 16), (2, 3, 7, 16), (2, 3, 16, 7), (3, 16, 16), (2, 16, 16, 3), (2, 3)]
)
def test_refuses_other_shapes(shape):
    with pytest.raises(ShapeError, match=r"expected \(b, 3, h, w\) with h and w of 8 or more"):
        ConvNet(3, 2)(torch.zeros(shape))


def test_refuses_integers():
    with pytest.raises(ShapeError, match=r"floating point.*uint8.*float\(\)"):
        ConvNet(3, 2)(torch.zeros(2, 3, 8, 8, dtype=torch.uint8))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"dropout": 1.0}, "dropout"),
        ({"widths": ()}, "stages"),
        ({"widths": (8, 0)}, r"widths\[1\]"),
        ({"widths": (8, 1)}, "widths of 2 or more"),
        ({"out_dim": 0}, "out_dim"),
    ],
)
def test_refuses_bad_settings(options, words):
    with pytest.raises(SettingsError, match=words):
        ConvEncoder(3, **options)
    with pytest.raises(SettingsError, match="n_outputs"):
        ConvNet(3, 0)
