"""Metadata that must agree, and rules that every module keeps."""

from __future__ import annotations

import ast
import importlib
import importlib.metadata
import importlib.util
import re
import subprocess
import sys
import tomllib
from functools import cache
from types import ModuleType

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name as canonical
from packaging.version import Version

import mmlego

# From the ground up: a room may import those before it, and nothing else of the package.
ROOMS = (
    "data",
    "learning",
    "lego",
    "models",
    "methods",
    "bench",
    "runs",
    "figures",
    "reporting",
    "studies",
    "book",
)
# Rooms that know less than those before them.
ALONE = {"lego": set(), "models": {"lego"}, "figures": {"data", "learning", "methods"}}
OUTSIDE = {"lego": {"torch", "einops", "safetensors"}, "models": {"torch", "einops"}}
# Studies that read what other studies found.
READERS = {"answer": None, "tokens": {"amc"}, "weights": {"lego"}}
LARGEST_ROOM = 16


def _modules(root, room=""):
    return sorted((root / "mmlego" / room).rglob("*.py"))


@cache
def _tree(path):
    return ast.parse(path.read_text())


@cache
def _imported(path, *, top=False):
    """Names of all modules that a file imports: wherever in it, or at its top only."""
    found = set()
    tree = _tree(path)
    for node in tree.body if top else ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            found.add(node.module)
            if node.module == "mmlego":
                found |= {f"mmlego.{alias.name}" for alias in node.names}
    return found


@pytest.fixture(scope="module")
def project(repository):
    return tomllib.loads((repository / "pyproject.toml").read_text())["project"]


@pytest.fixture(scope="module")
def floors(project):
    """Requirements by name: the package's own, and the extras `book` and `dev`."""
    extras = project["optional-dependencies"]
    lines = [*project["dependencies"], *extras["book"], *extras["dev"]]
    requirements = [Requirement(line) for line in lines]
    return {requirement.name: requirement for requirement in requirements}


def test_conda_environment_has_the_same_floors(repository, floors):
    listed = yaml.safe_load((repository / "environment.yml").read_text())["dependencies"]
    pip = next(item["pip"] for item in listed if isinstance(item, dict))
    conda = [item for item in listed if isinstance(item, str) and item != "pip"]
    found = {}
    for line in conda:
        name = line.split("=")[0].rstrip("<>")
        if name != "python":
            line = line.replace("pytorch>=", "torch>=")
            requirement = Requirement(line)
            found[requirement.name] = requirement.specifier
    for line in pip:
        if not line.startswith("-"):
            found[Requirement(line).name] = Requirement(line).specifier
    assert "snakemake" in found
    assert found == {name: requirement.specifier for name, requirement in floors.items()}


def test_pip_part_of_the_conda_environment_is_a_requirements_file(repository):
    """Conda hands these lines to pip as a file: each is a requirement, or one option and value."""
    listed = yaml.safe_load((repository / "environment.yml").read_text())["dependencies"]
    pip = next(item["pip"] for item in listed if isinstance(item, dict))
    options = [line for line in pip if line.startswith("-")]
    assert options == ["-e ."]
    for line in pip:
        if line not in options:
            Requirement(line)


def test_lock_file_pins_everything_and_satisfies_every_floor(repository, floors):
    pins = {}
    for line in (repository / "requirements.lock").read_text().splitlines():
        line = line.split("#")[0].split(" --hash")[0].strip().rstrip("\\").strip()
        if line and not line.startswith("-"):
            requirement = Requirement(line)
            (specifier,) = requirement.specifier
            assert specifier.operator == "==", line
            pins[requirement.name.lower().replace("_", "-")] = Version(specifier.version)
    for name, requirement in floors.items():
        assert name in pins, f"{name} is not pinned"
        assert requirement.specifier.contains(pins[name]), f"{name} {pins[name]}"
    assert pins["torch"].base_version == "2.13.0"
    assert pins["jupyter-book"] < Version("2")


