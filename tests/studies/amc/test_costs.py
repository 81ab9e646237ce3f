from __future__ import annotations

import copy

import numpy as np
import pandas as pd
import pytest
import torch

from mmlego.learning.loop import fit
from mmlego.learning.objectives import objective_for
from mmlego.learning.settings import FitSettings
from mmlego.methods.names import AMC
from mmlego.methods.registry import METHODS, rivals_on_tokens
from mmlego.runs.settings import AMCSettings
from mmlego.studies.amc import costs as token_costs
from mmlego.studies.amc.costs import (
    COLUMNS,
    cost_sentences,
    cost_table,
    published_costs,
    training_step,
    without_encoders,
)
from mmlego.studies.amc.run import model_options

NAMES = ("clin", "rna", "img")
SETTINGS = AMCSettings(
    cohort="toy", tokens=4, width=16, heads=2, batch_size=8, timed_steps=1, experts=8
)


def build(fold, method, **options):
    torch.manual_seed(0)
    return METHODS[method].build(
        {name: fold.widths[name] for name in NAMES},
        fold.n_outputs,
        kinds={name: fold.kinds[name] for name in NAMES},
        **model_options(method, SETTINGS) | options,
    )


@pytest.fixture
def costs():
    """Made-up costs: AMC, a cheap model and a costly one."""
    rows = [
        (AMC, 40.0, 20.0, 0.06, 0.03, 1000, 10.0),
        ("fusemoe", 80.0, 60.0, 0.12, 0.09, 5000, 20.0),
        ("maggate", 20.0, 1.0, 0.03, 0.001, 500, 5.0),
    ]
    return pd.DataFrame(rows, columns=list(COLUMNS))


def test_every_model_of_the_same_tokens_has_its_cost(folds):
    state = torch.get_rng_state()
    table = token_costs.token_costs(folds()[0], NAMES, SETTINGS)
    assert torch.equal(state, torch.get_rng_state())
    assert list(table) == list(COLUMNS)
    assert set(table["method"]) == {AMC, *rivals_on_tokens()}
    assert (table.drop(columns="method") > 0).all(axis=None)
    shared = table["gflops"] - table["gflops_without_encoders"]
    np.testing.assert_allclose(shared, shared[0])  # all have the same front end
    assert shared[0] > 0
    weights = 4 * table["parameters"] / 2**20
    # Weights, gradients, two moments; what stands in for a modality that all have gets none.
    assert (table["peak_mib"] > 3.9 * weights).all()


@pytest.mark.parametrize("method", [AMC, *rivals_on_tokens()])
def test_given_tokens_lead_to_the_same_prediction(folds, method):
    fold = folds()[0]
    model, batch = build(fold, method).eval(), fold.test.select(NAMES).batch()
    bare = without_encoders(model, batch)
    parts = (batch.inputs, batch.present, batch.masks)
    torch.testing.assert_close(bare(*parts), model(*parts))
    names = {name for name, _ in bare.named_parameters()}
    assert names == {n for n, _ in model.named_parameters() if not n.startswith("front.")}


def test_tokens_that_are_given_have_a_gradient_that_nobody_waits_for(folds):
    fold = folds()[0]
    model, batch = build(fold, AMC), fold.train.select(NAMES).batch(range(8))
    front = without_encoders(model, batch).front
    first, second = (front.read(batch.inputs).tokens for _ in range(2))
    first.square().sum().backward()
    assert first.grad.any()
    assert second.grad is None


def test_a_step_is_one_of_training(folds):
    fold = folds()[0]
    part = fold.train.select(NAMES).where_present(NAMES, "all").subset(range(8))
    # Neither dropout nor noise, so that all that counts is what is minimized and how.
    model = build(fold, AMC, feed_forward="dense", dropout=0.0)
    trained, objective = copy.deepcopy(model), objective_for(fold)
    settings = FitSettings(epochs=1, batch_size=8, learning_rate=1e-3, l1=0.0, patience=None)
    fit(trained, part, None, objective, settings=settings, seed=4, device="cpu")
    batch = next(part.batches(8, torch.Generator().manual_seed(4)))
    training_step(model, batch, objective, 1e-3)()
    for name, value in model.state_dict().items():
        torch.testing.assert_close(value, trained.state_dict()[name], rtol=0, atol=1e-7)


