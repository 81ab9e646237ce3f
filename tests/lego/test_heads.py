"""Merged heads: great circles, their degenerate cases, and alignment."""

from __future__ import annotations

import copy
import math

import pytest
import torch

from mmlego.errors import SettingsError, ShapeError
from mmlego.lego import LegoMerge, align_heads, merge_heads, slerp
from mmlego.lego.heads import spherical_mean

HEADS = ("slerp", "linear", "ot")


def complexes(*shape, count=2, seed=0):
    generator = torch.Generator().manual_seed(seed)
    parts = torch.randn(count, 2, *shape, generator=generator, dtype=torch.float64)
    return [torch.complex(*pair) for pair in parts]


@pytest.mark.parametrize("weight", [0.0, 0.2, 0.5, 0.9, 1.0])
def test_slerp_ends_symmetry_and_norm(weight):
    a, b = (z.real for z in complexes(5, 3))
    mixed = slerp(a, b, weight)
    torch.testing.assert_close(mixed, slerp(b, a, 1 - weight))
    torch.testing.assert_close(mixed, spherical_mean([a, b], [1 - weight, weight]))
    if weight in (0, 1):
        assert torch.equal(mixed, b if weight else a)
    unit = slerp(a / a.norm(), b / b.norm(), weight)
    assert float(unit.norm()) == pytest.approx(1.0)


def test_spherical_mean_of_many():
    tensors = [z.real + 1 for z in complexes(5, 3, count=4)]
    mean = spherical_mean(tensors)
    torch.testing.assert_close(spherical_mean(tensors[::-1]), mean)
    torch.testing.assert_close(spherical_mean([tensors[0]] * 3), tensors[0])
    torch.testing.assert_close(
        spherical_mean(tensors, [1, 0, 1, 0]), slerp(tensors[0], tensors[2], 0.5)
    )
    axes = list(torch.eye(3).double())
    # By symmetry the mean of three unit axes points along (1, 1, 1) and has norm 1.
    torch.testing.assert_close(spherical_mean(axes), torch.full((3,), 1 / math.sqrt(3)).double())


def test_degenerate_tensors_average_linearly():
    zero, one = torch.zeros(4), torch.ones(4)
    assert torch.equal(spherical_mean([zero, one, one]), torch.full((4,), 2 / 3))
    spread = [
        torch.tensor(v).double() for v in ([1.0, 0.0], [-0.5, 0.75**0.5], [-0.5, -(0.75**0.5)])
    ]
    with pytest.warns(UserWarning, match="cancel"):
        assert float(spherical_mean(spread).norm()) < 1e-12
    leaf = one.clone().requires_grad_()
    slerp(leaf, leaf.detach() * 2, 0.5).sum().backward()
    assert bool(torch.isfinite(leaf.grad).all())


def test_bad_slerp():
    a = torch.ones(3)
    for arguments, error in (
        ((a, a, 1.5), SettingsError),
        ((a, a, "half"), SettingsError),
        ((a, torch.ones(2), 0.5), ShapeError),
        ((a, a / 0, 0.5), ShapeError),
    ):
        with pytest.raises(error):
            slerp(*arguments)


def test_heads_merge_tensor_by_tensor(trio, small):
    heads = [block.head for block in trio[0].values()]
    for method in HEADS:
        merged = merge_heads(heads, method=method)
        assert all(p.requires_grad for p in merged.parameters())
    linear = merge_heads(heads, [0.2, 0.3, 0.5], "linear").linear.weight
    expected = sum(w * h.linear.weight for w, h in zip((0.2, 0.3, 0.5), heads, strict=True))
    torch.testing.assert_close(linear, expected)
    with pytest.raises(ShapeError, match="n_outputs"):
        merge_heads([heads[0], small(n_outputs=2).head])
    with pytest.raises(SettingsError, match="slepr"):
        merge_heads(heads, method="slepr")


def test_transport_undoes_a_permutation_of_features(trio):
    head = trio[0]["table"].head
    order = torch.tensor([3, 1, 5, 0, 2, 4])
    shuffled = copy.deepcopy(head)
    with torch.no_grad():
        for p, q in zip(shuffled.tensors()[:3], head.tensors()[:3], strict=True):
            p.copy_(q[..., order])
    assert torch.equal(align_heads([head, shuffled])[1], order.argsort())
    merged = merge_heads([head, shuffled], method="ot")
    for p, q in zip(merged.tensors(), head.tensors(), strict=True):
        torch.testing.assert_close(p, q)


def test_transport_merges_blocks_with_shuffled_latents_back(small):
    block = small(7, frequency_domain=False, depth=1)
    latents = block.encode(torch.ones(1, 7).double())
    other = copy.deepcopy(block)
    order = torch.tensor([3, 1, 5, 0, 2, 4])
    with torch.no_grad():
        for p in other.head.tensors()[:3]:
            p.copy_(p[..., order].clone())
    other.encode = lambda x, mask=None: latents[..., order]
    merged = LegoMerge({"a": block, "b": other}, heads="ot").eval()
    x = torch.ones(1, 7).double()
    torch.testing.assert_close(merged({"a": x, "b": x}), block(x))
