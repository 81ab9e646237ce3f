"""LegoFuse: copies, order, depth, gradients, and saving blocks."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from mmlego.errors import DataError, ModalityError
from mmlego.lego import LegoFuse, LegoMerge, load_blocks, save_blocks


@pytest.mark.parametrize("mode", ["stack", "weave"])
def test_gradient_reaches_every_parameter_but_later_starts(mode, trio):
    blocks, inputs = trio
    fused = LegoFuse(blocks, mode=mode).train()
    fused(inputs).square().sum().backward()
    for name, parameter in fused.named_parameters():
        later = name in ("blocks.bag.latent", "blocks.series.latent")
        assert parameter.requires_grad != later, name
        if "table" in name and ("to_query" in name or "to_key" in name or "norm_query" in name):
            continue  # a single token: every attention weight is 1
        assert later or bool((parameter.grad != 0).any()), name
    assert [name for name, _ in fused.named_parameters() if "head" in name] == [
        "head.norm.weight",
        "head.norm.bias",
        "head.linear.weight",
        "head.linear.bias",
    ]


@pytest.mark.parametrize("mode", ["stack", "weave"])
def test_tuning_leaves_the_originals_alone(mode, trio):
    blocks, inputs = trio
    before = {name: copy.deepcopy(block.state_dict()) for name, block in blocks.items()}
    fused = LegoFuse(blocks, mode=mode).train()
    optimizer = torch.optim.Adam([p for p in fused.parameters() if p.requires_grad], lr=0.1)
    first = fused(inputs)
    first.square().sum().backward()
    optimizer.step()
    assert not torch.allclose(fused(inputs), first)
    for name, block in blocks.items():
        assert all(torch.equal(v, before[name][k]) for k, v in block.state_dict().items())
        assert all(p.requires_grad and p.grad is None for p in block.parameters())
    assert set(fused.state_dict()) == set(LegoFuse(blocks, mode=mode).state_dict())


def test_order_and_mode_matter(trio):
    blocks, inputs = trio
    orders = (["table", "bag", "series"], ["series", "bag", "table"], ["bag", "table", "series"])
    logits = [
        LegoFuse(blocks, mode=mode, order=order).eval()(inputs).detach()
        for mode in ("stack", "weave")
        for order in orders
    ]
    for i, a in enumerate(logits):
        assert all(not torch.allclose(a, b) for b in logits[i + 1 :])
    start = LegoFuse(blocks, order=orders[1]).blocks["series"].latent
    assert torch.equal(start, blocks["series"].latent)


@pytest.mark.parametrize("mode", ["stack", "weave"])
def test_one_block_fused_is_the_block(mode, trio):
    blocks, inputs = trio
    fused = LegoFuse({"bag": blocks["bag"]}, mode=mode).eval()
    torch.testing.assert_close(fused({"bag": inputs["bag"]}), blocks["bag"](inputs["bag"]))


def test_weave_of_different_depths_by_hand(small):
    one, two = small(5, depth=1), small(4, depth=3)
    x, y = torch.ones(1, 2, 5).double(), torch.full((1, 3, 4), 2.0).double().cumsum(1)
    y[..., 1] += 0.3
    z = one.step(one.start(1), one.read(x), 0)
    for index in range(3):
        z = two.step(two.invert(z), two.read(y), index)
    fused = LegoFuse({"one": one, "two": two}, mode="weave").eval()
    torch.testing.assert_close(fused.encode({"one": x, "two": y}), z)


def test_missing_block_keeps_the_state(trio):
    blocks, inputs = trio
    two = {name: blocks[name] for name in ("table", "bag")}
    for mode in ("stack", "weave"):
        three = LegoFuse(blocks, mode=mode).eval()
        pair = LegoFuse(two, mode=mode).eval()
        given = {name: inputs[name] for name in two}
        torch.testing.assert_close(three.encode(given), pair.encode(given))
        # Without the first modality, the start is still the first block's.
        rest = three.encode({"bag": inputs["bag"]})
        alone = blocks["bag"].encode(inputs["bag"], state=blocks["table"].start(4))
        torch.testing.assert_close(rest, alone)


class Noisy(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(3, 5), nn.Dropout(0.5))
        self.calls = 0

    def forward(self, x):
        self.calls += 1
        return self.layers(x)


@pytest.mark.parametrize("mode", ["stack", "weave"])
def test_encoders_run_once_and_frozen_ones_stay_frozen(mode, small):
    blocks = {
        "frozen": small(5, encoder=Noisy(), freeze="encoder"),
        "free": small(5, seed=6, encoder=Noisy()),
    }
    fused = LegoFuse(blocks, mode=mode).train()
    x = torch.randn(3, 4, 3).double()
    fused({"frozen": x, "free": x}).sum().backward()
    frozen, free = (fused.blocks[name].encoder for name in blocks)
    assert (frozen.calls, free.calls) == (1, 1)
    assert (frozen.training, free.training) == (False, True)
    assert not any(p.requires_grad for p in frozen.parameters())
    assert all(p.grad is not None for p in free.parameters())


def test_saved_blocks_give_the_same_logits(tmp_path, trio, small):
    blocks, inputs = trio
    blocks = {
        **blocks,
        "image": small(5, encoder=Noisy(), freeze="encoder", outputs=("a", "b", "c")),
    }
    inputs = {**inputs, "image": torch.randn(4, 3).double()}
    path = save_blocks(tmp_path / "new" / "blocks.safetensors", blocks)
    assert [p.name for p in path.parent.iterdir()] == [path.name]
    loaded = load_blocks(path, encoders={"image": Noisy()})
    assert loaded["image"].config() == blocks["image"].config()
    expected = LegoMerge(blocks).eval()(inputs)
    assert torch.equal(LegoMerge(loaded).eval()(inputs), expected)
    with pytest.raises(ModalityError, match="image"):
        load_blocks(path)
    with pytest.raises(DataError, match="encoder"):
        load_blocks(path, encoders={"image": nn.Linear(3, 5)})


def test_damaged_files_raise_one_clear_error(tmp_path, small):
    path = save_blocks(tmp_path / "blocks.safetensors", {"a": small(5)})
    content = path.read_bytes()
    damaged = {
        "truncated": content[:-100],
        "short": content[:20],
        "empty": b"",
        "header": content.replace(b"mmlego.blocks.1", b"mmlego.blocks.9"),
        "settings": content.replace(b'\\"enc_dim\\": 5', b'\\"enc_dim\\": 6'),
        "option": content.replace(b'\\"profile\\": \\"paper\\"', b'\\"profile\\": \\"papre\\"'),
        "number": content[:-1] + bytes([content[-1] ^ 1]),
        "unknown": content.replace(b'\\"ff_mult\\"', b'\\"ff_mulp\\"'),
    }
    for what, data in damaged.items():
        assert data != content, what
        path.write_bytes(data)
        with pytest.raises(DataError, match="blocks"):
            load_blocks(path)
    with pytest.raises(DataError, match="found none"):
        load_blocks(tmp_path / "nothing.safetensors")


def test_failed_save_keeps_the_old_file(tmp_path, small, monkeypatch):
    path = save_blocks(tmp_path / "blocks.safetensors", {"a": small(5)})
    content = path.read_bytes()

    def fail(*arguments, **options):
        raise OSError("disk full")

    monkeypatch.setattr("safetensors.torch.save_file", fail)
    with pytest.raises(OSError, match="disk full"):
        save_blocks(path, {"a": small(6)})
    assert path.read_bytes() == content
    assert [p.name for p in tmp_path.iterdir()] == [path.name]
