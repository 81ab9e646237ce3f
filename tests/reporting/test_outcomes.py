from __future__ import annotations

import numpy as np
import pytest

from mmlego.errors import MetricError
from mmlego.learning.metrics.scores import main_metric
from mmlego.reporting import outcomes as outcome_tables


def test_main_metric(toy):
    from dataclasses import replace

    from mmlego.data import ClassTarget

    assert main_metric(toy()) == "c_index"
    two = toy(task="classification")
    assert main_metric(two) == "auc"
    three = replace(two, target=ClassTarget(np.arange(60) % 3, ("a", "b", "c")))
    assert main_metric(three) == "macro_auc"


def test_labels(outcome):
    found = outcome("lego_block", "wrapped", modalities=("clin",))
    assert outcome_tables.label(found) == "LegoBlock (wrapped), clin"
    assert outcome_tables.label(outcome()) == "LegoMerge, clin + genes"
    assert outcome_tables.label(outcome(), ["clin", "genes"]) == "LegoMerge, tabular"
    assert outcome_tables.modality_label(("clin", "img", "rna"), ["clin", "rna"]) == "tabular + img"
    assert outcome_tables.modality_label(("clin",), ["clin"]) == "clin"


def test_value_table_leaves_out_what_is_undefined(outcome):
    outcomes = [
        outcome(),
        outcome(repeat=2, metrics={"c_index": np.nan}),
        outcome(repeat=3, metrics={}),
    ]
    assert outcome_tables.value_table(outcomes, "c_index")["repeat"].tolist() == [1]
    with pytest.raises(MetricError, match="'auc': expected a finite value"):
        outcome_tables.value_table(outcomes, "auc")


def test_first_predictions_count_everybody_once(trained):
    outcomes = [bench.encoder("clin").outcome for bench in trained.benches]
    frame = outcome_tables.first_predictions(outcomes[::-1], trained.session.cohort)
    assert frame["id"].is_unique
    assert set(frame["id"]) == set(outcomes[0].ids) | set(outcomes[1].ids)
    first = frame.set_index("id").loc[outcomes[0].ids]
    assert (first["repeat"] == 1).all()
    assert first["risk"].to_numpy() == pytest.approx(outcomes[0].prediction["risk"])
    assert (first["high"] == (first["risk"] > outcomes[0].facts["train_risk_median"])).all()
    place = [trained.session.cohort.ids.tolist().index(name) for name in frame["id"]]
    assert (frame["time"].to_numpy() == trained.session.cohort.target.time[place]).all()


def test_class_predictions_stand_beside_their_labels(trained_classes):
    outcomes = [bench.encoder("clin").outcome for bench in trained_classes.benches]
    cohort = trained_classes.session.cohort
    frame = outcome_tables.all_predictions(outcomes, cohort)
    place = [cohort.ids.tolist().index(name) for name in outcomes[0].ids]
    first = frame[frame["repeat"] == 1]
    assert first["label"].tolist() == cohort.target.label[place].tolist()
    assert first["score"].to_numpy() == pytest.approx(outcomes[0].prediction["probability"][:, 1])


def test_histories_keep_every_epoch(trained):
    outcomes = [bench.encoder("clin").outcome for bench in trained.benches]
    frame = outcome_tables.history_table(outcomes)
    assert len(frame) == sum(len(o.history) for o in outcomes)
    assert {"label", "repeat", "epoch", "train_loss", "val_loss", "kept"} == set(frame.columns)
    kept = frame[frame["kept"]].groupby("repeat")["epoch"].first()
    assert kept.to_dict() == {o.repeat: o.facts["best_epoch"] for o in outcomes}


def test_published_numbers_go_to_the_right_rows(outcome, toy):
    from dataclasses import replace

    from mmlego.data.cards.catalog import load_card

    card = load_card("tcga-blca")
    both = card.published.model_copy(update={"tables": ["clin", "rna"]})
    card = card.model_copy(update={"published": both})
    cohort = replace(toy(), card=card)
    outcomes = [
        outcome("snn", "", modalities=("clin", "rna")),
        outcome("snn", "", modalities=("clin",)),
        outcome("lego_merge", modalities=("clin", "img", "rna")),
        outcome("lego_fuse", "stack", tune_epochs=0, modalities=("clin", "img", "rna")),
    ]
    frame = outcome_tables.forest_table(outcomes, "c_index", cohort, "row").set_index("label")
    assert frame.loc["SNN, tabular", ["published", "comparable"]].tolist() == [0.689, True]
    assert frame.loc["LegoMerge, tabular + img", ["published", "comparable"]].tolist() == [
        0.701,
        False,
    ]
    assert frame["published"].isna().sum() == 2


def test_cohort_of_ones_own_has_no_published_numbers(outcome, toy):
    frame = outcome_tables.forest_table([outcome()], "c_index", toy(), "patient")
    assert frame["published"].isna().all()


def test_published_numbers_for_more_tables_are_shown_as_not_comparable(outcome, toy):
    from dataclasses import replace

    from mmlego.data.cards.catalog import load_card

    cohort = replace(toy(), card=load_card("tcga-blca"))
    found = outcome("snn", "", modalities=("clin", "rna"))
    frame = outcome_tables.forest_table([found], "c_index", cohort, "row")
    assert frame[["published", "comparable"]].to_numpy().tolist() == [[0.689, False]]
