from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from mmlego.runs.records import status
from mmlego.runs.records.record import make_record, read_records, write_record
from mmlego.runs.records.status import CURRENT, EARLIER, OUTDATED, SUPERSEDED, statuses
from mmlego.runs.settings import BenchmarkSettings, FuseSettings, MergeSettings


@pytest.fixture
def write(tmp_path, outcome):
    """Write a record of today, with whatever differs, into one folder of results."""

    def make(name="run", settings=None, outcomes=None, **changes):
        made = make_record(
            settings or MergeSettings(cohort="wdbc"),
            [outcome(key="k")] if outcomes is None else outcomes,
            data={"name": "wdbc"},
            started=datetime.now(UTC),
        )
        write_record(replace(made, about=made.about | {"run_id": name} | changes), tmp_path)
        return tmp_path

    return make


def _only(results, **how):
    (found,) = statuses(results, **how)
    return found.state, found.why


def test_a_record_of_today_is_current(write):
    assert _only(write()) == (CURRENT, "")


def test_the_modules_that_changed_are_named(write, tmp_path):
    write()
    modules = read_records(tmp_path)[0]["modules"]
    assert "mmlego.lego.merge" in modules
    changed = {"mmlego.lego.merge": "0" * 8, "mmlego.gone": "1" * 8}
    state, why = _only(write(modules=modules | changed))
    assert (state, why) == (OUTDATED, "code changed: mmlego.gone, mmlego.lego.merge")


def test_many_changes_are_counted(write):
    state, why = _only(write(modules={}))
    assert state == OUTDATED
    assert why.startswith("code changed: ")
    assert "more" in why


def test_another_minor_version_counts_and_a_patch_does_not(write, tmp_path):
    write()
    versions = read_records(tmp_path)[0]["versions"]
    major, minor, *_ = versions["torch"].split(".")
    assert _only(write(versions=versions | {"torch": f"{major}.{minor}.99"})) == (CURRENT, "")
    state, why = _only(write(versions=versions | {"torch": "1.0.0"}))
    assert (state, why) == (OUTDATED, f"torch 1.0.0 is {versions['torch']} now")


def test_changed_data_count_where_they_are_here(write):
    data = {"name": "wdbc", "fingerprint": "0" * 12}
    assert _only(write(data=data)) == (OUTDATED, "data changed")
    assert _only(write(data=data), data=False) == (CURRENT, "")


def test_data_that_are_not_here_cannot_be_compared(write, monkeypatch):
    monkeypatch.setattr(status, "availability", lambda files: "no")
    status._fingerprint.cache_clear()
    assert _only(write(data={"name": "wdbc", "fingerprint": "0"})) == (CURRENT, "")
    status._fingerprint.cache_clear()


def test_changed_searched_values_count(write, monkeypatch):
    monkeypatch.setattr(status, "values_digest", lambda cohort: "new")
    assert _only(write(data={"name": "wdbc", "values": "old"})) == (
        OUTDATED,
        "searched values changed",
    )
    assert _only(write(data={"name": "wdbc", "values": "new"})) == (CURRENT, "")


def test_what_earlier_code_made_says_so(write):
    state, why = _only(write(earlier=True, modules={}))
    assert state == EARLIER
    assert "run it again" in why


def test_a_later_record_of_the_same_question_takes_the_place(write, outcome):
    """Whatever its grid and number of repeats, if it has all outcomes of the other."""
    one, two = outcome(repeat=1), outcome(repeat=2)
    settings = BenchmarkSettings(cohort="wdbc", repeats=1, grid="quick")
    write("first", settings, [one], finished="2001")
    write("part", settings, [two], finished="2002")
    results = write("second", settings.model_copy(update={"repeats": 2, "grid": "full"}),
                    [one, two], finished="2003")  # fmt: skip
    write("other", settings.model_copy(update={"epochs": 3}), [one], finished="2000")
    found = {s.run_id: (s.state, s.why) for s in statuses(results)}
    assert found["first"] == found["part"] == (SUPERSEDED, "by second")
    assert found["second"][0] == found["other"][0] == CURRENT


def test_the_earlier_of_two_runs_that_disagree_is_outdated(write, outcome):
    """Their keys are equal, so that the later run corrects the earlier one."""
    for name, value, hour in (("fuse-1", 0.6, 1), ("merge-1", 0.7, 2)):
        settings = MergeSettings(cohort="wdbc", grid="quick")
        if name == "fuse-1":
            settings = FuseSettings(cohort="wdbc", grid="quick")
        write_at = f"2026-01-01T0{hour}:00:00+00:00"
        results = write(
            name,
            settings,
            [outcome(key="k", metrics={"auc": value})],
            finished=write_at,
        )
    first, second = statuses(results)
    assert (first.state, first.why) == (OUTDATED, "1 value differs in merge-1")
    assert second.state == CURRENT
