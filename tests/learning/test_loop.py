from __future__ import annotations

import dataclasses
import inspect
import math

import pytest
import torch
from torch import nn

from mmlego.errors import DataError, MMLegoError, SettingsError, TrainingError
from mmlego.learning.loop import fit, mean_loss
from mmlego.learning.metrics.classification import accuracy, macro_f1
from mmlego.learning.metrics.survival import concordance_index
from mmlego.learning.objectives import ClassificationObjective, CoxObjective, SurvivalObjective
from mmlego.learning.penalty import add_l1_gradient, l1_parameters, l1_value
from mmlego.learning.predict import predict_logits
from mmlego.learning.settings import WARMUP_MODES, FitSettings
from mmlego.learning.warmup import modality_order

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
        {"warmup": -1}, {"warmup": 0.5}, {"warmup_mode": "cosine"}, {"schedule": "cosine"},
        {"criterion": "auc"},
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


# --- the first epochs


def in_two_tables(part, second):
    """The same part, whose second table only some samples have."""
    return dataclasses.replace(
        part,
        values=part.values | {"other": part.values["tab"]},
        present=part.present | {"other": second},
        kinds=part.kinds | {"other": "tabular"},
        widths=part.widths | {"other": part.widths["tab"]},
    )


@pytest.fixture
def fusing(net):
    """The small net with a switch: it writes down its state at every pass."""

    class Fusing(type(net())):
        def rebalance(self, on):
            self.on = on

        def forward(self, inputs, present=None, masks=None):
            self.seen.append((self.training, self.on))
            return super().forward(inputs, present, masks) * (3.0 if self.on else 1.0)

    def make():
        model = net()
        model.__class__ = Fusing
        model.on, model.seen = None, []
        return model

    return make


def test_a_constant_schedule_stays_where_a_plateau_would_not(net, classes):
    train, val = classes(40, noise=3.0), classes(20, seed=5, noise=3.0)
    rates = {
        schedule: {
            entry["learning_rate"]
            for entry in run(
                net(), train, val, schedule=schedule, epochs=30, learning_rate=0.05,
                plateau_patience=1,
            ).history
        }
        for schedule in ("constant", "plateau")
    }  # fmt: skip
    assert rates["constant"] == {0.05}
    assert len(rates["plateau"]) > 1


def test_linear_warmup_raises_the_rate_with_every_step(net, classes, monkeypatch):
    rates = []
    step = torch.optim.Adam.step

    def spy(adam, *args, **kwargs):
        rates.append(adam.param_groups[0]["lr"])
        return step(adam, *args, **kwargs)

    monkeypatch.setattr(torch.optim.Adam, "step", spy)
    result = run(
        net(), classes(40), epochs=6, warmup=2, learning_rate=0.6, schedule="step",
        step_size=2, step_factor=0.5,
    )  # fmt: skip
    # Three steps per epoch; the schedule counts its epochs from the end of the warm-up.
    expected = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, *[0.6] * 6, *[0.3] * 6]
    assert rates == pytest.approx(expected)
    assert [e["learning_rate"] for e in result.history] == pytest.approx(expected[2::3])


def test_a_plateau_does_not_look_at_the_warmup(net, classes):
    train, val = classes(40, noise=3.0), classes(20, seed=5, noise=3.0)
    options = {"epochs": 8, "learning_rate": 0.5, "plateau_patience": 0, "plateau_factor": 0.1}
    result = run(net(), train, val, warmup=6, warmup_mode="modality_order", **options)
    assert len({entry["learning_rate"] for entry in result.history[:7]}) == 1
    plain = run(net(), train, val, **options)
    assert len({entry["learning_rate"] for entry in plain.history[:7]}) > 1


def test_without_warmup_its_mode_changes_nothing(net, classes):
    models = [net(dropout=0.3) for _ in WARMUP_MODES]
    for model, mode in zip(models, WARMUP_MODES, strict=True):
        run(model, classes(), warmup=0, warmup_mode=mode)
        assert torch.equal(weights(model), weights(models[0]))


