from __future__ import annotations

import re

import pytest

from mmlego.bench.settings import BlockSettings
from mmlego.errors import SettingsError
from mmlego.runs.catalogue import CATALOGUE, in_summary, names_in_order, notebook_entry


def test_every_notebook_has_an_entry_and_every_entry_a_notebook(repository):
    assert {path.stem for path in (repository / "notebooks").glob("*.ipynb")} == set(CATALOGUE)


def test_every_notebook_is_known_by_the_name_of_its_settings():
    assert all(entry.settings.notebook == name for name, entry in CATALOGUE.items())
    assert len({entry.settings for entry in CATALOGUE.values()}) == len(CATALOGUE)
    assert len({entry.title for entry in CATALOGUE.values()}) == len(CATALOGUE)


def test_every_notebook_stands_somewhere_and_those_with_a_cohort_in_its_chapter():
    listed = [*names_in_order("answer"), *names_in_order("cohort"), *names_in_order("checks")]
    assert sorted(listed) == sorted(CATALOGUE)
    cohort = {n for n, entry in CATALOGUE.items() if issubclass(entry.settings, BlockSettings)}
    assert set(names_in_order("cohort")) == cohort
    assert all(CATALOGUE[name].has_cohort == (name in cohort) for name in CATALOGUE)


def test_what_the_answer_is_read_from_is_read_only():
    readers = {name for name, entry in CATALOGUE.items() if entry.reads_results}
    assert readers == set(names_in_order("answer"))
    assert not any(CATALOGUE[n].needs_blocks or CATALOGUE[n].in_summary for n in readers)


def test_notebooks_that_may_train_missing_blocks_are_those_that_need_them():
    asking = {n for n, e in CATALOGUE.items() if "train_missing_blocks" in e.settings.model_fields}
    assert {name for name, entry in CATALOGUE.items() if entry.needs_blocks} == asking


def test_only_what_is_known_enters_the_summary():
    """A notebook that was forgotten stays out."""
    ids = ["merge-wdbc-1", "unimodal-x-2", "fuse-x-3", "amc-x-4", "forgotten-x-5", "merged-x-6"]
    assert in_summary(ids) == [True, True, True, False, False, False]


def test_an_unknown_notebook_is_an_error_with_a_hint():
    assert notebook_entry("merge") is CATALOGUE["merge"]
    with pytest.raises(SettingsError, match="page x: unknown notebook 'merg'; did you mean"):
        notebook_entry("merg", owner="page x")


def test_the_page_on_running_one_names_every_notebook(repository):
    text = (repository / "book" / "run_one.md").read_text()
    table = text.split("## The notebooks")[1].split("\n## ")[0]
    first = [line.split("|")[1] for line in table.splitlines() if line.startswith("| `")]
    assert set(re.findall(r"`(\w+)`", " ".join(first))) == set(CATALOGUE)
