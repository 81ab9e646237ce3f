from __future__ import annotations

from functools import partial

import pytest
from torch import nn

from mmlego.bench.estimators import classical_methods
from mmlego.bench.tuning.space import _DROPOUTS, _GIVEN_SIZES, _SIZES
from mmlego.methods.registry import METHODS
from mmlego.reporting.published import _ROWS

KINDS = ("one", "many", "any", "columns", "weights")
NEEDS = ("", "pair", "tables+bag", "survival", "classes")


def _built(build):
    return build.func if isinstance(build, partial) else build


@pytest.mark.parametrize("name", METHODS)
def test_every_method_is_of_a_known_kind_and_has_a_page(name, repository):
    method = METHODS[name]
    assert method.modalities in KINDS
    assert method.takes in NEEDS
    assert (repository / f"{method.page}.md").is_file(), method.page


@pytest.mark.parametrize("name", METHODS)
def test_what_is_built_fits_the_kind(name):
    method = METHODS[name]
    is_model = isinstance(_built(method.build), type) and issubclass(
        _built(method.build), nn.Module
    )
    assert is_model == (method.modalities in ("one", "many", "any"))
    assert callable(method.build)


def test_titles_tell_methods_apart():
    assert len({method.title for method in METHODS.values()}) == len(METHODS)


def test_references_are_those_that_can_be_fitted():
    references = {name: m for name, m in METHODS.items() if m.modalities == "columns"}
    assert set(references) == {*classical_methods("survival"), *classical_methods("classification")}
    for name, method in references.items():
        tasks = {t for t in ("survival", "classification") if name in classical_methods(t)}
        expected = {"survival": {"survival"}, "classes": {"classification"}}
        assert tasks == expected.get(method.takes, {"survival", "classification"})
        assert method.build.keywords == {"method": name}


def test_published_rows_and_searches_belong_to_known_methods():
    assert {method for method, _ in _ROWS.values()} <= set(METHODS)
    assert {*_SIZES, *_DROPOUTS, *_GIVEN_SIZES} <= set(METHODS)
