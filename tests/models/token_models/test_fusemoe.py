from __future__ import annotations

import math

import pytest
import torch

from mmlego.errors import SettingsError
from mmlego.models.layers.experts import balance_loss
from mmlego.models.token_models import FuseMoE
from mmlego.models.token_models.fusemoe import (
    GATES,
    ROUTERS,
    GatedExperts,
    entropy_gap,
    gate_logits,
    mean_distributions,
)

SMALL = {"layers": 1, "experts": 6, "top_k": 2}


def watch(module):
    """Keep what goes into a module and what comes out of it."""
    calls = []
    module.register_forward_hook(lambda _, given, made: calls.append((given[0], made)))
    return calls


def test_entropies_are_those_of_the_reference(reference):
    case = reference["router_entropy_regularisers"]
    chances = torch.tensor(case["inputs"]["p"], dtype=torch.float64)  # (m, t, e)
    logits = chances.log().movedim(0, 1).flatten(0, 1)  # a sample per token
    mean = mean_distributions(logits, torch.ones(3, 2, dtype=torch.bool), tokens=1)
    torch.testing.assert_close(mean, chances.mean(dim=1))
    assert float(entropy_gap(mean)) == pytest.approx(case["expected"]["fusemoe_E"], abs=1e-6)


def test_the_gap_is_lowest_where_modalities_have_experts_of_their_own():
    own = torch.eye(3).requires_grad_()
    assert entropy_gap(own).item() == pytest.approx(-math.log(3), abs=1e-6)
    entropy_gap(own).backward()
    assert torch.isfinite(own.grad).all()
    assert float(entropy_gap(torch.full((3, 4), 0.25))) == pytest.approx(0.0, abs=1e-6)


def test_absent_modalities_do_not_count_in_the_mean_distribution():
    logits = torch.randn(3 * 2 * 4, 5)
    here = torch.tensor([[True, False], [True, False], [False, False]])
    mean = mean_distributions(logits, here, tokens=4)
    expected = logits.softmax(dim=-1).view(3, 2, 4, 5)[:2, 0].mean(dim=(0, 1))
    torch.testing.assert_close(mean, expected[None])


@pytest.mark.parametrize("gate", GATES)
def test_gates_measure_what_they_are_called(gate):
    x, centers = torch.randn(2, 3, 4, 8).double(), torch.randn(3, 5, 8).double()
    distance = torch.cdist(x, centers.expand(2, -1, -1, -1))
    product = torch.einsum("bmnw,mew->bmne", x, centers)
    expected = {"laplace": -distance, "gaussian": -distance.square(), "softmax": product}[gate]
    torch.testing.assert_close(gate_logits(x, centers, gate), expected)


def test_a_token_on_a_center_leaves_gradients_finite():
    centers = torch.zeros(1, 2, 3, requires_grad=True)
    logits = gate_logits(torch.zeros(1, 1, 1, 3), centers, "laplace")
    assert logits.abs().max() < 1e-5
    logits.sum().backward()
    assert torch.isfinite(centers.grad).all()


def test_each_token_goes_to_k_experts_with_gates_that_sum_to_1():
    experts = GatedExperts(8, 5, 3, "laplace", routers=2)
    for mode in (True, False):
        _, routing = experts.train(mode)(torch.randn(4, 2, 6, 8))
        assert routing.gates.shape == (48, 5)
        assert ((routing.gates > 0).sum(dim=1) == 3).all()
        torch.testing.assert_close(routing.gates.sum(dim=1), torch.ones(48))
        assert torch.equal(routing.clean, routing.noisy) != mode


def test_tokens_are_mixed_by_their_gates():
    experts, x = GatedExperts(8, 4, 2, "laplace", routers=3).eval(), torch.randn(2, 3, 5, 8)
    out, routing = experts(x)
    made = torch.stack([expert(x) for expert in experts.experts], dim=-1)
    torch.testing.assert_close(out, (made * routing.gates.view(2, 3, 5, 1, 4)).sum(dim=-1))


