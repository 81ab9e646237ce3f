from __future__ import annotations

import numpy as np

from mmlego.experiments.outcome import OUTCOME_COLUMNS, tidy


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
