"""Each name of a method is typed once: in the registry."""

from __future__ import annotations

import ast
import inspect

import pytest

from mmlego.methods.names import AMC, LEGO_FUSE
from mmlego.methods.registry import METHODS

# (file, string): words that are no names of methods.
OTHER_WORDS = {
    # An option of the model: gates as the authors of FuseMoE wrote them.
    ("mmlego/models/token_models/maggate.py", "fusemoe"),
}
# Rooms in which a word that is also the name of a notebook means that notebook.
OF_NOTEBOOKS = ("runs", "book")
MOST_IN_A_LIST = 2


def _docstrings(tree):
    """Nodes that only say something."""
    return {
        id(node.value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    }


def named(text):
    """(line, name) of every string of some code that is the name of a method."""
    tree = ast.parse(text)
    silent = _docstrings(tree)
    return [
        (node.lineno, node.value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and node.value in METHODS and id(node) not in silent
    ]


def listed(text):
    """(line, names) of every literal list, tuple, set or mapping with names of methods in it."""
    found = []
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.List | ast.Tuple | ast.Set):
            items = node.elts
        elif isinstance(node, ast.Dict):
            items = node.keys
        else:
            continue
        names = {x.value for x in items if isinstance(x, ast.Constant) and x.value in METHODS}
        found.append((node.lineno, names))
    return found


@pytest.fixture(scope="module")
def own_files(repository):
    """(file, name): the model's own file may call it by its name."""
    files = {}
    for name, method in METHODS.items():
        path = inspect.getsourcefile(getattr(method.build, "func", method.build))
        files[name] = path.removeprefix(f"{repository}/")
    return {(path, name) for name, path in files.items()}


def test_code_outside_the_registry_names_no_method(repository, own_files):
    notebooks = {path.stem for path in (repository / "notebooks").rglob("*.ipynb")}
    wrong = []
    for path in sorted((repository / "mmlego").rglob("*.py")):
        place = path.relative_to(repository).as_posix()
        room = place.split("/")[1]
        for line, name in [] if room == "methods" else named(path.read_text()):
            known = {(place, name)} & (own_files | OTHER_WORDS)
            if not known and not (room in OF_NOTEBOOKS and name in notebooks):
                wrong.append(f"{place}:{line}: '{name}'")
    assert not wrong, f"take these from mmlego.methods.names, or ask the registry: {wrong}"


def test_the_registry_types_no_name_twice(repository):
    found = [
        name
        for path in (repository / "mmlego" / "methods").glob("*.py")
        for _, name in named(path.read_text())
    ]
    assert sorted(found) == sorted(METHODS)


def test_exceptions_are_still_needed(repository):
    for place, name in OTHER_WORDS:
        assert name in {found for _, found in named((repository / place).read_text())}


def test_tests_type_no_lists_of_methods(repository):
    wrong = [
        f"{path.relative_to(repository)}:{line}: {sorted(names)}"
        for path in sorted((repository / "tests").rglob("*.py"))
        for line, names in listed(path.read_text())
        if len(names) > MOST_IN_A_LIST
    ]
    assert not wrong, f"ask the registry, or use its constants: {wrong}"


def test_a_name_is_found_wherever_it_stands():
    assert named(f'"""{AMC}"""\nx = {{"{AMC}": 1}}\n') == [(2, AMC)]
    assert named(f'def f(x="{LEGO_FUSE}"):\n    "{AMC}"\n    return x\n') == [(1, LEGO_FUSE)]
    assert named('x = "my_method"\n') == []
    assert listed(f'x = ["{AMC}", "{LEGO_FUSE}", AMC]\n') == [(1, {AMC, LEGO_FUSE})]
