from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pandas as pd
import pytest

from mmlego.runs.records.archive import Archive
from mmlego.runs.records.record import make_record, write_record
from mmlego.runs.settings import MergeSettings

FIELDS = {
    "ids", "prediction", "metrics", "n_train", "seconds", "history", "facts", "headline",
}  # fmt: skip


@pytest.fixture
def write(tmp_path):
    """Write a record of some outcomes into a folder of results."""

    def make(*outcomes, name="run", folder="results", measured=None):
        made = make_record(
            MergeSettings(), outcomes, started=datetime.now(UTC), measured=measured or {}
        )
        write_record(replace(made, about=made.about | {"run_id": name}), tmp_path / folder)
        return tmp_path / folder

    return make


def test_an_outcome_comes_back_as_it_was(write, outcome):
    prediction = {
        "risk": np.array([1 / 3, 0.2, 0.3]),
        "survival": np.arange(36.0).reshape(3, 12) / 7,
    }
    history = [{"epoch": 1, "train_loss": 0.25, "val_loss": float("nan")}]
    one = outcome(
        prediction=prediction, history=history, key="k", facts={"a": [1, None], "b": "x"},
        metrics={"c_index": 1 / 3, "auc_td": np.nan}, seconds=1.25,
    )  # fmt: skip
    found = Archive(write(outcome(key="other"), one)).recall("k")
    assert set(found) == FIELDS
    assert found["ids"].tolist() == one.ids.tolist()
    for name, values in prediction.items():
        np.testing.assert_array_equal(found["prediction"][name], values)
    assert found["metrics"]["c_index"] == 1 / 3
    assert np.isnan(found["metrics"]["auc_td"])
    assert (found["facts"], found["seconds"], found["n_train"]) == (one.facts, 1.25, 70)
    assert str(found["history"]) == str(history)


def test_probabilities_of_classes_come_back_in_their_order(write, outcome):
    probability = np.arange(33.0).reshape(3, 11) / 7
    one = outcome(prediction={"probability": probability}, key="k")
    found = Archive(write(one)).recall("k")
    np.testing.assert_array_equal(found["prediction"]["probability"], probability)


def test_unknown_keys_and_empty_ones(write, outcome):
    archive = Archive(write(outcome(key="")))
    assert archive.recall("k") is None
    assert archive.recall("") is None
    assert Archive().recall("k") is None


def test_a_headline_counts_before_what_was_recorded_in_part(write, outcome):
    write(outcome(key="k", seconds=1.0), name="a")
    results = write(outcome(key="k", headline=False, seconds=2.0), name="b")
    found = Archive(results).recall("k")
    assert (found["seconds"], found["headline"]) == (1.0, True)


def test_the_first_folder_counts(write, outcome):
    own = write(outcome(key="k", seconds=1.0), folder="own")
    published = write(outcome(key="k", seconds=2.0), outcome(key="l"), folder="published")
    archive = Archive(own, published)
    assert archive.recall("k")["seconds"] == 1.0
    assert archive.recall("l") is not None


def test_what_was_measured_comes_back(write):
    table = pd.DataFrame({"x": [1.5, 2.5], "name": ["a", "b"]})
    archive = Archive(write(measured={"m": table}))
    pd.testing.assert_frame_equal(archive.recall_table("m"), table)
    assert archive.recall_table("n") is None


def test_a_record_that_is_written_again_meanwhile_gives_nothing_of_another_outcome(write, outcome):
    archive = Archive(write(outcome(key="other", seconds=1.0), outcome(key="k", seconds=2.0)))
    assert archive.recall("nothing") is None  # it has looked at the keys
    write(outcome(key="k", seconds=3.0), outcome(key="another", seconds=4.0))
    assert archive.recall("k")["seconds"] == 3.0
    assert archive.recall("other") is None
