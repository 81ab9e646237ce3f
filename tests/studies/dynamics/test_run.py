"""Arms of MM dynamics on folds: options, seeds, the oracle, stand-ins, confidences, heat-maps."""

from __future__ import annotations

import dataclasses
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch

from mmlego.bench import fusing
from mmlego.bench.store.fits import FitStore
from mmlego.data import load_cohort
from mmlego.data.folds.fold import make_fold
from mmlego.data.folds.splits import make_splits
from mmlego.errors import ModalityError, SettingsError
from mmlego.learning.metrics.scores import evaluate
from mmlego.learning.objectives import objective_for
from mmlego.learning.predict import predict_logits
from mmlego.runs.settings import ConfidenceSettings, DynamicsSettings
from mmlego.studies.dynamics import confidence_page, confidences, gates, heatmaps, page, stand_ins
from mmlego.studies.dynamics import run as dynamics
from mmlego.studies.dynamics.run import ARMS, BOTH, FEATURE, NONE, ORACLE, train_arm

NAMES = ("clin", "rna")


@pytest.fixture
def store(tmp_path):
    return FitStore(tmp_path / "fits")


@pytest.fixture
def settings():
    return DynamicsSettings(cohort="toy", epochs=4, patience=4, hidden=6, device="cpu")


@pytest.fixture
def classes(folds):
    return folds(task="classification")[0]


@pytest.fixture
def spots():
    cohort = load_cohort("spots", max_samples=40)
    return make_fold(cohort, make_splits(cohort, repeats=1)[0])


def test_arms_suit_the_task_and_the_data(folds):
    survival, classes = folds(), folds(task="classification")
    names = [arm.name for arm in dynamics.arms_for(survival, [])]
    assert {"cox", "events_only"} <= set(names)
    assert not {"cox", "events_only"} & {a.name for a in dynamics.arms_for(classes, [])}
    assert [a.name for a in dynamics.arms_for(classes, ["none", "both"])] == ["both", "none"]
    with pytest.raises(SettingsError, match="expected arms for classification"):
        dynamics.arms_for(classes, ["cox"])
    with pytest.raises(SettingsError, match="names of"):
        dynamics.arms_for(classes, ["bothe"])


def test_dropping_what_is_absent_is_an_arm_only_where_something_is(folds):
    gaps, complete = folds()[0], folds()[0]
    full = {n: torch.ones_like(p) for n, p in complete.train.present.items()}
    train = dataclasses.replace(complete.train, present=full)
    complete = dataclasses.replace(complete, train=train)
    assert "masked" in [a.name for a in dynamics.arms_for([gaps], [])]
    assert "masked" not in [a.name for a in dynamics.arms_for([complete], [])]


def test_every_arm_trains_and_is_found_again(classes, settings, store):
    for arm in dynamics.arms_for([classes], []):
        first = train_arm(classes, arm, NAMES, settings, store)
        again = train_arm(classes, arm, NAMES, settings, FitStore(store.folder, read_only=True))
        assert (first.outcome.arm, first.configuration) == (arm.name, arm)
        np.testing.assert_array_equal(
            *(t.outcome.prediction["probability"] for t in (first, again))
        )


def test_a_cox_arm_gives_a_risk_and_no_curves(folds, settings, store):
    trained = train_arm(folds()[0], ARMS["cox"], NAMES, settings, store)
    assert list(trained.outcome.prediction) == ["risk"]
    assert np.isfinite(trained.outcome.metrics["c_index"])
    assert "integrated_brier" not in trained.outcome.metrics
    assert trained.model.head.out_features == 1


