from __future__ import annotations

from dataclasses import replace

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch

from mmlego.bench.common_starts import COMMON_START, block_start, shared_part
from mmlego.bench.merging import bare
from mmlego.errors import DataError, ModalityError
from mmlego.learning.objectives import objective_for
from mmlego.learning.predict import predict_logits
from mmlego.lego.merge import LegoMerge
from mmlego.models.baselines.weight_merging import soup
from mmlego.runs.settings import WeightMergingSettings
from mmlego.studies.weights import page
from mmlego.studies.weights import run as weight_merging
from mmlego.studies.weights.merges import MERGES
from mmlego.studies.weights.run import (
    blocks_from_a_common_start,
    independent_blocks,
    merge_weights,
    shared_encoders,
)

NAMES = ("clin", "img", "rna")


@pytest.fixture
def session(trained, new_session, toy):
    """A session of the notebook that finds the fits of the notebook `unimodal`."""
    return new_session(WeightMergingSettings, trained.session.results, toy())


@pytest.fixture
def bench(session):
    """The first fold, on which the blocks of `unimodal` are found."""
    return session.benches(train_missing=False)[0]


@pytest.fixture
def two_tasks(session, toy, monkeypatch):
    """The session, with another task for the same patients in another order."""
    other = toy(task="classification", name="other")
    other = other.subset(np.arange(other.n)[::-1])
    monkeypatch.setattr(weight_merging, "load_cohort", lambda name, **options: other)
    session.settings = session.settings.model_copy(update={"second_cohort": "other"})
    session.folds = session.folds[:1]
    return session


def _weights(outcomes):
    return [o for o in outcomes if o.method == "weight_merging"]


@pytest.mark.parametrize("method", MERGES)
def test_merged_blocks_share_weights_and_keep_what_reads_their_data(bench, method):
    blocks = bare(bench.blocks(NAMES))
    before = {name: block.state_dict() for name, block in blocks.items()}
    before = {name: {k: v.clone() for k, v in state.items()} for name, state in before.items()}
    base = block_start(bench.fold, bench.settings)
    merged = merge_weights(blocks, base, method, seed=1)
    parts = [shared_part(block) for block in merged.values()]
    assert all(torch.equal(parts[0][name], part[name]) for part in parts for name in part)
    for name, block in blocks.items():
        now = merged[name].state_dict()
        own = set(now) - set(parts[0])
        assert all(torch.equal(now[key], before[name][key]) for key in own)
        assert not torch.equal(now["head.linear.weight"], before[name]["head.linear.weight"])
        assert all(torch.equal(v, before[name][k]) for k, v in block.state_dict().items())


def test_independent_blocks_on_the_same_patients(bench):
    found = independent_blocks([bench], "wrapped")
    fold = bench.fold
    assert {o.n_test for o in found.together} == {len(fold.test)}
    assert [o.method for o in found.together[:2]] == ["lego_block", "lego_merge"]
    assert [o.arm for o in _weights(found.together)] == list(MERGES)
    sizes = {name: len(fold.test.where_present([name])) for name in NAMES}
    assert {(o.modality_key, o.n_test) for o in found.alone} == set(sizes.items())
    assert len(_weights(found.alone)) == len(MERGES) * 3
    assert found.new() == _weights([*found.together, *found.alone])


def test_soup_of_latents_and_weights_is_what_it_says(bench):
    """The row together is LegoMerge of blocks with the mean of the weights."""
    found = independent_blocks([bench], "wrapped")
    row = next(o for o in found.together if o.arm == "soup")
    blocks = bare(bench.blocks(NAMES))
    merged = merge_weights(blocks, {}, "soup", 1)
    mean = soup([shared_part(block) for block in blocks.values()])
    assert torch.equal(merged["img"].state_dict()["latent"], mean["latent"])
    logits = predict_logits(LegoMerge(merged), bench.fold.test.select(NAMES), device="cpu")
    again = objective_for(bench.fold).predict(logits)
    np.testing.assert_allclose(row.prediction["risk"], again["risk"], rtol=1e-5)


