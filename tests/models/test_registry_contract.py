"""What holds for every multimodal baseline, whatever its method."""

from __future__ import annotations

import copy
import re

import pytest
import torch
from contract_models import MODELS
from torch.nn import functional as F

from mmlego.errors import ModalityError, ShapeError

ROWS = 4
TOLERANCE = {"atol": 2e-6, "rtol": 2e-5}


@pytest.fixture(params=sorted(MODELS))
def small(request):
    return MODELS[request.param]


@pytest.fixture
def model(small):
    return small.make()


@pytest.fixture
def inputs(small):
    return small.batch(ROWS)


@pytest.fixture
def bags(small):
    return [name for name, kind in small.kinds.items() if kind != "tabular"]


def everybody(names):
    return {name: torch.ones(ROWS, dtype=torch.bool) for name in names}


def holes(inputs):
    """Sample i lacks modality i, and NaN stands in its place."""
    present = everybody(inputs)
    values = {name: x.clone() for name, x in inputs.items()}
    for row, name in enumerate(inputs):
        present[name][row] = False
        values[name][row] = float("nan")
    return values, present


def padded(inputs, bags, filling):
    """The same bags with two more rows at the end, and masks that say so."""
    values, masks = dict(inputs), {}
    for name in bags:
        x = inputs[name]
        values[name] = torch.cat([x, torch.full((ROWS, 2, x.shape[2]), filling)], dim=1)
        masks[name] = torch.arange(x.shape[1] + 2).expand(ROWS, -1) < x.shape[1]
    return values, masks


def test_every_modality_matters(model, inputs):
    before = model(inputs)
    assert before.shape == (ROWS, 3)
    for name in inputs:
        changed = inputs | {name: inputs[name].flip(0) + 1.0}
        assert ((model(changed) - before).abs().amax(dim=1) > 1e-5).all(), name


def test_an_absent_modality_influences_nothing(model, inputs):
    values, present = holes(inputs)
    logits = model(values, present)
    for row in range(ROWS):
        own = {n: x[row : row + 1] for n, x in inputs.items() if present[n][row]}
        torch.testing.assert_close(logits[row : row + 1], model(own), **TOLERANCE)


def test_absent_rows_leave_gradients_finite(model, inputs):
    values, present = holes(inputs)
    model.train()(values, present).square().sum().backward()
    assert all(torch.isfinite(p.grad).all() for p in model.parameters() if p.grad is not None)


@pytest.mark.parametrize("filling", [0.0, 1e6, float("nan"), float("inf")])
def test_padding_influences_nothing(model, inputs, bags, filling):
    values, masks = padded(inputs, bags, filling)
    torch.testing.assert_close(model(values, masks=masks), model(inputs), **TOLERANCE)


def test_a_bag_may_be_shorter_than_its_mates(model, inputs, bags):
    masks = {name: torch.ones(inputs[name].shape[:2], dtype=torch.bool) for name in bags}
    for mask in masks.values():
        mask[1, 2:] = False
    short = {n: x[1:2, :2] if n in bags else x[1:2] for n, x in inputs.items()}
    torch.testing.assert_close(model(inputs, masks=masks)[1:2], model(short), **TOLERANCE)


@pytest.mark.parametrize("row", range(ROWS))
def test_batch_mates_influence_nothing_and_one_sample_is_a_batch(model, inputs, row):
    alone = model({name: x[row : row + 1] for name, x in inputs.items()})
    torch.testing.assert_close(alone, model(inputs)[row : row + 1], **TOLERANCE)


def test_inputs_stay_as_they_were(model, inputs, bags):
    values, masks = padded(inputs, bags, float("nan"))
    present = everybody(inputs)
    present[next(iter(present))][0] = False
    before = copy.deepcopy((values, present, masks))
    model.train()(values, present, masks)
    torch.testing.assert_close((values, present, masks), before, equal_nan=True, rtol=0, atol=0)


def test_a_forward_pass_leaves_the_state_alone(small, model):
    before = copy.deepcopy(model.state_dict())
    for rows in (2, 5):
        model.train()(small.batch(rows))
    after = model.state_dict()
    assert list(after) == list(before)
    for name, value in before.items():
        assert torch.equal(after[name], value), name


def test_evaluation_has_no_chance_in_it(model, inputs):
    assert torch.equal(model(inputs), model(inputs))
    assert not torch.equal(model.train()(inputs), model(inputs))


