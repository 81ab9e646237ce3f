from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from mmlego.bench.fold_bench import Bench
from mmlego.bench.fusing import TUNED_FOR
from mmlego.bench.inputs import headline_inputs
from mmlego.bench.merging import bare
from mmlego.bench.store.fits import FitStore
from mmlego.data.folds.fold import make_fold
from mmlego.data.folds.splits import make_splits
from mmlego.data.folds.tabular import with_tabular
from mmlego.errors import ModalityError, RunError, SettingsError
from mmlego.lego import LegoBlock
from mmlego.lego.merge import LegoMerge
from mmlego.methods.names import ENSEMBLE, HEALNET, LATE_CONCAT, LEGO_BLOCK, LEGO_FUSE, LEGO_MERGE
from mmlego.methods.registry import METHODS
from mmlego.models.encoders.amil import ABMILEncoder
from mmlego.runs.settings import RobustnessSettings
from mmlego.studies.robustness import models, page
from mmlego.studies.robustness import run as robustness
from mmlego.studies.robustness.models import (
    STATIC,
    compared,
    mean_over_draws,
    methods_on,
    score_on,
)

FAST = (LEGO_MERGE, LEGO_FUSE, ENSEMBLE, LATE_CONCAT)


@pytest.fixture(scope="module", autouse=True)
def _one_thread():
    """As in every published run: several threads add numbers up in another order each time."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def joined(toy):
    cohort = toy()
    return with_tabular(make_fold(cohort, make_splits(cohort, repeats=1)[0]))


@pytest.fixture(scope="module")
def bench(joined, tmp_path_factory):
    settings = RobustnessSettings.from_values(
        {
            "epochs": 1,
            "depth": 1,
            "latent_channels": 4,
            "latent_dim": 8,
            "device": "cpu",
            "rates": [0.0, 0.5],
            "draws": 3,
        }
    )
    return Bench(joined, settings, FitStore(tmp_path_factory.mktemp("fits")))


@pytest.fixture(scope="module")
def trained(bench):
    names = headline_inputs(bench.fold)[1]
    return list(compared(bench, [m for m in methods_on(bench.fold, names) if m in FAST]))


def _by(outcomes, method, condition, arm=None):
    usual = "stack" if method == "lego_fuse" else ""
    wanted = (method, condition, usual if arm is None else arm)
    found = [o for o in outcomes if (o.method, o.condition, o.arm) == wanted]
    assert len(found) == 1, wanted
    return found[0]


# --- what is put to the test


def test_the_set_is_that_of_the_published_runs_or_every_modality_apart(joined, fold):
    assert headline_inputs(joined) == ("joined", ("tabular", "img"))
    assert headline_inputs(fold) == ("separate", ("clin", "img", "rna"))
    alone = replace(fold, names=("clin",), joined={})
    with pytest.raises(ModalityError, match=r"got \['clin'\]; name more"):
        headline_inputs(alone)


def test_every_network_of_several_modalities_takes_part(joined):
    found = methods_on(joined, ("tabular", "img"))
    assert set(found) == {n for n, m in METHODS.items() if m.several and not m.opt_in}


def test_a_tuned_stack_is_that_of_the_benchmark(bench, trained):
    """Same seed, same samples, same number of epochs: the model behind the row."""
    row = bench.fuse(("tabular", "img"), inputs="joined")
    fused = next(model for model in trained if model.method == "lego_fuse")
    again = score_on(bench, fused, bench.fold.test, "x")
    np.testing.assert_allclose(again.prediction["risk"], row.outcome.prediction["risk"], rtol=1e-5)
    assert (fused.key, fused.outcome.tune_epochs) == (row.key, TUNED_FOR)
    torch.testing.assert_close(row.model.state_dict(), fused.model.state_dict())


# --- missing modalities


@pytest.fixture(scope="module")
def missing(bench, trained):
    return robustness.missing(bench, trained, bench.settings.rates, bench.settings.draws)


def test_nothing_withheld_is_the_plain_test(bench, trained, missing):
    row = _by(missing, "lego_merge", "missing 0")
    plain = bench.merge(("tabular", "img")).outcome
    assert row.metrics == plain.metrics
    assert (row.facts["withheld"], row.facts["draws"]) == (0.0, 1)
    assert not row.headline
    assert row.seconds == 0.0


def test_every_method_is_tested_at_every_rate_and_pattern_on_the_same_samples(missing, trained):
    wanted = {"missing 0", "missing 0.5", "only tabular", "only img"}
    for model in trained:
        rows = [o for o in missing if (o.method, o.arm) == (model.method, model.arm)]
        assert {o.condition for o in rows} == wanted
    assert STATIC in {o.arm for o in missing if o.method == "lego_merge"}
    sizes = {(o.condition, o.n_test) for o in missing}
    assert len(sizes) == len(wanted)
    keys = [tuple(o.labels.values()) for o in missing]
    assert len(set(keys)) == len(keys)
    assert len({o.facts["withheld"] for o in missing if o.facts.get("rate") == 0.5}) == 1


def test_a_single_modality_is_the_block_or_the_encoder_itself(bench, missing):
    test = bench.fold.test
    for name in ("tabular", "img"):
        merged = _by(missing, "lego_merge", f"only {name}")
        block = score_on(bench, bench.block(name), test, "x")
        np.testing.assert_allclose(merged.prediction["risk"], block.prediction["risk"], rtol=1e-5)
        mean = _by(missing, "ensemble", f"only {name}")
        encoder = score_on(bench, bench.encoder(name), test, "x")
        np.testing.assert_allclose(mean.prediction["risk"], encoder.prediction["risk"], rtol=1e-5)
        static = _by(missing, "lego_merge", f"only {name}", STATIC)
        assert not np.allclose(static.prediction["risk"], block.prediction["risk"], rtol=1e-5)


def test_an_outcome_at_a_rate_is_the_mean_over_draws(bench, trained, missing):
    one = robustness.missing(bench, trained[:1], [0.5], 1)
    three = _by(missing, trained[0].method, "missing 0.5")
    assert three.facts["draws"] == 3
    first = _by(one, trained[0].method, "missing 0.5")
    np.testing.assert_array_equal(first.prediction["risk"], three.prediction["risk"])
    assert first.metrics["c_index"] != three.metrics["c_index"]
    draw = models.tested_on(bench, trained[0], bench.fold.test, "x")
    draws = [
        replace(draw, key=str(x), known=replace(draw.outcome, metrics={"x": x})) for x in (0.2, 1.0)
    ]
    mean = mean_over_draws(draws, bench.store, {"y": 3})
    assert mean.metrics == {"x": pytest.approx(0.6)}
    assert (mean.facts["draws"], mean.facts["y"]) == (2, 3)
    assert mean.key not in ("", draw.key)


# --- imbalance


def test_a_scarce_modality_changes_its_own_block_only(bench, monkeypatch):
    monkeypatch.setattr(robustness, "SHARES", (0.25, 1.0))
    monkeypatch.setattr(robustness, "UNDER_IMBALANCE", (LEGO_MERGE, ENSEMBLE, LATE_CONCAT))
    told = []
    loud = Bench(bench.fold, bench.settings, bench.store, log=told.append)
    found = robustness.imbalance(loud)
    assert {(o.method, o.facts["share"]) for o in found} == {
        (m, s) for m in (LEGO_MERGE, ENSEMBLE, LATE_CONCAT) for s in (0.25, 1.0)
    }
    here = int(bench.fold.train.present["img"].sum())
    assert {o.facts["n_scarce"] for o in found} == {here, round(0.25 * here)}
    assert {o.n_test for o in found} == {
        len(bench.fold.test.where_present(["tabular", "img"], "all"))
    }
    keys = {
        (o.condition, o.modality_key, o.method): o.key for o in told if o.method in ("snn", "abmil")
    }
    few, full = "img in 25% of training", "img in 100% of training"
    assert keys[few, "clin+rna", "snn"] == keys[full, "clin+rna", "snn"]
    assert keys[few, "img", "abmil"] != keys[full, "img", "abmil"]
    assert keys[full, "img", "abmil"] == bench.encoder("img").key


# --- bags


def test_a_block_round_an_attention_encoder_does_not_see_that_instances_came_twice():
    """A bag is a distribution for attention pooling: doubled instances share their weight."""
    torch.manual_seed(3)
    encoder = ABMILEncoder(4)
    block = LegoBlock(
        encoder.out_dim, 3, encoder=encoder, latent_channels=4, latent_dim=8, depth=2
    ).eval()
    x = torch.randn(5, 6, 4)
    mask = torch.arange(6)[None, :] < torch.tensor([6, 5, 3, 2, 1])[:, None]
    with torch.no_grad():
        logits = block(x, mask=mask)
        twice = block(torch.cat([x, x], dim=1), mask=torch.cat([mask, mask], dim=1))
        fewer = block(x[:, :1], mask=mask[:, :1])
    torch.testing.assert_close(twice, logits, rtol=1e-5, atol=1e-6)
    assert (fewer - logits).abs().max() > 1e-4
    torch.testing.assert_close(fewer[4], logits[4], rtol=1e-5, atol=1e-6)


def test_bags_are_cut_down_and_doubled_for_models_that_read_them(bench, trained):
    found = robustness.cardinality(bench, [*trained, *robustness.bag_blocks(bench)])
    assert {o.facts["condition"] for o in found} == {
        robustness.ALL,
        robustness.ONE,
        robustness.TWICE,
    }
    assert {o.n_test for o in found} == {int(bench.fold.test.present["img"].sum())}
    for o in found:
        moved = o.facts["largest_change"]
        if o.facts["condition"] == robustness.ALL:
            assert moved == 0
        elif o.facts["condition"] == robustness.ONE:
            assert moved > 1e-6
        elif o.method in (LEGO_MERGE, LEGO_BLOCK, ENSEMBLE, LATE_CONCAT):
            assert moved < 1e-5
    assert sum(o.method == "lego_block" for o in found) == 3


def test_without_a_bag_nothing_is_cut_down(bench, trained, fold):
    tables = replace(
        fold,
        names=("clin", "rna"),
        **{part: samples.select(["clin", "rna"]) for part, samples in fold.parts().items()},
    )
    assert robustness.bags(tables) == []
    other = Bench(tables, bench.settings, bench.store)
    assert robustness.cardinality(other, trained) == []


# --- extension


def test_an_added_modality_gives_the_merge_of_all_and_leaves_old_blocks_alone(bench):
    found = robustness.extension(bench)
    full = bench.merge(("tabular", "img")).outcome
    after = _by(found, "lego_merge", "after adding img")
    np.testing.assert_allclose(after.prediction["risk"], full.prediction["risk"], rtol=1e-5)
    before = _by(found, "lego_merge", "before adding img")
    assert (before.n_test, before.seconds) == (after.n_test, 0.0)
    assert before.modality_key == "clin+rna"
    spent = bench.block("img").outcome.seconds + bench.encoder("img").outcome.seconds
    assert after.seconds == spent > 0
    again = _by(found, "healnet", "trained again with img")
    assert again.seconds > 0
    assert {o.facts["added"] for o in found} == {"tabular", "img"}


def test_a_block_that_changed_is_found(bench):
    blocks = bare(bench.blocks(("tabular", "img")))
    merged = LegoMerge(blocks)
    before = robustness._copies(blocks, ("img",))
    robustness.check_unchanged(before, merged)
    before["img"]["latent"][0, 0] += 1e-6
    with pytest.raises(RunError, match=r"block 'img': .* others in \['latent'\]"):
        robustness.check_unchanged(before, merged)


# --- the page


@pytest.fixture(scope="module")
def session(new_session, tmp_path_factory, toy):
    return new_session(
        RobustnessSettings, tmp_path_factory.mktemp("results"), toy(), rates=[0.0, 0.8], epochs=1
    )


@pytest.fixture(scope="module")
def findings(session):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(robustness, "SHARES", (0.5, 1.0))
        patch.setattr(robustness, "UNDER_IMBALANCE", ("lego_merge", "ensemble"))
        patch.setattr(robustness, "methods_on", _few)
        return robustness.run_all(session.folds, session.settings, session.store)


def _few(fold, names, among=()):
    return [m for m in (LEGO_MERGE, ENSEMBLE, HEALNET) if not among or m in among]


def test_all_parts_run_and_nothing_is_recorded_twice(findings):
    assert all(getattr(findings, part) for part in robustness.PARTS)
    keys = [(*o.labels.values(), o.modality_key, o.repeat) for o in findings.outcomes()]
    assert len(set(keys)) == len(keys)
    assert {o.repeat for o in findings.outcomes()} == {1, 2}


def test_the_page_says_what_was_found(session, findings):
    story = page
    assert "`tabular`, `img`" in story.intro(session)
    assert "0% at rate 0, 4" in story.withheld(session, findings)
    assert "img" in story.imbalance_sizes(session, findings)
    assert "3 to 3 instances" in story.bag_sizes(session, findings)
    table = story.pattern_table(session, findings)
    assert list(table.columns) == ["method", story.COMPLETE, "only tabular", "only img"]
    assert story.STATIC_MERGE in set(table["method"])
    moved = story.cardinality_table(session, findings)
    assert {"LegoBlock, img", "HEALNet, img"} <= set(moved["model"])
    added = story.extension_table(session, findings)
    assert list(added["added"]) == ["tabular", "img"]
    text = story.conclusion(session, findings)
    for words in ("Missing modalities", "A scarce", "Instances per", "added later", "single bit"):
        assert words in text
    for draw in (story.missing_figure, story.imbalance_figure):
        assert draw(session, findings).axes
    for html in (story.pattern_html, story.cardinality_html, story.extension_html):
        assert "<table" in html(session, findings)


def test_sentences_name_models_that_see_doubled_instances(session, findings):
    text = "\n".join(page._cardinality_lines(session, findings))
    still, moved = (line for line in text.splitlines() if line.startswith(("The logits", "Those")))
    assert "LegoMerge" in still
    assert "HEALNet" in moved


def test_parts_that_did_not_run_say_so(session, new_session, toy):
    nothing = robustness.Findings()
    some = new_session(RobustnessSettings, session.results, toy(), parts=["cardinality"])
    for say in (
        page.withheld,
        page.imbalance_sizes,
        page.extension_intro,
    ):
        assert say(some, nothing) == "Left out: this run asks for cardinality only."
    assert "none of the modalities is a bag" in page.bag_sizes(some, nothing)
    assert "none of the modalities is a bag" in page.conclusion(some, nothing)
    assert page.missing_figure(some, nothing) is None
    assert page.pattern_html(some, nothing) == ""


def test_settings_refuse_what_makes_no_sense():
    for values in ({"rates": [1.0]}, {"rates": []}, {"parts": ["x"]}, {"draws": 0}):
        with pytest.raises(SettingsError):
            RobustnessSettings.from_values(values)
