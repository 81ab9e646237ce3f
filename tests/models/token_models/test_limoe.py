from __future__ import annotations

import math

import pytest
import torch

from mmlego.errors import SettingsError
from mmlego.models.layers.experts import SparseExperts, balance_loss
from mmlego.models.layers.transformer import VanillaLayer
from mmlego.models.token_models import LIMoE
from mmlego.models.token_models.layers import ExpertLayer
from mmlego.models.token_models.limoe import entropy, global_entropy_loss, local_entropy


def routings(model):
    """Where the tokens of the last call went, filled by a hook."""
    seen = []
    for layer in model.layers:
        if isinstance(layer, ExpertLayer):
            layer.register_forward_hook(lambda _, args, out: seen.append(out[1]))
    return seen


def trained(model):
    """The model with routers that have an opinion, and no chance in them."""
    with torch.no_grad():
        for layer in model.layers:
            if isinstance(layer, ExpertLayer):
                layer.experts.router.normal_()
    return model


def test_entropies_as_in_the_reference(reference):
    case = reference["router_entropy_regularisers"]
    given, expected = case["inputs"], case["expected"]
    for m, values in enumerate(given["p"]):
        p = torch.tensor(values, dtype=torch.float64)
        found = {
            "limoe_local": local_entropy(p),
            "limoe_global": -entropy(p.mean(dim=0)),
            "limoe_global_thresholded": global_entropy_loss(p, given["tau"]),
            "limoe_global_thresholded_tau_ln4": global_entropy_loss(p, math.log(4)),
        }
        for name, value in found.items():
            assert value.item() == pytest.approx(expected[name][m], abs=case["tolerance"]), name


def test_certain_routes_keep_a_finite_slope():
    logits = torch.tensor([[200.0, 0.0], [0.0, 1.0]], requires_grad=True)
    local_entropy(logits.softmax(dim=1)).backward()
    assert torch.isfinite(logits.grad).all()


def test_every_second_layer_has_experts(make):
    kinds = [type(layer) for layer in make(LIMoE, layers=5).layers]
    assert kinds == [VanillaLayer, ExpertLayer, VanillaLayer, ExpertLayer, VanillaLayer]
    model = make(LIMoE)
    assert len(model.layers[1].experts.experts) == 8
    assert model.layers[1].experts.top_k == 1
    assert model.threshold == pytest.approx(math.log(4))
    with pytest.raises(SettingsError, match="LIMoE: expected layers of 2 or more, got 1"):
        make(LIMoE, layers=1)
    with pytest.raises(SettingsError, match="reading.*'apart'"):
        make(LIMoE, reading="apart")
    with pytest.raises(SettingsError, match="auxiliary_weight"):
        make(LIMoE, auxiliary_weight=-1.0)


def test_a_token_leaves_its_expert_weighted_by_the_router():
    layer = ExpertLayer(8, 2, 0.0, SparseExperts(8, experts=4, top_k=1)).eval()
    with torch.no_grad():
        layer.experts.router.normal_()
    x = torch.randn(2, 3, 8)
    out, routing = layer(x)
    mid = x + layer.attention(layer.norm_attention(x))[0]
    for place, token in enumerate(layer.norm_feed(mid).flatten(0, 1)):
        p = (token @ layer.experts.router).softmax(dim=0)
        best = p.argmax()
        expected = mid.flatten(0, 1)[place] + p[best] * layer.experts.experts[best](token)
        assert routing.chosen[place].item() == best
        torch.testing.assert_close(out.flatten(0, 1)[place], expected)


def test_terms_are_weighted_means_over_layers_and_modalities(make, inputs):
    model = trained(make(LIMoE, layers=4, threshold=3.0, auxiliary_weight=0.5))
    seen = routings(model)
    _, terms = model.forward_with_auxiliary(inputs)
    routes = [r.clean.softmax(dim=1).view(4, 3, 4, 8) for r in seen]
    local = [entropy(p).mean() for p in routes]
    missed = [3.0 - entropy(p.mean(dim=(0, 2))).mean() for p in routes]
    assert len(seen) == 2
    balance = [balance_loss(r) for r in seen]
    assert terms["balance"].item() == pytest.approx(0.25 * sum(balance).item())
    assert terms["local"].item() == pytest.approx(0.25 * sum(local).item())
    assert terms["global"].item() == pytest.approx(0.25 * sum(missed).item())


@pytest.mark.parametrize("reading", ["joint", "separate"])
def test_absent_tokens_count_in_no_term(make, inputs, reading):
    model = trained(make(LIMoE, reading=reading))
    # The same tokens are counted whether a third modality is absent or unknown to the model.
    two = trained(make(LIMoE, modalities=2, reading=reading))
    shared = {n: p for n, p in model.state_dict().items() if n in two.state_dict()}
    two.load_state_dict(shared | {"head.linear.weight": two.head.linear.weight})
    inputs = {name: inputs[name] for name in ("lab", "note")}
    _, terms = model.forward_with_auxiliary(inputs)
    _, expected = two.forward_with_auxiliary(inputs)
    for name, value in expected.items():
        torch.testing.assert_close(terms[name], value, msg=name)
    assert terms["local"] > 0


def test_absent_tokens_are_not_read_by_others(make, inputs, present):
    model = trained(make(LIMoE))
    seen = []
    model.head.register_forward_pre_hook(lambda _, args: seen.append(args[0].mean(dim=2)))
    model(inputs, present)
    with torch.no_grad():
        model.front.tokenizers["lab"].absent += torch.randn(4, 16)
    model(inputs, present)
    changed = (seen[1] - seen[0]).abs().amax(dim=2) > 1e-6
    assert changed.nonzero().tolist() == [[1, 0]]


def test_separate_reading_keeps_modalities_apart(make, inputs):
    changed = inputs | {"lab": inputs["lab"] + 1.0}
    for reading, moved in (("separate", [True, False, False]), ("joint", [True, True, True])):
        model, seen = trained(make(LIMoE, reading=reading)), []
        model.head.register_forward_pre_hook(
            lambda _, args, seen=seen: seen.append(args[0].mean(dim=2))
        )
        model(inputs)
        model(changed)
        assert ((seen[1] - seen[0]).abs().amax(dim=(0, 2)) > 1e-6).tolist() == moved
