from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from mmlego.bench import training
from mmlego.bench.store.fits import FitStore
from mmlego.bench.trained import Labels
from mmlego.bench.training import (
    Recipe,
    build_block,
    derived_seed,
    fit_settings,
    train_block,
    train_encoder,
    train_recipe,
)
from mmlego.errors import ModalityError, RunError, SettingsError
from mmlego.learning.metrics.scores import evaluate
from mmlego.learning.objectives import objective_for
from mmlego.learning.predict import predict_logits
from mmlego.models.amc import AMC
from mmlego.models.encoders.amil import ABMIL
from mmlego.models.encoders.snn import SNN
from mmlego.models.encoders.unimodal import Unimodal
from mmlego.runs.settings import UnimodalSettings

LOGITS = "__test_logits__"


def _same(first, second):
    return first.keys() == second.keys() and all(torch.equal(first[n], second[n]) for n in first)


def _other_test(fold, seed=0):
    """The same fold with other values in its test part."""
    generator = torch.Generator().manual_seed(seed)
    values = {
        name: tuple(torch.randn(bag.shape, generator=generator) for bag in part)
        if isinstance(part, tuple)
        else torch.randn(part.shape, generator=generator)
        for name, part in fold.test.values.items()
    }
    return replace(fold, test=replace(fold.test, values=values))


def test_the_encoder_suits_the_kind(fold):
    assert isinstance(training.build_encoder(fold, "clin"), SNN)
    assert isinstance(training.build_encoder(fold, "img"), ABMIL)


def test_unknown_modality(fold):
    with pytest.raises(ModalityError, match="got 'x'"):
        training.build_encoder(fold, "x")


def test_seeds_depend_on_every_part():
    assert derived_seed(1, "a") == derived_seed(1, "a")
    assert len({derived_seed(1, "a"), derived_seed(2, "a"), derived_seed(1, "b")}) == 3
    assert all(0 <= derived_seed(i) < 2**31 for i in range(50))


def test_same_seed_in_two_stores_gives_the_same_model(fold, tiny, tmp_path):
    """Whatever the state of the global generator is."""
    found = []
    for name, seed in (("a", 1), ("b", 2)):
        torch.manual_seed(seed)
        store = FitStore(tmp_path / name)
        encoder = train_encoder(fold, "clin", tiny(), store)
        block = train_block(fold, "clin", "wrapped", tiny(), store, encoder=encoder)
        found.append((block.outcome, store.get(block.key)))
    (one, first), (two, second) = found
    assert one.key == two.key
    assert _same(first.tensors, second.tensors)
    assert one.metrics == two.metrics
    assert first.sha256 == second.sha256


def test_training_leaves_the_global_generator_alone_when_nothing_is_trained(fold, tiny, store):
    _ = train_encoder(fold, "clin", tiny(), store).outcome
    before = torch.get_rng_state()
    _ = train_encoder(fold, "clin", tiny(), store).outcome
    assert torch.equal(torch.get_rng_state(), before)


def test_another_seed_gives_another_model(fold, tiny, store):
    first = train_encoder(fold, "clin", tiny(), store).outcome
    second = train_encoder(fold, "clin", tiny(seed=2), store).outcome
    assert first.key != second.key
    assert not np.array_equal(first.prediction["risk"], second.prediction["risk"])


def test_stored_fit_is_taken_instead_of_training(fold, tiny, store, monkeypatch):
    trained = train_encoder(fold, "img", tiny(), store)
    first, model = trained.outcome, trained.model

    def never(*args, **kwargs):
        raise AssertionError("trained again")

    monkeypatch.setattr(training, "fit", never)
    trained = train_encoder(fold, "img", tiny(), store)
    second, again = trained.outcome, trained.model
    assert second.metrics == first.metrics
    assert np.array_equal(second.prediction["risk"], first.prediction["risk"])
    assert _same(model.state_dict(), again.state_dict())
    assert second.history == first.history


def test_stored_logits_are_those_of_the_stored_weights(fold, tiny, store):
    trained = train_encoder(fold, "img", tiny(), store)
    outcome, model = trained.outcome, trained.model
    test = fold.test.select(["img"]).where_present(["img"])
    assert torch.equal(
        predict_logits(model, test, device="cpu"), store.get(outcome.key).tensors[LOGITS]
    )
    assert outcome.ids.tolist() == test.ids.tolist()
    assert not model.training


def test_only_samples_that_have_the_modality_are_trained_and_tested_on(fold, tiny, store):
    outcome = train_encoder(fold, "img", tiny(), store).outcome
    assert outcome.n_train == int(fold.train.present["img"].sum()) < len(fold.train)
    assert outcome.n_test == int(fold.test.present["img"].sum())


