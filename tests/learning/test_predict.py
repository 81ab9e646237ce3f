from __future__ import annotations

import pytest
import torch

from mmlego.errors import DataError, SettingsError, ShapeError
from mmlego.learning.device import resolve_device
from mmlego.learning.predict import predict_logits
from mmlego.learning.seeding import seed_everything, torch_seed


def test_batch_size_does_not_matter_and_order_is_kept(net, classes):
    model, samples = net(dropout=0.5), classes(23)
    logits = predict_logits(model, samples, device="cpu")
    assert logits.shape == (23, 2)
    assert logits.dtype == torch.float32
    torch.testing.assert_close(predict_logits(model, samples, batch_size=4, device="cpu"), logits)
    part = predict_logits(model, samples.subset([5, 2]), device="cpu")
    torch.testing.assert_close(part, logits[[5, 2]])


def test_every_mode_is_restored(net, classes):
    model = net().train()
    model.dropout.eval()
    modes = [m.training for m in model.modules()]
    predict_logits(model, classes(), device="cpu")
    assert [m.training for m in model.modules()] == modes
    with pytest.raises(KeyError):
        predict_logits(model, classes().__class__(**{**vars(classes()), "values": {}}))
    assert [m.training for m in model.modules()] == modes


def test_never_returns_nan(net, classes):
    samples = classes(9)
    samples.values["tab"][4] = float("nan")
    with pytest.raises(ShapeError, match=r"1 of 9 samples, first at row 4"):
        predict_logits(net(), samples, device="cpu")


def test_refuses_an_empty_part(net, classes):
    with pytest.raises(DataError, match="none"):
        predict_logits(net(), classes().subset([]), device="cpu")


def test_device():
    assert resolve_device("cpu") == torch.device("cpu")
    assert resolve_device(torch.device("cpu")).type == "cpu"
    expected = "cuda" if torch.cuda.is_available() else "cpu"
    assert resolve_device("auto").type == expected


@pytest.mark.parametrize("name", ["gpu", "tpu", "cuda:99", "meta", ""])
def test_device_refuses(name):
    with pytest.raises(SettingsError, match="device"):
        resolve_device(name)


def test_seeds():
    import random

    import numpy as np

    def draw():
        return random.random(), np.random.rand(), torch.rand(1).item()  # noqa: NPY002

    states = random.getstate(), np.random.get_state()  # noqa: NPY002
    try:
        seed_everything(3)
        first = draw()
        seed_everything(3)
        assert draw() == first
    finally:
        random.setstate(states[0])
        np.random.set_state(states[1])  # noqa: NPY002
    before = torch.random.get_rng_state()
    with torch_seed(4):
        inside = torch.rand(1)
    assert torch.equal(torch.random.get_rng_state(), before)
    with torch_seed(4):
        assert torch.equal(torch.rand(1), inside)


@pytest.mark.parametrize("seed", [-1, 2**32, 1.5, True, "1"])
def test_seed_refuses(seed):
    with pytest.raises(SettingsError, match="seed"):
        seed_everything(seed)
