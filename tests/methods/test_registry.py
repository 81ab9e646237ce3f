"""What an entry of the registry must say, and that what it says is so."""

from __future__ import annotations

import inspect
from functools import partial

import pytest
from torch import nn

from mmlego.bench.estimators import classical_methods
from mmlego.bench.store import code as codes
from mmlego.methods import METHODS as PUBLIC
from mmlego.methods import names
from mmlego.methods.method import (
    AS_A_WHOLE,
    CLASSES,
    ESTIMATOR,
    FITTED,
    KINDS,
    NEEDS,
    ROLES,
    SURVIVAL,
    TRAININGS,
    UNIMODAL,
)
from mmlego.methods.registry import (
    METHODS,
    in_role,
    method_pages,
    networks,
    printed_in,
    references,
    titled,
    unimodal_methods,
)
from mmlego.reporting.published import read_published


def _built(build):
    return build.func if isinstance(build, partial) else build


@pytest.mark.parametrize("name", METHODS)
def test_every_method_is_of_a_known_kind_and_has_a_page(name, repository):
    method = METHODS[name]
    assert method.kind in KINDS
    assert method.requires in NEEDS
    assert method.trained in TRAININGS
    assert method.roles <= set(ROLES)
    assert 0 <= method.shade < 0.5
    assert (repository / f"{method.page}.md").is_file(), method.page
    assert method.page in method_pages()


@pytest.mark.parametrize("name", METHODS)
def test_what_is_built_fits_the_kind(name):
    method = METHODS[name]
    is_model = isinstance(_built(method.build), type) and issubclass(
        _built(method.build), nn.Module
    )
    assert is_model == (method.several or method.kind == UNIMODAL)
    assert (method.trained == FITTED) == (method.kind == ESTIMATOR)
    assert callable(method.build)


def test_titles_tell_methods_apart():
    assert len({method.title for method in METHODS.values()}) == len(METHODS)


def test_the_registry_is_the_public_one_and_every_name_in_code_is_in_it():
    assert PUBLIC is METHODS
    known = {value for key, value in vars(names).items() if key.isupper()}
    assert known <= set(METHODS)


def test_one_who_is_not_in_the_registry_keeps_a_name():
    assert titled(names.LEGO_FUSE) == METHODS[names.LEGO_FUSE].title
    assert titled("my_method") == "my_method"


def test_groups_of_methods_do_not_overlap():
    groups = [networks(), unimodal_methods(), references()]
    assert sum(map(len, groups)) == len(set().union(*groups))
    assert all(METHODS[name].trained == AS_A_WHOLE for name in networks())
    assert all(in_role(role) for role in ROLES)


def test_references_are_those_that_can_be_fitted():
    estimators = {name: m for name, m in METHODS.items() if m.kind == ESTIMATOR}
    assert set(estimators) == {*classical_methods("survival"), *classical_methods("classification")}
    for name, method in estimators.items():
        tasks = {t for t in ("survival", "classification") if name in classical_methods(t)}
        expected = {SURVIVAL: {"survival"}, CLASSES: {"classification"}}
        assert tasks == expected.get(method.requires, {"survival", "classification"})
        assert method.build.args == (name,)


@pytest.mark.parametrize("file", sorted({r.file for m in METHODS.values() for r in m.printed}))
def test_published_rows_are_there_and_each_belongs_to_one_method(file):
    table = read_published(file)
    groups = table["group"] if "group" in table else table["table"]
    there = set(zip(groups, table["model"], strict=True))
    models = set(table["model"])
    rows = printed_in(file)
    for _, row in rows:
        assert (row.table, row.model) in there if row.table else row.model in models, row
    assert len({(row.table, row.model) for _, row in rows}) == len(rows)


@pytest.mark.parametrize("name", [n for n, m in METHODS.items() if m.search.sizes])
def test_what_is_searched_has_a_given_value_among_its_choices(name):
    space = METHODS[name].search
    assert set(space.sizes) == {*space.given, *space.from_settings}
    assert all(value in space.sizes[size] for size, value in space.given.items())


@pytest.mark.parametrize("name", [n for n, m in METHODS.items() if m.making and m.making.narrow])
def test_options_of_narrow_models_are_those_of_the_model(name):
    model = _built(METHODS[name].build)
    # Networks pass what they do not take themselves on to their bases.
    parts = map(inspect.signature, getattr(model, "__mro__", (model,)))
    assert set(METHODS[name].making.narrow(8)) <= {n for part in parts for n in part.parameters}


def test_methods_of_one_class_have_keys_of_their_own():
    """What their entries fix of the class decides the model, so it is part of its code."""
    fixed = [m.build for m in METHODS.values() if isinstance(m.build, partial)]
    assert len({codes.code_digest(build) for build in fixed}) == len(fixed) > 1


def test_a_fit_does_not_depend_on_the_code_of_all_methods():
    """Else a method that is added would make every fit that was stored stale."""
    import ast

    from mmlego.bench import fusing, merging, training

    for start in (training, fusing, merging):
        seen, waiting = set(), [start.__name__]
        while waiting:
            name = waiting.pop()
            path = codes._file_of(name)
            if path is None or name in seen or name in codes._NOT_NUMERIC:
                continue
            seen.add(name)
            waiting += codes._imports(ast.parse(path.read_text()), name)
        assert "mmlego.bench.trained" in seen
        assert "mmlego.methods.registry" not in seen
