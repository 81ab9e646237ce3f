from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from mmlego.bench import estimators
from mmlego.bench.estimators import classical_methods, design_matrix, train_estimator
from mmlego.bench.store.fits import FitStore
from mmlego.data.folds.fold import make_fold
from mmlego.data.folds.splits import make_splits
from mmlego.data.folds.tabular import with_tabular
from mmlego.errors import ModalityError, RunError, SettingsError
from mmlego.learning.metrics.scores import concordance_index, evaluate

ALL = ("clin", "img", "rna")


def fitted(*args, **how):
    """The outcome of a reference, fitted or fetched."""
    return train_estimator(*args, **how).outcome


@pytest.fixture
def class_fold(toy):
    cohort = toy(task="classification")
    return make_fold(cohort, make_splits(cohort, repeats=1)[0])


def test_modalities_lie_side_by_side(fold):
    table = design_matrix(fold.train, ("rna", "img", "clin"))
    assert table.shape == (len(fold.train), 12)
    np.testing.assert_allclose(table[:, :5], fold.train.values["rna"])
    np.testing.assert_allclose(table[:, 9:], fold.train.values["clin"])


def test_bags_are_averaged_and_absent_ones_are_zero(fold):
    table = design_matrix(fold.train, ["img"])
    here = fold.train.present["img"].numpy()
    assert not here.all()
    assert (table[~here] == 0).all()
    for row in np.flatnonzero(here):
        bag = fold.train.values["img"][row].double().numpy()
        np.testing.assert_allclose(table[row], bag.mean(axis=0))


def test_series_are_averaged_over_time(fold):
    series = torch.randn(len(fold.train), 6, 3)
    samples = replace(
        fold.train,
        values=fold.train.values | {"clin": series},
        kinds=fold.train.kinds | {"clin": "series"},
    )
    np.testing.assert_allclose(design_matrix(samples, ["clin"]), series.double().mean(dim=1))


def test_what_fills_an_absent_modality_is_unread(fold):
    absent = torch.zeros(len(fold.train), dtype=torch.bool)
    values = fold.train.values | {"clin": torch.full_like(fold.train.values["clin"], torch.nan)}
    samples = replace(fold.train, values=values, present=fold.train.present | {"clin": absent})
    assert (design_matrix(samples, ["clin"]) == 0).all()


def test_images_and_unknown_names_are_refused(fold):
    samples = replace(fold.train, kinds=fold.train.kinds | {"rna": "image"})
    with pytest.raises(ModalityError, match="leave them out"):
        design_matrix(samples, ["clin", "rna"])
    with pytest.raises(ModalityError, match="'x'"):
        design_matrix(fold.train, ["x"])


@pytest.mark.parametrize("method", classical_methods("survival"))
def test_survival_outcome_has_all_that_a_network_has(fold, tiny, store, method):
    outcome = fitted(fold, method, ALL, tiny(), store, inputs="separate")
    assert (outcome.method, outcome.inputs, outcome.modalities) == (method, "separate", ALL)
    assert outcome.prediction["survival"].shape == (outcome.n_test, fold.n_outputs)
    assert set(outcome.metrics) == {"c_index", "c_index_ipcw", "auc_td", "integrated_brier"}
    assert outcome.metrics == evaluate(outcome.prediction, fold.test, fold.train, fold)
    assert {"val_score", "train_risk_median", "n_parameters"} <= set(outcome.facts)
    assert "best_val_loss" not in outcome.facts


@pytest.mark.parametrize("method", classical_methods("classification"))
def test_class_outcome_has_all_that_a_network_has(class_fold, tiny, store, method):
    outcome = fitted(class_fold, method, ALL, tiny(), store)
    assert outcome.prediction["probability"].shape == (outcome.n_test, 2)
    assert {"macro_auc", "auc"} <= set(outcome.metrics)
    assert 0 < outcome.facts["best_val_loss"] < 3


def test_survival_is_read_at_the_right_edges_of_the_bins(fold, tiny, store):
    outcome = fitted(fold, "coxnet", ["clin"], tiny(), store)
    x, train = design_matrix(fold.train, ["clin"]), fold.train.target
    models = estimators.fit_survival("coxnet", x, train["event"].numpy(), train["time"].numpy())
    model = next(m for m in models if m.penalty == outcome.facts["penalty"])
    expected = model.survival(design_matrix(fold.test, ["clin"]), fold.bin_edges[1:])
    np.testing.assert_allclose(outcome.prediction["survival"], expected)


