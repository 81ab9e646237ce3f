"""The notebooks: what every source keeps, and that the smoke grid runs through, killed or not."""

from __future__ import annotations

import ast
import json
import re
from pathlib import Path

import nbformat
import pytest

from mmlego.bench.outcome import LABELS
from mmlego.bench.store.code import code_digest
from mmlego.runs.catalogue import CATALOGUE
from mmlego.runs.notebook_code import numeric_code
from mmlego.runs.notebooks import code_cells, default_parameters, failures
from mmlego.runs.records.record import read_records
from mmlego.runs.records.results import load_metrics

FOLDER = Path(__file__).resolve().parents[1] / "notebooks"
SOURCES = sorted(FOLDER.glob("*.ipynb"))
RUNS = 26  # of the smoke grid
LINES = 15  # of a cell of code at most
ANSWER = "## In short"
WORKED = "## One fold, step by step"
# The parts of a notebook that trains, in their order; the last one where there are curves.
SECTIONS = (ANSWER, "## The data", WORKED, "## All repeats", "## Learning curves")
TRAINING = {
    path.stem
    for path in SOURCES
    if CATALOGUE[path.stem].has_cohort and not CATALOGUE[path.stem].reads_results
}
LONGEST = max(len(entry.settings.model_fields) for entry in CATALOGUE.values())


@pytest.fixture(params=SOURCES, ids=[path.stem for path in SOURCES])
def source(request):
    return request.param


@pytest.fixture
def notebook(source):
    return nbformat.read(source, 4)


def test_parameters_are_the_fields_of_the_settings(source):
    found = default_parameters(source)
    settings = CATALOGUE[source.stem].settings
    assert set(found) == set(settings.model_fields)
    assert settings.from_values(found) == settings()
    assert {name: type(value) for name, value in found.items()} == {
        name: type(value) for name, value in settings().model_dump().items()
    }


def test_no_parameter_is_given_twice(source):
    lines = [line.split(":")[0] for line in code_cells(nbformat.read(source, 4))[0].splitlines()]
    assert len(lines) == len(set(lines)) == len(CATALOGUE[source.stem].settings.model_fields)


def test_papermill_reads_every_parameter(source):
    """It skips lines that it cannot parse, such as those with a second equals sign."""
    import papermill

    found = papermill.inspect_notebook(str(source))
    defaults = default_parameters(source)
    assert set(found) == set(defaults)
    for name, facts in found.items():
        assert ast.literal_eval(facts["default"]) == defaults[name]
        assert facts["inferred_type_name"] == type(defaults[name]).__name__
        assert facts["help"], f"{name} has no comment"


def test_one_parameters_cell_before_all_other_code(notebook):
    tagged = [cell for cell in notebook.cells if "parameters" in cell.metadata.get("tags", [])]
    assert len(tagged) == 1
    first = next(cell for cell in notebook.cells if cell.cell_type == "code")
    assert first is tagged[0]
    assert notebook.cells[0].source.startswith("# ")
    assert "**Question.**" in notebook.cells[0].source


def test_no_definitions_and_nothing_of_the_shell(notebook):
    for code in code_cells(notebook):
        nodes = list(ast.walk(ast.parse(code)))
        kinds = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Lambda)
        assert not [node for node in nodes if isinstance(node, kinds)], code
        assert not re.search(r"^\s*[%!]", code, flags=re.MULTILINE), code
        assert "sys.path" not in code
        assert not re.search(r"""["'](/|~|[A-Z]:\\)""", code), f"absolute path: {code}"
    first, *others = code_cells(notebook)
    assert len(first.splitlines()) <= LONGEST
    assert all(len(code.splitlines()) <= LINES for code in others)


def test_no_outputs_and_no_counts(notebook):
    for cell in notebook.cells:
        assert not cell.get("outputs")
        assert cell.get("execution_count") is None
        assert set(cell.metadata) <= {"tags"}


def test_enough_is_said(notebook):
    """Cells of Markdown; sentences that a cell of code makes come on top of these."""
    prose = [cell for cell in notebook.cells if cell.cell_type == "markdown"]
    assert len(prose) / len(notebook.cells) >= 0.5


def _headings(notebook):
    prose = [cell.source for cell in notebook.cells if cell.cell_type == "markdown"]
    return [text.splitlines()[0] for text in prose if text.startswith("## ")]


def test_the_answer_comes_first(source, notebook):
    """Nothing is shown before it but what is logged while models are trained."""
    assert _headings(notebook)[0] == ANSWER
    shown = [
        cell.source
        for cell in notebook.cells
        if cell.cell_type == "code"
        and "hide-output" not in cell.metadata.get("tags", [])
        and isinstance(ast.parse(cell.source).body[-1], ast.Expr)
        and "figures.style.use()" not in cell.source.splitlines()[-1]
    ]
    assert re.match(r"Markdown\(\w+\.(\w*answer|headline|conclusion)\(", shown[0]), shown[0]


def test_a_notebook_that_trains_has_its_sections_in_order(source, notebook):
    if source.stem not in TRAINING:
        assert WORKED not in _headings(notebook)
        return
    found = [heading for heading in _headings(notebook) if heading in SECTIONS]
    assert found == [part for part in SECTIONS if part in found]
    assert set(SECTIONS[:-1]) <= set(found)
    if SECTIONS[-1] in found:
        assert _headings(notebook)[-1] == SECTIONS[-1]