def test_versions_agree(repository):
    citation = yaml.safe_load((repository / "CITATION.cff").read_text())
    assert citation["version"] == mmlego.__version__


def test_importing_the_package_is_light():
    heavy = ("pandas", "sklearn", "sksurv", "torch", "matplotlib", "scipy", "typer")
    code = f"import sys, mmlego; print(sorted(set({heavy}) & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.strip() == "[]"


def test_the_method_alone_needs_torch_only():
    heavy = ("pandas", "sklearn", "sksurv", "matplotlib", "scipy", "pydantic", "yaml")
    code = f"import sys, mmlego.lego; print(sorted(set({heavy}) & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.strip() == "[]"


def test_public_names_can_be_imported():
    for name in mmlego.__all__:
        assert getattr(mmlego, name) is not None
    with pytest.raises(AttributeError, match="it offers"):
        _ = mmlego.LegoBlok


def test_the_package_has_the_rooms_of_its_plan(repository):
    rooms = {path.parent.name for path in (repository / "mmlego").glob("*/__init__.py")}
    assert rooms == set(ROOMS)
    modules = {path.name for path in (repository / "mmlego").glob("*.py")}
    assert modules == {"__init__.py", "_version.py", "cli.py", "errors.py"}


@pytest.mark.parametrize("room", ROOMS)
def test_arrows_between_rooms_point_down(repository, room):
    below = ALONE.get(room, set(ROOMS[: ROOMS.index(room)])) | {room, "errors", "_version"}
    for path in _modules(repository, room):
        for name in _imported(path):
            parts = name.split(".")
            if parts[0] == "mmlego" and len(parts) > 1:
                assert parts[1] in below, f"{path} imports {name}"
        for name in _imported(path, top=True) if room in OUTSIDE else ():
            known = OUTSIDE[room] | set(sys.stdlib_module_names) | {"mmlego"}
            assert name.split(".")[0] in known, f"{path} imports {name}"


def test_studies_do_not_import_one_another(repository):
    """But for those that are about what others found."""
    for path in _modules(repository, "studies"):
        own = path.relative_to(repository / "mmlego" / "studies").parts[0]
        allowed = READERS.get(own, set())
        for name in _imported(path):
            parts = name.split(".")
            if parts[:2] == ["mmlego", "studies"] and len(parts) > 2 and allowed is not None:
                assert parts[2] in allowed | {own}, f"{path} imports {name}"


def test_no_module_imports_itself_through_others(repository):
    names = {_name_of(repository, path) for path in _modules(repository)}
    graph = {_name_of(repository, path): _top_imports(path, names) for path in _modules(repository)}
    done, path = set(), []

    def visit(name):
        assert name not in path, f"cycle of imports: {' -> '.join([*path, name])}"
        if name in done or name not in graph:
            return
        path.append(name)
        for other in sorted(graph[name]):
            visit(other)
        path.pop()
        done.add(name)

    for name in graph:
        visit(name)


def _name_of(repository, path):
    parts = path.relative_to(repository).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def _top_imports(path, names):
    """Modules that importing a file imports; what only type checking imports is not among them."""
    found = set()
    for node in _tree(path).body:
        if isinstance(node, ast.ImportFrom) and node.module.startswith("mmlego"):
            inner = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= inner & names
            if inner - names:
                found.add(node.module)
    return found


def test_no_module_reaches_into_the_privates_of_another(repository):
    for path in _modules(repository):
        for node in ast.walk(_tree(path)):
            if isinstance(node, ast.ImportFrom) and node.module.startswith("mmlego."):
                private = [a.name for a in node.names if re.match(r"_[^_]", a.name)]
                assert not private, f"{path} imports {private} of {node.module}"


def test_no_room_is_a_hall(repository):
    for folder in {path.parent for path in _modules(repository)}:
        files = list(folder.glob("*.py"))
        assert len(files) <= LARGEST_ROOM, f"{folder} holds {len(files)} modules"


