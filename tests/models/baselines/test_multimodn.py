from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from mmlego.data import load_cohort, make_fold, make_splits
from mmlego.errors import ModalityError, SettingsError
from mmlego.learning import ClassificationObjective, FitSettings, fit, mean_loss
from mmlego.models.baselines.multimodn import MultiModN

WIDTHS = {"rna": 5, "img": 4}
KINDS = {"rna": "tabular", "img": "bag"}
SMALL = {"state_width": 7, "hidden": (6, 3)}


@pytest.fixture(autouse=True)
def _seeded():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        yield


@pytest.fixture
def inputs():
    return {"rna": torch.randn(4, 5), "img": torch.randn(4, 3, 4)}


@pytest.fixture
def present():
    return {
        "rna": torch.tensor([True, False, True, True]),
        "img": torch.tensor([True, True, False, True]),
    }


@pytest.fixture
def target():
    return {"label": torch.tensor([0, 1, 1, 0])}


def cross_entropy(logits, target):
    return F.cross_entropy(logits, target["label"])


def revealing(**options):
    """A model whose logits are its states."""
    model = MultiModN(WIDTHS, 7, kinds=KINDS, **SMALL, **options).eval()
    with torch.no_grad():
        model.decoder.weight.copy_(torch.eye(7))
        model.decoder.bias.zero_()
    return model


def states_of(model, inputs, present):
    """s_0, s_1, s_2, each found by leaving out what comes later."""
    first = model.state.expand(4, -1)
    with_rna = torch.where(present["rna"][:, None], model({"rna": inputs["rna"]}), first)
    return torch.stack([first, with_rna, model(inputs, present)])


def test_the_published_sizes():
    model = MultiModN({"rna": 30}, 4)
    assert model.state.shape == (1000,)
    shapes = [tuple(p.shape) for p in model.encoders["rna"].parameters() if p.ndim == 2]
    assert shapes == [(512, 30), (256, 512), (128, 256), (64, 128)]
    assert model.updates["rna"].weight.shape == (1000, 1064)
    assert model.decoder.weight.shape == (4, 1000)


def test_an_update_reads_features_and_state_side_by_side(inputs):
    model = revealing()
    features = model.encoders["rna"](inputs["rna"])
    joined = torch.cat([features, model.state.expand(4, -1)], dim=1)
    expected = joined @ model.updates["rna"].weight.T + model.updates["rna"].bias
    torch.testing.assert_close(model({"rna": inputs["rna"]}), expected)
    features = torch.stack([model.encoders["img"](bag).mean(dim=0) for bag in inputs["img"]])
    expected = model.updates["img"](torch.cat([features, expected], dim=1))
    torch.testing.assert_close(model(inputs), expected)


def test_a_sample_keeps_its_state_past_an_absent_modality(inputs, present):
    states = states_of(revealing(state_activation="relu"), inputs, present)
    changed = (states[1:] != states[:-1]).any(dim=2)
    assert changed.tolist() == [[True, False, True, True], [True, True, False, True]]


def test_auxiliary_terms_complete_the_objective(inputs, present, target):
    model = revealing(err_penalty=0.7, state_change_penalty=3.0)
    logits, terms = model.forward_with_auxiliary(inputs, present, None, target, cross_entropy)
    torch.testing.assert_close(logits, model(inputs, present))
    states = states_of(model, inputs, present)
    losses = [F.cross_entropy(state, target["label"]) for state in states]
    error = 0.7 * sum(losses) / 3
    torch.testing.assert_close(terms["states"] + cross_entropy(logits, target), error)
    changes = ((states[1] - states[0]) ** 2).mean() + ((states[2] - states[1]) ** 2).mean()
    torch.testing.assert_close(terms["state_change"], 0.01 * 3.0 * changes / 2)


def test_the_penalty_on_change_is_off_by_default(inputs, target):
    terms = MultiModN(WIDTHS, 2, kinds=KINDS).forward_with_auxiliary(
        inputs, None, None, target, cross_entropy
    )[1]
    assert list(terms) == ["states"]


def test_the_last_modality_learns_from_its_own_state_only(inputs, target):
    model = MultiModN(WIDTHS, 2, kinds=KINDS, **SMALL)
    _, terms = model.forward_with_auxiliary(inputs, None, None, target, cross_entropy)
    own = torch.autograd.grad(terms["states"], model.updates["img"].weight, retain_graph=True)[0]
    total = torch.autograd.grad(cross_entropy(model(inputs), target), model.updates["img"].weight)[
        0
    ]
    # of three states only the last depends on it: 1/3 L_2 - L_2
    torch.testing.assert_close(own, -2 / 3 * total)


@pytest.mark.parametrize(("activation", "additive"), [("none", True), ("relu", False)])
def test_without_activation_modalities_only_add_up(inputs, activation, additive):
    model = MultiModN(WIDTHS, 2, kinds=KINDS, state_activation=activation, **SMALL).double().eval()
    first = {name: x.double() for name, x in inputs.items()}
    second = {name: x.double().flip(0) * 3 for name, x in inputs.items()}
    mixed = [{"rna": a["rna"], "img": b["img"]} for a in (first, second) for b in (first, second)]
    interaction = sum(s * model(x) for s, x in zip((1, -1, -1, 1), mixed, strict=True))
    assert (interaction.abs().max() < 1e-12) == additive


def test_the_order_of_updates_is_that_of_the_widths(inputs):
    torch.manual_seed(3)
    model = MultiModN(WIDTHS, 2, kinds=KINDS, **SMALL).eval()
    swapped = MultiModN(dict(reversed(WIDTHS.items())), 2, kinds=KINDS, **SMALL).eval()
    swapped.load_state_dict(model.state_dict())
    assert not torch.allclose(model(inputs), swapped(inputs))
    shuffled = dict(reversed(inputs.items()))
    assert torch.equal(model(shuffled), model(inputs))


@pytest.mark.parametrize("names", [("tab",), ("bag", "series"), ("tab", "bag", "series")])
def test_trains_on_any_modalities_with_its_auxiliary_terms(names):
    cohort = load_cohort(
        "synthetic", task="classification", n=400, shared=0, unique=1.0, missing=0.1, noise=0.1
    )
    fold = make_fold(cohort, make_splits(cohort)[0])
    parts = {part: samples.select(names).where_present() for part, samples in fold.parts().items()}
    widths = {name: fold.widths[name] for name in names}
    model = MultiModN(widths, 2, kinds=fold.kinds, state_width=50, hidden=(64, 32))
    objective = ClassificationObjective(2)
    before = mean_loss(model, parts["test"], objective)
    settings = FitSettings(epochs=10, learning_rate=1e-3, l1=0.0, patience=None)
    result = fit(model, parts["train"], parts["val"], objective, settings=settings, seed=1)
    assert mean_loss(model, parts["test"], objective) < before - 0.03
    assert "aux_states" in result.history[0]


def test_refuses_what_it_cannot_build():
    with pytest.raises(ModalityError, match="widths by modality name"):
        MultiModN({}, 2)
    with pytest.raises(SettingsError, match=r"kinds\['img'\].*'image'"):
        MultiModN(WIDTHS, 2, kinds=KINDS | {"img": "image"})
    with pytest.raises(SettingsError, match="state_activation"):
        MultiModN(WIDTHS, 2, state_activation="tanh")
    with pytest.raises(SettingsError, match="err_penalty"):
        MultiModN(WIDTHS, 2, err_penalty=-1.0)
    with pytest.raises(SettingsError, match="layers"):
        MultiModN(WIDTHS, 2, hidden=())
