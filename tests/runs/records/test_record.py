from __future__ import annotations

import json
from datetime import UTC, datetime

import numpy as np
import pandas as pd
import pytest

from mmlego import figures
from mmlego.bench.store.code import code_digest
from mmlego.errors import RunError
from mmlego.learning.metrics.scores import auc, concordance_index
from mmlego.reporting import outcomes as outcome_tables
from mmlego.runs.notebook_code import numeric_code
from mmlego.runs.records import record as records
from mmlego.runs.records.record import (
    make_record,
    plain,
    read_record,
    read_records,
    read_table,
    write_record,
)
from mmlego.runs.settings import MergeSettings


def test_plain_makes_builtins():
    value = {
        1: np.float32(0.5),
        "i": np.int64(3),
        "b": np.bool_(True),
        "a": np.array([[1, 2]]),
        "t": (1, "x"),
        "nan": float("nan"),
        "inf": np.float64("inf"),
        "none": None,
        "text": "0.123456789",
    }
    found = plain(value)
    assert found == {
        "1": 0.5,
        "i": 3,
        "b": True,
        "a": [[1, 2]],
        "t": [1, "x"],
        "nan": None,
        "inf": None,
        "none": None,
        "text": "0.123456789",
    }
    assert json.loads(json.dumps(found, allow_nan=False)) == found


def test_plain_rounds_to_eight_digits_but_keeps_whole_numbers():
    assert plain([1 / 3, 1234567891.0, 1.5e-9, 1234567891]) == [
        0.33333333,
        1234567900.0,
        1.5e-9,
        1234567891,
    ]


@pytest.mark.parametrize("kind", ["trained", "trained_classes"])
def test_metrics_can_be_recomputed_from_the_predictions_of_a_record(request, kind):
    session = request.getfixturevalue(kind).session
    record = read_record(session.settings.run_id, session.results)
    table = read_table(session.results / "runs" / record["run_id"], "predictions")
    cohort = session.cohort
    place = {name: row for row, name in enumerate(cohort.ids)}
    assert len(record["outcomes"]) == table["outcome"].nunique() == 32
    for number, entry in enumerate(record["outcomes"]):
        part = table[table["outcome"] == number]
        assert len(part) == entry["n_test"]
        rows = [place[name] for name in part["id"]]
        if cohort.task == "survival":
            target = cohort.target
            found = concordance_index(
                target.event[rows], target.time[rows], part["risk"].to_numpy()
            )
            expected = entry["metrics"]["c_index"]
        else:
            found = auc(cohort.target.label[rows], part["probability_1"].to_numpy())
            expected = entry["metrics"]["auc"]
        assert found == expected


@pytest.fixture
def made(outcome):
    settings = MergeSettings(cohort="transbig", results="/some/where")
    survival = np.arange(12.0).reshape(3, 4)
    prediction = {"risk": np.array([0.1, 0.2, 0.3]), "survival": survival}
    outcomes = [
        outcome(prediction=prediction, history=[{"epoch": 1, "val_loss": 0.5}], key="k"),
        outcome(arm="alpha: 0.5", prediction=prediction, headline=False,
                metrics={"c_index": np.nan}, facts={"level": np.float64(0.5)}),
    ]  # fmt: skip
    return make_record(
        settings,
        outcomes,
        protocol="published",
        data={"n": 198},
        started=datetime.now(UTC),
        measured={"m": pd.DataFrame({"x": [1.5]})},
        extra={"x": np.float32(0.5)},
    )


def test_record_holds_all_that_is_needed_to_repeat_a_run(made):
    about = made.about
    assert made.run_id == MergeSettings(cohort="transbig").run_id
    assert about["parameters"] == MergeSettings(cohort="transbig").identity()
    for name in ("code", "modules", "revision", "versions", "hardware", "started", "finished"):
        assert about[name], name
    assert about["data"] == {"n": 198}
    assert about["code"] == code_digest(*numeric_code("merge"))
    assert about["headline"] is False
    assert about["extra"] == {"x": 0.5}
    assert about["modules"]["mmlego.lego.merge"]
    json.dumps(about, allow_nan=False)


