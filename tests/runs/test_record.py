from __future__ import annotations

import json
from datetime import UTC, datetime

import numpy as np
import pytest

from mmlego import figures
from mmlego.bench.store.code import code_digest
from mmlego.errors import RunError
from mmlego.learning.metrics.scores import auc, concordance_index
from mmlego.reporting import outcomes as views
from mmlego.runs import record as records
from mmlego.runs.record import (
    make_record,
    numeric_code,
    plain,
    read_record,
    read_records,
    write_record,
)
from mmlego.runs.settings import SETTINGS, MergeSettings


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
    cohort = session.cohort
    place = {name: row for row, name in enumerate(cohort.ids)}
    kept = [entry for entry in record["outcomes"] if "prediction" in entry]
    assert kept
    for entry in kept:
        rows = [place[name] for name in entry["ids"]]
        said = np.array(entry["prediction"])
        if cohort.task == "survival":
            target = cohort.target
            found = concordance_index(target.event[rows], target.time[rows], said)
            expected = entry["metrics"]["c_index"]
        else:
            found = auc(cohort.target.label[rows], said[:, 1])
            expected = entry["metrics"]["auc"]
        assert found == pytest.approx(expected, abs=1e-7)


def test_predictions_that_differ_little_keep_their_order(outcome):
    """Six digits would tie these, and another AUC would follow from the record."""
    sure = 0.999999 + np.arange(5) * 1e-7
    prediction = {"probability": np.column_stack([1 - sure, sure])}
    made = make_record(
        MergeSettings(),
        [outcome(prediction=prediction, ids=np.array(list("abcde")))],
        started=datetime.now(UTC),
    )
    kept = np.array(made["outcomes"][0]["prediction"])
    assert (np.diff(kept[:, 1]) > 0).all()


@pytest.fixture
def made(outcome):
    settings = MergeSettings(cohort="transbig", results="/some/where")
    outcomes = [
        outcome(headline=True, history=[{"epoch": 1, "val_loss": 0.5}], key="k"),
        outcome(variant="alpha: 0.5", headline=False, metrics={"c_index": np.nan}),
    ]
    return make_record(
        settings,
        outcomes,
        data={"n": 198},
        started=datetime.now(UTC),
        extra={"x": np.float32(0.5)},
    )


def test_record_holds_all_that_is_needed_to_repeat_a_run(made):
    assert made["run_id"] == MergeSettings(cohort="transbig").run_id
    assert made["parameters"] == MergeSettings(cohort="transbig").identity()
    for name in ("code", "revision", "versions", "hardware", "started", "finished", "data"):
        assert made[name], name
    assert made["extra"] == {"x": 0.5}
    json.dumps(made, allow_nan=False)


def test_every_notebook_names_code_that_is_there():
    """A module that is not found would count as code that never changes."""
    assert set(records._NUMERIC_CODE) <= set(SETTINGS)
    for notebook in SETTINGS:
        assert code_digest(*numeric_code(notebook)) != code_digest(), notebook


def test_notebooks_that_train_on_their_own_have_code_of_their_own(made):
    assert made["code"] == code_digest(*numeric_code("merge"))
    assert numeric_code("merge") == numeric_code("unimodal") == numeric_code("fuse")
    for notebook in ("benchmark", "tuning", "robustness", "properties"):
        assert numeric_code(notebook) != numeric_code("merge")
        assert numeric_code(notebook) != numeric_code("unimodal")


def test_record_keeps_predictions_of_headline_rows_only(made):
    first, second = made["outcomes"]
    assert first["prediction"] == [0.1, 0.2, 0.3]
    assert first["ids"] == ["a", "b", "c"]
    assert first["history"] == [{"epoch": 1, "val_loss": 0.5}]
    assert not {"prediction", "ids", "history"} & set(second)


def long_history(n):
    return [{"epoch": epoch, "val_loss": 1.0 / epoch} for epoch in range(1, n + 1)]


@pytest.mark.parametrize("best", [1, 433, 999, 1000])
def test_a_long_history_is_thinned_to_even_steps_and_the_best_epoch(outcome, best):
    history = long_history(1000)
    one = outcome(history=history, facts={"best_epoch": best})
    made = make_record(MergeSettings(), [one], started=datetime.now(UTC))
    kept = [entry["epoch"] for entry in made["outcomes"][0]["history"]]
    assert {1, best, 1000} <= set(kept)
    assert kept == sorted(set(kept))
    assert 200 <= len(kept) <= 201
    assert max(np.diff(kept)) <= 6
    assert all(entry in plain(history) for entry in made["outcomes"][0]["history"])
    assert len(one.history) == 1000, "figures of the run see all of it"


def test_a_history_of_200_epochs_is_kept_whole():
    assert records.thinned(long_history(200), 7) == long_history(200)
    assert len(records.thinned(long_history(201))) == 200


def test_a_thinned_history_can_be_drawn(outcome):
    kept = records.thinned(long_history(1000), 433)
    figure = figures.learning_curves(views.history_table([outcome(history=[
        {**entry, "train_loss": 0.5} for entry in kept
    ])]))  # fmt: skip
    drawn = [line for line in figure.axes[0].get_lines() if len(line.get_xdata()) > 1]
    assert all(line.get_xdata()[-1] == 1000 for line in drawn)
    assert 433 in drawn[0].get_xdata()


def test_undefined_metric_is_no_number(made):
    assert made["outcomes"][1]["metrics"] == {"c_index": None}


def test_record_says_nothing_of_the_machine_s_folders(made):
    assert "/some/where" not in json.dumps(made)


def test_record_round_trip(made, tmp_path):
    path = write_record(made, tmp_path)
    assert path == tmp_path / "runs" / f"{made['run_id']}.json"
    assert read_record(made["run_id"], tmp_path) == made
    assert read_records(tmp_path) == [made]
    assert read_record("another", tmp_path) is None
    assert read_records(tmp_path / "nowhere") == []


def test_damaged_record_names_the_file(made, tmp_path):
    write_record(made, tmp_path).write_text("{")
    with pytest.raises(RunError, match=rf"record {made['run_id']}\.json: cannot be read"):
        read_records(tmp_path)


def test_text_is_written_whole_or_not_at_all(tmp_path, monkeypatch):
    path = tmp_path / "deep" / "x.txt"
    records.write_text(path, "old")

    def broken(source, target):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("mmlego.runs.record.os.replace", broken)
    with pytest.raises(RunError, match="cannot write .*No space left"):
        records.write_text(path, "new")
    assert path.read_text() == "old"
    assert [item.name for item in path.parent.iterdir()] == ["x.txt"]


def test_text_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError, match="choose a folder that you may write to"):
        records.write_text(tmp_path / "file" / "x.txt", "new")


def test_files_can_be_read_by_others(tmp_path):
    assert records.write_text(tmp_path / "x", "").stat().st_mode & 0o777 == 0o644