def test_modality_order_starts_with_those_who_have_the_fewest(net, classes):
    train = in_two_tables(classes(10), torch.tensor([1, 1, 0, 1, 0, 0, 1, 1, 0, 1]).bool())
    ordered = [2, 4, 5, 8, 0, 1, 3, 6, 7, 9]
    assert modality_order(train).tolist() == ordered
    seen = []

    class Watched(type(net())):
        def forward(self, inputs, present=None, masks=None):
            rows = (inputs["tab"][:, None] == train.values["tab"]).all(dim=2)
            seen.extend(rows.int().argmax(dim=1).tolist())
            return super().forward(inputs, present, masks)

    model = net()
    model.__class__ = Watched
    run(model, train, epochs=4, batch_size=4, warmup=2, warmup_mode="modality_order")
    epochs = [seen[i : i + 10] for i in range(0, 40, 10)]
    assert epochs[:2] == [ordered, ordered]
    assert ordered not in epochs[2:], "shuffled again"
    assert all(sorted(epoch) == sorted(ordered) for epoch in epochs)


def test_not_finite_input_is_found_in_an_ordered_batch(net, classes):
    train = in_two_tables(classes(8), torch.tensor([0, 1, 1, 1, 1, 1, 1, 0]).bool())
    train.values["tab"][7, 0] = float("nan")
    with pytest.raises(TrainingError, match=r"epoch 1, batch 0.*'tab' \(2, 5\).*1 not finite"):
        run(net(), train, batch_size=2, warmup=1, warmup_mode="modality_order")


def test_no_fusion_holds_for_training_and_validation_of_the_warmup_only(fusing, classes):
    model = fusing()
    result = run(
        model, classes(16), classes(10, seed=1), epochs=4, warmup=2, warmup_mode="no_fusion"
    )
    # One pass in training and one over the validation part, per epoch.
    assert model.seen == [(True, False), (False, False)] * 2 + [(True, True), (False, True)] * 2
    assert model.on is True
    now = mean_loss(model, classes(10, seed=1), OBJECTIVE, device="cpu")
    assert result.best_val_loss == pytest.approx(now)


def test_weights_that_were_never_fused_cannot_be_the_best(fusing, classes):
    class Worse(type(fusing())):
        """Each epoch is worse than the one before."""

        def forward(self, inputs, present=None, masks=None):
            logits = super().forward(inputs, present, masks)
            if self.training:
                return logits
            wrong = 1.0 - 2.0 * self.label[: len(logits), None]
            return logits * 0.0 + wrong * torch.tensor([-1.0, 1.0]) * len(self.seen)

    found = {}
    for mode in ("no_fusion", "linear"):
        val, model = classes(10, seed=1), fusing()
        model.__class__, model.label = Worse, val.target["label"]
        found[mode] = run(model, classes(16), val, epochs=9, patience=2, warmup=4, warmup_mode=mode)
    losses = [entry["val_loss"] for entry in found["no_fusion"].history]
    assert losses == sorted(losses)
    assert found["no_fusion"].best_epoch == 5
    assert len(losses) == 7, "patience counts from the best epoch, or from the end of the warm-up"
    assert (found["linear"].best_epoch, len(found["linear"].history)) == (1, 3)


def test_a_model_fuses_again_even_if_training_breaks_off(fusing, classes):
    model, train = fusing(), classes(16)
    train.values["tab"][0, 0] = float("nan")
    with pytest.raises(TrainingError):
        run(model, train, epochs=4, warmup=2, warmup_mode="no_fusion")
    assert model.on is True


def test_zero_epochs_switch_nothing(fusing, classes):
    model = fusing()
    run(model, classes(), epochs=0, warmup=2, warmup_mode="no_fusion")
    assert model.on is None