def test_record_keeps_every_prediction_and_the_rest_of_headline_rows(made):
    first, second = (made.predictions[made.predictions["outcome"] == i] for i in (0, 1))
    assert first["risk"].tolist() == second["risk"].tolist() == [0.1, 0.2, 0.3]
    assert first["id"].tolist() == ["a", "b", "c"]
    assert first["survival_3"].tolist() == [3.0, 7.0, 11.0]
    assert second["survival_3"].isna().all()
    assert made.histories.to_dict("records") == [{"outcome": 0, "epoch": 1, "val_loss": 0.5}]


def long_history(n):
    return [{"epoch": epoch, "val_loss": 1.0 / epoch} for epoch in range(1, n + 1)]


@pytest.mark.parametrize("best", [1, 433, 999, 1000])
def test_a_long_history_is_thinned_to_even_steps_and_the_best_epoch(outcome, best):
    history = long_history(1000)
    one = outcome(history=history, facts={"best_epoch": best})
    made = make_record(MergeSettings(), [one], started=datetime.now(UTC))
    kept = made.histories["epoch"].tolist()
    assert {1, best, 1000} <= set(kept)
    assert kept == sorted(set(kept))
    assert 200 <= len(kept) <= 201
    assert max(np.diff(kept)) <= 6
    assert len(one.history) == 1000, "figures of the run see all of it"


def test_a_history_of_200_epochs_is_kept_whole():
    assert records.thinned(long_history(200), 7) == long_history(200)
    assert len(records.thinned(long_history(201))) == 200


def test_a_thinned_history_can_be_drawn(outcome):
    kept = records.thinned(long_history(1000), 433)
    figure = figures.learning_curves(outcome_tables.history_table([outcome(history=[
        {**entry, "train_loss": 0.5} for entry in kept
    ])]))  # fmt: skip
    drawn = [line for line in figure.axes[0].get_lines() if len(line.get_xdata()) > 1]
    assert all(line.get_xdata()[-1] == 1000 for line in drawn)
    assert 433 in drawn[0].get_xdata()


def test_undefined_metric_is_no_number(made, tmp_path):
    write_record(made, tmp_path)
    assert read_record(made.run_id, tmp_path)["outcomes"][1]["metrics"] == {"c_index": None}


def test_record_says_nothing_of_the_machine_s_folders(made):
    assert "/some/where" not in json.dumps(made.about)


def test_record_round_trip(made, tmp_path):
    path = write_record(made, tmp_path)
    assert path == tmp_path / "runs" / made.run_id
    found = read_record(made.run_id, tmp_path)
    entries = found.pop("outcomes")
    assert found == made.about
    assert [e["arm"] for e in entries] == ["", "alpha: 0.5"]
    assert entries[1]["facts"] == {"level": 0.5}
    assert entries[0]["tune_epochs"] is None
    pd.testing.assert_frame_equal(read_table(path, "predictions"), made.predictions)
    assert read_records(tmp_path) == [read_record(made.run_id, tmp_path)]
    assert read_record("another", tmp_path) is None
    assert read_records(tmp_path / "nowhere") == []


def test_writing_again_replaces_the_whole_record(made, tmp_path):
    place = write_record(made, tmp_path)
    (place / "left_over.parquet").write_text("")
    write_record(made, tmp_path)
    assert not (place / "left_over.parquet").exists()
    assert [path.name for path in place.parent.iterdir()] == [made.run_id]


@pytest.mark.parametrize("name", ["record.json", "outcomes.parquet"])
def test_damaged_record_names_the_run(made, tmp_path, name):
    (write_record(made, tmp_path) / name).write_text("{")
    with pytest.raises(RunError, match=rf"record {made.run_id}: .*cannot be read"):
        read_records(tmp_path)
