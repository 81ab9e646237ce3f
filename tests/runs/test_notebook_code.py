from __future__ import annotations

import ast

import nbformat
import pytest

from mmlego.bench.store import code as codes
from mmlego.bench.store.code import code_digest
from mmlego.errors import RunError
from mmlego.runs import notebook_code
from mmlego.runs.catalogue import CATALOGUE
from mmlego.runs.notebook_code import numeric_code


@pytest.fixture(autouse=True)
def _in_the_project(repository, monkeypatch):
    monkeypatch.chdir(repository)


@pytest.fixture
def names(tmp_path):
    """Names of the modules that decide the numbers of a notebook with the given cells."""

    def of(*cells: str, stem: str = "robustness") -> list[str]:
        path = tmp_path / f"{stem}.ipynb"
        made = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
        nbformat.write(made, path)
        return [module.__name__ for module in numeric_code(path)]

    return of


@pytest.mark.parametrize("notebook", CATALOGUE)
def test_code_follows_from_every_notebook(notebook):
    found = numeric_code(notebook)
    assert code_digest(*found) != code_digest()
    rooms = {module.__name__.split(".")[1] for module in found}
    assert not rooms & {"figures", "reporting", "book", "runs"}


@pytest.mark.parametrize(
    ("notebook", "module"),
    [
        ("merge", "mmlego.studies.lego.run"),
        ("unimodal", "mmlego.bench.fold_bench"),
        ("benchmark", "mmlego.bench.fold_bench"),
        ("robustness", "mmlego.studies.robustness.run"),
        ("disjoint_training", "mmlego.studies.robustness.disjoint"),
        ("image_dynamics", "mmlego.studies.dynamics.images"),
        ("token_rebalancing", "mmlego.studies.tokens.published_map"),
        ("tuning", "mmlego.bench.tuning.search"),
        ("signal_interference", "mmlego.studies.checks.interference"),
        ("summary", "mmlego.studies.answer.summary_page"),
    ],
)
def test_modules_that_train_or_measure_are_found(notebook, module):
    assert module in [found.__name__ for found in numeric_code(notebook)]


@pytest.mark.parametrize(
    ("notebook", "wanted"),
    [
        ("unimodal", "data.cohorts.load"),
        ("unimodal", "data.sources.omics.tcga"),
        ("unimodal", "data.folds.splits"),
        ("unimodal", "data.folds.tabular"),
        ("unimodal", "learning.loop"),
        ("unimodal", "lego.block"),
        ("merge", "lego.merge"),
        ("fuse", "lego.fuse"),
        ("benchmark", "bench.estimators"),
        ("benchmark", "models.baselines.first_present"),
        ("mm_dynamics", "models.dynamics"),
        ("amc_ablations", "models.amc"),
        ("token_rebalancing", "studies.tokens.conflicts"),
        ("image_dynamics", "learning.metrics.localization"),
        ("signal_interference", "studies.checks.signals"),
    ],
)
def test_what_they_import_counts_with_them(notebook, wanted):
    """Loaders and splits decide what data a run sees, comparisons which rows it has."""
    assert f"mmlego.{wanted}" in closure(notebook)


def closure(notebook: str) -> set[str]:
    """All modules whose code is in the digest of a notebook's runs."""
    waiting, seen = {module.__name__ for module in numeric_code(notebook)}, set()
    while waiting - seen:
        name = (waiting - seen).pop()
        seen.add(name)
        path = codes._file_of(name)
        if path is not None and name not in codes._NOT_NUMERIC:
            waiting |= codes._imports(ast.parse(path.read_text()), name)
    return seen


def test_what_only_shows_is_left_out(names):
    cells = (
        "from mmlego import figures\nfrom mmlego.figures.inside.distances import distance_plot",
        "from mmlego.reporting import sentences\nfrom IPython.display import HTML",
        "from mmlego.studies.search import page",
        "from mmlego.studies.checks import signals",
    )
    assert names(*cells) == ["mmlego.studies.checks.signals"]


def test_pages_count_where_results_are_only_read(names):
    cell = "from mmlego.studies.answer import summary_page"
    assert names(cell, stem="summary") == ["mmlego.studies.answer.summary_page"]
    with pytest.raises(RunError, match=r"merge\.ipynb: no code that decides its numbers"):
        names("from mmlego.studies.search import page", stem="merge")


def test_a_page_stands_for_the_measurements_that_it_calls(names):
    """The record of token_rebalancing holds what its page counts and compares with these."""
    found = names("from mmlego.studies.tokens import page as told", stem="token_rebalancing")
    assert {"mmlego.studies.tokens.run", "mmlego.studies.tokens.conflicts"} <= set(found)
    assert not [name for name in found if name.endswith("page")]


def test_the_session_counts_where_there_is_a_cohort(names):
    cell = "from mmlego.runs import open_session"
    assert "mmlego.bench.fold_bench" in names(cell)
    with pytest.raises(RunError, match="no code that decides its numbers"):
        names(cell, stem="properties")


def test_what_a_package_passes_on_is_found_where_it_is_defined(names):
    cells = ("from mmlego import LegoBlock", "from mmlego.lego import slerp as s")
    assert names(*cells) == ["mmlego.lego.block", "mmlego.lego.heads"]


def test_functions_and_constants_stand_for_their_module(names):
    cells = (
        "from mmlego.bench.inputs import separate_names, INPUT_TITLES",
        "import mmlego.learning.loop",
        "if False:\n    from mmlego.bench import merging",
    )
    assert names(*cells) == ["mmlego.bench.inputs", "mmlego.bench.merging", "mmlego.learning.loop"]


@pytest.mark.parametrize(
    ("cell", "message"),
    [
        ("from mmlego.bench import no_such", "'no_such' is not in 'mmlego.bench'"),
        ("from mmlego.bench.training import no_such", "'no_such' is not in"),
        ("from mmlego.bench import *", r"'\*' is not in 'mmlego.bench'"),
        ("from mmlego.gone import x", "module 'mmlego.gone' cannot be imported"),
        ("import mmlego.bench.gone", "module 'mmlego.bench.gone' cannot be imported"),
        ("from . import x", "a relative import"),
        ("%matplotlib inline", "no plain Python"),
        ("import numpy", "no code that decides its numbers follows"),
    ],
)
def test_what_cannot_be_resolved_is_an_error(names, cell, message):
    with pytest.raises(RunError, match=rf"robustness\.ipynb.*{message}"):
        names(cell)


def test_an_edited_notebook_is_read_again(names):
    assert names("from mmlego.bench import merging") == ["mmlego.bench.merging"]
    assert names("from mmlego.bench import fusing, merging")[0] == "mmlego.bench.fusing"


def test_a_session_that_trains_elsewhere_is_an_error(monkeypatch):
    monkeypatch.setattr(notebook_code, "_WORKING", ("mmlego.data", "mmlego.models"))
    with pytest.raises(RunError, match=r"session: expected imports from mmlego\.models"):
        notebook_code._session_code()
