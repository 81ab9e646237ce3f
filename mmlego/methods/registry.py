"""The registry: every method by the name that it has in the table of results.

The order is that of tables and grids.
"""

from __future__ import annotations

from mmlego.methods import names
from mmlego.methods.baselines import BASELINES, MERGES_OF_WEIGHTS
from mmlego.methods.baselines import PAGE as BASELINES_PAGE
from mmlego.methods.dynamics import DYNAMICS
from mmlego.methods.encoders import ENCODERS
from mmlego.methods.estimators import ESTIMATORS
from mmlego.methods.lego import LEGO
from mmlego.methods.method import ESTIMATOR, UNIMODAL, Method, Printed
from mmlego.methods.token_models import TOKEN_MODELS

METHODS: dict[str, Method] = {
    **ENCODERS,
    **LEGO,
    **BASELINES,
    **DYNAMICS,
    **TOKEN_MODELS,
    **MERGES_OF_WEIGHTS,
    **ESTIMATORS,
}


def titled(name: str) -> str:
    """What readers call a method; one that is not in the registry is called by its name."""
    return METHODS[name].title if name in METHODS else name


def networks() -> tuple[str, ...]:
    """Networks of several modalities that are trained as a whole."""
    return tuple(name for name, method in METHODS.items() if method.network)


def unimodal_methods() -> tuple[str, ...]:
    """Models of a single modality: encoders, then blocks."""
    return tuple(name for name, method in METHODS.items() if method.kind == UNIMODAL)


def references() -> tuple[str, ...]:
    """Estimators that every benchmark fits: what needs no network."""
    return tuple(
        name for name, method in METHODS.items() if method.kind == ESTIMATOR and not method.opt_in
    )


def rivals_on_tokens() -> tuple[str, ...]:
    """The models that read the same tokens as AMC; they differ in how these are fused."""
    return tuple(name for name, method in METHODS.items() if method.tokens and name != names.AMC)


def in_role(role: str) -> tuple[str, ...]:
    """Methods that one of the questions of ``ROLES`` is asked of."""
    return tuple(name for name, method in METHODS.items() if role in method.roles)


def printed_in(file: str) -> list[tuple[str, Printed]]:
    """Rows of a file of published numbers, each with the name of the method that it is about."""
    return [(name, row) for name, method in METHODS.items() for row in method.printed
            if row.file == file]  # fmt: skip


def method_pages() -> tuple[str, ...]:
    """Pages of the book that explain methods, what others are compared with last."""
    pages = dict.fromkeys(method.page for method in METHODS.values())
    return (*(page for page in pages if page != BASELINES_PAGE), BASELINES_PAGE)