def test_a_step_trains_and_one_without_encoders_leaves_them_alone(folds):
    fold = folds()[0]
    model, batch = build(fold, AMC), fold.train.select(NAMES).batch(range(8))
    bare = without_encoders(model, batch)
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    objective = objective_for(fold)
    step = training_step(bare, batch, objective, 1e-3)
    step(), step()  # a graph of its own each time
    assert all(torch.equal(p, before[name]) for name, p in model.named_parameters())
    assert any(not torch.equal(p, before[name]) for name, p in bare.named_parameters())
    training_step(model, batch, objective, 1e-3)()
    moved = {n.split(".")[0] for n, p in model.named_parameters() if not torch.equal(p, before[n])}
    assert moved == {"front", "blocks", "head"}
    assert bare.training
    assert model.training


def test_operations_are_those_of_a_complete_sample(folds, monkeypatch):
    seen, fold = [], folds()[0]

    def look(_, one):
        seen.append(one)
        return 1.0, 1.0

    monkeypatch.setattr(token_costs._Measured, "gigaflops", look)
    monkeypatch.setattr(token_costs._Measured, "peak", lambda _: 1.0)
    token_costs.token_costs(fold, NAMES, SETTINGS)
    test = fold.test.select(NAMES)
    first = int(test.has(NAMES, "all").nonzero()[0])
    assert seen[0].index.tolist() == [first]
    assert not bool(test.has(NAMES, "all").all())


def test_sizes_are_those_of_the_settings():
    own, shared = (model_options(name, SETTINGS) for name in (AMC, "mult"))
    assert shared == {"tokens": 4, "width": 16, "heads": 2, "dropout": 0.1, "tokenizer": "auto"}
    assert own == shared | {
        "layers": 2,
        "experts": 8,
        "top_k": 2,
        "instance_weight": 0.1,
        "token_weight": 0.1,
        "balance_weight": 0.1,
    }


def test_table_for_reading(costs):
    table = cost_table(costs)
    assert table["method"].tolist() == ["MAGGate", "AMC", "FuseMoE"]
    assert table["training step, ms"].tolist() == [20, 40, 80]
    assert table["without encoders, GFLOP"].tolist() == [0.001, 0.03, 0.09]


def test_sentences_are_ratios_of_these_numbers(costs):
    words = cost_sentences(costs).split("\n")
    assert "over each other model: MAGGate 2.00, FuseMoE 0.50." in words[0]
    assert "Without encoders: MAGGate 30, FuseMoE 0.33." in words[0]
    assert "MAGGate 2.00, FuseMoE 0.50. Without encoders: MAGGate 20, FuseMoE 0.33." in words[1]
    assert "makes 50.0% of AMC's operations, and 25.0% to 96.7%" in words[2]
    assert "0.50 times as long without" in words[2]
    assert "4.00 times as many" in words[3]
    assert "90 times without encoders. Encoders do not hide it" in words[3]
    assert "2 models" in words[4]
    assert "0.76 in the paper, 0.80 here" in words[4]
    assert "0.76 in the paper, 0.80 here" in words[5]


def test_sentences_notice_encoders_that_hide_all(costs):
    costs["gflops"] = costs["gflops_without_encoders"] + 100
    assert "Encoders hide what fusion costs" in cost_sentences(costs)
    alone = costs[costs["method"] != "fusemoe"].replace("maggate", "muse")
    assert "in the paper" not in cost_sentences(alone)  # which has no MUSE here


def test_published_costs():
    table = published_costs()
    assert len(table) == 7
    assert table.loc[AMC, "gflops"] == 45.23
    assert table.loc["fusemoe", "step_ms"] == pytest.approx(18680)
    assert set(table.index) <= set(METHODS)
