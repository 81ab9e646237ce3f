from __future__ import annotations

import numpy as np

from mmlego.bench.outcome import OUTCOME_COLUMNS, tell, tidy


def test_sizes_and_names(outcome):
    found = outcome(modalities=("clin", "genes"))
    assert found.n_test == 3
    assert found.joined == "clin+genes"


def test_one_row_per_outcome_and_metric(outcome):
    outcomes = [
        outcome(metrics={"c_index": 0.6, "auc_td": np.nan}, seconds=1.23456),
        outcome("snn", "", repeat=2, modalities=("clin",)),
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
    tell(said.append, outcome(history=history, facts={"best_epoch": 1}, seconds=2.34))
    (line,) = said
    for word in ("repeat 1", "lego_merge", "default", "clin+genes", "best epoch  1 of  2"):
        assert word in line
    assert line.endswith("c_index 0.600     2.3 s")


def test_what_has_no_epochs_says_nothing_of_them(outcome):
    said = []
    tell(said.append, outcome("coxnet"))
    assert "epoch" not in said[0]


def test_silence(outcome):
    tell(None, outcome(metrics={}))