def test_metrics_are_those_of_the_prediction(fold, tiny, store):
    outcome = train_encoder(fold, "clin", tiny(), store).outcome
    logits = store.get(outcome.key).tensors[LOGITS]
    expected = evaluate(objective_for(fold).predict(logits), fold.test, fold.train, fold)
    assert outcome.metrics == expected


def test_frozen_block_keeps_the_trained_encoder_and_wrapped_does_not(fold, tiny, store):
    encoder = train_encoder(fold, "rna", tiny(), store)
    trained = encoder.model.model.encoder.state_dict()
    frozen = train_block(fold, "rna", "frozen", tiny(), store, encoder=encoder).model.model
    wrapped = train_block(fold, "rna", "wrapped", tiny(), store, encoder=encoder).model.model
    assert _same(frozen.encoder.state_dict(), trained)
    assert not _same(wrapped.encoder.state_dict(), trained)


def test_wrapping_copies_the_encoder(fold, tiny, store):
    encoder = train_encoder(fold, "rna", tiny(), store)
    before = {name: value.clone() for name, value in encoder.model.state_dict().items()}
    _ = train_block(fold, "rna", "wrapped", tiny(), store, encoder=encoder).model
    assert _same(encoder.model.state_dict(), before)


def test_blocks_of_another_encoder_are_other_fits(fold, tiny, store):
    keys = {
        train_block(
            fold,
            "clin",
            "wrapped",
            tiny(),
            store,
            encoder=train_encoder(fold, "clin", tiny(l1=l1), store),
        ).key
        for l1 in (0.0, 0.001)
    }
    assert len(keys) == 2


def test_test_data_change_no_stored_weight(fold, tiny, tmp_path):
    """Neither through training, nor through the epoch at which it stops."""
    settings = tiny(epochs=12, learning_rate=0.02, patience=2)
    other = _other_test(fold)
    for name in ("clin", "img"):
        stored = []
        for part, folder in ((fold, "a"), (other, "b")):
            store = FitStore(tmp_path / folder)
            encoder = train_encoder(part, name, settings, store)
            block = train_block(part, name, "wrapped", settings, store, encoder=encoder)
            stored.append([store.get(m.outcome.key).tensors for m in (encoder, block)])
        for first, second in zip(*stored, strict=True):
            assert not torch.equal(first.pop(LOGITS), second.pop(LOGITS))
            assert _same(first, second)


def test_training_data_and_code_are_part_of_the_key(fold, tiny, store, monkeypatch):
    key = train_encoder(fold, "clin", tiny(), store).key
    values = fold.train.values | {"clin": fold.train.values["clin"] + 1e-3}
    moved = replace(fold, train=replace(fold.train, values=values))
    assert train_encoder(moved, "clin", tiny(), store).key != key
    monkeypatch.setattr(training, "code_digest", lambda *modules: "other")
    assert train_encoder(fold, "clin", tiny(), store).key != key


def test_read_only_store_refuses_before_training(fold, tiny, store, monkeypatch):
    monkeypatch.setattr(training, "fit", None)
    trained = train_encoder(fold, "clin", tiny(), FitStore(store.folder, read_only=True))
    with pytest.raises(RunError, match=r"snn of 'clin', repeat 1: no stored fit"):
        _ = trained.outcome


@pytest.mark.parametrize("variant", ["wrapped", "frozen", "nonsense"])
def test_variants_that_need_an_encoder(fold, tiny, variant):
    with pytest.raises(SettingsError, match="without an encoder"):
        build_block(fold, "clin", tiny(), encoder=None, variant=variant)


def test_scratch_takes_no_encoder(fold, tiny):
    encoder = training.build_encoder(fold, "clin").encoder
    with pytest.raises(SettingsError, match="with an encoder"):
        build_block(fold, "clin", tiny(), encoder=encoder, variant="scratch")


def test_settings_shape_the_block(fold, tiny):
    block = build_block(fold, "clin", tiny(profile="lossless"), encoder=None, variant="scratch")
    assert block.latent.shape == (4, 8)
    assert block.config()["profile"] == "lossless"
    assert block.config()["n_outputs"] == fold.n_outputs


def test_survival_outcomes_know_the_median_training_risk(fold, tiny, store):
    trained = train_encoder(fold, "clin", tiny(), store)
    outcome, model = trained.outcome, trained.model
    train = fold.train.select(["clin"])
    risk = objective_for(fold).predict(predict_logits(model, train, device="cpu"))["risk"]
    assert outcome.facts["train_risk_median"] == pytest.approx(np.median(risk))


# --- what a notebook may set


def test_warmup_reaches_the_training(tiny):
    class Warmed(UnimodalSettings):
        warmup: int = 1
        warmup_mode: str = "modality_order"

    found = fit_settings(tiny(Warmed, warmup=3))
    assert (found.warmup, found.warmup_mode) == (3, "modality_order")
    assert fit_settings(tiny()).warmup == 0


# --- fits without a validation part, and models that are read in another way


