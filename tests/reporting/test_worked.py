"""What a page shows of the fold that it works through."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from mmlego.errors import RunError
from mmlego.learning import evaluate, objective_for, predict_logits
from mmlego.reporting import worked


def _by_hand(model):
    fold = model.fold
    logits = predict_logits(model.model, model.test, device="cpu")
    return evaluate(objective_for(fold).predict(logits), model.test, fold.train, fold)


def test_parts_of_a_survival_fold(fold):
    table = worked.parts(fold).set_index("part")
    assert list(table.index) == ["train", "val", "test"]
    assert table.loc["train", "samples"] == len(fold.train)
    assert table.loc["test", "events"] == int(fold.test.target["event"].sum())
    assert table.loc["train", "with img"] == int(fold.train.present["img"].sum())
    assert table.loc["train", "with img"] < table.loc["train", "with clin"]


def test_parts_of_classes(folds):
    table = worked.parts(folds(task="classification")[0])
    assert (table["no"] + table["yes"] == table["samples"]).all()


def test_shapes_of_tensors():
    table = worked.shapes({"x": torch.zeros(4, 6), "z": torch.zeros(4, 2, dtype=torch.complex64)})
    assert table.to_dict("records") == [
        {"tensor": "x", "shape": "4 x 6", "type": "float32"},
        {"tensor": "z", "shape": "4 x 2", "type": "complex64"},
    ]


@pytest.mark.parametrize("task", ["trained", "trained_classes"])
def test_the_same_computation_gives_the_same_metrics(task, request):
    run = request.getfixturevalue(task)
    model = run.benches[0].block("clin")
    metrics = _by_hand(model)
    text = worked.agreement(run.session, model, metrics)
    assert f"All {len(metrics)} metrics are the same." in text
    assert "in the results of repeat 1" in text


def test_another_number_is_not_called_the_same(trained):
    model = trained.benches[0].block("clin")
    metrics = _by_hand(model)
    metrics["c_index"] += 0.01
    text = worked.agreement(trained.session, model, metrics)
    assert "are the same" not in text
    assert "largest difference of a metric is 1.0e-02" in text


def test_a_model_that_the_run_does_not_hold(trained):
    merged = trained.benches[0].merge(["clin", "rna"])
    with pytest.raises(RunError, match="expected this model of lego_merge among the"):
        worked.in_results(trained.session, merged)


def test_metrics_that_both_lack_do_not_differ(outcome):
    found = outcome(metrics={"c_index": np.nan, "auc_td": 0.5})
    assert worked.largest_difference({"c_index": np.nan, "auc_td": 0.5}, found) == 0.0
    assert np.isnan(worked.largest_difference({"c_index": 0.6}, found))
