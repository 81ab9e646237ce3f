from __future__ import annotations

import json
import os

import pytest
import torch

from mmlego.bench.store.fits import FitStore, fit_key
from mmlego.errors import RunError

KEY = "0123456789abcdef0123"


@pytest.fixture
def weights():
    torch.manual_seed(1)
    return {"w": torch.randn(3, 4), "flag": torch.tensor([True, False]), "t": torch.randn(4, 3).T}


def test_round_trip(store, weights):
    facts = {"best_epoch": 3, "history": [{"epoch": 1, "val_loss": 0.5}]}
    put = store.put(KEY, weights, facts)
    got = store.get(KEY)
    assert got.facts == facts
    assert got.sha256 == put.sha256
    assert set(got.tensors) == set(weights)
    assert all(torch.equal(got.tensors[name], weights[name]) for name in weights)


def test_nothing_under_an_unknown_key(store):
    assert store.get(KEY) is None


def test_putting_again_replaces(store, weights):
    store.put(KEY, weights, {"n": 1})
    store.put(KEY, {"w": torch.zeros(1)}, {"n": 2})
    assert store.get(KEY).facts == {"n": 2}
    assert set(store.get(KEY).tensors) == {"w"}


def _altered(path):
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)


def _cut(path):
    path.write_bytes(path.read_bytes()[:-7])


@pytest.mark.parametrize("damage", [_altered, _cut, os.unlink])
def test_damaged_weights_are_never_used(store, weights, damage):
    store.put(KEY, weights, {})
    damage(store.folder / KEY / "tensors.safetensors")
    with pytest.raises(RunError, match=f"stored fit {KEY}.*delete .* and run again"):
        store.get(KEY)


@pytest.mark.parametrize("text", ["{", "{}", json.dumps({"sha256": "0", "facts": {}}), "[]"])
def test_damaged_facts_are_never_used(store, weights, text):
    store.put(KEY, weights, {})
    (store.folder / KEY / "fit.json").write_text(text)
    with pytest.raises(RunError, match=f"stored fit {KEY}"):
        store.get(KEY)


def test_a_write_that_fails_leaves_nothing(store, weights, monkeypatch):
    def broken(source, target):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("mmlego.bench.store.fits.os.replace", broken)
    with pytest.raises(RunError, match="cannot write fit"):
        store.put(KEY, weights, {})
    assert list(store.folder.iterdir()) == []
    assert store.get(KEY) is None


def test_folder_that_cannot_be_made(tmp_path, weights):
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError, match="cannot write to .*parameter 'results'"):
        FitStore(tmp_path / "file" / "fits").put(KEY, weights, {})


def test_read_only_store_says_what_is_not_there(store, weights):
    store.put(KEY, weights, {})
    reader = FitStore(store.folder, read_only=True)
    assert reader.get(KEY) is not None
    with pytest.raises(RunError, match="snn of 'rna': no stored fit"):
        reader.require_writable("snn of 'rna'")
    store.require_writable("anything")


def test_key_depends_on_every_part_and_on_no_order():
    key = fit_key(seed=1, data={"a": 1, "b": 2})
    assert len(key) == 20
    assert key == fit_key(data={"b": 2, "a": 1}, seed=1)
    assert key != fit_key(seed=2, data={"a": 1, "b": 2})
    assert key != fit_key(seed=1, data={"a": 1, "b": 3})
