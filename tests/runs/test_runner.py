from __future__ import annotations

import json
import os
import shutil
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import nbformat
import numpy as np
import pytest
from jupyter_core.utils import ensure_event_loop

from mmlego.errors import CardError, RunError, SettingsError
from mmlego.runs import runner
from mmlego.runs.catalogue import CATALOGUE
from mmlego.runs.files import write_text
from mmlego.runs.records.results import TABLE
from mmlego.runs.runner import run_notebook, settings_for

NAME = "signal_interference"


@pytest.fixture
def run(project):
    """Run the project's notebook into the project's results."""

    def call(given=None, **options):
        return run_notebook(NAME, {"results": str(project.results)} | (given or {}), **options)

    return call


def _nothing_left(project):
    """Whether all that is there is the log."""
    return {name for name in project.files() if not name.startswith("logs/")} == set()


# --- before anything runs


def test_unknown_parameter_is_refused(run, project):
    with pytest.raises(SettingsError, match="unknown parameter 'draw'; did you mean 'draws'"):
        run({"draw": 3})
    assert not project.results.exists()


@pytest.mark.parametrize("given", [{"draws": "many"}, {"draws": 2.5}, {"draws": 0}, {"noise": -1}])
def test_wrong_value_is_refused(run, project, given):
    with pytest.raises(SettingsError, match=f"parameter '{next(iter(given))}'"):
        run(given)
    assert not project.results.exists()


def test_numpy_scalars_and_paths_are_cast(project):
    given = {"draws": np.int64(3), "noise": np.float32(0.5), "results": Path("here")}
    found = settings_for(NAME, given)
    assert (found.draws, found.noise) == (3, 0.5)
    assert isinstance(found.results, str)
    assert type(found.draws) is int


def test_notebook_that_is_not_in_the_catalogue_is_refused(project):
    source = project.write()
    other = source.with_name("other.ipynb")
    source.rename(other)
    with pytest.raises(SettingsError, match="unknown notebook 'other'"):
        run_notebook(other)


def test_a_merge_run_never_trains_blocks_on_the_side(repository, monkeypatch):
    monkeypatch.chdir(repository)
    assert settings_for("merge", {}).train_missing_blocks is False
    assert settings_for("merge", {"train_missing_blocks": True}).train_missing_blocks is True


def test_relative_results_mean_the_working_directory(project, monkeypatch):
    """The kernel runs elsewhere, so a relative folder must not reach it."""
    (project.folder / "sub").mkdir()
    monkeypatch.chdir(project.folder / "sub")
    found = settings_for(NAME, {"results": "out"})
    assert found.results == str(project.folder / "sub" / "out")


@pytest.fixture
def card(project, repository):
    """A card of one's own, three levels below the root of a project."""
    path = project.folder / "mine" / "x" / "own.yaml"
    path.parent.mkdir(parents=True)
    path.write_text((repository / "data" / "example" / "example.yaml").read_text())
    shutil.copy(repository / "notebooks" / "unimodal.ipynb", project.folder / "notebooks")
    return path


@pytest.mark.parametrize(
    ("place", "given"),
    [
        (".", "mine/x/own.yaml"),
        ("mine", "x/own.yaml"),
        ("mine/x", "own.yaml"),
        ("mine/x", "../x/own.yaml"),
        ("mine/x", "mine/x/own.yaml"),  # from the root, as a grid names it
    ],
)
def test_card_of_ones_own_means_the_same_from_wherever_it_is_named(
    project, card, monkeypatch, place, given
):
    """The kernel works in the root, and the id of a run must not depend on where one stood."""
    monkeypatch.chdir(project.folder / place)
    found = settings_for("unimodal", {"cohort": given})
    assert found.cohort == "mine/x/own.yaml"
    runner.check_cohort(found)


def test_card_by_its_whole_path(project, card):
    assert settings_for("unimodal", {"cohort": str(card)}).cohort == "mine/x/own.yaml"


def test_card_outside_the_project_keeps_its_whole_path(project, card, tmp_path, monkeypatch):
    outside = card.rename(tmp_path / "outside.yml")
    monkeypatch.chdir(project.folder)
    found = settings_for("unimodal", {"cohort": "../outside.yml"})
    assert found.cohort == str(outside)
    runner.check_cohort(found)


def test_shipped_cohort_is_no_path(project, card):
    assert settings_for("unimodal", {"cohort": "wdbc"}).cohort == "wdbc"