def test_the_penalty_is_chosen_on_the_validation_part(fold, tiny, store):
    outcome = fitted(fold, "coxnet", ALL, tiny(), store)
    train, val = fold.train.target, fold.val.target
    x = {part: design_matrix(getattr(fold, part), ALL) for part in ("train", "val")}
    models = estimators.fit_survival(
        "coxnet", x["train"], train["event"].numpy(), train["time"].numpy()
    )
    scores = [
        concordance_index(val["event"].numpy(), val["time"].numpy(), m.risk(x["val"]))
        for m in models
    ]
    assert outcome.facts["val_score"] == max(scores) > min(scores)
    assert outcome.facts["penalty"] == models[int(np.argmax(scores))].penalty
    assert outcome.facts["n_nonzero"] == models[int(np.argmax(scores))].n_nonzero


def test_log_loss_of_the_chosen_penalty_is_the_least(class_fold, tiny, store):
    outcome = fitted(class_fold, "logistic", ["rna"], tiny(), store)
    train, val = class_fold.train, class_fold.val
    models = estimators.fit_classes(
        "logistic", design_matrix(train, ["rna"]), train.target["label"].numpy(), 2
    )
    label = val.target["label"]
    losses = {}
    for model in models:
        log = torch.from_numpy(model.probability(design_matrix(val, ["rna"]))).log()
        losses[model.penalty] = float(torch.nn.functional.nll_loss(log, label))
    assert outcome.facts["best_val_loss"] == pytest.approx(min(losses.values()))
    assert losses[outcome.facts["penalty"]] == min(losses.values())


@pytest.mark.parametrize("method", classical_methods("survival"))
def test_test_data_and_other_test_samples_change_no_prediction(fold, tiny, tmp_path, method):
    whole = fitted(fold, method, ["rna"], tiny(), FitStore(tmp_path / "a"))
    part = replace(fold, test=fold.test.subset(np.arange(4, len(fold.test))))
    fewer = fitted(part, method, ["rna"], tiny(), FitStore(tmp_path / "b"))
    np.testing.assert_allclose(fewer.prediction["risk"], whole.prediction["risk"][4:])
    assert fewer.facts["train_risk_median"] == whole.facts["train_risk_median"]


def test_only_samples_that_have_a_modality_are_used(fold, tiny, store):
    outcome = fitted(fold, "coxnet", ["img"], tiny(), store)
    assert outcome.n_train == int(fold.train.present["img"].sum()) < len(fold.train)
    assert outcome.n_test == int(fold.test.present["img"].sum())


def test_joined_tables_are_named_by_their_members(fold, tiny, store):
    outcome = fitted(with_tabular(fold), "coxnet", ["tabular"], tiny(), store)
    assert outcome.modalities == ("clin", "rna")
    assert outcome.facts["n_features"] == 8


def test_stored_fit_is_taken_instead_of_fitting(fold, tiny, store, monkeypatch):
    first = fitted(fold, "rsf", ALL, tiny(), store)
    monkeypatch.setattr(estimators, "fit_survival", None)
    second = fitted(fold, "rsf", ALL[::-1], tiny(), store)
    assert second.metrics == first.metrics
    assert second.facts == first.facts
    assert second.seconds == first.seconds > 0


def test_data_seed_and_code_are_part_of_the_key(fold, tiny, store, monkeypatch):
    keys = [fitted(fold, "coxnet", ["clin"], tiny(), store).key]
    keys.append(fitted(fold, "coxnet", ["clin"], tiny(seed=2), store).key)
    keys.append(fitted(fold, "coxnet", ["rna"], tiny(), store).key)
    later = replace(fold, bin_edges=fold.bin_edges + 1e-3)
    keys.append(fitted(later, "coxnet", ["clin"], tiny(), store).key)
    monkeypatch.setattr(estimators, "code_digest", lambda *modules: "other")
    keys.append(fitted(fold, "coxnet", ["clin"], tiny(), store).key)
    assert len(set(keys)) == 5


def test_settings_of_networks_change_no_fit(fold, tiny, store):
    keys = {fitted(fold, "coxnet", ["clin"], tiny(epochs=n), store).key for n in (1, 2)}
    assert len(keys) == 1


def test_refusals(fold, tiny, store):
    read_only = FitStore(store.folder, read_only=True)
    with pytest.raises(RunError, match=r"rsf of clin\+rna, repeat 1"):
        fitted(fold, "rsf", ["rna", "clin"], tiny(), read_only)
    with pytest.raises(SettingsError, match="got 'logistic'"):
        fitted(fold, "logistic", ["clin"], tiny(), store)


def test_a_penalty_needs_a_validation_part_and_other_references_do_not(class_fold, tiny, store):
    blind = replace(class_fold, val=class_fold.val.subset([]))
    with pytest.raises(SettingsError, match="logistic: expected a validation part"):
        fitted(blind, "logistic", ["rna"], tiny(), store)
    outcome = fitted(blind, "knn", ["rna"], tiny(), store)
    assert "best_val_loss" not in outcome.facts
    assert np.isfinite(outcome.metrics["auc"])
