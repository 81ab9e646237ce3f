"""A reader's own results, which are read together with the published ones."""

from __future__ import annotations

import pytest

from mmlego.runs.records.archive import Archive
from mmlego.runs.records.record import question_of, read_records
from mmlego.runs.records.results import TABLE, collect, load_metrics
from mmlego.runs.session import open_session
from mmlego.runs.settings import SignalSettings


@pytest.fixture
def shelves(project, made_up_run):
    """Write records among the published ones or among the reader's; returns both folders too."""
    published = project.folder / "results"
    local = published / "local"

    def write(folder, run_id, notebook="merge", **values):
        parameters = {"grid": "quick", "cohort": "wdbc", "split_unit": "patient"} | values
        about = {"run_id": run_id, "notebook": notebook, "parameters": parameters}
        about |= {"data": {"name": "wdbc"}, "hardware": {"device": "cpu"}}
        outcome = {"method": "snn", "modalities": "rna", "repeat": 1, "key": run_id}
        outcome |= {"n_train": 70, "n_test": 15, "seconds": 0.5, "metrics": {"auc": 0.6}}
        made_up_run(folder, about, [outcome | {"headline": False}])

    return write, published, local


def _ids(folder):
    return [record["run_id"] for record in read_records(folder)]


def test_a_reader_s_records_stand_in_place_of_published_ones_of_the_same_question(shelves):
    write, published, local = shelves
    write(published, "merge-1")
    write(published, "merge-2", cohort="transbig")
    write(published, "merge-3", split_unit="row")
    write(published, "merge-4", grid="searched")
    write(published, "fuse-5", "fuse")
    write(local, "merge-9")
    assert _ids(local) == ["fuse-5", "merge-2", "merge-3", "merge-4", "merge-9"]
    assert _ids(published) == ["fuse-5", "merge-1", "merge-2", "merge-3", "merge-4"]


def test_runs_by_hand_take_the_place_of_nothing(shelves):
    write, published, local = shelves
    write(published, "merge-1", grid="manual")
    write(local, "merge-2", grid="manual")
    write(local, "merge-3", grid="manual")
    assert _ids(local) == ["merge-1", "merge-2", "merge-3"]


def test_other_folders_are_read_alone(shelves, tmp_path):
    write, published, _ = shelves
    write(published, "merge-1")
    write(tmp_path / "mine", "merge-2")
    assert _ids(tmp_path / "mine") == ["merge-2"]


def test_settings_do_not_make_another_question():
    values = SignalSettings(grid="quick", draws=3), SignalSettings(grid="quick", draws=4)
    asked = {
        question_of({"run_id": v.run_id, "notebook": v.notebook, "parameters": v.model_dump()})
        for v in values
    }
    assert asked == {("signal_interference", "", "", "quick")}


def test_the_table_of_a_reader_holds_both(shelves):
    write, published, local = shelves
    write(published, "merge-1")
    write(published, "merge-2", cohort="transbig")
    write(local, "merge-9")
    assert set(collect(local)["run_id"]) == {"merge-2", "merge-9"}
    assert set(load_metrics(local)["run_id"]) == {"merge-2", "merge-9"}
    assert not (published / TABLE).exists()


def test_a_clone_without_runs_reads_the_published_results(shelves):
    write, published, local = shelves
    write(published, "merge-1")
    assert set(load_metrics(local)["run_id"]) == {"merge-1"}
    assert (local / TABLE).is_file()
    assert not (published / TABLE).exists()


def test_a_session_recalls_published_outcomes_and_writes_to_the_reader_s(shelves, monkeypatch):
    """What is published need not be trained again."""
    _, published, local = shelves
    seen = []

    class Spied(Archive):
        def __init__(self, *folders):
            seen.append(folders)
            super().__init__(*folders)

    monkeypatch.setattr("mmlego.runs.session.Archive", Spied)
    session = open_session("signal_interference", SignalSettings().model_dump())
    assert session.results == local
    assert session.store.folder.is_relative_to(local)
    other = SignalSettings(results=str(published)).model_dump()
    assert open_session("signal_interference", other).store.folder.is_relative_to(published)
    assert seen == [(local, published), (published,)]