def test_a_fold_is_worked_through_beside_its_equation(source, notebook):
    if source.stem not in TRAINING:
        return
    cells = notebook.cells
    starts = [i for i, cell in enumerate(cells) if cell.source.startswith("## ")]
    first = next(i for i in starts if cells[i].source.startswith(WORKED))
    part = cells[first : next(i for i in starts if i > first)]
    prose = "\n".join(cell.source for cell in part if cell.cell_type == "markdown")
    codes = [cell.source for cell in part if cell.cell_type == "code"]
    assert prose.count("$$") >= 2
    assert len(codes) >= 3
    assert "worked.agreement(" in codes[-1] or source.stem == "tuning"


def test_one_figure_per_cell(notebook):
    for code in code_cells(notebook):
        drawn = [line for line in code.splitlines() if line.endswith(";")]
        assert len(drawn) <= 1, code


def test_it_opens_with_its_own_session_and_ends_by_finishing_it(source, notebook):
    codes = code_cells(notebook)
    assert f'open_session("{source.stem}", globals())' in "\n".join(codes)
    assert re.match(r"session\.finish\(.*\)$", codes[-1])
    assert sum("session.finish(" in code for code in codes) == 1


def test_no_number_is_typed_into_the_text(notebook):
    """Results in the text come from cells; a decimal in Markdown would be one that is typed."""
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            assert not re.search(r"\d\.\d", cell.source), cell.source


# --- the smoke grid


@pytest.mark.slow
def test_the_grid_goes_on_where_it_was_killed(smoke):
    assert smoke.killed, "the first launch was killed before any run was finished"
    assert len(smoke.killed) < RUNS
    assert smoke.second.status == 0, smoke.second.said
    assert f"{RUNS} of {RUNS} runs finished" in smoke.second.said
    for name, text in smoke.killed.items():
        assert smoke.after_second[name] == text, f"{name} was made again"


@pytest.mark.slow
def test_a_finished_grid_is_not_run_again(smoke):
    assert smoke.third.status == 0, smoke.third.said
    found = (smoke.results / "runs").glob("*/record.json")
    now = {path.parent.name: path.read_text() for path in found}
    assert set(now) == set(smoke.after_second)
    changed = {name.split("-")[0] for name in now if now[name] != smoke.after_second[name]}
    assert changed == {name for name, entry in CATALOGUE.items() if entry.reads_results}


@pytest.mark.slow
def test_every_page_ran_to_its_end_and_names_no_folder_of_the_machine(smoke, repository):
    pages = [path for path in smoke.results.rglob("*.ipynb") if not path.name.startswith(".")]
    assert len(pages) == RUNS
    for path in pages:
        page = nbformat.read(path, 4)
        assert failures(page) == []
        text = path.read_text()
        assert str(smoke.results) not in text, path
        assert str(repository) not in text, path
        warned = [
            out.text
            for cell in page.cells
            for out in cell.get("outputs", [])
            if out.output_type == "stream" and out.name == "stderr"
        ]
        assert warned == [], path
        figures = [out for cell in page.cells for out in cell.get("outputs", []) if "data" in out]
        assert figures


@pytest.mark.slow
def test_the_worked_fold_ends_at_the_number_of_the_results(smoke):
    """The answer is two sentences, and the fold that is worked through is one of the results."""
    seen = set()
    for path in smoke.results.rglob("*.ipynb"):
        if path.name.startswith("."):
            continue
        page = nbformat.read(path, 4)
        said = [
            out["data"]["text/markdown"]
            for cell in page.cells
            for out in cell.get("outputs", [])
            if "text/markdown" in out.get("data", {})
        ]
        sentences = re.split(r"(?<=[.])(?:\*\*)?\s+", said[0].strip())
        assert len(sentences) == 2, (path, said[0])
        name = path.stem.split("-")[0]
        if name in TRAINING - {"tuning"}:
            assert any("metrics are the same." in text for text in said), path
            seen.add(name)
    assert seen == TRAINING - {"tuning"}


@pytest.mark.slow
def test_records_and_table_agree(smoke):
    records = read_records(smoke.results)
    assert len(records) == RUNS
    assert {r["notebook"] for r in records} == set(CATALOGUE)
    table = load_metrics(smoke.results)
    assert set(table["cohort"]) == {"spots", "transbig", "wdbc"}
    assert set(table["run_id"]) == {r["run_id"] for r in records if r["outcomes"]}
    assert len(table) == sum(len(o["metrics"]) for r in records for o in r["outcomes"])
    keys = ["run_id", *LABELS, "modalities", "repeat", "metric"]
    assert not table.duplicated(keys).any()
    for record in records:
        assert record["code"] == code_digest(*numeric_code(record["notebook"]))


@pytest.mark.slow
def test_capped_cohorts_say_so(smoke):
    records = [json.loads(text) for text in smoke.after_second.values()]
    capped = {r["data"]["name"]: r["data"]["capped_from"] for r in records if r["data"]}
    assert capped == {"spots": 160, "transbig": 198, "wdbc": 569}
    page = (smoke.results / "pages" / "smoke" / "wdbc" / "unimodal.ipynb").read_text()
    assert "Capped" in page
