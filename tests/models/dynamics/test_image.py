"""Images: the gate of patches, the encoder, flips, and what is refused."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from mmlego.errors import SettingsError, ShapeError
from mmlego.models.dynamics import MMDynamics, MMStatic
from mmlego.models.dynamics.image import ImageEncoder, ImageGate, random_flips

WIDTHS, KINDS = {"img": 3, "rna": 4}, {"img": "image", "rna": "tabular"}
LABEL = {"label": torch.tensor([0, 1])}


def cross_entropy(logits, target):
    return F.cross_entropy(logits, target["label"])


def make(**options):
    options = {"image_size": 32, "hidden": 10} | options
    return MMDynamics(WIDTHS, 2, kinds=KINDS, **options).eval()


@pytest.fixture
def inputs():
    return {"img": torch.rand(2, 3, 32, 32), "rna": torch.randn(2, 4)}


def size(module):
    return sum(p.numel() for p in module.parameters())


def test_published_numbers_of_parameters():
    assert size(ImageGate()) == 25_365
    assert size(ImageEncoder(64, 500)) == 1_118_292
    model = MMDynamics({"img": 3}, 4, kinds={"img": "image"}, hidden=500)
    assert size(model.branches["img"]) == 25_365 + 1_118_292


@pytest.mark.parametrize(("patch", "grid"), [(8, 8), (4, 16)])
def test_patches_share_a_weight(patch, grid):
    gate = ImageGate(patch)
    images = torch.rand(2, 3, 64, 64)
    small = []
    gate.decoder.register_forward_hook(lambda *given: small.append(given[-1]))
    heat = gate(images)
    assert small[0].shape == (2, 1, grid, grid)
    assert torch.unique(small[0]).numel() > 2 * grid
    spread = small[0].sigmoid().repeat_interleave(patch, dim=2).repeat_interleave(patch, dim=3)
    torch.testing.assert_close(heat, spread)


def test_the_gate_is_the_published_network():
    gate, x = ImageGate(), torch.rand(2, 3, 64, 64)
    first, second = gate.outer[0], gate.outer[2]
    outer = F.max_pool2d(second(first(x).relu()).relu(), 4)
    inner = F.max_pool2d(gate.inner[2](gate.inner[0](outer).relu()).relu(), 4)
    middle = gate.middle[2](gate.middle[0](inner).relu()).relu()
    assert (outer.shape[1:], inner.shape[1:]) == ((16, 16, 16), (32, 4, 4))
    assert middle.shape[1:] == (16, 4, 4)
    wide = middle.repeat_interleave(4, dim=2).repeat_interleave(4, dim=3)
    down, third, fourth, last = (m for m in gate.decoder if isinstance(m, nn.Conv2d))
    small = down(torch.cat([outer, wide], dim=1))
    assert small.shape[1:] == (8, 8, 8)
    heat = last(fourth(third(small).relu()).relu()).sigmoid()
    expected = heat.repeat_interleave(8, dim=2).repeat_interleave(8, dim=3)
    torch.testing.assert_close(gate(x), expected)


def test_some_gates_start_dead_and_stay_so():
    """Where both channels before the last convolution are 0, only its bias is ever trained."""
    images = torch.rand(2, 3, 64, 64)
    gates = (ImageGate() for _ in range(100))
    flat = [g for g in gates if (heat := g(images)).min() == heat.max()]
    assert 0 < len(flat) < 50
    flat[0](images).mean().backward()
    reached = [name for name, p in flat[0].named_parameters() if p.grad.any()]
    assert reached == ["decoder.5.bias"]


def test_the_encoder_is_the_published_network():
    encoder, x = ImageEncoder(32, 7), torch.rand(2, 3, 32, 32)
    first, second = (m for m in encoder if isinstance(m, nn.Conv2d))
    third, last = (m for m in encoder if isinstance(m, nn.Linear))
    small = F.max_pool2d(second(F.max_pool2d(first(x).relu(), 2)).relu(), 2)
    assert small.shape[1:] == (32, 8, 8)
    torch.testing.assert_close(encoder(x), last(third(small.flatten(1)).relu()))


def test_every_color_is_multiplied_by_the_same_weight(inputs):
    model = make()
    branch, shown = model.branches["img"], model.explain(inputs)
    gate = shown.gates["img"]
    assert gate.shape == (2, 1, 32, 32)
    weighted = torch.cat([gate * inputs["img"][:, c : c + 1] for c in range(3)], dim=1)
    torch.testing.assert_close(shown.hidden["img"], branch.encoder(weighted).relu())
    terms = model.forward_with_auxiliary(inputs, None, None, LABEL, cross_entropy)[1]
    expected = gate.mean() + shown.gates["rna"].mean()
    torch.testing.assert_close(terms["features"], expected)
    assert make(variant="modality").branches["img"].gate is None


def test_flips_turn_whole_images_and_all_four_ways():
    x = torch.arange(12.0).view(1, 1, 3, 4).expand(400, 2, 3, 4)
    turned = random_flips(x)
    ways = {(): x[0], (-1,): x[0].flip(-1), (-2,): x[0].flip(-2), (-1, -2): x[0].flip(-1, -2)}
    counts = [int((turned == way).flatten(1).all(dim=1).sum()) for way in ways.values()]
    assert sum(counts) == 400
    assert min(counts) > 60


def test_flips_happen_in_training_only(inputs):
    model = make(dropout=0.0)
    assert torch.equal(model(inputs), model(inputs))
    straight = model(inputs)
    model.train()
    drawn = torch.stack([model(inputs) for _ in range(20)])
    assert torch.unique(drawn[:, 0], dim=0).shape[0] > 2
    assert torch.isclose(drawn, straight).all(dim=2).any(dim=0).all()
    assert torch.equal(model.explain(inputs).logits, straight)
    tables = {"rna": inputs["rna"]}  # the grey image that stands in has no direction
    torch.testing.assert_close(model(tables), model(tables))


@pytest.mark.parametrize("owner", [MMDynamics, MMStatic])
def test_an_absent_image_is_grey_unless_told_otherwise(owner, inputs):
    present = {"img": torch.tensor([True, False])}
    for options, value in (
        ({}, 0.5),
        ({"missing_fill": "grey"}, 0.5),
        ({"missing_fill": "zero"}, 0.0),
        ({"means": {"img": [0.25] * 3}}, 0.25),
    ):
        model = owner(WIDTHS, 2, kinds=KINDS, image_size=32, hidden=10, **options).eval()
        images = inputs["img"].clone()
        images[1] = value
        expected = model(inputs | {"img": images})
        images[1] = float("nan")
        torch.testing.assert_close(model(inputs | {"img": images}, present), expected)
        left_out = model({"rna": inputs["rna"]})
        torch.testing.assert_close(left_out[1], expected[1])


def test_pixels_count_where_an_image_is_present_only(inputs):
    model, present = make(), {"img": torch.tensor([True, False])}
    wild = inputs["img"].clone()
    wild[1] = -7.0
    model(inputs | {"img": wild}, present)
    for value in (-0.01, 1.01, 255.0):
        wild[0, 0, 0, 0] = value
        with pytest.raises(ShapeError, match=r"modality 'img': expected values in \[0, 1\]"):
            model(inputs | {"img": wild}, present)


def test_refuses_images_of_another_form(inputs):
    model = make()
    for shape, message in (
        ((2, 3, 64, 64), "images of 32 x 32 pixels, got 64 x 64"),
        ((2, 3, 32, 48), "got 32 x 48"),
        ((2, 1, 32, 32), r"expected \(b, 3, h, w\)"),
        ((2, 32, 32), r"expected \(b, 3, h, w\)"),
    ):
        with pytest.raises(ShapeError, match=f"modality 'img': .*{message}"):
            model(inputs | {"img": torch.rand(shape)})
    with pytest.raises(ShapeError, match="floating point"):
        model(inputs | {"img": torch.zeros(2, 3, 32, 32, dtype=torch.uint8)})
    with pytest.raises(SettingsError, match="modality 'img': expected images of 3 channels.*1"):
        MMDynamics({"img": 1}, 2, kinds={"img": "image"})


def test_images_reach_every_part(inputs):
    model = make(hidden=60).train()
    logits, terms = model.forward_with_auxiliary(inputs, None, None, LABEL, cross_entropy)
    (cross_entropy(logits, LABEL) + sum(terms.values())).backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad.abs().sum() > 0, name
