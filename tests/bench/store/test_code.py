from __future__ import annotations

import ast
from functools import partial
from types import ModuleType

import pytest

from mmlego.bench.store import code as codes
from mmlego.bench.store.code import code_digest, notebook_digest
from mmlego.errors import RunError


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A package of two modules, the first of which imports the second."""
    monkeypatch.setattr(codes, "PACKAGE", tmp_path)
    (tmp_path / "a.py").write_text("from mmlego.b import g\n\n\ndef f():\n    return g()\n")
    (tmp_path / "b.py").write_text("def g():\n    return 1\n")
    (tmp_path / "c.py").write_text("x = 1\n")

    def clear():
        for cached in (codes._digest, codes._closure, codes._parsed):
            cached.cache_clear()

    def digest(**files):
        for name, text in files.items():
            (tmp_path / f"{name}.py").write_text(text)
        clear()
        return code_digest(ModuleType("mmlego.a"))

    yield digest
    clear()


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
    whole = code_digest(codes)
    assert whole == code_digest(codes.notebook_digest) == code_digest(partial(codes.code_digest))


def test_what_cannot_change_a_number_is_named_as_it_is_called():
    assert all(codes._file_of(name) for name in codes._NOT_NUMERIC)


def test_notebook_digest_keeps_cells_apart():
    assert notebook_digest(["a", "b"]) != notebook_digest(["ab"])
    assert notebook_digest(["a", "b"]) != notebook_digest(["b", "a"])
