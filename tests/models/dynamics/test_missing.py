"""What stands in for an absent table or bag, and how a modality is dropped exactly."""

from __future__ import annotations

import pytest
import torch

from mmlego.models.dynamics import MMDynamics, MMStatic

WIDTHS = {"rna": 3, "img": 2}
KINDS = {"rna": "tabular", "img": "bag"}
MEANS = {"rna": [1.0, -2.0, 3.0], "img": [4.0, 5.0]}
HERE = torch.tensor([True, False, True])


@pytest.fixture
def inputs():
    return {"rna": torch.randn(3, 3), "img": torch.randn(3, 4, 2)}


@pytest.fixture(params=[MMDynamics, MMStatic])
def owner(request):
    return request.param


def make(owner, **options):
    return owner(WIDTHS, 2, kinds=KINDS, hidden=8, **options).eval()


@pytest.mark.parametrize(
    ("options", "filled"),
    [
        ({}, {"rna": [0.0] * 3, "img": [0.0] * 2}),
        ({"means": MEANS}, MEANS),
        ({"means": {"img": MEANS["img"]}}, {"rna": [0.0] * 3, "img": MEANS["img"]}),
        ({"missing_fill": "zero", "means": MEANS}, {"rna": [0.0] * 3, "img": [0.0] * 2}),
        ({"missing_fill": "grey"}, {"rna": [0.5] * 3, "img": [0.5] * 2}),
    ],
)
@pytest.mark.parametrize("name", WIDTHS)
def test_what_stands_in(owner, options, filled, name, inputs):
    model = make(owner, **options)
    values = inputs[name].clone()
    values[1] = torch.tensor(filled[name])
    expected = model(inputs | {name: values})
    values[1] = float("nan")
    torch.testing.assert_close(model(inputs | {name: values}, {name: HERE}), expected)
    rest = {n: x[1:2] for n, x in inputs.items() if n != name}
    torch.testing.assert_close(model(rest), expected[1:2])


def test_means_belong_to_the_saved_state(owner, inputs):
    model, other = make(owner, means=MEANS), make(owner)
    other.load_state_dict(model.state_dict())
    torch.testing.assert_close(other(inputs, {"rna": HERE}), model(inputs, {"rna": HERE}))
    assert (
        make(owner, means=MEANS)
        .double()({n: x.double() for n, x in inputs.items()}, {"rna": HERE})
        .dtype
        == torch.float64
    )


@pytest.mark.parametrize("name", WIDTHS)
def test_a_masked_weight_drops_a_modality_exactly(owner, name, inputs):
    model, filled = make(owner, mask_weight=True, means=MEANS), make(owner, means=MEANS)
    filled.load_state_dict(model.state_dict())
    torch.testing.assert_close(model(inputs), filled(inputs))
    kept = model(inputs, {name: HERE})
    assert not torch.allclose(kept[1], filled(inputs, {name: HERE})[1])
    with torch.no_grad():
        columns = slice(0, 8) if name == "rna" else slice(8, 16)
        filled.head.weight[:, columns] = 0.0
    torch.testing.assert_close(kept[1], filled(inputs)[1])
    torch.testing.assert_close(kept[HERE], model(inputs)[HERE])


def test_explanations_tell_what_was_made_of_the_stand_in(inputs):
    model = make(MMDynamics, means=MEANS)
    shown = model.explain(inputs, {"rna": HERE, "img": HERE.roll(1)})
    mean = torch.tensor([MEANS["rna"]])
    alone = model.explain({"rna": mean})
    torch.testing.assert_close(shown.confidence["rna"][1], alone.confidence["rna"][0])
    torch.testing.assert_close(shown.gates["rna"][1], alone.gates["rna"][0])
    bag = model.explain({"rna": mean}).gates["img"]
    assert bag.shape == (1, 1, 2)
    torch.testing.assert_close(shown.gates["img"][2], bag[0].expand(4, -1))
