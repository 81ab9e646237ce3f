from __future__ import annotations

import ast
import subprocess
from functools import partial
from types import ModuleType

import pytest

from mmlego import __version__
from mmlego.errors import RunError
from mmlego.experiments import provenance
from mmlego.experiments.provenance import code_digest, git_revision, notebook_digest


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A package of two modules, the first of which imports the second."""
    monkeypatch.setattr(provenance, "PACKAGE", tmp_path)
    (tmp_path / "a.py").write_text("from mmlego.b import g\n\n\ndef f():\n    return g()\n")
    (tmp_path / "b.py").write_text("def g():\n    return 1\n")
    (tmp_path / "c.py").write_text("x = 1\n")

    def digest(**files):
        for name, text in files.items():
            (tmp_path / f"{name}.py").write_text(text)
        provenance._digest.cache_clear()
        return code_digest(ModuleType("mmlego.a"))

    yield digest
    provenance._digest.cache_clear()


def test_digest_has_twelve_digits_and_repeats(package):
    first = package()
    assert len(first) == 12
    assert int(first, 16) >= 0
    assert package() == first


def test_words_do_not_change_a_digest(package):
    first = package()
    assert (
        package(b='"""New words."""\n\n\ndef g():\n    """More."""\n    # why\n    return 1\n')
        == first
    )


def test_code_changes_a_digest_also_in_what_is_imported(package):
    first = package()
    assert package(b="def g():\n    return 2\n") != first


def test_modules_that_are_not_imported_do_not_count(package):
    first = package()
    assert package(c="x = 2\n") == first


def test_imports_inside_functions_count(package):
    first = package(a="def f():\n    import mmlego.b\n    return mmlego.b.g()\n")
    assert package(b="def g():\n    return 3\n") != first


def test_a_module_that_was_renamed_is_an_error_not_the_digest_of_nothing(package, tmp_path):
    package()
    (tmp_path / "b.py").rename(tmp_path / "better.py")
    with pytest.raises(RunError, match=r"of mmlego\.a: module 'mmlego\.b' is not in"):
        package()
    (tmp_path / "a.py").rename(tmp_path / "first.py")
    with pytest.raises(RunError, match=r"module 'mmlego\.a' is not in the package"):
        package()


@pytest.mark.parametrize("foreign", ["mmlego.learning", ast, ast.parse, 3, partial(print)])
def test_only_code_of_this_package_has_a_digest(foreign):
    with pytest.raises(RunError, match="expected a module, function or class of this package"):
        code_digest(foreign)


def test_functions_classes_and_partials_stand_for_their_modules():
    whole = code_digest(provenance)
    assert whole == code_digest(provenance.versions) == code_digest(partial(git_revision))


def test_what_cannot_change_a_number_is_named_as_it_is_called():
    assert all(provenance._file_of(name) for name in provenance._NOT_NUMERIC)


def test_code_that_decides_numbers_is_in_the_digest_of_a_run():
    """Loaders and splits decide what data a run sees, comparisons which rows it has."""
    from mmlego.experiments.record import numeric_code

    code = [*numeric_code("unimodal"), *numeric_code("signal_interference")]
    seen, waiting = set(), [module.__name__ for module in code]
    while waiting:
        name = waiting.pop()
        path = provenance._file_of(name)
        if path is None or name in seen:
            continue
        seen.add(name)
        waiting += provenance._imports(ast.parse(path.read_text()), name)
    wanted = {
        "mmlego.lego.block",
        "mmlego.lego.merge",
        "mmlego.lego.fuse",
        "mmlego.learning.fit",
        "mmlego.data.fold",
        "mmlego.data.splits",
        "mmlego.data.load",
        "mmlego.data.tabular",
        "mmlego.data.sources.tcga",
        "mmlego.baselines.first_present",
        "mmlego.experiments.comparisons",
        "mmlego.experiments.interference",
        "mmlego.signals",
    }
    assert wanted <= seen


def test_notebook_digest_keeps_cells_apart():
    assert notebook_digest(["a", "b"]) != notebook_digest(["ab"])
    assert notebook_digest(["a", "b"]) != notebook_digest(["b", "a"])


def test_revision_of_no_checkout(tmp_path):
    assert git_revision(tmp_path) == "unknown"


def test_revision_says_whether_files_were_changed(tmp_path):
    def git(*words):
        identity = ["-c", "user.name=n", "-c", "user.email=e@x"]
        subprocess.run(["git", *identity, *words], cwd=tmp_path, check=True, capture_output=True)

    (tmp_path / "mmlego").mkdir()
    (tmp_path / "mmlego" / "a.py").write_text("1\n")
    git("init", "-q")
    git("add", ".")
    git("commit", "-qm", "x", "--no-verify")
    clean = git_revision(tmp_path)
    assert len(clean) == 12
    (tmp_path / "mmlego" / "a.py").write_text("2\n")
    assert git_revision(tmp_path) == f"{clean}+changes"


def test_versions_and_hardware_name_what_numbers_depend_on():
    assert {"python", "torch", "numpy", "scikit-survival"} <= set(provenance.versions())
    assert provenance.versions()["mmlego"] == __version__
    facts = provenance.hardware("cpu")
    assert facts["device"] == "cpu"
    assert facts["cores"] >= 1
    assert set(facts) == {"device", "machine", "system", "cores", "threads"}
