"""Arms of AMC on folds: paired seeds, what is changed, rivals, missing modalities, words."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch

from mmlego.bench.inputs import separate_names
from mmlego.bench.outcome import VALIDATION
from mmlego.bench.store.fits import FitStore
from mmlego.bench.withholding import keep_only
from mmlego.errors import SettingsError
from mmlego.methods.registry import METHODS
from mmlego.runs.settings import AMCSettings
from mmlego.studies.amc import missing, page
from mmlego.studies.amc import run as amc
from mmlego.studies.amc.published import published_amc, published_entropies
from mmlego.studies.amc.run import ARMS, CHANGES, INVERSE, LITERAL, PUBLISHED_ARMS

SIZES = {"tokens": 4, "width": 8, "heads": 2, "experts": 2, "top_k": 1}


@pytest.fixture
def store(tmp_path):
    return FitStore(tmp_path / "fits")


@pytest.fixture
def settings():
    return AMCSettings(
        cohort="toy", epochs=2, patience=2, rivals=["tensor_fusion"], device="cpu", **SIZES
    )


@pytest.fixture
def classes(folds):
    return folds(task="classification")[0]


def train(fold, name, settings, store):
    names = sorted(set(fold.names) - set(fold.joined))
    return amc.train_arm(fold, ARMS[name], names, settings, store)


def test_every_arm_changes_options_that_amc_has():
    for arm in ARMS.values():
        METHODS["amc"].build({"a": 4, "b": 4}, 2, **SIZES, **arm.options)
    assert set(PUBLISHED_ARMS) <= set(ARMS)
    for change in CHANGES:
        literal, inverse = (ARMS[f"{change}, {rule}"].options for rule in (LITERAL, INVERSE))
        assert (literal["k_rule"], inverse["k_rule"]) == ("literal", "inverse")
        assert {**literal, "k_rule": ""} == {**inverse, "k_rule": ""}


def test_arms_start_from_the_same_weights(classes, settings, store):
    untrained = settings.model_copy(update={"epochs": 1, "learning_rate": 1e-12})
    one, two = (train(classes, name, untrained, store) for name in (LITERAL, "std, inverse"))
    assert one.outcome.key != two.outcome.key
    for (name, a), (_, b) in zip(
        one.model.named_parameters(), two.model.named_parameters(), strict=True
    ):
        torch.testing.assert_close(a, b, atol=1e-9, rtol=0, msg=name)
    again = amc.train_arm(classes, amc.ONE_MODALITY, ["clin"], untrained, store)
    assert again.model.names == ("clin",)


def test_repeats_start_from_different_weights(folds, settings, store):
    untrained = settings.model_copy(update={"epochs": 1, "learning_rate": 1e-12})
    first, second = (train(fold, LITERAL, untrained, store) for fold in folds(2))
    assert not torch.allclose(first.model.head.weight, second.model.head.weight)


def test_arms_suit_the_task(folds):
    survival, classes = folds(), folds(task="classification")
    assert [a.name for a in amc.arms_for(survival, ["cox"], ())] == ["cox"]
    with pytest.raises(SettingsError, match="cox"):
        amc.arms_for(classes, ["cox"], ())
    with pytest.raises(SettingsError, match="literally"):
        amc.arms_for(classes, ["literally"], ())
    assert [a.name for a in amc.arms_for(classes, [], (LITERAL,))] == [LITERAL]


def test_rivals_read_the_same_tokens(folds, settings, store):
    chosen = folds(task="classification")[:1]
    (found,) = amc.train_rivals(chosen, settings, store)
    assert found.method == "tensor_fusion"
    own = train(chosen[0], LITERAL, settings, store)
    assert found.modalities == own.outcome.modalities
    assert np.array_equal(found.ids, own.outcome.ids)
    other = settings.model_copy(update={"tokens": 6})
    (larger,) = amc.train_rivals(chosen, other, store)
    assert larger.key != found.key


def test_missing_modalities(classes, settings, store):
    runs = [train(classes, name, settings, store) for name in (LITERAL, INVERSE)]
    table = missing.missing_table(runs, "auc", store)
    whole = table[table["tested"] == missing.EVERYBODY]
    for run in runs:
        row = whole[(whole["rule"] == run.configuration.title) & (whole["mode"] == "isolate")]
        assert row["value"].item() == pytest.approx(run.outcome.metrics["auc"], abs=1e-6)
        assert row["n"].item() == run.outcome.n_test
    tested = set(table["tested"])
    assert tested >= {f"without {name}" for name in runs[0].names}
    wide = missing.missing_summary(table)
    assert len(wide) == len(tested)
    assert runs[0].model.options.missing_mode == "isolate"
    assert "lowest without" in missing.missing_sentences(table)


def test_scores_with_less_are_recorded(classes, settings, store):
    run = train(classes, LITERAL, settings, store)
    table = missing.missing_table([run], "auc", store)

    def lost():
        raise AssertionError("no weights are kept")

    recorded = FitStore(store.folder / "none", recall_table=store.tables.get)
    again = missing.missing_table([replace(run, make=lost)], "auc", recorded)
    pd.testing.assert_frame_equal(again, table)
    with pytest.raises(AssertionError, match="no weights"):
        missing.missing_table([replace(run, make=lost)], "macro_f1", recorded)


def test_training_on_complete_samples(classes, settings, store):
    names = separate_names(classes)
    some = torch.arange(len(classes.train)) % 2 > 0
    thin = replace(classes, train=keep_only(classes.train, {names[0]: some}))
    every, complete = (
        train(thin, name, settings, store) for name in (LITERAL, "complete, literal")
    )
    assert complete.outcome.n_train == int(thin.train.has(names, how="all").sum())
    assert complete.outcome.n_train < every.outcome.n_train
    assert np.array_equal(complete.outcome.ids, every.outcome.ids)
    table = missing.missing_table([every, complete], "auc", store)
    lacking = table[table["tested"] == f"without {names[0]}"].groupby("rule")["lacking"].first()
    assert lacking[every.configuration.title] > 0 == lacking[complete.configuration.title]
    said = missing.missing_sentences(table)
    assert f"{complete.configuration.title}: no training sample was" in said
    column = missing.missing_summary(table).set_index("tested")["lacking in training"]
    assert column[f"without {names[0]}"] == str(int(lacking[every.configuration.title]))


def test_incomplete_test_samples_of_a_model_that_never_saw_one(classes, settings, store):
    names = separate_names(classes)
    half = {part: torch.arange(len(s)) % 2 > 0 for part, s in classes.parts().items()}
    parts = {n: keep_only(s, {names[0]: half[n]}) for n, s in classes.parts().items() if n != "val"}
    thin = replace(classes, **parts)
    runs = [train(thin, name, settings, store) for name in (LITERAL, "complete, literal")]
    table = missing.missing_table(runs, "auc", store)
    lacking = table[table["tested"] == missing.EVERYBODY].groupby("rule")["lacking"].first()
    own = thin.train.where_present(names)
    assert lacking[runs[0].configuration.title] == int((~own.has(names, how="all")).sum())
    assert lacking[runs[1].configuration.title] == 0
    said = missing.missing_sentences(table)
    assert f"{runs[1].configuration.title}: no training sample was incomplete" in said
    assert f"{runs[0].configuration.title}: no training sample was incomplete" not in said


def test_nothing_to_withhold_is_said(classes, settings, store):
    one = amc.train_arm(classes, ARMS[LITERAL], separate_names(classes)[:1], settings, store)
    for runs in ([], [one]):
        table = missing.missing_table(runs, "auc", store)
        assert table.empty
        assert "Nothing to withhold" in missing.missing_sentences(table)
        assert "Nothing to withhold" in missing.missing_summary(table)["tested"].item()


def test_the_best_modality_alone_is_tested_on_everybody(classes, settings, store):
    names = separate_names(classes)
    thin = replace(
        classes,
        test=keep_only(classes.test, {names[0]: torch.arange(len(classes.test)) % 2 > 0}),
    )
    runs = list(amc.train_alone([thin], settings, store))
    for run, loss in zip(runs, range(len(runs)), strict=True):
        run.outcome.facts["best_val_loss"] = loss
    (found,) = amc.best_alone(runs, store)
    first = runs[0]
    assert (found.method, found.arm, found.chosen_by) == ("amc", amc.ALONE, VALIDATION)
    assert not amc.is_alone(found)
    assert all(amc.is_alone(run.outcome) for run in runs)
    assert found.n_test == len(thin.test) > first.outcome.n_test
    has = np.isin(found.ids, first.outcome.ids)
    assert np.allclose(
        found.prediction["probability"][has], first.outcome.prediction["probability"], atol=1e-6
    )
    for run in runs:
        run.outcome.facts["best_val_loss"] *= -1
    (turned,) = amc.best_alone(runs, store)
    assert turned.facts["first"] == runs[-1].names[0]
    assert page.name_of(found) == "AMC, best modality alone"


def test_a_configuration_is_compared_with_what_it_changes(classes, settings, store):
    names = (LITERAL, INVERSE, "std, literal", "std, inverse", "no_fusion")
    outcomes = [train(classes, name, settings, store).outcome for name in names]
    (rival,) = amc.train_rivals([classes], settings, store)
    session = SimpleNamespace(outcomes=[*outcomes, rival], cohort=SimpleNamespace())
    table = pd.DataFrame(
        {"label": page.name_of(o), "repeat": r, "value": 0.5 + 0.01 * r * i}
        | {"n_train": 10, "n_test": 5}
        for i, o in enumerate(session.outcomes)
        for r in (1, 2)
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(page, "values", lambda *_: table)
        found = {(pair.first, pair.second) for pair in page.comparisons(session)}
    title = amc.title_of
    assert found == {
        (title(INVERSE), title(LITERAL)),
        (title(LITERAL), title("std, literal")),
        (title(INVERSE), title("std, inverse")),
        (title(LITERAL), title("no_fusion")),
        (title(LITERAL), "Tensor fusion"),
    }


def test_withheld_tokens_are_replaced_when_imputing(classes, settings, store):
    run = train(classes, LITERAL, settings, store)
    model = missing.with_mode(run.model, "impute")
    part = dict(missing.parts_of(run))[f"without {run.names[0]}"]
    batch = part.batch()
    (trace,) = model.trace(batch.inputs, batch.present, batch.masks)
    absent = ~trace.here[:, 0]
    assert absent.any()
    assert trace.mask[absent, 0].all()


def test_published_numbers():
    table = published_amc("eicu").set_index(["method", "arm", "only", "metric"])["published"]
    assert table["amc", "literal", "", "macro_f1"] == pytest.approx(0.5975)
    assert table["amc", "inverse", "", "macro_f1"] == pytest.approx(0.5975)
    assert table["amc", "dense, inverse", "", "macro_f1"] == pytest.approx(0.5771)
    assert table["amc", amc.ALONE, "lab", "macro_f1"] == pytest.approx(0.5867)
    assert table["mult", "", "", "accuracy"] == pytest.approx(0.6866)
    brca = published_amc("tcga-brca").set_index(["method", "arm"])["published"]
    assert brca["amc", "literal"] == 0.727
    assert brca["limoe", ""] == 0.736
    assert published_amc("transbig").empty
    for cohort, name in (("oasis1", "clin"), ("adni", "clinical"), ("adni", "genomic")):
        known = published_amc(cohort)
        assert name in set(known["only"]), cohort
    own, equal = published_entropies()
    assert (own, equal) == (0.1218, 0.1343)


def test_published_order_in_words():
    means = pd.Series(
        {
            amc.title_of(name): value
            for name, value in {
                LITERAL: 0.6,
                "no_fusion": 0.5,
                "no_contrastive, literal": 0.7,
                "softmax, literal": 0.4,
                "dense, literal": 0.59,
            }.items()
        }
    )
    words = page._order(means, LITERAL)
    assert "above 3 of 4 removals" in words
    assert page._order(means, INVERSE) == ""
