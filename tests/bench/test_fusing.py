from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from mmlego.bench import fusing
from mmlego.bench.fusing import orders
from mmlego.bench.store.fits import FitStore
from mmlego.bench.training import build_block
from mmlego.errors import RunError, SettingsError
from mmlego.learning.objectives import objective_for
from mmlego.learning.predict import predict_logits


@pytest.fixture
def blocks(fold, tiny):
    torch.manual_seed(1)
    return {
        name: build_block(fold, name, tiny(), encoder=None, variant="scratch").eval()
        for name in fold.names
    }


@pytest.fixture
def tuned(fold, blocks, tiny, tmp_path, as_trained):
    def call(names=("clin", "img"), mode="stack", epochs=(0, 1, 2), folder="fits", **changes):
        store = FitStore(tmp_path / folder)
        models = as_trained(fold, blocks)
        return fusing.tune(
            fold, models, names, tiny(**changes), store, mode=mode, tune_epochs=epochs
        )

    return call


@pytest.fixture
def tune(tuned):
    return lambda *args, **how: [model.outcome for model in tuned(*args, **how).values()]


def test_orders():
    assert orders(["b", "a"], 6) == [("a", "b"), ("b", "a")]
    assert len(orders("abc", 6)) == 6
    assert orders("abc", 2)[0] == ("a", "b", "c")
    many = orders("abcde", 5)
    assert many == orders("edcba", 5)
    assert many[0] == tuple("abcde")
    assert len(set(many)) == 5


@pytest.mark.parametrize(("number", "limit"), [(1, 6), (2, 1), (3, 6), (4, 24), (4, 25), (4, 1000)])
def test_orders_end_at_all_there_are(number, limit):
    names = "abcd"[:number]
    found = orders(names, limit)
    assert len(found) == len(set(found)) == min(limit, math.factorial(number))
    assert all(sorted(order) == list(names) for order in found)


@pytest.mark.parametrize("number", [3, 4, 5])
def test_orders_beyond_the_first_are_drawn(number):
    """The next in the alphabet all start with the same modality, which shows little of order."""
    names = "abcde"[:number]
    drawn = {orders(names, 3, seed=seed)[1][0] for seed in range(1, 30)}
    assert drawn == set(names)
    assert all(orders(names, 3, seed=seed)[0] == tuple(names) for seed in range(1, 30))


@pytest.mark.parametrize("mode", ["stack", "weave", "merge"])
def test_tuning_starts_from_the_blocks_and_leaves_them_alone(fold, blocks, tune, mode):
    before = {
        name: {key: value.clone() for key, value in block.state_dict().items()}
        for name, block in blocks.items()
    }
    found = tune(mode=mode)
    assert [o.tune_epochs for o in found] == [0, 1, 2]
    assert {o.arm for o in found} == {"" if mode == "merge" else mode}
    assert [o.method for o in found] == ["lego_merge" if mode == "merge" else "lego_fuse"] * 3
    assert not np.array_equal(found[0].prediction["risk"], found[2].prediction["risk"])
    for name, block in blocks.items():
        assert all(torch.equal(value, before[name][k]) for k, value in block.state_dict().items())


def test_only_complete_samples_are_tuned_on_and_everybody_is_tested(fold, tune):
    found = tune()[0]
    complete = fold.train.select(["clin", "img"]).where_present(["clin", "img"], how="all")
    assert found.n_train == len(complete) < len(fold.train)
    assert found.n_test == len(fold.test)


def test_a_shorter_tuning_is_the_start_of_a_longer_one(tune):
    long, short = tune(epochs=(1, 3), folder="a"), tune(epochs=(1,), folder="b")
    assert np.array_equal(long[0].prediction["risk"], short[0].prediction["risk"])
    assert len(long[1].history) == 3


def test_order_matters_to_a_stack(tune):
    there, back = tune(("clin", "rna")), tune(("rna", "clin"))
    assert there[0].modalities == back[0].modalities == ("clin", "rna")
    assert not np.array_equal(there[0].prediction["risk"], back[0].prediction["risk"])


def test_finished_tuning_is_taken_from_the_store(tune, monkeypatch):
    first = tune()
    monkeypatch.setattr(fusing, "fit", None)
    second = tune()
    assert [o.metrics for o in first] == [o.metrics for o in second]
    assert str([o.history for o in first]) == str([o.history for o in second])


def test_no_tuning_needs_no_training(tune, monkeypatch):
    monkeypatch.setattr(fusing, "fit", None)
    assert len(tune(epochs=(0,))) == 1


@pytest.mark.parametrize("epochs", [(), (-1, 2)])
def test_numbers_of_epochs_are_checked(tune, epochs):
    with pytest.raises(SettingsError, match="tune_epochs"):
        tune(epochs=epochs)


def test_unknown_mode(tune):
    with pytest.raises(SettingsError, match="got 'pile'"):
        tune(mode="pile")


def test_the_model_of_the_last_epoch_is_kept_and_gives_its_prediction(fold, tuned):
    found = tuned()
    test = fold.test.select(["clin", "img"])
    risk = objective_for(fold).predict(predict_logits(found[2].model, test, device="cpu"))["risk"]
    np.testing.assert_array_equal(risk, found[2].outcome.prediction["risk"])
    with pytest.raises(RunError, match="of a tuning only the last epoch is kept"):
        _ = found[1].model


def test_an_outcome_has_one_key_in_a_shorter_and_a_longer_tuning(tuned):
    assert tuned(epochs=(1, 3), folder="a")[1].key == tuned(epochs=(1,), folder="b")[1].key


def test_repeats_of_a_number_of_epochs_count_once(tune):
    assert len(tune(epochs=(1, 0, 1))) == 2