def test_the_oracle_sees_the_labels_and_trains_as_long_as_the_rest(classes, settings, store):
    usual = train_arm(classes, ARMS[BOTH], NAMES, settings, store)
    knowing = train_arm(classes, ARMS[ORACLE], NAMES, settings, store)
    assert len(knowing.outcome.history) == usual.outcome.facts["best_epoch"]
    assert knowing.outcome.facts["uses_label"] is True
    assert "uses_label" not in usual.outcome.facts
    told = dynamics.explain_part(knowing.model, knowing.test).logits
    np.testing.assert_array_equal(
        knowing.outcome.prediction["probability"],
        objective_for(classes).predict(told)["probability"],
    )
    turned = dataclasses.replace(knowing.test, target={"label": 1 - knowing.test.target["label"]})
    assert not torch.allclose(told, dynamics.explain_part(knowing.model, turned).logits)
    with pytest.raises(SettingsError, match="oracle"):
        predict_logits(knowing.model, knowing.test, device="cpu")


def test_the_oracle_is_not_stopped_by_labels_that_it_sees(folds, settings, store):
    fold = folds()[0]
    usual = train_arm(fold, ARMS[BOTH], NAMES, settings, store)
    knowing = train_arm(fold, ARMS[ORACLE], NAMES, settings, store)
    assert all(np.isnan(entry["val_loss"]) for entry in knowing.outcome.history)
    assert not any(np.isnan(entry["val_loss"]) for entry in usual.outcome.history)
    train = fold.train.select(NAMES).where_present(NAMES)
    risk = objective_for(fold).predict(dynamics.explain_part(knowing.model, train).logits)["risk"]
    assert knowing.outcome.facts["train_risk_median"] == pytest.approx(np.median(risk))


def test_readers_are_told_that_the_oracle_uses_the_label():
    assert page.title_of(ORACLE) == "true confidence (uses the label)"


def test_what_is_explained_is_what_is_predicted(classes, settings, store):
    trained = train_arm(classes, ARMS[BOTH], NAMES, settings, store)
    told = dynamics.explain_part(trained.model, trained.test)
    logits = predict_logits(trained.model, trained.test, device="cpu")
    torch.testing.assert_close(told.logits, logits)
    found = evaluate(objective_for(classes).predict(logits), trained.test, classes.train, classes)
    assert trained.outcome.metrics == pytest.approx(found)
    assert set(told.gates) == set(told.confidence) == set(NAMES)


def test_class_weights_reach_the_tuning_of_a_fused_rival(classes, settings, store, monkeypatch):
    seen = []

    def spy(model, train, val, objective, _fit=fusing.fit, **options):
        seen.append(objective.class_weights)
        return _fit(model, train, val, objective, **options)

    monkeypatch.setattr(fusing, "fit", spy)
    weighted = settings.model_copy(
        update={"rivals": ["lego_fuse"], "class_weights": "counts", "depth": 1, "epochs": 1}
    )
    assert [o.method for o in dynamics.train_rivals([classes], weighted, store)] == ["lego_fuse"]
    counts = torch.bincount(classes.train.target["label"])
    torch.testing.assert_close(seen[-1], counts.sum() / counts)
    assert not list(dynamics.train_rivals([classes], settings.model_copy(update={"rivals": []}),
                                          store))  # fmt: skip


