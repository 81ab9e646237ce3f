from __future__ import annotations

import inspect
import math

import pytest
import torch
from torch import nn

from mmlego.errors import DataError, MMLegoError, SettingsError, TrainingError
from mmlego.learning.classification_metrics import macro_f1
from mmlego.learning.fit import fit, mean_loss
from mmlego.learning.objectives import ClassificationObjective, SurvivalObjective
from mmlego.learning.penalty import add_l1_gradient, l1_parameters, l1_value
from mmlego.learning.predict import predict_logits
from mmlego.learning.settings import FitSettings

OBJECTIVE = ClassificationObjective(2)


def quick(**changes):
    return FitSettings(**({"epochs": 5, "batch_size": 16, "l1": 0.0, "patience": None} | changes))


def run(model, train, val=None, *, seed=1, objective=OBJECTIVE, **changes):
    options = {k: changes.pop(k) for k in ("log", "on_epoch") if k in changes}
    settings = quick(**changes)
    return fit(model, train, val, objective, settings=settings, seed=seed, device="cpu", **options)


def weights(model):
    return torch.cat([p.detach().flatten() for p in model.parameters()])


def test_never_sees_a_test_part():
    parts = {"train", "val"}
    names = set(inspect.signature(fit).parameters)
    assert names & {"test", "fold", "cohort"} == set()
    assert parts <= names


def test_overfits_32_samples(net, classes):
    train, model = classes(32, noise=3.0), net()
    run(model, train, epochs=150, learning_rate=0.05)
    predicted = predict_logits(model, train, device="cpu").argmax(dim=1)
    assert (predicted == train.target["label"]).float().mean() == 1.0


def test_learns_survival(net, patients):
    train, val, model = patients(80), patients(60, seed=1), net(k=4)
    objective = SurvivalObjective(4)
    before = mean_loss(model, val, objective, device="cpu")
    result = run(model, train, val, objective=objective, epochs=25, learning_rate=0.01)
    assert result.best_val_loss < before - 0.1


def test_same_seed_gives_the_same_numbers(net, classes):
    train, val = classes(50), classes(20, seed=1)
    models = [net(dropout=0.3) for _ in range(3)]
    results = [run(m, train, val, seed=s) for m, s in zip(models, (1, 1, 2), strict=True)]
    assert torch.equal(weights(models[0]), weights(models[1]))
    assert not torch.equal(weights(models[0]), weights(models[2]))
    for name in ("train_loss", "val_loss"):
        assert [e[name] for e in results[0].history] == [e[name] for e in results[1].history]


def test_dropout_is_active_whatever_the_mode_in_which_a_model_comes(net, classes):
    models = [net(dropout=0.3), net(dropout=0.3).eval()]
    for model in models:
        run(model, classes())
    assert torch.equal(weights(models[0]), weights(models[1]))
    assert [model.training for model in models] == [True, False]


def test_leaves_the_global_generator_as_found(net, classes):
    before = torch.random.get_rng_state()
    run(net(dropout=0.3), classes())
    assert torch.equal(torch.random.get_rng_state(), before)


def test_ignores_the_global_generator(net, classes):
    train, models = classes(), [net(dropout=0.3) for _ in range(2)]
    for model, seed in zip(models, (11, 12), strict=True):
        torch.manual_seed(seed)
        run(model, train)
    assert torch.equal(weights(models[0]), weights(models[1]))


def test_early_stopping_brings_the_best_weights_back(net, classes):
    train, val, model = classes(40, noise=3.0), classes(40, seed=1, noise=3.0), net()
    result = run(model, train, val, epochs=200, patience=5, learning_rate=0.05)
    losses = [entry["val_loss"] for entry in result.history]
    assert result.stopped
    assert len(losses) == result.best_epoch + 5
    assert result.best_val_loss == min(losses)
    assert losses[-1] > result.best_val_loss
    # The weights themselves are those of that epoch, and not only a reference to the last ones.
    now = mean_loss(model, val, OBJECTIVE, batch_size=16, device="cpu")
    assert now == result.best_val_loss


