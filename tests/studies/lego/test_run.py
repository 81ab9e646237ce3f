"""What the notebooks `merge` and `fuse` compare, on a toy cohort."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from mmlego.bench import trained as trained_models
from mmlego.bench.fold_bench import benches
from mmlego.bench.inputs import JOINED, separate_names
from mmlego.bench.merging import bare, best_by_validation
from mmlego.bench.outcome import VALIDATION
from mmlego.data.cards.catalog import load_card
from mmlego.learning.objectives import objective_for
from mmlego.learning.statistics import pairing
from mmlego.lego.head import apply_head
from mmlego.lego.merge import LegoMerge
from mmlego.reporting import outcomes as outcome_tables
from mmlego.reporting import predictions, sentences
from mmlego.runs.settings import FuseSettings, MergeSettings, UnimodalSettings
from mmlego.studies.lego import page as lego_page
from mmlego.studies.lego import run as comparisons
from mmlego.studies.lego.run import DEFAULT_HEAD, DEFAULT_OPERATOR

BLOCKS = "wrapped"
NAMES = ("clin", "img", "rna")


@pytest.fixture(scope="module")
def merged(trained, new_session):
    """A session of `merge` with all of its comparisons, and these by name."""
    session = new_session(MergeSettings, trained.session.results, trained.session.cohort)
    folds = session.benches(train_missing=False)
    found = {"subsets": comparisons.merge_subsets(folds, BLOCKS)}
    session.add(found["subsets"])
    found["rivals"] = comparisons.merge_rivals(folds, BLOCKS)
    session.add(found["rivals"])
    found["rows"] = comparisons.headline_rows(folds, session.outcomes, BLOCKS)
    found["operators"] = comparisons.operator_ablation(folds, BLOCKS)
    found["heads"] = comparisons.head_ablation(folds, BLOCKS)
    session.add([o for o in found["rows"] if o.method == "lego_block"])
    session.add(found["operators"])
    session.add(found["heads"])
    return session, found


@pytest.fixture(scope="module")
def fused(trained, new_session, tmp_path_factory):
    session = new_session(FuseSettings, tmp_path_factory.mktemp("fuse"), trained.session.cohort)
    blocks = trained.session.store.for_reading("")
    folds = list(benches(session.folds, session.settings, session.store, block_store=blocks))
    tuned = comparisons.tuning(folds, BLOCKS, [0, 2])
    session.add(tuned)
    return session, tuned, comparisons.fuse_rivals(folds, tuned, BLOCKS), folds


def test_joined_tables_are_no_modality_of_their_own(trained):
    bench = trained.benches[0]
    assert separate_names(bench.fold) == NAMES
    assert comparisons.joined_pair(bench) == ("tabular", "img")


def test_every_pair_and_all_are_merged_once_per_fold(merged, trained):
    sets = [(o.repeat, o.modalities) for o in merged[1]["subsets"]]
    assert len(sets) == len(set(sets)) == 2 * 4
    everything = [o for o in merged[1]["subsets"] if len(o.modalities) == 3]
    assert all(o.headline and "train_risk_median" in o.facts for o in everything)


def test_main_comparison_tests_the_same_patients(merged):
    rows = merged[1]["rows"]
    for repeat in (1, 2):
        ids = [tuple(o.ids) for o in rows if o.repeat == repeat]
        assert len(set(ids)) == 1
    labels = {outcome_tables.method_label(o) for o in rows}
    assert {"LegoMerge", "Ensemble", "LegoBlock (best by validation)"} <= labels
    table = outcome_tables.value_table(rows, "c_index", outcome_tables.method_label)
    assert not table.duplicated(["label", "repeat"]).any()


def test_main_comparison_runs_on_the_device_asked_for(merged, trained, monkeypatch):
    seen = []
    predict = trained_models.predict_logits

    def spy(*args, device):
        seen.append(device)
        return predict(*args, device=device)

    monkeypatch.setattr(trained_models, "predict_logits", spy)
    for device in ("cpu", "auto"):
        settings = trained.session.settings.model_copy(update={"device": device})
        folds = [dataclasses.replace(bench, settings=settings) for bench in trained.benches]
        comparisons.headline_rows(folds, merged[0].outcomes, BLOCKS)
    assert seen == ["cpu", "cpu", "auto", "auto"]


def test_head_of_the_best_block_reads_the_merged_latent(merged, trained):
    bench = trained.benches[0]
    blocks = bench.blocks(NAMES, BLOCKS)
    modules, best = bare(blocks), best_by_validation(blocks)
    test = bench.fold.test.select(NAMES)
    batch = test.batch(range(len(test)))
    merge = LegoMerge({name: modules[name].eval() for name in NAMES})
    with torch.no_grad():
        latent = merge.encode(batch.inputs, batch.present, batch.masks)
        logits = apply_head(modules[best].head.tensors(), latent)
    rows = [o for o in merged[1]["heads"] if o.arm == "head: best block's" and o.repeat == 1]
    expected = objective_for(bench.fold).predict(logits)["risk"]
    assert [o.ids.tolist() for o in rows] == [list(test.ids)]
    assert rows[0].prediction["risk"] == pytest.approx(expected, rel=1e-5)


def test_best_block_is_chosen_by_validation(merged, trained):
    for bench in trained.benches:
        blocks = bench.blocks(NAMES, BLOCKS)
        expected = best_by_validation(blocks)
        found = next(
            o
            for o in merged[1]["rows"]
            if o.method == "lego_block" and o.repeat == bench.fold.repeat
        )
        assert (found.chosen_by, found.arm) == (VALIDATION, "")
        assert found.facts["first"] == expected
        alone = blocks[expected].outcome
        place = [found.ids.tolist().index(name) for name in alone.ids]
        assert found.prediction["risk"][place] == pytest.approx(alone.prediction["risk"], rel=1e-5)


@pytest.mark.parametrize(
    ("kind", "default"), [("operators", DEFAULT_OPERATOR), ("heads", DEFAULT_HEAD)]
)
def test_default_of_an_ablation_is_the_merge(merged, kind, default):
    plain = {o.repeat: o for o in merged[1]["subsets"] if len(o.modalities) == 3}
    rows = [o for o in merged[1][kind] if o.facts["level"] == default]
    assert len(rows) == 2
    for row in rows:
        assert row.arm == f"{row.facts['factor']}: {default}"
        assert row.prediction["risk"] == pytest.approx(plain[row.repeat].prediction["risk"])


def test_operators_differ(merged):
    first = [o.prediction["risk"] for o in merged[1]["operators"] if o.repeat == 1]
    assert len({tuple(np.round(risk, 8)) for risk in first}) == len(first)


def test_joined_tables_with_the_other_modality(merged):
    rows = [o for o in merged[1]["rivals"] if o.inputs == JOINED]
    assert {o.method for o in rows} == {"lego_merge", "ensemble"}
    assert {o.modalities for o in rows} == {("clin", "img", "rna")}
    assert not [o for o in merged[1]["rows"] if o.inputs == JOINED and o.method == "lego_block"]


def test_weights_are_varied_on_the_published_pair(trained):
    assert comparisons.alpha_pair(trained.benches, BLOCKS) == ("tabular", "img")
    found = comparisons.alpha_ablation(trained.benches[:1], ("clin", "rna"), BLOCKS)
    table = comparisons.alpha_table(found, "c_index")
    assert table["x"].tolist() == [step / 10 for step in range(11)]


def test_no_two_rows_of_a_run_are_confused(merged, fused):
    for session in (merged[0], fused[0]):
        keys = [(*o.labels.values(), o.modalities, o.repeat) for o in session.outcomes]
        twice = {key for key in keys if keys.count(key) > 1}
        assert not twice


def test_tuning_tests_every_mode_at_every_number_of_epochs(fused):
    tuned = [(o.method, o.arm, o.tune_epochs) for o in fused[1] if o.repeat == 1]
    modes = (("lego_fuse", "stack"), ("lego_fuse", "weave"), ("lego_merge", ""))
    assert tuned == [(*mode, n) for mode in modes for n in (0, 2)]
    assert {(o.arm, o.tune_epochs) for o in fused[1] if o.headline} == {("stack", 2)}
    table = comparisons.tuning_table(fused[1], "c_index")
    assert set(table["label"]) == {"stack", "weave", "merge"}
    assert set(table["x"]) == {0, 2}


def test_a_merge_tuned_for_no_epochs_is_the_merge(merged, fused):
    plain = {o.repeat: o for o in merged[1]["subsets"] if len(o.modalities) == 3}
    untuned = [o for o in fused[1] if o.method == "lego_merge" and o.tune_epochs == 0]
    assert len(untuned) == 2
    for found in untuned:
        assert found.prediction["risk"] == pytest.approx(plain[found.repeat].prediction["risk"])


def test_orders_are_compared_under_their_names(fused):
    found = comparisons.order_ablation(fused[3][:1], BLOCKS, 2)
    assert [o.arm for o in found] == ["order: clin > img > rna", "order: clin > rna > img"]


# --- the sentences, whose numbers must be those of the outcomes


def test_sentences_of_the_merge(merged):
    session, found = merged
    text = lego_page.merge_against(found["rows"], "c_index")
    table = outcome_tables.value_table(found["rows"], "c_index", outcome_tables.method_label)
    means = table.groupby("label")["value"].mean()
    difference = means["LegoMerge"] - means["Ensemble"]
    assert f"LegoMerge minus Ensemble: {difference:+.3f} over 2 repeats, too few" in text
    closing = lego_page.merge(session, found["rows"], found["operators"], found["heads"])
    assert "too few to conclude anything" in closing
    assert "nan" not in closing


def test_sentences_of_the_fusion(fused):
    session, _, rivals, folds = fused
    assert "LegoFuse (stack, 2 epochs) minus LegoMerge" in lego_page.fuse_against(rivals, "c_index")
    ordered = comparisons.order_ablation(folds, BLOCKS, 2)
    assert "Between the best and the worst of 2 orders" in lego_page.fuse(session, rivals, ordered)
    without = [o for o in rivals if (o.arm, o.tune_epochs) != ("stack", 2)]
    assert lego_page.fuse_against(without, "c_index") == (
        "LegoFuse (stack, 2 epochs) is not among the settings asked for, so nothing is compared "
        "with it."
    )


def test_sentences_about_data(trained):
    session = trained.session
    text = sentences.data(session)
    events = int(session.cohort.target.event.sum())
    assert f"60 patients, {events} with an observed event" in text
    assert "Take care" in text
    assert sentences.ratio(session) == pytest.approx(
        len(session.folds[0].test) / len(session.folds[0].train)
    )


def test_sentences_of_unimodal(trained):
    session = trained.session
    text = lego_page.unimodal(session)
    table = outcome_tables.value_table(
        session.outcomes, "c_index", lambda o: outcome_tables.label(o, ["clin", "rna"])
    )
    best = table.groupby("label")["value"].mean().max()
    assert f"is {best:.3f} ±" in text.splitlines()[0]
    assert "Published" not in text
    assert "32 fits took" in lego_page.sizes(session)
    assert "of 42 training samples" in lego_page.paired(trained.benches)


@pytest.fixture
def against_published(trained, outcome, new_session, tmp_path):
    """Lines on published numbers for a toy cohort that stands for one of the published data."""

    def lines(tables, unit="row"):
        card = load_card("tcga-blca")
        entry = card.published.model_copy(update={"tables": tables})
        toy = dataclasses.replace(
            trained.session.cohort, card=card.model_copy(update={"published": entry})
        )
        session = new_session(UnimodalSettings, tmp_path, toy, split_unit=unit)
        session.add(
            [
                outcome("snn", "", modalities=("clin", "rna"), metrics={"c_index": 0.6}),
                outcome("snn", "", modalities=("clin", "rna"), metrics={"c_index": 0.8}, repeat=2),
                outcome("snn", "", modalities=("clin",)),
                outcome("abmil", "", modalities=("img",), metrics={"c_index": 0.5}),
            ]
        )
        return lego_page.published_lines(session, "c_index")

    return lines


def test_published_numbers_have_a_line_per_reason(against_published):
    assert against_published(["clin", "rna"]) == [
        "Comparable with the published numbers, same tables, same kind of split: "
        "SNN, tabular (published 0.689) 0.700.",
        "Not comparable with the published numbers, the published images are whole slides; other "
        "image features stand in for them here: ABMIL, img (published 0.591) 0.500.",
    ]
    first = against_published(["clin", "rna"], "patient")[0]
    assert first.startswith("Not comparable with the published numbers, the published splits are")
    first = against_published(["clin", "mut", "rna"])[0]
    assert "the published models also saw mut: SNN, tabular" in first


def test_without_published_numbers_there_is_no_line(trained):
    assert lego_page.published_lines(trained.session, "c_index") == []


def _values(outcome, **shifts):
    """Five repeats per method; each is `shift` better, with the noise in another order."""
    noise = np.array([0.010, -0.010, 0.004, -0.004, 0.001])
    return [
        outcome(
            method,
            **labels,
            repeat=number + 1,
            metrics={"c_index": 0.6 + shift + np.roll(noise, k)[number]},
        )
        for k, (method, (labels, shift)) in enumerate(shifts.items())
        for number in range(5)
    ]


def test_p_values_of_a_page_are_corrected_for_their_number(outcome):
    """Against one rival the merge wins; among three such comparisons it may not."""
    rivals = _values(
        outcome,
        lego_merge=({}, 0.0),
        ensemble=({}, -0.020),
        lego_block=({"chosen_by": VALIDATION}, 0.002),
        lego_fuse=({"arm": "stack", "tune_epochs": 2}, 0.001),
    )
    table = outcome_tables.value_table(rivals, "c_index", outcome_tables.method_label)
    names = [name for name in dict.fromkeys(table["label"]) if name != "LegoMerge"]
    raw = [pairing.compare(table, "LegoMerge", name) for name in names]
    text = lego_page.merge_against(rivals, "c_index")
    assert raw[0].decided
    assert not pairing.adjust(raw)[0].decided
    assert text.count("cannot tell the two apart") == 3
    assert f"p = {3 * raw[0].p_value:.2g}" in text
    assert "Holm" in text
    assert "tell" in lego_page.merge_against(rivals[:10], "c_index")
    assert "cannot tell" not in lego_page.merge_against(rivals[:10], "c_index")


def test_metrics_table_has_a_row_per_model(trained):
    table = sentences.metrics_table(trained.session)
    assert len(table) == 16
    assert table["model"].is_unique


def test_verdicts_need_enough_repeats():
    from mmlego.learning.statistics.pairing import Paired

    assert "too few to conclude" in sentences.verdict(
        Paired("a", "b", 3, 0.2, 0.1, 0.3, 0.001), "A", "b"
    )
    assert "A beats b by 0.200" in sentences.verdict(
        Paired("a", "b", 5, 0.2, 0.1, 0.3, 0.001), "A", "b"
    )
    assert "A loses to b" in sentences.verdict(
        Paired("a", "b", 5, -0.2, -0.3, -0.1, 0.001), "A", "b"
    )
    assert "neither wins nor loses" in sentences.verdict(
        Paired("a", "b", 5, 0.2, -0.1, 0.5, 0.2), "A", "b"
    )


@pytest.mark.parametrize("kind", ["trained", "trained_classes"])
def test_closer_look_draws_the_model_with_the_best_validation_loss(request, kind):
    session = request.getfixturevalue(kind).session
    outcomes = predictions.shown_outcomes(session)
    assert len(outcomes) == 2
    groups = outcome_tables.grouped(session.outcomes, ["clin", "rna"])
    losses = {name: np.mean([o.facts["best_val_loss"] for o in g]) for name, g in groups.items()}
    full = [name for name, group in groups.items() if all("img" not in o.modalities for o in group)]
    assert outcome_tables.label(outcomes[0], ["clin", "rna"]) == min(full, key=losses.__getitem__)
    assert predictions.target_figure(session.cohort).axes
    assert predictions.outcome_figure(session).axes
    assert predictions.calibration_figure(session).axes
