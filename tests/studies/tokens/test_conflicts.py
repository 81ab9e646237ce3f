from __future__ import annotations

import dataclasses
from types import SimpleNamespace

import pytest
import torch

from mmlego.bench.configurations import Configuration
from mmlego.bench.trained import Labels, TrainedModel
from mmlego.learning.objectives import objective_for
from mmlego.models.amc import AMC
from mmlego.models.amc.conflict import cosine, modality_gradients
from mmlego.studies.tokens.conflicts import conflict_table

TITLES = {"clin": "Notes", "rna": "Codes", "img": "Slides"}
NAMES = ("rna", "clin", "img")
PAIRS = {"Codes - Notes", "Codes - Slides", "Notes - Slides"}


@pytest.fixture
def trained(folds):
    fold = folds(task="classification")[0]
    torch.manual_seed(0)
    model = AMC(
        {name: fold.widths[name] for name in NAMES},
        fold.n_outputs,
        kinds={name: fold.kinds[name] for name in NAMES},
        tokens=3,
        width=8,
        heads=2,
        experts=4,
    )
    outcome = SimpleNamespace(method="amc")
    return TrainedModel(
        fold,
        Labels("amc", NAMES, {"arm": "literal"}),
        "key",
        lambda: (outcome, model),
        configuration=Configuration("literal", "AMC", "amc"),
    )


def with_bags(trained, flags):
    train = trained.fold.train
    present = train.present | {"img": flags & train.present["img"]}
    fold = dataclasses.replace(trained.fold, train=dataclasses.replace(train, present=present))
    return dataclasses.replace(trained, fold=fold)


def test_one_cosine_per_batch_and_pair(trained):
    objective, train = objective_for(trained.fold), trained.fold.train
    trained.model.train()
    table = conflict_table(trained, objective, 16, TITLES)
    assert trained.model.training
    assert list(table) == ["repeat", "pair", "cosine"]
    assert set(table["repeat"]) == {trained.fold.repeat}
    assert set(table["pair"]) == PAIRS
    assert set(table.groupby("pair").size()) == {-(-len(train) // 16)}
    assert table["cosine"].between(-1, 1).all()
    assert table["cosine"].nunique() == len(table)
    assert table.equals(conflict_table(trained, objective, 16, TITLES))


def test_a_single_batch_is_the_whole_training_part(trained):
    objective, model = objective_for(trained.fold), trained.model.eval()
    table = conflict_table(trained, objective, 1000, TITLES).set_index("pair")["cosine"]
    batch = trained.fold.train.select(NAMES).batch()
    assert len(batch) == len(trained.fold.train)
    shares = modality_gradients(
        model, batch.inputs, batch.present, batch.masks, batch.target, objective.loss
    )
    assert table["Codes - Notes"] == pytest.approx(cosine(shares["rna"], shares["clin"]), abs=1e-4)
    assert table["Notes - Slides"] == pytest.approx(cosine(shares["clin"], shares["img"]), abs=1e-4)


def test_batches_mix_the_order_of_the_data(trained):
    n = len(trained.fold.train)
    sorted_in = with_bags(trained, torch.arange(n) >= n // 2)
    table = conflict_table(sorted_in, objective_for(trained.fold), n // 3 + 1, TITLES)
    sizes = table.groupby("pair").size()
    assert sizes["Codes - Slides"] == sizes["Codes - Notes"]  # every batch got some of both halves


def test_pairs_need_a_sample_that_has_both(trained):
    n = len(trained.fold.train)
    only = with_bags(trained, torch.arange(n) == trained.fold.train.present["img"].int().argmax())
    table = conflict_table(only, objective_for(trained.fold), 8, TITLES)
    assert dict(table.groupby("pair").size()) == {
        "Codes - Notes": -(-n // 8),
        "Codes - Slides": 1,
        "Notes - Slides": 1,
    }


def test_no_gradient_is_no_row(trained):
    with torch.no_grad():
        trained.model.head.weight.zero_()
    table = conflict_table(trained, objective_for(trained.fold), 16, TITLES)
    assert table.empty
    assert list(table) == ["repeat", "pair", "cosine"]