def test_no_fusion_needs_a_model_with_a_switch_and_epochs_that_fuse(net, classes):
    with pytest.raises(SettingsError, match=r"rebalance\(on\).*got Net without; use warmup_mode"):
        run(net(), classes(), warmup=1, warmup_mode="no_fusion")
    with pytest.raises(SettingsError, match="warmup: expected fewer than the 5 epochs"):
        quick(warmup=5, warmup_mode="no_fusion")
    assert quick(warmup=5, warmup_mode="linear").warmup == 5


# --- other criteria


@pytest.mark.parametrize("criterion", ["accuracy", "c_index"])
def test_the_best_weights_can_be_those_with_the_highest_score(net, classes, patients, criterion):
    survival = criterion == "c_index"
    objective = SurvivalObjective(4) if survival else OBJECTIVE
    train, val = (patients(30), patients(40, seed=1)) if survival else (
        classes(40, noise=3.0), classes(30, seed=1, noise=3.0)
    )  # fmt: skip
    model = net(k=objective.n_outputs)
    result = run(
        model, train, val, objective=objective, epochs=20, patience=20, learning_rate=0.05,
        criterion=criterion,
    )  # fmt: skip
    scores = [entry[f"val_{criterion}"] for entry in result.history]
    losses = [entry["val_loss"] for entry in result.history]
    assert result.best_epoch == 1 + scores.index(max(scores)), "the first of the best"
    assert losses.index(min(losses)) != scores.index(max(scores)), "or the loss would do"
    assert result.best_val_loss == losses[result.best_epoch - 1]
    prediction = objective.predict(predict_logits(model, val, device="cpu"))
    now = (
        concordance_index(
            val.target["event"].numpy(), val.target["time"].numpy(), prediction["risk"]
        )
        if survival
        else accuracy(val.target["label"].numpy(), prediction["probability"])
    )
    assert now == pytest.approx(max(scores))


def test_a_cox_model_can_be_chosen_by_its_c_index(net, patients):
    result = run(
        net(k=1), patients(), patients(seed=1), objective=CoxObjective(), criterion="c_index",
        patience=5,
    )  # fmt: skip
    assert all(0.0 <= entry["val_c_index"] <= 1.0 for entry in result.history)


@pytest.mark.parametrize("event", ["nobody", "the last one"])
def test_a_c_index_needs_a_comparable_pair_before_anything_is_trained(net, patients, event):
    val, model = patients(20, seed=1), net(k=4)
    val.target["event"][:] = False
    if event == "the last one":
        val.target["event"][val.target["time"].argmax()] = True
    before = weights(model)
    with pytest.raises(DataError, match="validation part: c-index: expected a comparable pair"):
        run(model, patients(), val, objective=SurvivalObjective(4), criterion="c_index", patience=2)
    assert torch.equal(weights(model), before)


@pytest.mark.parametrize(
    ("objective", "criterion", "words"),
    [
        (SurvivalObjective(4), "accuracy", "'loss' or 'c_index' for SurvivalObjective.*classes"),
        (CoxObjective(), "macro_f1", "'loss' or 'c_index' for CoxObjective.*classes"),
        (OBJECTIVE, "c_index", "'accuracy' for ClassificationObjective.*for survival"),
    ],
)
def test_a_criterion_suits_its_task(net, classes, objective, criterion, words):
    with pytest.raises(SettingsError, match=words):
        run(net(), classes(), classes(), objective=objective, criterion=criterion, patience=2)


@pytest.mark.parametrize(
    "text", ["0.25", "0.25,0", "0.25,-1", "1,inf", "1,nan", "1,,2", "balanced", "", (0.25, 0.75)]
)
def test_explicit_class_weights_are_positive_numbers(text):
    with pytest.raises(SettingsError, match=r"class_weights: expected one of .*'0.25,0.75', got"):
        quick(class_weights=text)
    assert quick(class_weights="0.25, 0.75").class_weights == "0.25, 0.75"
