"""Parts of AMC: gates, losses, tokenizers, and rules, by what must hold of them."""

from __future__ import annotations

import pytest
import torch

from mmlego.errors import SettingsError
from mmlego.models.amc.contrastive import Contrast, _DirectInfoNCE, instance_loss, token_loss
from mmlego.models.amc.rebalancing import Rule, rebalance, replaced_counts
from mmlego.models.amc.scores import fixed_donors, replaced_below
from mmlego.models.layers.experts import SparseExperts, balance_loss, noisy_top_k, squared_variation
from mmlego.models.layers.tokenizers import VectorSplit


def everybody(b, m):
    return torch.ones(b, m, dtype=torch.bool)


@pytest.mark.parametrize("top_k", [1, 2, 4])
@pytest.mark.parametrize("norm", ["softmax_all", "softmax_topk"])
def test_gates(top_k, norm):
    clean = torch.randn(50, 4)
    gates = noisy_top_k(clean, top_k, gate_norm=norm).gates
    assert bool(((gates > 0).sum(dim=1) == top_k).all())
    total = gates.sum(dim=1)
    whole = norm == "softmax_topk" or top_k == 4
    assert torch.allclose(total, torch.ones(50)) == whole
    assert torch.equal(gates.argmax(1), clean.argmax(1))


def test_mixture_is_the_weighted_sum_of_the_chosen_experts():
    experts = SparseExperts(6, 5, 2)
    torch.nn.init.normal_(experts.router)
    x = torch.randn(40, 6)
    routing = experts.route(x)
    everything = torch.stack([expert(x) for expert in experts.experts], dim=1)
    expected = (everything * routing.gates[..., None]).sum(dim=1)
    torch.testing.assert_close(experts.mix(x, routing), expected)


def test_an_untrained_router_takes_the_first_experts():
    assert noisy_top_k(torch.zeros(3, 4), 2).chosen.tolist() == [[0, 1]] * 3


def test_noise_and_loss_only_in_training():
    experts = SparseExperts(6, 4, 2).eval()
    x = torch.randn(20, 6)
    out, loss = experts(x)
    assert loss == 0
    assert torch.equal(out, experts(x)[0])
    experts.train()
    torch.manual_seed(0)
    first, loss = experts(x)
    assert loss > 0
    assert not torch.allclose(first, experts(x)[0])


def test_load_needs_a_choice():
    clean = torch.randn(30, 3)
    routing = noisy_top_k(clean, 3, scale=torch.ones_like(clean))
    assert balance_loss(routing) == squared_variation(routing.gates.sum(dim=0))
    assert squared_variation(torch.ones(1)) == 0


def test_balance_counts_valid_tokens_only():
    clean, noise = torch.randn(30, 4), torch.randn(30, 4)
    scale = torch.ones_like(clean)
    valid = torch.arange(30) < 20
    whole = noisy_top_k(clean[:20], 2, scale=scale[:20], noise=noise[:20])
    part = noisy_top_k(clean, 2, scale=scale, noise=noise)
    torch.testing.assert_close(balance_loss(part, valid=valid), balance_loss(whole))


def test_losses_of_one_sample():
    encoded = torch.randn(1, 3, 4, 8)
    assert instance_loss(encoded, everybody(1, 3), Contrast()).abs() < 1e-6


def test_fewer_negatives_lower_the_loss():
    encoded = torch.randn(6, 3, 4, 8)
    everything = token_loss(encoded, everybody(6, 3), Contrast())
    others = token_loss(encoded, everybody(6, 3), Contrast(negatives="other_instances"))
    assert others < everything


def test_pairs_use_the_samples_that_have_both():
    encoded = torch.randn(6, 2, 4, 8)
    here = everybody(6, 2)
    here[4:, 1] = False
    for loss in (instance_loss, token_loss):
        torch.testing.assert_close(
            loss(encoded, here, Contrast()), loss(encoded[:4], here[:4], Contrast())
        )
        here[1:, 1] = False
        assert loss(encoded, here, Contrast()) == 0
        here[1:4, 1] = True


def test_aligned_tokens_cost_less():
    one = torch.randn(8, 1, 4, 16)
    aligned = torch.cat([one, one], dim=1)
    shuffled = torch.cat([one, one.flip(0)], dim=1)
    for loss in (instance_loss, token_loss):
        assert loss(aligned, everybody(8, 2), Contrast()) < 0.01
        assert loss(shuffled, everybody(8, 2), Contrast()) > 2