def test_without_patience_the_last_weights_stay(net, classes):
    train, val, model = classes(40, noise=3.0), classes(40, seed=1, noise=3.0), net()
    result = run(model, train, val, epochs=30, learning_rate=0.05)
    assert (result.best_epoch, result.stopped) == (30, False)
    assert result.best_val_loss == result.history[-1]["val_loss"]
    assert result.best_val_loss > min(entry["val_loss"] for entry in result.history)


def test_validation_does_not_touch_the_weights(net, classes):
    models = [net(dropout=0.3) for _ in range(2)]
    run(models[0], classes(), None)
    run(models[1], classes(), classes(seed=1))
    assert torch.equal(weights(models[0]), weights(models[1]))


def test_validation_loss_has_no_penalty(net, classes):
    val, model = classes(20, seed=1), net()
    result = run(model, classes(), val, l1=0.1)
    assert result.best_val_loss == pytest.approx(mean_loss(model, val, OBJECTIVE, device="cpu"))
    assert result.history[-1]["l1"] == pytest.approx(l1_value(l1_parameters(model), 0.1))


def test_plateau_lowers_the_rate_and_steps_once_per_epoch(net, classes):
    train = classes(40, noise=3.0)
    result = run(
        net(), train, classes(20, seed=5, noise=3.0),
        epochs=40, learning_rate=0.05, plateau_patience=1, plateau_factor=0.1, batch_size=4,
    )  # fmt: skip
    rates = [entry["learning_rate"] for entry in result.history]
    assert rates[:3] == [0.05] * 3  # ten steps per epoch would have lowered it at once
    assert 0.05 * 0.1 == pytest.approx(next(r for r in rates if r < 0.05))
    assert rates == sorted(rates, reverse=True)


def test_train_loss_is_a_mean_over_samples_with_a_last_batch_of_one(net, classes):
    train, model = classes(17), net()
    expected = mean_loss(model, train, OBJECTIVE, device="cpu")
    # A vanishing rate leaves the weights as they are.
    result = run(model, train, epochs=1, learning_rate=1e-12)
    assert result.history[0]["train_loss"] == pytest.approx(expected, rel=1e-5)


def test_zero_epochs_leave_the_model_alone(net, classes):
    model, val = net(), classes(10)
    before = weights(model)
    result = run(model, classes(), val, epochs=0)
    assert torch.equal(weights(model), before)
    assert (result.best_epoch, result.history) == (0, [])
    assert result.best_val_loss == pytest.approx(mean_loss(model, val, OBJECTIVE, device="cpu"))


def test_frozen_parameters_and_their_modes_stay(net, classes):
    model = net()
    model.inner.requires_grad_(False)
    model.dropout.eval()
    before, modes = model.inner.weight.clone(), [m.training for m in model.modules()]
    result = run(model, classes(), classes(seed=1), l1=0.1)
    assert torch.equal(model.inner.weight, before)
    assert [m.training for m in model.modules()] == modes
    assert result.n_parameters == sum(p.numel() for p in model.parameters() if p.requires_grad)


def test_l1_covers_weight_matrices_only(net):
    model = net()
    found = {id(p) for p in l1_parameters(model)}
    assert found == {id(model.inner.weight), id(model.head.weight)}
    model.head.requires_grad_(False)
    assert [id(p) for p in l1_parameters(model)] == [id(model.inner.weight)]
    tied = nn.ModuleList([model.inner, model.inner])
    assert len(l1_parameters(tied)) == 1


def test_l1_gradient_is_that_of_the_explicit_term(net, classes):
    plain, explicit = net(), net()
    batch = classes().batch()
    for model, term in ((plain, 0.0), (explicit, 0.3)):
        with torch.no_grad():
            model.inner.weight[0] = 0.0  # where the absolute value has no slope
        loss = OBJECTIVE.loss(model(batch.inputs), batch.target)
        (loss + term * sum(p.abs().sum() for p in l1_parameters(model))).backward()
    add_l1_gradient(l1_parameters(plain), 0.3)
    for a, b in zip(plain.parameters(), explicit.parameters(), strict=True):
        torch.testing.assert_close(a.grad, b.grad)
    total = sum(p.abs().sum() for p in l1_parameters(plain))
    assert l1_value(l1_parameters(plain), 0.3) == pytest.approx(0.3 * total.item(), rel=1e-6)


