from __future__ import annotations

import numpy as np
import pytest
import torch

from mmlego.bench import merging
from mmlego.bench.merging import alpha_weights, best_by_validation, subsets
from mmlego.bench.store.fits import FitStore
from mmlego.bench.trained import Labels, assembled
from mmlego.bench.training import build_block, build_encoder
from mmlego.errors import ModalityError
from mmlego.learning.objectives import objective_for
from mmlego.learning.predict import predict_logits
from mmlego.lego.merge import LegoMerge

OPTIONS = (
    {"latents": "sum"},
    {"latents": "max_magnitude"},
    {"phase": "circular"},
    {"heads": "linear"},
    {"heads": "ot"},
    {"head_mode": "static"},
)


@pytest.fixture
def networks(fold, tiny):
    torch.manual_seed(1)
    return {
        name: build_block(fold, name, tiny(), encoder=None, variant="scratch").eval()
        for name in fold.names
    }


@pytest.fixture
def blocks(fold, networks, as_trained):
    return as_trained(fold, networks)


@pytest.fixture
def merge(fold, blocks, store):
    return lambda names, **how: (
        merging.merge(fold, blocks, names, store, device="cpu", **how).outcome
    )


def test_every_pair_and_all():
    assert subsets(["b", "a"]) == [("a", "b")]
    assert subsets(["c", "a", "b"]) == [("a", "b"), ("a", "c"), ("b", "c"), ("a", "b", "c")]
    assert subsets(["a"]) == []


def test_everyone_who_has_any_of_them_is_tested(fold, merge):
    found = merge(["img", "clin"], headline=False)
    assert found.n_test == len(fold.test)
    assert found.modalities == ("clin", "img")
    alone = merge(["img"])
    assert alone.n_test == int(fold.test.present["img"].sum()) < len(fold.test)
    assert not found.headline


def test_merge_is_the_merge_of_the_given_blocks_and_leaves_them_alone(fold, networks, merge):
    before = {name: value.clone() for name, value in networks["clin"].state_dict().items()}
    found = merge(["clin", "rna"])
    batch = fold.test.select(["clin", "rna"]).batch()
    model = LegoMerge({name: networks[name] for name in ("clin", "rna")}).eval()
    with torch.no_grad():
        logits = model(batch.inputs, batch.present, batch.masks)
    assert found.prediction["risk"] == pytest.approx(
        objective_for(fold).predict(logits)["risk"], rel=1e-5
    )
    assert all(
        torch.equal(value, before[name]) for name, value in networks["clin"].state_dict().items()
    )


@pytest.mark.parametrize("options", OPTIONS)
def test_every_option_gives_finite_numbers_and_a_key_of_its_own(fold, blocks, store, options):
    found = merging.merge(fold, blocks, ["clin", "img"], store, options=options, device="cpu")
    usual = merging.merge(fold, blocks, ["clin", "img"], store, device="cpu")
    assert found.key != usual.key
    assert 0 <= found.outcome.metrics["c_index"] <= 1


def test_weights_at_the_ends_are_single_blocks(fold, merge):
    """All weight on one block, heads included, is that block for everybody who has it."""
    weights = alpha_weights("clin", "rna", 1.0)
    assert weights == {"clin": 1.0, "rna": 0.0}
    merged, alone = merge(["clin", "rna"], weights=weights), merge(["clin"])
    assert merged.prediction["risk"] == pytest.approx(alone.prediction["risk"], abs=1e-4)


def test_ensemble_averages_logits(fold, as_trained, store):
    torch.manual_seed(1)
    encoders = {name: build_encoder(fold, name).eval() for name in ("clin", "rna")}
    found = merging.ensemble(
        fold, as_trained(fold, encoders), ["rna", "clin"], store, device="cpu"
    ).outcome
    batch = fold.test.batch()
    with torch.no_grad():
        logits = sum(encoders[name](batch.inputs[name]) for name in encoders) / 2
    assert found.prediction["risk"] == pytest.approx(
        objective_for(fold).predict(logits)["risk"], rel=1e-5
    )
    assert (found.method, found.arm) == ("ensemble", "")


def test_missing_block_names_the_modality(fold, merge):
    with pytest.raises(ModalityError, match=r"none for \['x'\]; train it first"):
        merge(["clin", "x"])


def test_best_by_validation_does_not_look_at_test_metrics(fold, networks, as_trained):
    losses = {"clin": 0.5, "rna": 0.4, "img": 0.6}
    assert best_by_validation(as_trained(fold, networks, losses)) == "rna"


def test_the_best_model_that_applies_predicts_everybody(fold, networks, as_trained, store):
    """Those who have the best modality by its model, the others by that of the next best."""
    models = as_trained(fold, networks, {"img": 0.1, "clin": 0.2, "rna": 0.3})
    found = merging.best_that_applies(fold, models, store, device="cpu").outcome
    assert (found.chosen_by, found.facts["first"]) == ("validation", "img")
    assert found.n_test == len(fold.test)
    here = fold.test.present["img"].numpy()
    alone = {
        name: objective_for(fold).predict(
            predict_logits(
                models[name].model, fold.test.select([name]).where_present([name]), device="cpu"
            )
        )["risk"]
        for name in ("img", "clin")
    }
    np.testing.assert_allclose(found.prediction["risk"][here], alone["img"], rtol=1e-5)
    np.testing.assert_allclose(found.prediction["risk"][~here], alone["clin"][~here], rtol=1e-5)


def test_a_model_on_other_samples_keeps_its_labels_but_not_its_key(fold, blocks, store):
    model = merging.merge(fold, blocks, ["clin", "rna"], store, device="cpu", inputs="separate")
    half = fold.test.subset(range(len(fold.test) // 2))
    found = merging.on_other_samples(model, half, store, device="cpu", condition="half")
    assert found.key != model.key
    assert found.outcome.n_test == len(half)
    assert (found.outcome.inputs, found.outcome.condition) == ("separate", "half")
    whole = model.outcome.prediction["risk"][: len(half)]
    np.testing.assert_allclose(found.outcome.prediction["risk"], whole, rtol=1e-6)


def test_what_is_measured_on_a_model_is_a_fact_that_is_recalled_with_it(fold, blocks, store):
    measured = []

    def measure(model, logits):
        measured.append(logits.shape)
        return {"width": logits.shape[1]}

    def assemble(store):
        labels = Labels("lego_merge", ("clin",))
        build = blocks["clin"].make()[1].eval
        how = {"parents": ["p"], "code": [merging], "measure": measure, "device": "cpu"}
        return assembled(fold, store, labels, build, **how)

    first = assemble(store).outcome
    assert first.facts["width"] == fold.n_outputs
    names = ("ids", "prediction", "metrics", "n_train", "seconds", "history", "facts", "headline")
    content = {name: getattr(first, name) for name in names}
    again = assemble(FitStore(store.folder, recall=lambda key: dict(content))).outcome
    assert again.facts["width"] == fold.n_outputs
    assert len(measured) == 1
