from __future__ import annotations

import re
import shlex

import pytest
import torch


@pytest.fixture
def readme(repository):
    return (repository / "README.md").read_text()


def _blocks(text, language):
    return re.findall(rf"```{language}\n(.*?)```", text, flags=re.DOTALL)


def test_python_runs_as_it_is_shown(readme):
    blocks = _blocks(readme, "python")
    assert blocks
    torch.manual_seed(1)
    for block in blocks:
        names: dict = {"__name__": "readme"}
        exec(compile(block, "README.md", "exec"), names)
        assert torch.isfinite(names["logits"]).all()


def test_targets_of_make_exist(readme, repository):
    targets = set(
        re.findall(r"^([a-z]+):", (repository / "Makefile").read_text(), flags=re.MULTILINE)
    )
    asked = set(re.findall(r"make ([a-z]+)\b", "\n".join(_blocks(readme, "bash"))))
    assert asked
    assert asked <= targets


def test_parameters_of_shown_commands_exist(readme, repository, monkeypatch):
    from mmlego.runs.grids.grid import plan
    from mmlego.runs.runner import settings_for

    monkeypatch.chdir(repository)
    lines = [line.split("#")[0] for line in "\n".join(_blocks(readme, "bash")).splitlines()]
    shown = [
        shlex.split(line) for line in lines if line.startswith("mmlego run") and " -p " in line
    ]
    assert shown
    for words in shown:
        given = dict(word.split("=", 1) for word in words if "=" in word)
        one = words[2] != "--grid"
        assert settings_for(words[2], given) if one else plan(words[3], given=given)


def test_files_that_it_names_exist(readme, repository):
    links = [link for link in re.findall(r"\]\(([^)#]+)\)", readme) if "://" not in link]
    paths = re.findall(r"\b((?:experiments|notebooks)/[\w./-]+\.(?:yaml|ipynb))", readme)
    assert [name for name in (*links, *paths) if not (repository / name).exists()] == []
