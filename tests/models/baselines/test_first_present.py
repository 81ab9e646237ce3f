import pytest
import torch
from torch import nn

from mmlego.errors import ModalityError
from mmlego.models.baselines import FirstPresent


class Constant(nn.Module):
    """Logits that name the model and echo its input."""

    def __init__(self, number: float) -> None:
        super().__init__()
        self.number = number

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.stack([x.sum(dim=1), torch.full((len(x),), self.number)], dim=1)


@pytest.fixture
def model() -> FirstPresent:
    return FirstPresent({"b": Constant(1.0), "a": Constant(2.0)})


@pytest.fixture
def inputs() -> dict[str, torch.Tensor]:
    return {"a": torch.arange(6.0).view(3, 2), "b": torch.arange(9.0).view(3, 3)}


def test_first_in_order_that_is_present_answers(model, inputs):
    present = {"b": torch.tensor([True, False, True]), "a": torch.tensor([True, True, False])}
    logits = model(inputs, present)
    assert logits[:, 1].tolist() == [1.0, 2.0, 1.0]
    assert logits[:, 0].tolist() == [3.0, 5.0, 21.0]


def test_absent_rows_may_hold_anything(model, inputs):
    present = {"b": torch.tensor([True, False, True])}
    before = model(inputs, present)
    inputs["b"][1] = float("nan")
    assert torch.equal(model(inputs, present), before)


def test_without_presence_the_first_answers_for_all(model, inputs):
    assert model(inputs)[:, 1].tolist() == [1.0, 1.0, 1.0]


def test_a_modality_left_out_is_missing(model, inputs):
    assert model({"a": inputs["a"]})[:, 1].tolist() == [2.0, 2.0, 2.0]


def test_errors_name_the_problem(model, inputs):
    with pytest.raises(ModalityError, match="at least one model"):
        FirstPresent({})
    with pytest.raises(ModalityError, match="of \\['b', 'a'\\], got 'c'"):
        model({"c": inputs["a"]})
    nothing = {name: torch.tensor([True, True, False]) for name in inputs}
    with pytest.raises(ModalityError, match=r"got none in rows \[2\]"):
        model(inputs, nothing)