def test_tests_mirror_the_package(repository):
    for path in (repository / "tests").rglob("test_*.py"):
        place = path.parent.relative_to(repository / "tests")
        assert (repository / "mmlego" / place).is_dir(), f"{path}: no room {place}"


def test_nobody_imports_the_command_line(repository):
    for path in _modules(repository):
        assert not {n for n in _imported(path) if n.startswith("mmlego.cli")}, path


def test_modules_and_functions_stay_small(repository):
    for path in _modules(repository):
        text = path.read_text()
        assert len(text.splitlines()) <= 400, f"{path} has {len(text.splitlines())} lines"
        for node in ast.walk(_tree(path)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                start = node.body[1].lineno if len(node.body) > 1 else node.lineno
                length = node.end_lineno - start + 1
                assert length <= 60, f"{path}: {node.name} has {length} lines"


def test_everything_public_is_documented(repository):
    for path in _modules(repository):
        tree = _tree(path)
        assert ast.get_docstring(tree), path
        for node in ast.walk(tree):
            if isinstance(node, ast.ClassDef):
                inner = [n for n in node.body if isinstance(n, ast.FunctionDef)]
                if not node.name.startswith("_"):
                    assert ast.get_docstring(node), f"{path}: {node.name}"
                    for function in inner:
                        if not function.name.startswith("_"):
                            assert ast.get_docstring(function), f"{path}: {function.name}"
        for node in tree.body:
            if isinstance(node, ast.FunctionDef) and not node.name.startswith("_"):
                assert ast.get_docstring(node), f"{path}: {node.name}"


# Key in the book's references of every paper that the citation names.
PAPERS = ("hemker2025lego", "han2022dynamics", "wenderoth2024dynamics", "peng2025amc")


def _bibliography(repository):
    """Fields of the book's references by key, without braces."""
    text = (repository / "book" / "references.bib").read_text()
    entries = re.findall(r"@\w+\{(\w+),\n(.*?)\n\}", text, flags=re.DOTALL)
    fields = {key: dict(re.findall(r"^  (\w+) = \{(.*)\},$", body, re.M)) for key, body in entries}
    return {
        key: {name: re.sub("[{}]", "", value) for name, value in found.items()}
        for key, found in fields.items()
    }


@pytest.mark.parametrize("key", PAPERS)
def test_the_citation_names_every_paper_as_the_book_does(repository, key):
    paper = _bibliography(repository)[key]
    citation = yaml.safe_load((repository / "CITATION.cff").read_text())
    assert len(citation["references"]) == len(PAPERS)
    (found,) = [entry for entry in citation["references"] if entry["title"] == paper["title"]]
    assert str(found["year"]) == paper["year"]
    authors = [
        f"{author['family-names']}, {author['given-names']}"
        if "family-names" in author
        else "others"
        for author in found["authors"]
    ]
    assert " and ".join(authors) == paper["author"]
    if found["type"] == "conference-paper":
        assert found["conference"]["name"] == paper["booktitle"]
    number = re.search(r"\d{4}\.\d{5}", paper.get("note", "") + paper.get("eprint", ""))
    assert (number is not None) == ("url" in found)
    assert number is None or found["url"] == f"https://arxiv.org/abs/{number.group()}"


def _pins(repository):
    lines = (repository / "requirements.lock").read_text().splitlines()
    return dict(line.split("==") for line in lines if line and not line.startswith("#"))


def test_hooks_before_a_commit_have_the_versions_of_the_lock(repository):
    hooks = yaml.safe_load((repository / ".pre-commit-config.yaml").read_text())["repos"]
    found = {hook["repo"].rpartition("/")[2]: hook["rev"].removeprefix("v") for hook in hooks}
    pins = _pins(repository)
    assert found["ruff-pre-commit"] == pins["ruff"]
    assert found["nbstripout"] == pins["nbstripout"]


def test_the_lock_holds_what_its_packages_need(repository):
    """Of the packages that are installed as pinned: each is complete, so a fresh install is too."""
    pins = {canonical(name): version for name, version in _pins(repository).items()}
    for name in pins:
        for line in importlib.metadata.requires(name) or []:
            needed = Requirement(line)
            # Of torch the lock names no build: its other parts come with the build for a machine.
            if name != "torch" and (needed.marker is None or needed.marker.evaluate({"extra": ""})):
                assert canonical(needed.name) in pins, f"{name} needs {needed.name}"


def test_no_name_hides_a_module_of_its_package(repository):
    """As a function ``fit`` would in a package that has a module ``fit``."""
    for path in _modules(repository):
        if path.name != "__init__.py":
            continue
        package = importlib.import_module(_name_of(repository, path))
        modules = {other.stem for other in path.parent.glob("[!_]*.py")}
        modules |= {other.parent.name for other in path.parent.glob("*/__init__.py")}
        for name in modules & {*vars(package), *getattr(package, "__all__", ())}:
            module = importlib.import_module(f"{package.__name__}.{name}")
            assert isinstance(getattr(package, name), ModuleType), f"{path}: {name}"
            assert name not in getattr(package, "__all__", ()) or not hasattr(module, name), name


def test_an_ignored_type_has_its_reason(repository):
    for path in _modules(repository):
        for line in path.read_text().splitlines():
            if "type: ignore" in line:
                assert re.search(r"# type: ignore\[[a-z-]+\]  # \w+", line), f"{path}: {line}"


def test_rooms_without_checked_types_are_rooms(repository):
    settings = tomllib.loads((repository / "pyproject.toml").read_text())["tool"]["mypy"]
    unchecked = [o["module"] for o in settings["overrides"] if o.get("ignore_errors")]
    assert {name for names in unchecked for name in names} <= {f"mmlego.{r}.*" for r in ROOMS}


def test_integration_runs_on_every_python_that_is_allowed(repository, project):
    text = (repository / ".github" / "workflows" / "tests.yml").read_text()
    jobs = yaml.safe_load(text)["jobs"]
    versions = jobs["versions"]["strategy"]["matrix"]["python-version"]
    allowed = SpecifierSet(project["requires-python"])
    assert versions == [f"3.{minor}" for minor in range(20) if f"3.{minor}" in allowed]
    assert "bash .ci/run" in text
    assert (repository / ".ci" / "run").read_text().rstrip().endswith("make test")


@pytest.fixture(scope="module")
def gate(repository):
    """The script that asks for an entry in the change log."""
    path = repository / ".ci" / "changelog_gate.py"
    spec = importlib.util.spec_from_file_location("changelog_gate", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    ("changed", "good"),
    [
        (["mmlego/cli.py", "mmlego/errors.py"], False),
        (["mmlego/cli.py", "CHANGELOG.md"], True),
        (["README.md", "tests/mmlego/x.py"], True),
        ([], True),
    ],
)
def test_a_change_of_the_package_needs_an_entry_in_the_change_log(gate, changed, good):
    found = gate.complaint(changed)
    assert (found is None) == good
    assert good or "mmlego/cli.py (2 files in all)" in found


def test_the_gate_compares_with_where_a_change_started(gate, tmp_path, monkeypatch, capsys):
    def git(*words):
        names = ("-c", "user.name=x", "-c", "user.email=x@example.org")
        subprocess.run(["git", *names, *words], cwd=tmp_path, check=True, capture_output=True)

    def commit(name, text):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
        git("add", name)
        git("commit", "-m", name)

    monkeypatch.chdir(tmp_path)
    git("init", "--initial-branch=main")
    commit("CHANGELOG.md", "none\n")
    git("checkout", "-b", "change")
    commit("mmlego/x.py", "x = 1\n")
    assert gate.main("main") == 1
    assert "beside mmlego/x.py (1 files in all)" in capsys.readouterr().err
    commit("CHANGELOG.md", "x\n")
    assert gate.main("main") == 0
