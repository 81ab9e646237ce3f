from __future__ import annotations

import numpy as np

from mmlego.bench.outcome import OUTCOME_COLUMNS, log_outcome, tidy


def test_sizes_and_names(outcome):
    found = outcome(modalities=("clin", "genes"))
    assert found.n_test == 3
    assert found.modality_key == "clin+genes"


def test_one_row_per_outcome_and_metric(outcome):
    outcomes = [
        outcome(metrics={"c_index": 0.6, "auc_td": np.nan}, seconds=1.23456),
        outcome("snn", repeat=2, modalities=("clin",)),
    ]
    frame = tidy(outcomes, cohort="toy", split_unit="patient", grid="g")
    assert list(frame.columns) == [*OUTCOME_COLUMNS, "n_train", "n_test", "seconds", "grid"]
    assert frame["metric"].tolist() == ["c_index", "auc_td", "c_index"]
    assert frame["modalities"].tolist() == ["clin+genes", "clin+genes", "clin"]
    assert frame["seconds"].tolist() == [1.235, 1.235, 0.0]
    assert set(frame["cohort"]) == {"toy"}


def test_no_outcomes_make_an_empty_table_with_columns():
    assert list(tidy([], cohort="x", split_unit="row").columns)[:3] == OUTCOME_COLUMNS[:3]


def test_a_fit_is_told_in_one_line(outcome):
    said = []
    history = [{"epoch": 1}, {"epoch": 2}]
    log_outcome(said.append, outcome(history=history, facts={"best_epoch": 1}, seconds=2.34))
    (line,) = said
    for word in ("repeat 1", "lego_merge", "clin+genes", "best epoch  1 of  2"):
        assert word in line
    assert line.endswith("c_index 0.600     2.3 s")


def test_what_has_no_epochs_says_nothing_of_them(outcome):
    said = []
    log_outcome(said.append, outcome("coxnet"))
    assert "epoch" not in said[0]


def test_silence(outcome):
    log_outcome(None, outcome(metrics={}))


def test_new_labels_leave_the_rest_and_add_to_the_facts(outcome):
    first = outcome(facts={"a": 1}, key="k")
    second = first.relabelled(arm="other", facts={"b": 2})
    assert (second.arm, second.facts, second.key) == ("other", {"a": 1, "b": 2}, "k")
    assert first.facts == {"a": 1}


def test_labels_have_columns_of_their_own(outcome):
    frame = tidy(
        [outcome(arm="stack", inputs="joined", chosen_by="validation", tune_epochs=2)],
        cohort="toy",
        split_unit="patient",
        protocol="searched",
    )
    row = frame.iloc[0]
    assert (row["arm"], row["inputs"], row["chosen_by"]) == ("stack", "joined", "validation")
    assert (row["tune_epochs"], row["protocol"], row["condition"]) == (2, "searched", "")
    untuned = tidy([outcome()], cohort="toy", split_unit="patient")
    assert untuned["tune_epochs"].isna().all()
