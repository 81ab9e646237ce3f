"""The gradient of the last feed-forward, split by modality."""

from __future__ import annotations

import math

import pytest
import torch
from torch.nn import functional as F

from mmlego.errors import SettingsError
from mmlego.models.amc import AMC
from mmlego.models.amc.conflict import cosine, feed_forward_parameters, modality_gradients

WIDTHS = {"lab": 7, "note": 5, "code": 9}
SMALL = {"tokens": 4, "width": 16, "heads": 2, "experts": 4, "top_k": 2, "dropout": 0.3}
OPTIONS = {
    "experts": {},
    "dense": {"feed_forward": "dense"},
    "every": {"placement": "after_every"},
    "single": {"layers": 1},
    "strict": {"token_score": "strict_fusion"},
}


def make(**options):
    torch.manual_seed(0)
    model = AMC(WIDTHS, 3, **SMALL | options).double().eval()
    for block in model.blocks:
        if hasattr(block.feed_forward, "router"):  # or all tokens go to the same two experts
            torch.nn.init.normal_(block.feed_forward.router)
    return model


def batch(rows=6):
    torch.manual_seed(1)
    inputs = {name: torch.randn(rows, w, dtype=torch.float64) for name, w in WIDTHS.items()}
    present = {name: torch.ones(rows, dtype=torch.bool) for name in WIDTHS}
    return inputs, present, {"label": torch.arange(rows) % 3}


def loss(logits, target):
    return F.cross_entropy(logits, target["label"])


def whole_gradient(model, inputs, present, target):
    value = loss(model(inputs, present), target)
    parameters = feed_forward_parameters(model.blocks[-1])
    parts = torch.autograd.grad(value, parameters, allow_unused=True, materialize_grads=True)
    return torch.cat([part.flatten() for part in parts])


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
def test_shares_add_up_to_the_gradient(options):
    model, (inputs, present, target) = make(**options), batch()
    present["lab"][0] = present["code"][1] = False
    shares = modality_gradients(model, inputs, present, None, target, loss)
    assert list(shares) == list(WIDTHS)
    whole = whole_gradient(model, inputs, present, target)
    assert float(whole.norm()) > 1e-3
    torch.testing.assert_close(sum(shares.values()), whole, rtol=0, atol=1e-12)
    assert all(float(share.norm()) > 1e-4 for share in shares.values())
    assert all(p.grad is None for p in model.parameters())


def test_a_share_is_the_gradient_of_a_head_that_reads_one_modality():
    # One block and no exchange: tokens of a modality reach the logits through their part of the
    # head alone, so with the other logits held fixed its share is an ordinary gradient.
    model, (inputs, present, target) = make(layers=1), batch()
    shares = modality_gradients(model, inputs, present, None, target, loss)
    pooled = model.run(inputs, present).logits
    parts = pooled.detach()
    width = SMALL["width"]
    for index, name in enumerate(WIDTHS):
        weight = torch.zeros_like(model.head.weight)
        columns = slice(index * width, (index + 1) * width)
        weight[:, columns] = model.head.weight.detach()[:, columns]
        heard = torch.func.functional_call(model, {"head.weight": weight}, (inputs, present))
        value = loss(parts + heard - heard.detach(), target)
        found = torch.autograd.grad(
            value,
            feed_forward_parameters(model.blocks[-1]),
            allow_unused=True,
            materialize_grads=True,
        )
        expected = torch.cat([part.flatten() for part in found])
        torch.testing.assert_close(shares[name], expected, rtol=0, atol=1e-12)


def test_experts_without_tokens_have_no_gradient_and_the_router_is_left_out():
    model, (inputs, present, target) = make(), batch()
    with torch.no_grad():
        model.blocks[-1].feed_forward.router.zero_()  # all tokens go to the first two
    share = modality_gradients(model, inputs, present, None, target, loss)["note"]
    feed_forward = model.blocks[-1].feed_forward
    one = sum(p.numel() for p in feed_forward.experts[0].parameters())
    assert share.shape == (4 * one,)
    assert float(share[: 2 * one].norm()) > 0
    assert not share[2 * one :].any()


def test_an_absent_modality_is_heard_through_what_stands_in_for_it():
    model, (inputs, present, target) = make(), batch()
    present["lab"][:] = False
    first = modality_gradients(model, inputs, present, None, target, loss)["lab"]
    assert float(first.norm()) > 0
    inputs["lab"] = torch.full_like(inputs["lab"], torch.nan)
    again = modality_gradients(model, inputs, present, None, target, loss)["lab"]
    assert torch.equal(first, again)


def test_training_mode_is_refused_and_no_hook_is_left():
    model, (inputs, present, target) = make(), batch()
    model.blocks[0].train()
    with pytest.raises(SettingsError, match="evaluation mode"):
        modality_gradients(model, inputs, present, None, target, loss)
    model.eval()
    with pytest.raises(KeyError):
        modality_gradients(model, inputs, present, None, {}, loss)
    assert not model.blocks[-1].feed_forward._forward_hooks
    with torch.no_grad():  # what the caller does with gradients does not matter
        assert modality_gradients(model, inputs, present, None, target, loss)["lab"].any()


def test_cosine():
    a = torch.tensor([3.0, 4.0])
    assert cosine(a, 2 * a) == 1.0
    assert cosine(a, -a) == -1.0
    assert cosine(a, torch.tensor([4.0, -3.0])) == 0.0
    assert cosine(a, torch.tensor([1.0, 0.0])) == pytest.approx(0.6)
    assert math.isnan(cosine(a, torch.zeros(2)))
