from __future__ import annotations

import pytest
import torch

from mmlego.bench import training
from mmlego.bench.common_starts import (
    block_start,
    encoder_start,
    everything_shared,
    latent_and_head,
    same_encoder,
    shared_part,
)
from mmlego.bench.starts import load_shared
from mmlego.bench.store.fits import FitStore
from mmlego.bench.training import build_block, build_encoder, train_block, train_encoder
from mmlego.errors import ModalityError, RunError
from mmlego.models.encoders.unimodal import Unimodal

OWN = ("to_key", "to_value", "norm_context")


def _same(first, second):
    return first.keys() == second.keys() and all(torch.equal(first[n], second[n]) for n in first)


def _starts(monkeypatch):
    """Keep what every fit starts from, and train nothing."""
    found = []

    def keep(fold, recipe, build, store, **rest):
        torch.manual_seed(recipe.seed_for(fold))
        found.append(build())

    monkeypatch.setattr(training, "train_recipe", keep)
    return found


def _block(fold, name, variant, settings, store, **how):
    start = everything_shared(fold, settings)
    return train_block(fold, name, variant, settings, store, start=start, **how)


def _encoder(fold, table, settings, store):
    return train_encoder(fold, table, settings, store, start=same_encoder(fold, table, settings))


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
        _block(fold, name, "scratch", tiny(), store)
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
        _encoder(one, "rna", tiny(), store)
    start = encoder_start(fold, "rna", tiny())
    assert all(_same(model.model.encoder.state_dict(), start) for model in found)
    assert [model.model.head.out_features for model in found] == [4, 2]


def test_training_goes_on_from_the_start_and_is_stored(fold, tiny, store, monkeypatch):
    found = _encoder(fold, "rna", tiny(), store)
    outcome, model = found.outcome, found.model
    start = encoder_start(fold, "rna", tiny())
    trained = model.model.encoder.state_dict()
    assert not _same(trained, start)
    assert (outcome.method, outcome.arm) == ("snn", "common start")
    far = sum((trained[n] - start[n]).norm() for n in start)
    other = build_encoder(fold, "rna").encoder.state_dict()
    assert far < 0.5 * sum((trained[n] - other[n]).norm() for n in start)
    read_only = FitStore(store.folder, read_only=True)
    assert _same(_encoder(fold, "rna", tiny(), read_only).model.state_dict(), model.state_dict())
    with pytest.raises(RunError, match="common start"):
        _ = _encoder(fold, "rna", tiny(seed=2), read_only).outcome


def test_wrapped_blocks_keep_their_encoder(fold, tiny, store):
    encoder = train_encoder(fold, "rna", tiny(), store)
    found = _block(fold, "rna", "frozen", tiny(), store, encoder=encoder)
    assert isinstance(found.model, Unimodal)
    kept = found.model.model.encoder.state_dict()
    assert _same(kept, encoder.model.model.encoder.state_dict())
    assert _block(fold, "rna", "wrapped", tiny(), store, encoder=encoder).key != found.key


def test_a_start_of_latent_and_head_changes_nothing_else(fold, tiny, store, monkeypatch):
    """Encoder, keys and the order of batches are those of the block that starts by itself."""
    found = _starts(monkeypatch)
    train_block(fold, "rna", "scratch", tiny(), store)
    start = latent_and_head(fold, tiny())
    train_block(fold, "rna", "scratch", tiny(), store, start=start)
    own, common = (model.model.state_dict() for model in found)
    changed = {name for name in own if not torch.equal(own[name], common[name])}
    assert changed <= {n for n in own if n == "latent" or n.startswith("head.")}
    assert "latent" in changed


def test_the_code_of_a_start_is_part_of_the_key(fold, tiny, store, monkeypatch):
    seen = []
    digest = training.code_digest
    monkeypatch.setattr(training, "code_digest", lambda *code: seen.append(code) or digest(*code))
    _block(fold, "rna", "scratch", tiny(), store)
    assert any(item.__module__ == "mmlego.bench.common_starts" for item in seen[-1])


def test_only_tables_have_a_shared_encoder(fold, tiny, store):
    with pytest.raises(ModalityError, match=r"got 'img'; name one of \['clin', 'rna'\]"):
        _encoder(fold, "img", tiny(), store)
