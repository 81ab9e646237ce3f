from __future__ import annotations

import pytest
import torch
from torch import nn

from mmlego.errors import SettingsError
from mmlego.learning.loop import fit
from mmlego.learning.objectives import ClassificationObjective, SurvivalObjective
from mmlego.learning.output_bias import base_rate_logits, output_layers, start_at_base_rate
from mmlego.learning.settings import FitSettings

BINARY, BINS = ClassificationObjective(2), SurvivalObjective(4)


def _constant_loss(logits, train, objective):
    return objective.loss(logits.expand(len(train), -1), train.target)


def _with_labels(classes, counts):
    train = classes(sum(counts))
    train.target["label"] = torch.repeat_interleave(torch.arange(len(counts)), torch.tensor(counts))
    return train


def test_classes_start_at_their_shares(classes):
    counts = (24, 12, 4)
    logits = base_rate_logits(_with_labels(classes, counts), ClassificationObjective(3))
    expected = torch.tensor(counts).double().log()
    torch.testing.assert_close(
        logits - logits.mean(), expected - expected.mean(), atol=0.03, rtol=0
    )


def test_hazards_start_at_events_over_those_at_risk(patients):
    """A sample that is censored in a bin passes it, and so is at risk there."""
    train = patients(80)
    bins, event = train.target["time_bin"], train.target["event"]
    expected = torch.tensor(
        [float((event & (bins == j)).sum() / (bins >= j).sum()) for j in range(4)]
    )
    assert 0.05 < expected.min() < expected.max() < 0.95
    found = base_rate_logits(train, BINS).sigmoid().float()
    torch.testing.assert_close(found, expected, atol=0.01, rtol=0)


@pytest.mark.parametrize("kind", ["classes", "patients"])
def test_no_other_constant_has_a_lower_loss(request, kind):
    train = request.getfixturevalue(kind)(60)
    objective = BINARY if kind == "classes" else BINS
    logits = base_rate_logits(train, objective)
    best = _constant_loss(logits, train, objective)
    for column in range(objective.n_outputs):
        for step in (-0.3, 0.3):
            moved = logits + step * torch.eye(objective.n_outputs).double()[column]
            assert _constant_loss(moved, train, objective) > best


def test_outcome_that_never_happens_has_a_finite_logit(classes):
    train = _with_labels(classes, (30, 10))
    logits = base_rate_logits(train, ClassificationObjective(3))
    assert torch.isfinite(logits).all()
    assert logits.softmax(0)[2] < 0.02


def test_weights_of_classes_count(classes):
    """Weights that undo the imbalance leave nothing to start from."""
    train = _with_labels(classes, (30, 10))
    logits = base_rate_logits(train, ClassificationObjective(2, [1.0, 3.0]))
    torch.testing.assert_close(logits[0], logits[1], atol=1e-3, rtol=0)


def test_only_the_bias_of_the_output_changes(net, classes):
    model, train = net(), _with_labels(classes, (30, 10))
    before = {name: value.clone() for name, value in model.state_dict().items()}
    start_at_base_rate(model, train, BINARY)
    changed = {name for name, value in model.state_dict().items() if (value != before[name]).any()}
    assert changed == {"head.bias"}
    assert model.head.bias.requires_grad
    torch.testing.assert_close(model.head.bias.detach(), base_rate_logits(train, BINARY).float())


def test_output_layers_are_known_by_name_and_width():
    class Headed(nn.Module):
        def __init__(self):
            super().__init__()
            self.linear = nn.Linear(3, 2)

    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.head = Headed()
            self.decoder = nn.Linear(4, 2)
            self.inner = nn.Linear(4, 2)
            self.branch = nn.ModuleDict({"head": nn.Linear(4, 7)})
            self.bare = nn.ModuleDict({"head": nn.Linear(4, 2, bias=False)})

    model = Model()
    assert output_layers(model, 2) == [model.head.linear, model.decoder]


def test_model_without_an_output_layer_is_refused(classes):
    model = nn.Sequential(nn.Linear(5, 2))
    with pytest.raises(SettingsError, match="Sequential.*2 outputs.*output_bias='as_built'"):
        start_at_base_rate(model, classes(), BINARY)


@pytest.mark.parametrize("start", ["as_built", "base_rate"])
def test_training_starts_where_the_settings_say(net, classes, start):
    model, train = net(), _with_labels(classes, (30, 10))
    built = model.head.bias.detach().clone()
    settings = FitSettings(epochs=0, patience=None, output_bias=start)
    fit(model, train, None, BINARY, settings=settings, seed=1, device="cpu")
    expected = built if start == "as_built" else base_rate_logits(train, BINARY).float()
    torch.testing.assert_close(model.head.bias.detach(), expected)


def test_the_rate_is_that_of_the_training_part_alone(net, classes):
    train, val = _with_labels(classes, (30, 10)), _with_labels(classes, (2, 18))
    model = net()
    settings = FitSettings(epochs=0, output_bias="base_rate")
    fit(model, train, val, BINARY, settings=settings, seed=1, device="cpu")
    torch.testing.assert_close(model.head.bias.detach(), base_rate_logits(train, BINARY).float())