def test_every_parameter_receives_gradient(small, model, inputs):
    model.train()(inputs).square().sum().backward()
    blind = {n for n, _ in model.named_parameters() if re.match(small.blind, n)}
    reached = {
        n for n, p in model.named_parameters() if p.grad is not None and p.grad.abs().sum() > 1e-7
    }
    assert reached == {n for n, _ in model.named_parameters()} - blind


def test_refuses_a_sample_without_any_modality(model, inputs):
    present = everybody(inputs)
    for flag in present.values():
        flag[2] = False
    with pytest.raises(ModalityError, match=r"rows \[2\]"):
        model(inputs, present)
    with pytest.raises(ModalityError, match="no modality"):
        model({})


def test_a_bag_without_valid_instance_is_absent(model, inputs, bags):
    for name in bags:
        mask = torch.ones(inputs[name].shape[:2], dtype=torch.bool)
        mask[1] = False
        absent = everybody(inputs)
        absent[name][1] = False
        torch.testing.assert_close(
            model(inputs, masks={name: mask}), model(inputs, absent), **TOLERANCE
        )
        with pytest.raises(ModalityError, match=r"rows \[1\]"):
            model({name: inputs[name]}, masks={name: mask})


def test_refuses_an_unknown_modality(model, inputs):
    with pytest.raises(ModalityError, match="'methylation'"):
        model(inputs | {"methylation": torch.randn(ROWS, 2)})


def test_refuses_another_width_and_names_the_modality(model, inputs):
    for name, x in inputs.items():
        with pytest.raises(ShapeError, match=f"modality '{name}'"):
            model(inputs | {name: x[..., :-1]})


def test_refuses_masks_that_do_not_fit(model, inputs, bags):
    for name in bags:
        for mask in (torch.ones(ROWS, 1).bool(), torch.ones(inputs[name].shape[:2])):
            with pytest.raises(ShapeError, match=f"modality '{name}'.*bool mask"):
                model(inputs, masks={name: mask})


def test_can_be_copied_after_training_steps(model, inputs):
    model.train()(inputs).square().sum().backward()
    twin = copy.deepcopy(model).eval()
    torch.testing.assert_close(twin(inputs), model.eval()(inputs))


def test_leaving_a_modality_out_equals_its_absence(model, inputs):
    for name in inputs:
        absent = {name: torch.zeros(ROWS, dtype=torch.bool)}
        rest = {n: x for n, x in inputs.items() if n != name}
        torch.testing.assert_close(model(rest), model(inputs, absent), **TOLERANCE)


def test_additive_models_and_no_others_only_add_modalities_up(small, model, inputs):
    model = model.double()
    first = {name: x.double() for name, x in inputs.items()}
    second = {name: x.flip(0) * 3 for name, x in first.items()}
    one, *rest = inputs
    mixed = [
        {one: a[one]} | {n: b[n] for n in rest} for a in (first, second) for b in (first, second)
    ]
    interaction = sum(s * model(x) for s, x in zip((1, -1, -1, 1), mixed, strict=True))
    assert (interaction.abs().max() < 1e-10) == small.additive


def _exclusive_or(rows, seed):
    """A table and a bag whose signs agree (1) or not (0); neither says anything alone."""
    generator = torch.Generator().manual_seed(seed)
    signs = torch.randint(0, 2, (2, rows), generator=generator) * 2.0 - 1.0
    table = 0.3 * torch.randn(rows, 5, generator=generator)
    bag = 0.3 * torch.randn(rows, 6, 4, generator=generator)
    table[:, 0] += signs[0]
    bag[:, :, 0] += signs[1, :, None]
    return {"rna": table, "img": bag}, (signs[0] == signs[1]).long()


@pytest.mark.parametrize("name", sorted(n for n, small in MODELS.items() if not small.additive))
def test_learns_what_only_both_modalities_tell(name):
    model = MODELS[name].make(("rna", "img"), n_outputs=2).train()
    inputs, label = _exclusive_or(128, seed=0)
    adam = torch.optim.Adam(model.parameters(), lr=3e-3)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        for _ in range(200):
            loss = F.cross_entropy(model(inputs), label)
            if loss.item() < 0.05:
                break  # learned by heart; what follows asks whether it was understood
            adam.zero_grad()
            loss.backward()
            adam.step()
    inputs, label = _exclusive_or(256, seed=1)
    with torch.no_grad():
        right = model.eval()(inputs).argmax(dim=1) == label
    assert right.float().mean() > 0.9