@pytest.fixture
def recipe(tiny):
    return Recipe("snn", ("clin",), fit_settings(tiny(), patience=None), device="cpu")


def _train(fold, recipe, store, facts=None, **how):
    labels = Labels("snn", ("clin",), {"facts": facts or {}})

    def build():
        return Unimodal("clin", training.build_encoder(fold, "clin"))

    return train_recipe(fold, recipe, build, store, labels=labels, **how)


def test_a_fit_that_is_not_validated_does_not_depend_on_the_validation_part(fold, recipe, store):
    other = replace(fold, val=fold.val.subset(range(3)))
    kept = {
        (name, validated): _train(part, recipe, store, validated=validated).outcome
        for name, part in (("own", fold), ("other", other))
        for validated in (True, False)
    }
    assert kept["own", False].key == kept["other", False].key
    assert kept["own", True].key != kept["other", True].key
    assert len({outcome.key for outcome in kept.values()}) == 3
    assert all(np.isnan(entry["val_loss"]) for entry in kept["own", False].history)


def test_without_validation_there_is_no_patience(fold, recipe, store):
    patient = replace(recipe, fit=replace(recipe.fit, patience=2))
    with pytest.raises(SettingsError, match="patience=None"):
        _ = _train(fold, patient, store, validated=False).outcome


def test_another_way_to_read_logits_is_used_for_the_test_part_and_the_median(fold, recipe, store):
    def flipped(model, samples):
        return -predict_logits(model, samples, device="cpu")

    trained = _train(fold, recipe, store)
    usual, model = trained.outcome, trained.model
    # A key of its own, since the code that reads the logits is that of a module of the package.
    other = _train(fold, recipe, store, code=[AMC], logits_of=flipped, facts={"flipped": 1}).outcome
    predict = objective_for(fold).predict
    expected = predict(flipped(model, fold.test.select(["clin"])))["risk"]
    np.testing.assert_array_equal(other.prediction["risk"], expected)
    assert not np.allclose(usual.prediction["risk"], expected)
    median = np.median(predict(flipped(model, fold.train.select(["clin"])))["risk"])
    assert other.facts["train_risk_median"] == pytest.approx(median)
    assert other.facts["flipped"] == 1
    assert "flipped" not in usual.facts
    assert "flipped" not in store.get(other.key).facts


def test_explicit_class_weights_reach_the_loss(folds, recipe):
    fold = folds(task="classification")[0]
    weighted = replace(recipe.fit, class_weights="0.25,0.75")
    assert training.objective_of(fold, weighted).class_weights.tolist() == [0.25, 0.75]
    with pytest.raises(SettingsError, match="expected 2 positive numbers"):
        training.objective_of(fold, replace(recipe.fit, class_weights="1,1,1"))


# --- outcomes that are known already


def _recalling(store, **content):
    """A store that knows one outcome."""
    return FitStore(store.folder, recall=lambda key: dict(content) if content else None)


@pytest.fixture
def content(fold, tiny, store):
    """What a record keeps of the outcome of a fit."""
    outcome = train_encoder(fold, "clin", tiny(), store).outcome
    names = ("ids", "prediction", "metrics", "n_train", "seconds", "history", "facts", "headline")
    return {name: getattr(outcome, name) for name in names}


def test_a_known_outcome_is_neither_trained_nor_fetched(fold, tiny, tmp_path, content, monkeypatch):
    monkeypatch.setattr(training, "fit", None)
    empty = FitStore(tmp_path / "empty")
    known = train_encoder(fold, "clin", tiny(), _recalling(empty, **content))
    assert known.outcome.metrics == content["metrics"]
    assert (known.outcome.method, known.outcome.modalities) == ("snn", ("clin",))
    assert not (tmp_path / "empty").exists()
    with pytest.raises(TypeError):  # the model itself has to be trained
        _ = known.model


def test_what_was_recorded_in_part_is_made_again_for_a_headline(fold, tiny, store, content):
    part = content | {"headline": False, "metrics": {"c_index": 0.0}}
    assert train_encoder(fold, "clin", tiny(), _recalling(store, **part)).outcome.metrics != {
        "c_index": 0.0
    }


def test_a_fresh_store_takes_nothing_that_was_there(fold, tiny, store, content, monkeypatch):
    trained = []
    fit = training.fit
    monkeypatch.setattr(training, "fit", lambda *a, **o: trained.append(1) or fit(*a, **o))
    fresh = FitStore(store.folder, recall=lambda key: dict(content), fresh=True)
    for _ in range(2):  # but what it made itself
        _ = train_encoder(fold, "clin", tiny(), fresh).outcome
    assert trained == [1]


def test_device_and_version_are_part_of_the_key_as_they_are_resolved(fold, tiny, store):
    keys = {train_encoder(fold, "clin", tiny(device=d), store).key for d in ("auto", "cpu")}
    assert len(keys) == (2 if torch.cuda.is_available() else 1)