def test_each_modality_has_a_router_of_its_own():
    experts, x = GatedExperts(8, 6, 2, "laplace", routers=3).eval(), torch.randn(2, 3, 5, 8)
    before = experts(x)[1].clean.view(2, 3, 5, 6)
    with torch.no_grad():
        experts.router[1] += torch.randn(6, 8)
    moved = (experts(x)[1].clean.view(2, 3, 5, 6) - before).abs().amax(dim=(0, 2, 3))
    assert (moved > 1e-6).tolist() == [False, True, False]


def test_router_designs_differ_in_routers_and_experts(make):
    found = {}
    for router in ROUTERS:
        pools = make(FuseMoE, **SMALL, router=router).layers[0].pools
        found[router] = [(pool.router.shape[0], len(pool.experts)) for pool in pools]
    assert found == {"per_modality": [(3, 6)], "joint": [(1, 6)], "disjoint": [(1, 2)] * 3}
    assert make(FuseMoE).layers[0].pools[0].top_k == 4
    assert make(FuseMoE, router="disjoint").layers[0].pools[0].top_k == 2
    with pytest.raises(SettingsError, match="top_k of at most 1 experts, got 2"):
        make(FuseMoE, experts=5, router="disjoint")


def test_disjoint_experts_read_their_modality_only(make, inputs):
    model = make(FuseMoE, **SMALL, router="disjoint")
    before = model(inputs)
    calls = watch(model.layers[0])
    model(inputs)
    with torch.no_grad():
        for expert in model.layers[0].pools[1].experts:
            expert.contract.bias += 1.0
    assert not torch.allclose(model(inputs), before)
    moved = (calls[1][1][0] - calls[0][1][0]).abs().amax(dim=(0, 2, 3))
    assert (moved > 1e-5).tolist() == [False, True, False]


def test_an_absent_modality_is_one_learned_vector_at_all_positions(make, inputs, present):
    model = make(FuseMoE, **SMALL)
    calls = watch(model.layers[0])
    model(inputs, present)
    tokens = calls[0][0]
    assert torch.equal(tokens[1, 0], model.absent[0].expand(4, -1))
    assert torch.equal(tokens[2, 1], model.absent[1].expand(4, -1))
    assert not torch.equal(tokens[0, 0], tokens[1, 0])
    model.train()(inputs, present).sum().backward()
    assert model.absent.grad.abs().sum(dim=(1, 2)).gt(0).tolist() == [True, True, False]


def test_the_term_is_the_gap_of_shared_experts_and_the_balance_of_others(make, inputs, present):
    here = torch.ones(4, 3, dtype=torch.bool)
    here[1, 0] = here[2, 1] = False
    for router in ROUTERS:
        model = make(FuseMoE, **(SMALL | {"experts": 9}), router=router).train()
        calls = [watch(pool) for pool in model.layers[0].pools]
        logits, terms = model.forward_with_auxiliary(inputs, present)
        assert logits.shape == (4, 3)
        routings = [call[0][1][1] for call in calls]
        if router == "per_modality":
            expected = entropy_gap(mean_distributions(routings[0].clean, here, tokens=4))
            assert expected < 0
        else:
            flags = [here] if router == "joint" else here.split(1, dim=1)
            expected = sum(
                balance_loss(routing, valid=flag.flatten().repeat_interleave(4))
                for routing, flag in zip(routings, flags, strict=True)
            )
        torch.testing.assert_close(terms["router"], 0.01 * expected)
        assert model.eval().forward_with_auxiliary(inputs, present)[1] == {}


def test_the_gap_gives_modalities_experts_of_their_own():
    experts, x = GatedExperts(8, 4, 2, "laplace", routers=2), torch.randn(16, 2, 4, 8)
    here = torch.ones(16, 2, dtype=torch.bool)
    adam = torch.optim.Adam(experts.parameters(), lr=0.1)
    for _ in range(100):
        gap = entropy_gap(mean_distributions(experts(x)[1].clean, here, tokens=4))
        adam.zero_grad()
        gap.backward()
        adam.step()
    assert gap < -0.9 * math.log(2)


@pytest.mark.parametrize("wrong", [{"gate": "linear"}, {"router": "single"}, {"layers": 0}])
def test_refuses_unknown_options(make, wrong):
    (name,) = wrong
    with pytest.raises(SettingsError, match=f"FuseMoE: .*{name}|FuseMoE: {name}"):
        make(FuseMoE, **wrong)
