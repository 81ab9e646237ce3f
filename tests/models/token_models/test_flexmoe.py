from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from mmlego.errors import SettingsError
from mmlego.models.layers.experts import DenseFeedForward, SparseExperts, balance_loss, noisy_top_k
from mmlego.models.token_models import FlexMoE
from mmlego.models.token_models.flexmoe import MissingBank, combinations_by_size, router_loss

ORDER = [(0, 1, 2), (0, 1), (0, 2), (1, 2), (0,), (1,), (2,)]


def squared_variation(values):
    return values.var() / (values.mean() ** 2 + 1e-10)


@pytest.fixture
def routing(reference):
    """Five tokens, four experts, two each, as in the reference case."""
    case = reference["moe_noisy_topk_gating_and_losses"]
    given, found = case["inputs"], case["expected"]
    scale, noise = (torch.tensor(v, dtype=torch.float64) for v in (found["std"], given["eps"]))
    clean = torch.tensor(found["clean"], dtype=torch.float64)
    return noisy_top_k(clean, given["k"], scale=scale, noise=noise, gate_norm="softmax_topk")


def test_combinations_are_numbered_by_decreasing_size():
    assert combinations_by_size(3) == ORDER
    assert combinations_by_size(1) == [(0,)]
    bank = MissingBank(3, 2, 4)
    here = torch.zeros(len(ORDER), 3, dtype=torch.bool)
    for row, members in enumerate(ORDER):
        here[row, list(members)] = True
    assert bank.index(here).tolist() == list(range(len(ORDER)))


def test_what_is_absent_comes_from_the_bank_of_the_combination():
    bank, tokens = MissingBank(3, 2, 4), torch.randn(3, 3, 2, 4)
    here = torch.tensor([[True, True, True], [True, False, True], [False, True, False]])
    before = tokens.clone()
    filled = bank.fill(tokens, here, bank.index(here))
    assert torch.equal(tokens, before)
    assert torch.equal(filled[here], tokens[here])
    assert torch.equal(filled[1, 1], bank.bank[2, 1])
    assert torch.equal(filled[2, 0], bank.bank[5, 0])
    assert torch.equal(filled[2, 2], bank.bank[5, 2])
    filled.sum().backward()
    used = bank.bank.grad.flatten(2).any(dim=2).nonzero().tolist()
    assert used == [[2, 1], [5, 0], [5, 2]]


def test_the_bank_is_read_by_incomplete_samples_alone(make, inputs, present):
    model = make(FlexMoE)
    before = model(inputs, present)
    with torch.no_grad():
        model.bank.bank[2] += torch.randn(3, 4, 16)  # row 2 lacks the second modality
    moved = (model(inputs, present) - before).abs().amax(dim=1)
    assert (moved > 1e-5).tolist() == [False, False, True, False]


@pytest.mark.parametrize(("residual", "kept"), [("prenorm", 1.0), ("official", 0.0)])
def test_only_the_official_residual_loses_the_input(make, residual, kept):
    layer = make(FlexMoE, residual=residual).layers[0]
    with torch.no_grad():
        layer.attention.to_out.weight.zero_()
        for expert in layer.feed_forward.experts:
            expert.contract.weight.zero_()
    x = torch.randn(2, 12, 16)
    assert torch.equal(layer(x)[0], kept * x)


def test_layers_are_sparse_and_dense_in_turn(make):
    layers = make(FlexMoE, layers=3).layers
    kinds = [type(layer.feed_forward) for layer in layers]
    assert kinds == [SparseExperts, DenseFeedForward, SparseExperts]


def test_there_is_an_expert_for_every_combination(make):
    for modalities, experts in ((1, 8), (3, 8), (4, 16)):
        widths = {f"m{number}": 2 for number in range(modalities)}
        model = FlexMoE(widths, 2, tokens=2, width=4, heads=1)
        assert len(model.layers[0].feed_forward.experts) == experts
    assert len(make(FlexMoE, experts=7).layers[0].feed_forward.experts) == 7
    with pytest.raises(SettingsError, match="FlexMoE: expected 7 experts or more.* got 6"):
        make(FlexMoE, experts=6)
    with pytest.raises(SettingsError, match="FlexMoE: expected 8 modalities at most, got 9"):
        FlexMoE({f"m{number}": 2 for number in range(9)}, 2)


def test_complete_samples_share_all_experts(reference, routing):
    expected = reference["moe_noisy_topk_gating_and_losses"]["expected"]["softmax_topk"]
    loss = router_loss(routing, torch.zeros(5, dtype=torch.long))
    assert float(loss) == pytest.approx(expected["loss_importance_plus_load"]["ddof1"], abs=1e-6)


def test_incomplete_samples_are_sent_to_the_expert_of_their_combination(reference, routing):
    found = reference["moe_noisy_topk_gating_and_losses"]["expected"]
    index = torch.tensor([0, 2, 0, 1, 3])
    some = index > 0
    gates, inside = (
        torch.tensor(v, dtype=torch.float64)[some].sum(dim=0)[1:]
        for v in (found["softmax_topk"]["gates"], found["prob_in_topk"])
    )
    clean = torch.tensor(found["clean"], dtype=torch.float64)
    taught = F.cross_entropy(clean[some], index[some])
    expected = taught + squared_variation(gates) + squared_variation(inside)
    expected = expected + balance_loss(routing, valid=~some)
    torch.testing.assert_close(router_loss(routing, index), expected, rtol=0, atol=1e-6)


def test_where_all_experts_are_chosen_there_is_no_load():
    routing = noisy_top_k(torch.randn(6, 3), 3, scale=torch.ones(6, 3), gate_norm="softmax_topk")
    index = torch.ones(6, dtype=torch.long)
    taught = F.cross_entropy(routing.clean, index)
    expected = taught + squared_variation(routing.gates.sum(dim=0)[1:])
    torch.testing.assert_close(router_loss(routing, index), expected)


def test_the_router_learns_which_modalities_a_sample_has(make):
    model = make(FlexMoE, router_weight=1.0, top_k=2, own_layers=0).train()
    here = torch.ones(70, 3, dtype=torch.bool)
    for row in range(70):
        here[row] = torch.tensor([m in ORDER[row % 7] for m in range(3)])
    inputs = {name: torch.randn(70, width) for name, width in model.front.widths.items()}
    present = dict(zip(model.names, here.unbind(dim=1), strict=True))
    adam = torch.optim.Adam(model.parameters(), lr=1e-2)
    for _ in range(60):
        _, terms = model.forward_with_auxiliary(inputs, present)
        adam.zero_grad()
        terms["router"].backward()
        adam.step()
    routed = []
    model.eval().layers[0].register_forward_hook(lambda *call: routed.append(call[2][1]))
    model(inputs, present)
    top = routed[0].chosen[:, 0].view(70, -1)
    index = model.bank.index(here)
    agree = (top == index[:, None]).double().mean(dim=1)
    assert agree[index > 0].mean() > 0.9


def test_the_term_is_of_training_and_has_a_weight(make, inputs, present):
    model = make(FlexMoE, dropout=0.0)
    logits, terms = model.forward_with_auxiliary(inputs, present)
    assert terms == {}
    assert torch.equal(logits, model(inputs, present))
    found = []
    for weight in (0.01, 0.02):
        torch.manual_seed(1)
        model.router_weight = weight
        found.append(model.train().forward_with_auxiliary(inputs, present)[1]["router"])
    assert found[0] > 0
    torch.testing.assert_close(found[1], 2 * found[0])
    assert make(FlexMoE, router_weight=0.0).train().forward_with_auxiliary(inputs)[1] == {}