@pytest.mark.parametrize(
    ("cohort", "words"),
    [
        ("wdbcc", "did you mean 'wdbc'"),
        ("mine/x/none.yaml", "expected a YAML file"),
        ("mine/x/broken.yaml", r"broken\.yaml"),
    ],
)
def test_unknown_cohort_is_refused_before_a_kernel_starts(
    project, card, monkeypatch, cohort, words
):
    def started(*args, **options):
        raise AssertionError("a kernel was started")

    monkeypatch.setattr(runner, "_execute", started)
    card.with_name("broken.yaml").write_text("name: x\n")
    with pytest.raises(CardError, match=words):
        run_notebook("unimodal", {"cohort": cohort, "results": str(project.results)})
    assert not project.results.exists()


@pytest.mark.parametrize("name", ["{x}.ipynb", "{}/x.ipynb"])
def test_braces_in_the_output_path_are_refused(run, project, name):
    with pytest.raises(RunError, match="braces are not allowed"):
        run(page=project.folder / name)
    assert not project.results.exists()


def test_braces_in_the_input_path_are_refused(project):
    folder = project.folder / "{odd}"
    folder.mkdir()
    source = project.write().rename(folder / f"{NAME}.ipynb")
    with pytest.raises(RunError, match="braces are not allowed"):
        run_notebook(source, {"results": str(project.results)})


def test_results_that_cannot_be_written(project):
    (project.folder / "file").write_text("not a folder")
    with pytest.raises(RunError, match="cannot write to"):
        run_notebook(NAME, {"results": str(project.folder / "file" / "results")})


def test_page_that_cannot_be_written(run, project):
    (project.folder / "file").write_text("not a folder")
    with pytest.raises(RunError, match="cannot write to"):
        run(page=project.folder / "file" / "page.ipynb")
    assert not (project.results / "runs").exists()


# --- what may go wrong in a run


@pytest.mark.slow
def test_failing_cell_leaves_a_log_only(run, project):
    project.write("fine = 1", "print('so far')", "1 / 0", "later = 1")
    with pytest.raises(RunError, match=r"cell 5: ZeroDivisionError: division by zero; see .*\.log"):
        run()
    assert _nothing_left(project)
    log = project.results / "logs" / f"{project.settings().run_id}.log"
    assert "so far" in log.read_text()
    assert "ZeroDivisionError" in log.read_text()


@pytest.mark.slow
def test_failure_after_the_record_was_written_takes_it_back(run, project):
    project.write(project.recording(), "1 / 0")
    with pytest.raises(RunError, match="ZeroDivisionError"):
        run()
    assert _nothing_left(project)


@pytest.mark.slow
def test_killed_kernel_leaves_a_log_only(run, project):
    project.write(
        "fine = 1", "import os, signal\nos.kill(os.getpid(), signal.SIGKILL)", "later = 1"
    )
    with pytest.raises(RunError, match=r"cell \d.*kernel died"):
        run()
    assert _nothing_left(project)


@pytest.mark.slow
def test_kernel_killed_in_the_last_cell_is_an_error_too(run, project):
    last = "import os, signal\nos.kill(os.getpid(), signal.SIGKILL)"
    project.write(project.recording(), last)
    with pytest.raises(RunError, match="kernel died"):
        run()
    assert _nothing_left(project)


@pytest.mark.slow
def test_notebook_that_writes_no_record(run, project):
    project.write("fine = 1")
    with pytest.raises(RunError, match="wrote no record"):
        run()
    assert _nothing_left(project)


@pytest.mark.slow
def test_old_record_does_not_stand_in_for_one_that_was_not_written(run, project):
    run()
    project.write("fine = 1")
    with pytest.raises(RunError, match="wrote no record"):
        run()


@pytest.mark.slow
def test_failed_run_keeps_what_was_finished_before_but_not_as_finished(run, project):
    project.write(project.recording(), "import pathlib\nassert not pathlib.Path('stop').exists()")
    first = run()
    kept = {name: (project.results / name).read_text() for name in project.files()}
    (project.folder / "stop").touch()
    with pytest.raises(RunError, match="AssertionError"):
        run(force=True)
    results = {name for name in kept if name.startswith(("runs", "notebooks"))}
    assert all((project.results / name).read_text() == kept[name] for name in results)
    assert not runner.is_finished(project.settings(), first.page)
    (project.folder / "stop").unlink()
    assert run().status == "done"


# --- what counts as finished


def _finished_at(project):
    path = project.results / "runs" / project.settings().run_id / "record.json"
    return json.loads(path.read_text())["finished"]


@pytest.mark.slow
def test_finished_run_is_kept_until_something_changes(run, project, monkeypatch):
    """One chain of runs, since each start of a kernel takes a second."""
    first = run()
    assert (first.status, first.run_id) == ("done", project.settings().run_id)
    stamp = _finished_at(project)

    again = run()
    assert (again.status, again.page) == ("kept", first.page)
    assert _finished_at(project) == stamp

    first.page.unlink()
    assert run().status == "done", "a page that is missing is made again"
    assert run().status == "kept"

    monkeypatch.setattr(runner, "code_digest", lambda *modules: "0" * 12)
    assert run().status == "done", "other code"
    assert run().status == "kept"

    project.write(project.recording(), "more = 1")
    assert run().status == "done", "another notebook"
    assert run().status == "kept"

    stamp = _finished_at(project)
    assert run(force=True).status == "done"
    assert _finished_at(project) > stamp