def test_l1_leaves_parameters_without_gradient_alone(classes):
    class Spare(nn.Module):
        def __init__(self):
            super().__init__()
            self.used, self.spare = nn.Linear(5, 2), nn.Linear(5, 2)

        def forward(self, inputs, present=None, masks=None):
            return self.used(inputs["tab"])

    model = Spare()
    before = model.spare.weight.clone()
    run(model, classes(), l1=0.1)
    assert torch.equal(model.spare.weight, before)


def test_l1_shrinks_weights(net, classes):
    models = [net(), net()]
    for model, l1 in zip(models, (0.0, 0.05), strict=True):
        run(model, classes(), l1=l1, epochs=20, learning_rate=0.01)
    assert models[1].inner.weight.abs().sum() < 0.5 * models[0].inner.weight.abs().sum()


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_not_finite_input_names_epoch_batch_and_modality(net, classes, bad):
    train = classes(40)
    train.values["tab"][3, 1] = bad
    with pytest.raises(
        TrainingError, match=r"epoch 1, batch \d.*'tab' \(\d+, 5\).*1 not finite.*learning rate"
    ):
        run(net(), train)


def test_not_finite_validation_loss_stops_the_training(net, classes):
    val = classes(10, seed=1)
    val.values["tab"][0, 0] = float("nan")
    model = net()
    model.eval()
    with pytest.raises(TrainingError, match="epoch 1: expected a finite validation loss"):
        run(model, classes(), val)
    assert not model.training


def test_auxiliary_terms_are_added_and_logged(net, classes):
    class Pulled(type(net())):
        def forward_with_auxiliary(self, inputs, present, masks, target, loss):
            assert set(target) == {"label"}
            return self(inputs, present, masks), {"pull": 10.0 * self.latent.square().sum()}

    model = net()
    model.__class__ = Pulled
    start = model.latent.square().sum().item()
    result = run(model, classes(), epochs=10, learning_rate=0.02)
    pulls = [entry["aux_pull"] for entry in result.history]
    assert pulls[0] == pytest.approx(10 * start, rel=0.2)
    assert pulls[-1] < 0.5 * pulls[0]


def test_logs_one_line_per_epoch_and_calls_back(net, classes):
    lines, calls = [], []
    result = run(
        net(), classes(), classes(seed=1), epochs=3,
        log=lines.append, on_epoch=lambda *call: calls.append(call),
    )  # fmt: skip
    assert [line.split()[1] for line in lines] == ["1/3", "2/3", "3/3"]
    assert all(word in lines[0] for word in ("train", "val", "l1", "rate"))
    assert [call[0] for call in calls] == [1, 2, 3]
    assert calls[-1][1] == result.seconds
    keys = {"epoch", "train_loss", "l1", "val_loss", "learning_rate", "seconds"}
    assert all(set(entry) == keys for entry in result.history)


def test_callbacks_may_predict_without_changing_the_training(net, classes):
    models, test = [net(dropout=0.3) for _ in range(2)], classes(10, seed=3)
    run(models[0], classes())
    run(models[1], classes(), on_epoch=lambda *_: predict_logits(models[1], test, device="cpu"))
    assert torch.equal(weights(models[0]), weights(models[1]))


def test_without_validation_part_the_loss_is_nan(net, classes):
    result = run(net(), classes())
    assert math.isnan(result.best_val_loss)
    assert all(math.isnan(entry["val_loss"]) for entry in result.history)
    assert len({entry["learning_rate"] for entry in result.history}) == 1


def test_weight_decay_shrinks_every_trainable_parameter(net, classes):
    plain, decayed = net(), net()
    run(plain, classes(), epochs=20)
    run(decayed, classes(), epochs=20, weight_decay=1.0)
    assert decayed.inner.weight.norm() < 0.5 * plain.inner.weight.norm()
    assert decayed.latent.norm() < 0.9 * plain.latent.norm()