def test_direct_sum_has_the_loss_and_gradient_of_the_plain_one():
    rows = [torch.nn.functional.normalize(torch.randn(300, 8).double(), dim=1) for _ in "ab"]
    first, second = (row.requires_grad_() for row in rows)
    similarity = first @ second.T / 0.07
    plain = similarity.logsumexp(0) + similarity.logsumexp(1)
    plain = (0.5 * plain - similarity.diagonal()).sum()
    direct = _DirectInfoNCE.apply(first, second, 0.07)
    torch.testing.assert_close(direct, plain)
    expected = torch.autograd.grad(plain, [first, second])
    for found, wanted in zip(
        torch.autograd.grad(3 * direct, [first, second]), expected, strict=True
    ):
        torch.testing.assert_close(found, 3 * wanted)


@pytest.mark.parametrize("temperature", [0.01, 0.049, 0.05])
def test_cold_temperatures_stay_finite(temperature):
    one = torch.nn.functional.normalize(torch.randn(16, 1, 2, 4), dim=-1)
    encoded = torch.cat([one, -one], dim=1).requires_grad_()
    loss = token_loss(encoded, everybody(16, 2), Contrast(temperature))
    loss.backward()
    assert torch.isfinite(loss)
    assert torch.isfinite(encoded.grad).all()


def test_vector_split_pads_the_end():
    split = VectorSplit(7, 3, 4)
    assert split.piece == 3
    x = torch.randn(2, 7)
    tokens = split(x)
    torch.testing.assert_close(tokens[:, 0], split.project(x[:, :3]))
    last = torch.cat([x[:, 6:], torch.zeros(2, 2)], dim=1)
    torch.testing.assert_close(tokens[:, 2], split.project(last))


def test_only_if_better_spares_the_better():
    tokens, score = torch.randn(4, 3, 5, 2), torch.rand(4, 3, 5)
    here = everybody(4, 3)
    _, usual = rebalance(tokens, score, here, Rule(k_rule="retain"))
    _, picky = rebalance(tokens, score, here, Rule(k_rule="retain", only_if_better=True))
    best = score.amax(dim=1, keepdim=True)
    assert (usual.mask & (score == best)).any()
    assert not (picky.mask & (score == best)).any()
    assert torch.equal(picky.mask, usual.mask & (score < best))


def test_ties_of_positions_go_to_the_lower_index():
    score = torch.tensor([[[0.1, 0.1, 0.1, 0.1], [0.2] * 4]])
    _, trace = rebalance(torch.randn(1, 2, 4, 3), score, everybody(1, 2), Rule(k_rule="inverse"))
    assert trace.count.tolist() == [[2, 1]]
    assert trace.mask[0, 0].tolist() == [True, True, False, False]


def test_scores_of_zero_share_equally():
    _, trace = rebalance(torch.randn(2, 4, 8, 3), torch.zeros(2, 4, 8), everybody(2, 4), Rule())
    assert trace.importance.tolist() == [[0.25] * 4] * 2
    assert trace.count.tolist() == [[2] * 4] * 2


def test_sums_of_counts():
    share = torch.distributions.Dirichlet(torch.ones(3)).sample((500,))
    here = everybody(500, 3)
    assert bool((replaced_counts(share, here, 32, Rule()).sum(1) <= 32).all())
    assert bool((replaced_counts(share, here, 32, Rule(k_rule="inverse")).sum(1) <= 32).all())
    retained = replaced_counts(share, here, 32, Rule(k_rule="retain")).sum(1)
    assert bool(((retained >= 64) & (retained <= 66)).all())


def test_more_important_loses_more_literally_and_less_inversely():
    share = torch.tensor([[0.6, 0.3, 0.1]])
    literal = replaced_counts(share, everybody(1, 3), 32, Rule())[0].tolist()
    inverse = replaced_counts(share, everybody(1, 3), 32, Rule(k_rule="inverse"))[0].tolist()
    assert literal == [19, 9, 3]
    assert inverse == [6, 11, 14]


def test_threshold_passes_over_absent_donors():
    donors = fixed_donors(3, 4)
    own = torch.arange(3)[:, None, None]
    assert bool((donors != own).all())
    assert bool((donors.sort(dim=-1).values.diff(dim=-1) > 0).all())
    score = torch.tensor([0.01, 0.5, 0.01]).view(1, 3, 1).expand(2, -1, 4)
    here = torch.tensor([[True, True, True], [True, False, True]])
    trace = replaced_below(score, here, donors)
    assert trace.mask[0].all(dim=-1).tolist() == [True, False, True]
    assert torch.equal(trace.donor[0, 0], donors[0, :, 0])
    assert trace.donor[1, 0].tolist() == [2] * 4


@pytest.mark.parametrize(
    "options", [{"temperature": -1.0}, {"negatives": "some"}, {"reduction": "max"}]
)
def test_refused_contrast(options):
    with pytest.raises(SettingsError):
        Contrast(**options)
