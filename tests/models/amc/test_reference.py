"""Values computed once by an independent implementation in float64."""

from __future__ import annotations

import pytest
import torch

from mmlego.models.amc.contrastive import Contrast, instance_loss, token_loss
from mmlego.models.amc.rebalancing import (
    Rule,
    importance_of,
    rebalance,
    replaced_counts,
    token_scores,
)
from mmlego.models.amc.scores import SPARSITY, THRESHOLD
from mmlego.models.layers.attention import DifferentialAttention
from mmlego.models.layers.experts import (
    balance_loss,
    chosen_probability,
    noisy_top_k,
    squared_variation,
)

EVERYBODY = torch.ones(1, 3, dtype=torch.bool)


def test_lambda(reference, tensor, close):
    case = reference["lambda_reparameterisation"]
    attention = DifferentialAttention(8, 1)
    vectors = [case["inputs"][name] for name in ("lq1", "lk1", "lq2", "lk2")]
    attention.vectors = torch.nn.Parameter(tensor(vectors))
    close(attention.weight().detach(), case["expected"]["lam"])


def test_multi_head_attention(reference, tensor, wave, close, precision, monkeypatch):
    case = reference["differential_attention_multi_head"]
    attention = DifferentialAttention(8, 2, 0.1).to(precision[0])
    matrices = {"to_query": 0.1, "to_key": 0.7, "to_value": 1.1, "to_out": 1.9}
    steps = {"to_query": 0.31, "to_key": 0.29, "to_value": 0.23, "to_out": 0.19}
    with torch.no_grad():
        for name, shift in matrices.items():
            # The case multiplies x @ W, a linear layer x @ W'.
            getattr(attention, name).weight.copy_(0.5 * wave((8, 8), steps[name], shift).T)
    monkeypatch.setattr(attention, "weight", lambda: torch.tensor(0.2, dtype=precision[0]))
    x = tensor(case["inputs"]["x"])[None]
    with torch.no_grad():
        out, table = attention(x)
        fused, nothing = attention(x, need_map=False)
    expected = case["expected"]
    close(table[0], expected["A_heads"])
    close(table[0].mean(dim=0), expected["A_mean"])
    close(out[0], expected["out"])
    close(fused[0], expected["out"])
    assert nothing is None
    close(token_scores(table.mean(dim=1))[0], expected["eta"])


def test_single_head(reference, tensor, close):
    case = reference["differential_attention_single_head"]
    query1, key1, query2, key2, value = (
        tensor(case["inputs"][name]) for name in ("Q1", "K1", "Q2", "K2", "V")
    )
    attention = DifferentialAttention(4, 1, case["inputs"]["lambda_init"]).to(value.dtype)
    first, second = (q @ k.T / 2**0.5 for q, k in ((query1, key1), (query2, key2)))
    table = first.softmax(-1) - case["inputs"]["lam"] * second.softmax(-1)
    close(table, case["expected"]["A"])
    normed = (1 - attention.lambda_init) * attention.norm(table @ value)
    close(normed.detach(), case["expected"]["normed"])


@pytest.mark.parametrize("weight", ["0.1", "0.9", "1.0", "1.5"])
def test_negative_maximum(reference, tensor, close, weight):
    case = reference["negative_maximum"]
    table = tensor(case["inputs"]["P"]) * (1 - float(weight))
    score = token_scores(table)
    close(score, case["expected"][weight]["eta"])
    assert bool((score < 0).any()) == (float(weight) > 1)


@pytest.mark.parametrize("name", ["mean", "std", "max"])
def test_importance(reference, tensor, close, name):
    case = reference["modality_importance"]
    score = token_scores(tensor(case["inputs"]["A"]))[None]
    close(score[0], case["expected"]["eta"])
    key = {"std": "std_population"}.get(name, name)
    sigma, share = importance_of(score, EVERYBODY, name)
    close(sigma[0], case["expected"][f"sigma_{key}"])
    close(share[0], case["expected"][f"s_{key}"])


def test_columns(reference, tensor, close):
    case = reference["modality_importance"]
    close(
        token_scores(tensor(case["inputs"]["A"]), "column"), case["expected"]["eta_column_variant"]
    )


@pytest.mark.parametrize("rule", ["literal", "inverse", "retain"])
@pytest.mark.parametrize("tokens", [4, 32])
def test_counts(reference, tensor, rule, tokens):
    expected = reference["modality_importance"]["expected"]
    share = tensor([expected["s_mean"]])
    count = replaced_counts(share, EVERYBODY, tokens, Rule(k_rule=rule))
    assert count[0].tolist() == expected[f"K_{rule}_N{tokens}"]


def test_floor_guard(reference, tensor):
    case = reference["floor_guard"]
    score = tensor(case["inputs"]["sigma"]).view(1, 3, 1).expand(-1, -1, 3)
    _, share = importance_of(score, EVERYBODY)
    assert replaced_counts(share, EVERYBODY, 3, Rule())[0].tolist() == [1, 1, 1]


def check_replacement(result, expected, x, close):
    tokens, trace = result
    assert trace.count[0].tolist() == expected["K"]
    for m, positions in enumerate(expected["replaced"]):
        assert trace.mask[0, m].nonzero().flatten().tolist() == positions
        assert trace.donor[0, m][trace.mask[0, m]].tolist() == expected["donors"][m]
    close(tokens[0], expected["tokens"])
    kept = ~trace.mask[0]
    assert torch.equal(tokens[0][kept], x[kept])