def test_identical_blocks_are_not_changed_by_soup_and_slerp(bench):
    block = bench.block("clin").model.model
    for method in ("soup", "slerp"):
        merged = merge_weights({"a": block, "b": block}, shared_part(block), method, 1)["a"]
        for name, value in block.state_dict().items():
            torch.testing.assert_close(merged.state_dict()[name], value)


def test_blocks_from_a_common_start(bench):
    found = blocks_from_a_common_start([bench], "wrapped")
    assert [o.method for o in found.together[:2]] == ["lego_block", "lego_merge"]
    assert {o.modality_key for o in found.trained} == {"clin", "img", "rna"}
    assert {o.condition for o in (*found.together, *found.alone)} == {COMMON_START}
    assert len(found.new()) == 3 + 2 + len(MERGES) * 4
    unlike = independent_blocks([bench], "wrapped")
    keys = [(*o.labels.values(), o.modality_key) for o in [*found.new(), *unlike.new()]]
    assert len(set(keys)) == len(keys)


def test_one_modality_cannot_be_merged(bench):
    alone = replace(bench, fold=replace(bench.fold, names=("clin",)))
    with pytest.raises(ModalityError, match=r"got \['clin'\]; name more"):
        independent_blocks([alone], "wrapped")


def test_no_second_cohort_no_shared_encoder(session):
    assert shared_encoders(session) is None
    assert page.second_task(None) == {}
    assert page.encoder_figure(session, None) is None
    assert "Skipped" in page.encoders(session, None)


def test_one_encoder_for_two_tasks(two_tasks):
    found = shared_encoders(two_tasks)
    fold = two_tasks.folds[0]
    for outcomes, output in ((found.first, "risk"), (found.second, "probability")):
        assert len(outcomes) == 2 + len(MERGES)
        assert {o.modality_key for o in outcomes} == {"clin+rna"}
        for o in outcomes:
            assert o.ids.tolist() == fold.test.ids.tolist()
            assert o.n_train == len(fold.train)
        scores = np.stack([np.ravel(o.prediction[output]) for o in outcomes])
        assert len(np.unique(scores.round(7), axis=0)) == len(scores)


def test_the_second_task_is_divided_as_the_first(two_tasks):
    fold = two_tasks.folds[0]
    other = weight_merging._same_split(fold, weight_merging._same_patients(two_tasks, "other"))
    for name, part in fold.parts().items():
        assert getattr(other, name).ids.tolist() == part.ids.tolist()
        torch.testing.assert_close(getattr(other, name).values["tabular"], part.values["tabular"])
    assert other.task == "classification"


def test_second_cohorts_that_do_not_fit(two_tasks, toy, monkeypatch):
    small = toy(task="classification", n=40)
    monkeypatch.setattr(weight_merging, "load_cohort", lambda name, **options: small)
    with pytest.raises(DataError, match="20 of 60 are absent, such as 'p040'"):
        shared_encoders(two_tasks)
    less = toy(task="classification", name="other").select(["clin", "img"])
    monkeypatch.setattr(weight_merging, "load_cohort", lambda name, **options: less)
    with pytest.raises(DataError, match="the same tables"):
        shared_encoders(two_tasks)


def test_the_page(two_tasks, bench):
    apart = independent_blocks([bench], "wrapped")
    common = blocks_from_a_common_start([bench], "wrapped")
    shared = shared_encoders(two_tasks)
    text = page.conclusion(two_tasks, apart, common, shared)
    assert text.count("* ") == 6
    table = page.alone_table(apart, "c_index")
    assert len(table) == 1 + len(MERGES)
    own = table[(table["label"] == page.OWN_WEIGHTS) & (table["repeat"] == 1)]
    values = [bench.block(name).outcome.metrics["c_index"] for name in NAMES]
    assert own["value"].item() == pytest.approx(np.mean(values))
    assert "of 6 ways" in text
    assert page.against_latents(common, "c_index").count("latents merged") == len(MERGES)
    assert "weights" in page.parts([bench], "wrapped")
    for second in (False, True):
        assert page.encoder_figure(two_tasks, shared, second=second).axes
        plt.close("all")
    record = page.second_task(shared)
    assert record["cohort"] == "other"
    assert len(record["rows"]) == 2 + len(MERGES)