def test_refusals(net, classes):
    empty = classes().subset([])
    with pytest.raises(DataError, match="training part"):
        run(net(), empty)
    with pytest.raises(DataError, match="validation part"):
        run(net(), classes(), empty)
    with pytest.raises(SettingsError, match="patience=None"):
        run(net(), classes(), patience=3)
    with pytest.raises(SettingsError, match="seed"):
        run(net(), classes(), seed=-1)
    with pytest.raises(TrainingError, match="unfreeze"):
        run(net().requires_grad_(False), classes())


@pytest.mark.parametrize(
    "changes",
    [
        {"epochs": -1}, {"epochs": 2.5}, {"epochs": True}, {"batch_size": 0}, {"patience": 0},
        {"learning_rate": 0.0}, {"learning_rate": float("nan")}, {"learning_rate": "fast"},
        {"l1": -1.0}, {"plateau_factor": 1.0}, {"plateau_patience": -1}, {"momentum": 0.9},
        {"weight_decay": -1e-9}, {"weight_decay": float("inf")}, {"output_bias": "zero"},
    ],
)  # fmt: skip
def test_settings_refuse(changes):
    with pytest.raises(SettingsError, match=next(iter(changes))):
        FitSettings.from_parameters(changes)


def test_settings_take_numpy_scalars():
    import numpy as np

    settings = FitSettings(epochs=np.int64(3), l1=np.float64(0.1), learning_rate=1)
    assert (type(settings.epochs), type(settings.l1)) == (int, float)
    assert type(settings.learning_rate) is float
    assert issubclass(SettingsError, MMLegoError)


def test_a_step_schedule_follows_the_number_of_epochs_alone(net, classes):
    result = run(
        net(), classes(), epochs=6, schedule="step", step_size=2, step_factor=0.5, learning_rate=0.8
    )
    assert [e["learning_rate"] for e in result.history] == pytest.approx(
        [0.8, 0.8, 0.4, 0.4, 0.2, 0.2]
    )


def test_the_best_weights_can_be_those_with_the_highest_macro_f1(net, classes):
    train, val, model = classes(40, noise=2.0), classes(30, seed=1, noise=2.0), net()
    options = {"epochs": 20, "patience": 20, "learning_rate": 0.05, "criterion": "macro_f1"}
    result = run(model, train, val, **options)
    scores = [entry["val_macro_f1"] for entry in result.history]
    assert len(set(scores)) > 2
    assert result.best_epoch == 1 + scores.index(max(scores)), "the first of the best"
    assert result.best_val_loss == result.history[result.best_epoch - 1]["val_loss"]
    probability = OBJECTIVE.predict(predict_logits(model, val, device="cpu"))["probability"]
    assert macro_f1(val.target["label"].numpy(), probability) == pytest.approx(max(scores))


def test_weights_are_kept_at_checked_epochs_and_at_the_last(net, classes):
    train, val = classes(40, noise=3.0), classes(30, seed=1, noise=3.0)
    changes = {"epochs": 7, "patience": 7, "learning_rate": 0.1}
    results = [run(net(), train, val, check_every=n, **changes) for n in (1, 3)]
    losses = [entry["val_loss"] for entry in results[0].history]
    checked = [2, 5, 6]
    assert results[0].best_epoch == 1 + losses.index(min(losses))
    assert results[1].best_epoch == 1 + min(checked, key=lambda i: losses[i])
    assert results[0].best_epoch != results[1].best_epoch, "or the test would show nothing"


def test_macro_f1_is_no_criterion_for_survival(net, patients):
    with pytest.raises(SettingsError, match="for classes"):
        run(
            net(k=4), patients(), patients(seed=1), objective=SurvivalObjective(4),
            criterion="macro_f1", patience=2,
        )  # fmt: skip


def test_weights_must_be_checked_before_patience_ends():
    with pytest.raises(SettingsError, match="check_every: expected at most the patience of 5"):
        quick(patience=5, check_every=6)
    assert quick(patience=None, check_every=6).check_every == 6