@pytest.mark.parametrize("rule", ["literal", "inverse", "retain"])
def test_replacement(reference, tensor, close, rule):
    case = reference["token_replacement_all_present"]
    x, score = tensor(case["inputs"]["x"]), tensor(case["inputs"]["eta"])
    result = rebalance(x[None], score[None], EVERYBODY, Rule(k_rule=rule))
    close(result[1].importance[0], case["expected"]["s"])
    check_replacement(result, case["expected"][rule], x, close)


def test_summed_ties(reference, tensor, close):
    case = reference["token_replacement_all_present"]
    x, score = tensor(case["inputs"]["x"]), tensor(case["inputs"]["eta"])
    tokens, _ = rebalance(x[None], score[None], EVERYBODY, Rule(tie="sum"))
    close(tokens[0], case["expected"]["literal_with_summed_ties_as_printed"]["tokens"])


@pytest.mark.parametrize("rule", ["literal", "inverse"])
@pytest.mark.parametrize("mode", ["isolate", "impute"])
def test_missing_modality(reference, tensor, close, rule, mode):
    given = reference["token_replacement_all_present"]["inputs"]
    case = reference["token_replacement_missing_modality"]
    x, score = tensor(given["x"]), tensor(given["eta"])
    here = torch.tensor([case["inputs"]["present"]])
    result = rebalance(x[None], score[None], here, Rule(k_rule=rule, missing_mode=mode))
    close(result[1].importance[0], case["expected"]["s"])
    close(result[1].score[0], case["expected"]["eta"])
    check_replacement(result, case["expected"][f"{rule}_{mode}"], x, close)


def test_single_present_modality(reference, tensor, close):
    given = reference["token_replacement_all_present"]["inputs"]
    case = reference["token_replacement_single_present"]
    x, score = tensor(given["x"]), tensor(given["eta"])
    here = torch.tensor([case["inputs"]["present"]])
    tokens, trace = rebalance(x[None], score[None], here, Rule())
    close(trace.importance[0], case["expected"]["s"])
    assert trace.count[0].tolist() == case["expected"]["K_literal"]
    assert torch.equal(tokens[0], x)
    assert not trace.mask.any()


CONTRASTS = {
    "T=1.0,normalise=False": (1.0, False),
    "T=0.07,normalise=False": (0.07, False),
    "T=0.07,normalise=True": (0.07, True),
    "T=0.5,normalise=True": (0.5, True),
}


@pytest.mark.parametrize("key", CONTRASTS)
@pytest.mark.parametrize("reduction", ["sum", "mean"])
def test_contrastive_losses(reference, tensor, close, key, reduction):
    case = reference["contrastive_losses"]
    encoded = tensor(case["inputs"]["a"])[:2].transpose(0, 1)
    here = torch.ones(2, 2, dtype=torch.bool)
    expected = case["expected"][key]

    def how(**options):
        temperature, normalize = CONTRASTS[key]
        return Contrast(temperature, normalize, reduction, **options)

    close(instance_loss(encoded, here, how()), expected["L_I"][reduction])
    for negatives in ("all", "other_instances"):
        name = "L_T_all" if negatives == "all" else "L_T_other_instances"
        loss = token_loss(encoded, here, how(negatives=negatives))
        close(loss, expected[name][reduction])


def test_contrastive_losses_of_three(reference, tensor, close):
    case = reference["contrastive_losses"]
    encoded = tensor(case["inputs"]["a"]).transpose(0, 1)
    here = torch.ones(2, 3, dtype=torch.bool)
    expected = case["expected"]["three_modalities_T=0.07_normalised_mean"]
    close(instance_loss(encoded, here, Contrast()), expected["L_I"])
    close(token_loss(encoded, here, Contrast()), expected["L_T"])
    total = token_loss(encoded, here, Contrast(pairs="sum"))
    close(total, sum(expected["L_T_pairs"]))


@pytest.mark.parametrize("gate_norm", ["softmax_topk", "softmax_all"])
def test_routing(reference, tensor, wave, close, gate_norm):
    case = reference["moe_noisy_topk_gating_and_losses"]
    given, expected = case["inputs"], case["expected"]
    x, router, noise_router = (tensor(given[name]) for name in ("x", "Wg", "Wn"))
    scale = torch.nn.functional.softplus(x @ noise_router) + 0.01
    routing = noisy_top_k(
        x @ router, given["k"], scale=scale, noise=tensor(given["eps"]), gate_norm=gate_norm
    )
    close(routing.clean, expected["clean"])
    close(routing.scale, expected["std"])
    close(routing.noisy, expected["noisy"])
    assert routing.chosen.tolist() == expected[gate_norm]["topk_index"]
    close(routing.gates, expected[gate_norm]["gates"])
    probability = chosen_probability(routing)
    close(probability, expected["prob_in_topk"])
    load = probability.sum(dim=0)
    close(load, expected["load"])
    importance = routing.gates.sum(dim=0)
    close(importance, expected[gate_norm]["importance"])
    for ddof in (0, 1):
        of_load = expected["load_cv2"][f"ddof{ddof}"]
        of_importance = expected[gate_norm]["importance_cv2"][f"ddof{ddof}"]
        close(squared_variation(load, ddof), of_load)
        close(squared_variation(importance, ddof), of_importance)
        close(balance_loss(routing, ddof), of_load + of_importance)


def test_routing_in_evaluation(reference, tensor, close):
    case = reference["moe_noisy_topk_gating_and_losses"]
    given, expected = case["inputs"], case["expected"]["evaluation_mode"]
    x, router = (tensor(given[name]) for name in ("x", "Wg"))
    routing = noisy_top_k(x @ router, given["k"])
    assert routing.chosen.tolist() == expected["topk_index"]


def test_constants_are_the_published_ones():
    assert (SPARSITY, THRESHOLD) == (1e-4, 0.02)
