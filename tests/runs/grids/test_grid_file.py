from __future__ import annotations

import pytest

from mmlego.errors import RunError
from mmlego.runs.grids.grid_file import read_grid

_ENTRY = "name: x\ndescription: y\n"
_ASKED = "runs: [{notebook: merge, condition: a}]"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name: [", "is no YAML file"),
        ("- a\n- b", "is no YAML file"),
        ("", "is no YAML file"),
        ("1: 2", "is no YAML file"),
        ("name: x\ndescription: y\nruns: []", "field 'runs'"),
        ("name: x\ndescription: y\nrun: []\nruns: [{notebook: merge}]", "field 'run'"),
        ("name: x\nruns: [{notebook: merge}]", "field 'description'"),
        ("name: A b\ndescription: y\nruns: [{notebook: merge}]", "field 'name'"),
        ("name: x\ndescription: y\nruns: [{notebok: merge}]", r"field 'runs\.0\."),
        ("name: x\ndescription: y\nruns: [{notebook: merge, matrix: {cohort: wdbc}}]", "matrix"),
        ("name: x\ndescription: y\nruns: [{notebook: merge, matrix: {cohort: []}}]", "matrix"),
        ("name: manual\ndescription: y\nruns: [{notebook: merge}]", "the label of runs outside"),
        (_ENTRY + "runs: [{notebook: merge, headline: 1}]", r"runs\.0\.headline"),
        (_ENTRY + "runs: [{notebook: merge, parameters: {grid: x}}]", "'grid' is no parameter"),
        (_ENTRY + "runs: [{notebook: merge, matrix: {results: [x]}}]", "'results' is no parameter"),
        (_ENTRY + "runs: [{notebook: merge, condition: b}]", "unknown condition 'b'"),
        (_ENTRY + "conditions: {a: {description: z, like: c}}\n" + _ASKED, "condition 'c'"),
        (_ENTRY + "conditions: {a: {description: z, lik: a}}\n" + _ASKED, r"conditions\.a\.lik"),
        (_ENTRY + "conditions: {a: {parameters: {}}}\n" + _ASKED, r"conditions\.a\.description"),
        (_ENTRY + "conditions: {a: {description: z, like: a}}\n" + _ASKED, "'a' is like itself"),
        (_ENTRY + "conditions: {a: {description: z}}\nruns: [{notebook: merge}]", "by no entry"),
        (
            _ENTRY + "conditions: {manual: {description: z}}\n" + _ASKED.replace("a}", "manual}"),
            "the label of runs outside",
        ),
    ],
)
def test_mistakes_in_the_file_are_one_line(tmp_path, text, message):
    path = tmp_path / "grid.yaml"
    path.write_text(text)
    with pytest.raises(RunError, match=message) as caught:
        read_grid(path)
    assert len(str(caught.value).splitlines()) == 1


def test_files_that_cannot_be_read(tmp_path):
    with pytest.raises(RunError, match="cannot be read"):
        read_grid(tmp_path / "nowhere.yaml")
    with pytest.raises(RunError, match="cannot be read"):
        read_grid(tmp_path)
    (tmp_path / "binary.yaml").write_bytes(b"\xff\xfe\x00\x80")
    with pytest.raises(RunError, match="is no YAML file"):
        read_grid(tmp_path / "binary.yaml")