def test_widths_means_and_fixed_weights(classes, settings):
    widths = dynamics.hidden_of(classes, NAMES, settings.model_copy(update={"hidden": 0}))
    assert widths == {name: max(1, classes.widths[name] // 4) for name in NAMES}
    assert dynamics.train_means(classes, NAMES) == {}, "standardized: the mean is zero"
    widest = max(NAMES, key=classes.widths.get)
    weights = dynamics.static_weights(classes, NAMES)
    assert weights == {name: 1.0 if name == widest else 3.0 for name in NAMES}


def test_images_must_have_colors_in_range(spots):
    assert dynamics.modalities_of(spots) == ("clin", "picture")
    scaled = {**spots.scalers, "picture": dataclasses.replace(spots.scalers["picture"],
                                                              scaling="standard")}  # fmt: skip
    with pytest.raises(ModalityError, match=r"\['picture'\]"):
        dynamics.modalities_of(dataclasses.replace(spots, scalers=scaled))


# --- stand-ins


def test_each_way_of_filling_in_changes_the_model_and_not_its_weights(spots, settings, store):
    trained = train_arm(spots, ARMS[BOTH], ("clin", "picture"), settings, store)
    gone = stand_ins.without(trained.test, "picture")
    found = {}
    for fill in stand_ins.fills_for("image"):
        model = stand_ins.refilled(trained, "picture", fill)
        assert torch.equal(model.head.weight, trained.model.head.weight)
        found[fill] = predict_logits(model, gone, device="cpu")
    gray = dict(trained.test.values) | {"picture": torch.full_like(gone.values["picture"], 0.5)}
    real = dataclasses.replace(trained.test, values=gray)
    torch.testing.assert_close(
        found["grey"], predict_logits(trained.model, real, device="cpu"), atol=1e-5, rtol=1e-4
    )
    means = spots.train.values["picture"].mean(dim=(0, 2, 3))
    mean = dict(real.values) | {"picture": means[:, None, None].expand_as(gray["picture"]).clone()}
    torch.testing.assert_close(
        found["train_mean"],
        predict_logits(trained.model, dataclasses.replace(real, values=mean), device="cpu"),
        atol=1e-5,
        rtol=1e-4,
    )
    distinct = {tuple(x.flatten().tolist()) for x in found.values()}
    assert len(distinct) == len(found)


def test_withheld_outcomes_say_what_stands_in(classes, settings, store):
    trained = train_arm(classes, ARMS[BOTH], NAMES, settings, store)
    found = stand_ins.withheld(trained, "rna", store)
    assert [o.facts["fill"] for o in found] == ["real", "train_mean", "dropped"]
    assert all(not o.headline and o.arm == BOTH for o in found)
    assert [o.condition for o in found] == ["rna real", "rna training mean", "rna dropped exactly"]
    real = trained.outcome.prediction["probability"]
    place = {name: i for i, name in enumerate(trained.outcome.ids)}
    for outcome in found:
        rows = [place[name] for name in outcome.ids]
        same = np.allclose(outcome.prediction["probability"], real[rows], atol=1e-6)
        assert same == (outcome.facts["fill"] == "real")
    assert len({tuple(o.ids) for o in found}) == 1, "the same samples"


def test_confidence_by_state_and_its_sentences(store):
    table = pd.DataFrame(
        {
            "repeat": 1,
            "modality": "rna",
            "state": [stand_ins.REAL, stand_ins.REAL, "gray", "gray"],
            "confidence": [0.9, 0.7, 0.3, 0.1],
        }
    )
    text = stand_ins.fill_sentences(table)
    assert "0.800 on real inputs, 0.200 with gray in their place; lower in 1 of 1 repeat." in text
    rises = stand_ins.fill_sentences(table.assign(confidence=[0.1, 0.1, 0.5, 0.5]))
    assert "lower in 0 of 1 repeat" in rises
    assert stand_ins.fill_sentences(stand_ins.confidence_by_state([], "rna", store)).startswith(
        "No arm"
    )


# --- confidences


def test_confidences_are_those_of_the_samples_that_have_the_modality(classes, settings, store):
    arms = [ARMS[name] for name in (BOTH, FEATURE)]
    runs = [train_arm(classes, arm, NAMES, settings, store) for arm in arms]
    table = confidences.confidences(runs, store)
    assert set(table["arm"]) == {BOTH}, "an untrained confidence is not reported"
    for name in NAMES:
        here = runs[0].test.present[name].numpy()
        rows = table[table["modality"] == name]
        np.testing.assert_array_equal(rows["id"], runs[0].test.ids[here])
        told = dynamics.explain_part(runs[0].model, runs[0].test)
        probability = told.unimodal[name].softmax(dim=1).numpy()[here]
        label = runs[0].test.target["label"].numpy()[here]
        np.testing.assert_allclose(
            rows["true"], probability[np.arange(len(label)), label], atol=1e-6
        )
        np.testing.assert_array_equal(rows["correct"], probability.argmax(axis=1) == label)


def _confidences(repeat, knowing, rng):
    """One split with one arm whose confidence is the truth, and one where it is shuffled."""
    true = {name: rng.uniform(0.05, 1.0, 200) for name in NAMES}
    arms = ((knowing, lambda x: x), ("mi_only" if knowing == BOTH else BOTH, rng.permutation))
    return [
        pd.DataFrame(
            {"arm": arm, "repeat": repeat, "modality": name, "id": np.arange(200),
             "true": true[name], "predicted": predict(true[name]), "correct": 1.0}
        )
        for arm, predict in arms
        for name in NAMES
    ]  # fmt: skip


def _concluded(knowing, repeats, unit="patient"):
    rng = np.random.default_rng(0)
    parts = [part for repeat in range(repeats) for part in _confidences(repeat, knowing, rng)]
    table = pd.concat(parts, ignore_index=True)
    favorite = {(arm, r): NAMES[0] for arm in (BOTH, "mi_only") for r in range(repeats)}
    trusted = confidences.trust(table, favorite)
    fold = SimpleNamespace(train=range(700), test=range(150))
    session = SimpleNamespace(folds=[fold], settings=SimpleNamespace(split_unit=unit))
    errors = confidences.errors(table)
    return trusted, confidence_page.conclusion(session, table, errors, trusted)


def test_trust_finds_a_confidence_that_knows_and_one_that_does_not():
    trusted, text = _concluded(BOTH, 6)
    means = trusted.groupby("arm")["right"].mean()
    assert means[BOTH] == 1.0
    assert means["mi_only"] == pytest.approx(0.5, abs=0.05)
    assert "carries information about which modality to trust" in text
    assert "cannot be told from always trusting" in _concluded("mi_only", 6)[1]
    assert "cannot be told from always trusting" in _concluded(BOTH, 1)[1], "one split is too few"
    fixed = _concluded(BOTH, 6, "official_full")[1]
    assert "over 6 seeds on one test part" in fixed
    assert "interval" not in fixed


def test_the_constant_choice_is_made_where_the_test_part_is_not_seen(classes, settings, store):
    trained = train_arm(classes, ARMS[BOTH], NAMES, settings, store)
    (favorite,) = confidences.favorites([trained], store).values()
    blind = dataclasses.replace(classes, test=classes.test.subset(range(3)))
    assert confidences.favorites([dataclasses.replace(trained, fold=blind)], store) == {
        (BOTH, classes.repeat): favorite
    }
    table = confidences.confidences([trained], store)
    found = confidences.trust(table, {(BOTH, classes.repeat): "rna"})
    wide = table.pivot(index="id", columns="modality", values="true").dropna()
    assert found["constant"].item() == pytest.approx((wide["rna"] >= wide["clin"]).mean())
    assert found["constant_modality"].item() == "rna"


def test_true_confidences_of_zero_are_counted_and_not_divided_by():
    table = pd.DataFrame(
        {"arm": BOTH, "repeat": 1, "modality": "rna", "predicted": 0.5, "true": [0.0, 0.5]}
    )
    found = confidences.errors(table)
    assert (found["n"].item(), found["left_out"].item(), found["mae"].item()) == (1, 1, 0.0)
    assert confidences.errors(table[:0]).empty


def test_the_page_on_confidence_needs_mm_dynamics(classes, settings):
    chosen = ConfidenceSettings(cohort="toy", arms=["none"])
    with pytest.raises(SettingsError, match="expected 'both' among them"):
        confidences.arms_of([classes], chosen)
    found = confidences.arms_of([classes], ConfidenceSettings(cohort="toy"))
    assert {arm.name for arm in found} == {NONE, *dynamics.WITH_CONFIDENCE} - {"events_only", "cox"}


def test_predictions_are_recorded_once(classes, settings, store):
    trained = train_arm(classes, ARMS[BOTH], NAMES, settings, store)
    (outcome,) = confidences.without_predictions([trained])
    assert trained.outcome.headline
    assert not outcome.headline
    assert outcome.metrics == trained.outcome.metrics


# --- gates


def test_rankings_are_means_over_those_who_have_the_modality(classes, settings, store):
    runs = [train_arm(classes, ARMS[name], NAMES, settings, store) for name in (BOTH, NONE)]
    table = gates.rankings(runs, store)
    gate = dynamics.explain_part(runs[0].model, runs[0].test).gates["rna"]
    expected = gate[runs[0].test.present["rna"]].mean(dim=0).numpy()
    rows = table[table["modality"] == "rna"]
    np.testing.assert_allclose(rows["gate"], expected, atol=1e-6)
    assert tuple(rows["feature"]) == classes.features["rna"]
    record = page.ranking_record(table, most=1)
    assert len(record["rna"]) == min(2, classes.widths["rna"])
    assert max(record["rna"].values()) == pytest.approx(expected.max(), abs=1e-6)


def test_agreement_of_rankings_over_splits():
    gates = [0.1, 0.2, 0.3]
    table = pd.concat(
        pd.DataFrame({"modality": "m", "feature": list("abc"), "repeat": r, "gate": g})
        for r, g in enumerate((gates, gates, gates[::-1]))
    )
    assert "rank correlation of two repeats -0.33" in page.ranking_text(table)


# --- heat-maps


def test_localization_prefers_a_map_that_shows_the_spot():
    from mmlego.data.sources.images.spots import draw_spots

    images, masks = draw_spots(np.linspace(0, 1, 12), np.random.default_rng(1))
    ids = np.array([f"s{i}" for i in range(12)])
    good = heatmaps.Heat("good", 1, ids, images, 0.1 + 0.8 * masks)
    blind = heatmaps.Heat("blind", 1, ids, images, np.full(masks.shape, 0.5))
    table = heatmaps.localization([good, blind])
    means = table.groupby(["arm", "score"])["auc"].mean()
    assert means["good", heatmaps.MAP] > 0.95
    assert means["blind", heatmaps.MAP] == pytest.approx(0.5)
    share = table[table["score"] == heatmaps.MAP].groupby("arm")["share"].mean()
    assert share["good"] > 2.0
    assert share["blind"] == pytest.approx(1.0)
    text = heatmaps.localization_text(table)
    assert "blind: a pixel of the lesion is hotter than one outside with probability 0.500" in text


def test_heat_maps_come_from_arms_with_a_gate(spots, settings, store):
    names = ("clin", "picture")
    runs = [train_arm(spots, ARMS[arm], names, settings, store) for arm in (BOTH, NONE)]
    (heat,) = heatmaps.heats(runs)
    assert heat.maps.shape == (len(spots.test), 64, 64)
    np.testing.assert_array_equal(heat.images, spots.test.values["picture"].numpy())
    assert "mean heat" in heatmaps.spread_text([heat])


# --- pages that are drawn again


def test_what_was_measured_needs_no_model_again(classes, settings, store):
    trained = train_arm(classes, ARMS[BOTH], NAMES, settings, store)

    def measured(run, store):
        return (
            confidences.confidences([run], store),
            stand_ins.confidence_by_state([run], "rna", store),
            gates.rankings([run], store),
            pd.Series(confidences.favorites([run], store)).to_frame(),
        )

    def lost():
        raise AssertionError("no weights are kept")

    first = measured(trained, store)
    without = dataclasses.replace(trained, make=lost)
    recorded = FitStore(store.folder / "none", recall_table=store.tables.get)
    for table, again in zip(first, measured(without, recorded), strict=True):
        assert len(table)
        pd.testing.assert_frame_equal(again, table)
    with pytest.raises(AssertionError, match="no weights"):
        measured(without, FitStore(store.folder / "none"))
