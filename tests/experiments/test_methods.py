from __future__ import annotations

from torch import nn

from mmlego.experiments.methods import METHODS


def test_every_method_is_a_model_with_a_page(repository):
    for name, method in METHODS.items():
        assert issubclass(method.build, nn.Module), name
        assert method.modalities in ("one", "many")
        assert (repository / f"{method.page}.md").is_file(), method.page


def test_published_rows_belong_to_known_methods():
    from mmlego.experiments.published import _ROWS

    assert {method for method, _ in _ROWS.values()} <= set(METHODS)
