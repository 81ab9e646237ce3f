from __future__ import annotations

import pytest
import torch

from mmlego.bench import common_start
from mmlego.bench.common_start import (
    MERGES,
    block_start,
    encoder_start,
    load_shared,
    merge_states,
    shared_part,
    train_block_from_start,
    train_encoder_from_start,
)
from mmlego.bench.store.fits import FitStore
from mmlego.bench.training import build_block, build_encoder, train_encoder
from mmlego.errors import ModalityError, RunError, SettingsError
from mmlego.models.encoders.unimodal import Unimodal

OWN = ("to_key", "to_value", "norm_context")


@pytest.fixture
def store(tmp_path):
    return FitStore(tmp_path / "fits")


def _same(first, second):
    return first.keys() == second.keys() and all(torch.equal(first[n], second[n]) for n in first)


def _starts(monkeypatch):
    """Keep what every fit starts from, and train nothing."""
    found = []

    def keep(fold, recipe, build, store, **rest):
        torch.manual_seed(recipe.seed_for(fold))
        found.append(build())

    monkeypatch.setattr(common_start, "train_recipe", keep)
    return found


def test_shared_are_the_parts_of_one_shape_but_not_what_reads_the_data(fold, tiny):
    torch.manual_seed(1)
    encoder = build_encoder(fold, "clin").encoder
    block = build_block(fold, "clin", tiny(), encoder=encoder, variant="wrapped")
    shared = shared_part(block)
    rest = set(block.state_dict()) - set(shared)
    assert {"latent", "head.linear.weight", "attention.0.to_query.weight"} <= set(shared)
    assert {"attention.0.project.bias", "feed_forward.0.expand.weight"} <= set(shared)
    assert all(name.startswith("encoder.") or name.split(".")[2] in OWN for name in rest)
    assert sum(name.split(".")[2] in OWN for name in rest) == 4
    assert any(name.startswith("encoder.") for name in rest)


def test_loading_a_shared_part_leaves_the_rest(fold, tiny):
    torch.manual_seed(1)
    first, second = (
        build_block(fold, name, tiny(), encoder=None, variant="scratch") for name in ("clin", "rna")
    )
    before = {name: value.clone() for name, value in second.state_dict().items()}
    load_shared(second, shared_part(first))
    assert _same(shared_part(second), shared_part(first))
    for name in set(before) - set(shared_part(first)):
        assert torch.equal(second.state_dict()[name], before[name])


def test_blocks_of_all_modalities_start_from_the_same_shared_part(fold, tiny, store, monkeypatch):
    found = _starts(monkeypatch)
    for name in fold.names:
        train_block_from_start(fold, name, "scratch", tiny(), store)
    start = block_start(fold, tiny())
    for model in found:
        assert _same(shared_part(model.model), start)
    keys = [model.model.state_dict()["attention.0.to_key.weight"][:, :3] for model in found]
    assert not torch.equal(keys[0], keys[1])
    assert not _same(start, block_start(fold, tiny(seed=2)))


def test_encoders_of_all_tasks_start_from_the_same_weights(fold, tiny, store, monkeypatch, toy):
    from mmlego.data.folds.fold import make_fold
    from mmlego.data.folds.splits import make_splits

    cohort = toy(task="classification", name="other")
    other = make_fold(cohort, make_splits(cohort, repeats=1)[0])
    found = _starts(monkeypatch)
    for one in (fold, other):
        train_encoder_from_start(one, "rna", tiny(), store)
    start = encoder_start(fold, "rna", tiny())
    assert all(_same(model.model.encoder.state_dict(), start) for model in found)
    assert [model.model.head.out_features for model in found] == [4, 2]


def test_training_goes_on_from_the_start_and_is_stored(fold, tiny, store, monkeypatch):
    outcome, model = train_encoder_from_start(fold, "rna", tiny(), store)
    start = encoder_start(fold, "rna", tiny())
    trained = model.model.encoder.state_dict()
    assert not _same(trained, start)
    assert (outcome.method, outcome.variant) == ("snn", "common start")
    far = sum((trained[n] - start[n]).norm() for n in start)
    other = build_encoder(fold, "rna").encoder.state_dict()
    assert far < 0.5 * sum((trained[n] - other[n]).norm() for n in start)
    read_only = FitStore(store.folder, read_only=True)
    assert _same(
        train_encoder_from_start(fold, "rna", tiny(), read_only)[1].state_dict(), model.state_dict()
    )
    with pytest.raises(RunError, match="common start"):
        train_encoder_from_start(fold, "rna", tiny(seed=2), read_only)


def test_wrapped_blocks_keep_their_encoder(fold, tiny, store):
    encoder = train_encoder(fold, "rna", tiny(), store)
    outcome, model = train_block_from_start(fold, "rna", "frozen", tiny(), store, encoder=encoder)
    assert isinstance(model, Unimodal)
    assert _same(model.model.encoder.state_dict(), encoder[1].model.encoder.state_dict())
    other = train_block_from_start(fold, "rna", "wrapped", tiny(), store, encoder=encoder)[0]
    assert other.key != outcome.key


def test_only_tables_have_a_shared_encoder(fold, tiny, store):
    with pytest.raises(ModalityError, match=r"got 'img'; name one of \['clin', 'rna'\]"):
        train_encoder_from_start(fold, "img", tiny(), store)


def test_every_method_merges_to_something_else(fold):
    torch.manual_seed(1)
    base, first, second = (build_encoder(fold, "rna").state_dict() for _ in range(3))
    merged = {method: merge_states(method, base, [first, second], 1) for method in MERGES}
    weights = torch.stack([state["encoder.layers.0.weight"].flatten() for state in merged.values()])
    assert torch.cdist(weights, weights).fill_diagonal_(1.0).min() > 1e-3
    with pytest.raises(SettingsError, match="got 'mean'"):
        merge_states("mean", base, [first, second], 1)
