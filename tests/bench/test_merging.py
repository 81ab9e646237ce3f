from __future__ import annotations

import pytest
import torch

from mmlego.bench import merging
from mmlego.bench.merging import HEADS, OPERATORS, alpha_weights, best_by_validation, subsets
from mmlego.bench.training import build_block, build_encoder
from mmlego.errors import ModalityError
from mmlego.lego.merge import LegoMerge


@pytest.fixture
def blocks(fold, tiny):
    torch.manual_seed(1)
    return {
        name: build_block(fold, name, tiny(), encoder=None, variant="scratch").eval()
        for name in fold.names
    }


def test_every_pair_and_all():
    assert subsets(["b", "a"]) == [("a", "b")]
    assert subsets(["c", "a", "b"]) == [("a", "b"), ("a", "c"), ("b", "c"), ("a", "b", "c")]
    assert subsets(["a"]) == []


def test_everyone_who_has_any_of_them_is_tested(fold, blocks):
    found = merging.merge_outcome(fold, blocks, ["img", "clin"], variant="x", device="cpu")
    assert found.n_test == len(fold.test)
    assert found.modalities == ("clin", "img")
    alone = merging.merge_outcome(fold, blocks, ["img"], variant="x", device="cpu")
    assert alone.n_test == int(fold.test.present["img"].sum()) < len(fold.test)
    assert not found.headline


def test_merge_is_the_merge_of_the_given_blocks_and_leaves_them_alone(fold, blocks):
    before = {name: value.clone() for name, value in blocks["clin"].state_dict().items()}
    found = merging.merge_outcome(fold, blocks, ["clin", "rna"], variant="x", device="cpu")
    batch = fold.test.select(["clin", "rna"]).batch()
    model = LegoMerge({name: blocks[name] for name in ("clin", "rna")}).eval()
    with torch.no_grad():
        logits = model(batch.inputs, batch.present, batch.masks)
    from mmlego.learning.objectives import objective_for

    assert found.prediction["risk"] == pytest.approx(
        objective_for(fold).predict(logits)["risk"], rel=1e-5
    )
    assert all(
        torch.equal(value, before[name]) for name, value in blocks["clin"].state_dict().items()
    )


@pytest.mark.parametrize("options", [*OPERATORS.values(), *HEADS.values()])
def test_every_ablation_gives_finite_numbers(fold, blocks, options):
    found = merging.merge_outcome(
        fold, blocks, ["clin", "img"], variant="x", device="cpu", **options
    )
    assert 0 <= found.metrics["c_index"] <= 1


def test_weights_at_the_ends_are_single_blocks(fold, blocks):
    """All weight on one block, heads included, is that block for everybody who has it."""
    weights = alpha_weights("clin", "rna", 1.0)
    assert weights == {"clin": 1.0, "rna": 0.0}
    merged = merging.merge_outcome(
        fold, blocks, ["clin", "rna"], variant="x", weights=weights, device="cpu"
    )
    alone = merging.merge_outcome(fold, blocks, ["clin"], variant="x", device="cpu")
    assert merged.prediction["risk"] == pytest.approx(alone.prediction["risk"], abs=1e-4)


def test_ensemble_averages_logits(fold):
    torch.manual_seed(1)
    encoders = {name: build_encoder(fold, name).eval() for name in ("clin", "rna")}
    found = merging.ensemble_outcome(fold, encoders, ["rna", "clin"], device="cpu")
    batch = fold.test.batch()
    with torch.no_grad():
        logits = sum(encoders[name](batch.inputs[name]) for name in encoders) / 2
    from mmlego.learning.objectives import objective_for

    assert found.prediction["risk"] == pytest.approx(
        objective_for(fold).predict(logits)["risk"], rel=1e-5
    )
    assert (found.method, found.variant) == ("ensemble", "logits")


def test_missing_block_names_the_modality(fold, blocks):
    with pytest.raises(ModalityError, match=r"none for \['x'\]; train it first"):
        merging.merge_outcome(fold, blocks, ["clin", "x"], variant="x", device="cpu")


def test_best_by_validation_does_not_look_at_test_metrics(outcome):
    found = {
        "a": outcome(facts={"best_val_loss": 0.5}, metrics={"c_index": 0.9}),
        "b": outcome(facts={"best_val_loss": 0.4}, metrics={"c_index": 0.1}),
    }
    assert best_by_validation(found) == "b"