@pytest.mark.slow
def test_edited_copy_of_a_notebook_is_another_run(run, project):
    first = run()
    copy = project.folder / "mine"
    copy.mkdir()
    source = project.write(project.recording(), "other = 1").rename(copy / f"{NAME}.ipynb")
    project.write()
    report = run_notebook(source, {"results": str(project.results)}, page=first.page)
    assert report.status == "done"


@pytest.fixture
def reader(monkeypatch):
    """The project's notebook as one that reads results only."""
    entry = replace(CATALOGUE[NAME], reads_results=True)
    monkeypatch.setitem(CATALOGUE, NAME, entry)


def test_what_reads_results_is_never_finished(run, project, reader):
    assert run().status == "done"
    assert run().status == "done"


def test_what_reads_results_finds_a_table_of_all_records(run, project, reader):
    write_text(project.results / TABLE, "old")
    project.write(project.recording(), f"assert open(results + '/{TABLE}', 'rb').read() != b'old'")
    assert run().status == "done"


# --- where results go


def test_force_reaches_the_notebook(run, project):
    """It trains anew what records and stored fits know."""
    project.write(project.recording(), "assert force")
    with pytest.raises(RunError, match="AssertionError"):
        run()
    assert run(force=True).status == "done"


def test_a_run_goes_to_results_that_are_not_published(project):
    """A clone stays clean: what a reader runs is not part of the repository."""
    project.results = project.folder / "results" / "local"
    project.write(project.recording())
    report = run_notebook(NAME, {})
    assert report.page == project.results / "notebooks" / f"{report.run_id}.ipynb"
    assert (project.results / "runs" / report.run_id / "record.json").is_file()
    assert [path.name for path in (project.folder / "results").iterdir()] == ["local"]


@pytest.mark.slow
def test_damaged_record_is_an_error(run, project):
    run()
    (project.results / "runs" / project.settings().run_id / "record.json").write_text("{")
    with pytest.raises(RunError, match="cannot be read .*; delete it and run again"):
        run()


# --- the page


@pytest.mark.slow
def test_page_shows_what_ran_and_nothing_of_the_machine(run, project):
    project.write(project.recording(draws=7), "draws")
    report = run({"draws": np.int64(7)})
    page = nbformat.read(report.page, 4)
    assert [cell.outputs[0].data["text/plain"] for cell in page.cells[-1:]] == ["7"]
    tags = {tag: cell for cell in page.cells for tag in cell.metadata.get("tags", [])}
    assert "remove-cell" in tags["parameters"].metadata["tags"]
    injected = tags["injected-parameters"]
    assert "draws = 7" in injected.source
    assert "hide-input" in injected.metadata["tags"]
    text = report.page.read_text()
    assert str(project.folder) not in text
    assert "papermill" not in page.metadata
    assert not [cell for cell in page.cells if "papermill" in cell.metadata]


@pytest.mark.slow
def test_page_goes_where_it_is_told(run, project):
    page = project.folder / "deep" / "er" / "page.ipynb"
    assert run(page=page).page == page
    assert page.is_file()
    assert [path.name for path in page.parent.iterdir()] == ["page.ipynb"]


@pytest.mark.slow
def test_threads_reach_the_kernel_and_nothing_else(run, project):
    before = os.environ.get("OMP_NUM_THREADS")
    project.write(project.recording(), "import os\nassert os.environ['OMP_NUM_THREADS'] == '3'")
    assert run(threads=3).status == "done"
    assert os.environ.get("OMP_NUM_THREADS") == before


@pytest.mark.slow
def test_runs_side_by_side_do_not_share_sockets(project):
    """Kernels of one working directory, started at the same moment."""
    project.write(project.recording(), "import time\ntime.sleep(0.5)")
    folders = [str(project.folder / f"r{number}") for number in range(3)]

    def run_there(folder):
        try:
            return run_notebook(NAME, {"results": folder}).status
        finally:
            ensure_event_loop().close()  # the kernel's client leaves the loop of its thread open

    with ThreadPoolExecutor(3) as pool:
        assert list(pool.map(run_there, folders)) == ["done"] * 3
    assert not list(project.folder.glob("kernel-ipc*"))


@pytest.mark.slow
def test_failures_of_papermill_itself_are_errors_of_ours(run, project, monkeypatch):
    import papermill

    def broken(*args, **kwargs):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(papermill, "execute_notebook", broken)
    with pytest.raises(RunError, match="No space left on device"):
        run()
    assert _nothing_left(project)
