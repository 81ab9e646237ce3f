from __future__ import annotations

from pathlib import Path

import nbformat
import numpy as np
import pytest

from mmlego.errors import RunError, SettingsError
from mmlego.runs import notebooks
from mmlego.runs.notebooks import cast_parameter


def _notebook(*cells):
    return nbformat.v4.new_notebook(cells=list(cells))


def _ran(source, count=1, tags=(), **outputs):
    cell = nbformat.v4.new_code_cell(source, execution_count=count, **outputs)
    cell.metadata["tags"] = list(tags)
    return cell


def _error():
    return nbformat.v4.new_output("error", ename="KeyError", evalue="'x'", traceback=[])


@pytest.mark.parametrize(
    ("value", "default", "expected"),
    [
        (np.int64(3), 1, 3),
        (np.float32(0.5), 0.1, 0.5),
        (np.bool_(True), False, True),
        ("7", 1, 7),
        ("1e-3", 0.1, 0.001),
        (2, 0.1, 2.0),
        ("true", False, True),
        ("no", True, False),
        (Path("a") / "b", "", str(Path("a") / "b")),
        (("a", "b"), [], ["a", "b"]),
        ("rna,cnv", [], ["rna", "cnv"]),
        ("[rna, cnv]", [], ["rna", "cnv"]),
        ("0,1,2", [], [0, 1, 2]),
        ([np.int64(1)], [], [1]),
        ("", [], []),
    ],
)
def test_values_become_builtins_of_the_type_of_the_default(value, default, expected):
    found = cast_parameter("x", value, default)
    assert found == expected
    assert type(found) is type(expected)
    if isinstance(found, list):
        assert [type(item) for item in found] == [type(item) for item in expected]


@pytest.mark.parametrize(
    ("value", "default"),
    [
        ("three", 1),
        (2.5, 1),
        (True, 1),
        (True, 0.5),
        ("maybe", False),
        (None, 1),
        (None, []),
        ("[a", []),
        ("fast", 0.1),
        ([1], 1),
    ],
)
def test_values_of_the_wrong_type_name_parameter_and_value(value, default):
    with pytest.raises(SettingsError, match="parameter 'x': expected a value of type"):
        cast_parameter("x", value, default)


def test_defaults_are_read_without_running(project):
    path = project.write(parameters='n: int = 3  # of them\ngrid = "a"\nlisted: list = [1, 2]')
    found = notebooks.default_parameters(path)
    assert found == {"n": 3, "grid": "a", "listed": [1, 2]}


def test_a_default_must_be_a_literal(project):
    with pytest.raises(RunError, match="default of 'n' is not a literal"):
        notebooks.default_parameters(project.write(parameters="n = len('abc')"))


def test_a_parameters_cell_holds_assignments_only(project):
    with pytest.raises(RunError, match="assignments only"):
        notebooks.default_parameters(project.write(parameters="import os\nn = 1"))


@pytest.mark.parametrize("number", [0, 2])
def test_exactly_one_parameters_cell(tmp_path, number):
    cells = [_ran("n = 1", tags=["parameters"]) for _ in range(number)]
    nbformat.write(_notebook(*cells), tmp_path / "x.ipynb")
    with pytest.raises(RunError, match=f"found {number}"):
        notebooks.default_parameters(tmp_path / "x.ipynb")


def test_unknown_parameter_is_refused_with_the_nearest_name(project):
    with pytest.raises(SettingsError, match="did you mean 'draws'"):
        notebooks.cast_parameters(project.write(), {"draw": 3})


def test_unknown_notebook_lists_the_known_ones(project):
    with pytest.raises(RunError, match=r"expected one of \['signal_interference'\]"):
        notebooks.notebook_path("unimodl")


def test_file_that_is_no_notebook(tmp_path):
    (tmp_path / "x.ipynb").write_text("not json")
    with pytest.raises(RunError, match=r"x\.ipynb: cannot be read"):
        notebooks.read_notebook(tmp_path / "x.ipynb")


def test_digest_sees_code_and_nothing_else(project):
    first = notebooks.source_digest(project.write("a = 1"))
    path = project.write("a = 1")
    text = nbformat.read(path, 4)
    text.cells.insert(0, nbformat.v4.new_markdown_cell("Other words"))
    text.cells[-1].execution_count = 7
    nbformat.write(text, path)
    assert notebooks.source_digest(path) == first
    assert notebooks.source_digest(project.write("a = 2")) != first
    assert notebooks.source_digest(project.write("a = 1", "b = 1")) != first


def test_a_notebook_that_ran_has_no_failures():
    cells = [_ran("1"), nbformat.v4.new_markdown_cell("x"), nbformat.v4.new_code_cell("  ")]
    assert notebooks.failures(_notebook(*cells)) == []


def test_a_cell_that_never_ran_is_a_failure():
    assert notebooks.failures(_notebook(_ran("1"), _ran("2", None))) == ["cell 2 was not executed"]


def test_an_error_output_is_a_failure():
    found = notebooks.failures(_notebook(_ran("1"), _ran("2", outputs=[_error()])))
    assert found == ["cell 2: KeyError: 'x'"]


def test_cells_are_counted_as_in_the_source():
    """Papermill adds cells of its own: banners about the error, and the injected parameters."""

    def banner():
        cell = nbformat.v4.new_markdown_cell("An error below")
        cell.metadata["tags"] = ["papermill-error-cell-tag"]
        return cell

    cells = [
        banner(),
        _ran("n = 1", tags=["parameters"]),
        _ran("n = 2", tags=["injected-parameters"]),
        banner(),
        _ran("boom", outputs=[_error()]),
    ]
    assert notebooks.failures(_notebook(*cells)) == ["cell 2: KeyError: 'x'"]
