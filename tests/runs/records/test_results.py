from __future__ import annotations

import shutil
from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pandas as pd
import pytest

from mmlego.data.paths import project_root
from mmlego.errors import RunError
from mmlego.runs.records.record import make_record, read_record, write_record
from mmlego.runs.records.results import (
    COLUMNS,
    TABLE,
    collect,
    contradictions,
    load_metrics,
    rows_of,
)
from mmlego.runs.settings import SignalSettings


@pytest.fixture
def write(tmp_path, outcome):
    """Write a record with the given outcomes."""

    def make(run_id="a", grid="quick", cohort="toy", **metrics):
        made = make_record(
            SignalSettings(),
            [
                outcome(
                    "snn",
                    modalities=("rna",),
                    metrics=metrics or {"c_index": 0.6, "auc_td": np.nan},
                )
            ]
            if cohort
            else [],
            started=datetime.now(UTC),
        )
        about = made.about | {
            "run_id": run_id,
            "parameters": {"grid": grid} | ({"split_unit": "patient"} if cohort else {}),
            "data": {"name": cohort} if cohort else {},
        }
        write_record(replace(made, about=about), tmp_path)
        return read_record(run_id, tmp_path)

    return make


def test_rows_have_the_columns_of_the_table(write):
    rows = rows_of(write())
    assert [set(row) for row in rows] == [set(COLUMNS)] * 2
    assert rows[0]["value"] == 0.6
    assert rows[1]["value"] is None


def test_collect_then_load(write, tmp_path):
    write("b", c_index=0.7)
    write("a")
    write("signal", cohort="")
    frame = collect(tmp_path)
    assert list(frame.columns) == COLUMNS
    assert frame["run_id"].tolist() == ["a", "a", "b"]
    found = load_metrics(tmp_path)
    assert found["value"].tolist()[1:] == [0.6, 0.7]
    assert np.isnan(found["value"][0])
    assert found["arm"].tolist() == ["", "", ""]
    pd.testing.assert_frame_equal(
        found, frame.assign(value=frame["value"].astype(float)), check_dtype=False
    )


def test_collect_forgets_what_has_no_record_any_more(write, tmp_path):
    write("a")
    write("b")
    collect(tmp_path)
    shutil.rmtree(tmp_path / "runs" / "a")
    assert collect(tmp_path)["run_id"].unique().tolist() == ["b"]
    assert load_metrics(tmp_path)["run_id"].unique().tolist() == ["b"]


def test_two_runs_that_give_one_key_two_values_are_found(write, tmp_path):
    write("a")
    write("b")
    write("by hand", grid="manual", c_index=0.1)
    write("other grid", grid="full", c_index=0.2)
    assert contradictions(collect(tmp_path)).empty
    write("b", c_index=0.7, auc_td=0.5)
    found = contradictions(collect(tmp_path))
    assert found.values.tolist() == [["a", "b", 1], ["b", "a", 1]]


def test_published_results_give_no_key_two_values():
    found = contradictions(load_metrics(project_root() / "results"))
    assert found.empty, found.to_string()


def test_collect_of_nothing_is_an_empty_table(tmp_path):
    assert collect(tmp_path).empty
    assert list(load_metrics(tmp_path).columns) == COLUMNS


def test_no_table_says_how_to_get_one(tmp_path):
    with pytest.raises(RunError, match="run `mmlego run --grid` first"):
        load_metrics(tmp_path)


def test_table_that_lacks_a_column(write, tmp_path):
    write()
    collect(tmp_path).drop(columns="repeat").to_parquet(tmp_path / TABLE)
    with pytest.raises(RunError, match=r"missing \['repeat'\]; run `mmlego results collect`"):
        load_metrics(tmp_path)


def test_damaged_table_says_how_to_make_it_anew(write, tmp_path):
    write()
    collect(tmp_path)
    (tmp_path / TABLE).write_bytes(b"PAR1 and nothing more")
    with pytest.raises(RunError, match="cannot be read .*run `mmlego results collect`"):
        load_metrics(tmp_path)
