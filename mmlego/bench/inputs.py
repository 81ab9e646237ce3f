"""Which modalities a model of several modalities is given."""

from __future__ import annotations

from collections.abc import Sequence

from mmlego.data.folds.fold import Fold
from mmlego.data.folds.tabular import TABULAR
from mmlego.errors import ModalityError, SettingsError

JOINED, SEPARATE, TABLES, PATHWAYS = "joined", "separate", "tables", "pathways"
# The words that readers see. Seeds of fits depend on them too, so they stay as they are.
INPUT_TITLES = {
    JOINED: "tables joined",
    SEPARATE: "modalities apart",
    TABLES: "tables apart",
    PATHWAYS: "gene groups",
}


def separate_names(fold: Fold) -> tuple[str, ...]:
    """Modalities that are not made of others, sorted."""
    return tuple(sorted(set(fold.names) - set(fold.joined)))


def input_sets(fold: Fold) -> dict[str, tuple[str, ...]]:
    """The sets of modalities that a fold offers to models of several modalities, by name.

    ``joined`` is that of the published runs: all tables as one vector, and what is no table.
    ``separate`` is every modality by itself, and ``tables`` every table by itself without the rest.
    ``pathways`` is the groups of genes, where the fold has them, and what is no table. A set that
    would equal another one is left out.
    """
    names = separate_names(fold)
    tables = tuple(name for name in names if fold.kinds[name] == "tabular")
    others = tuple(name for name in names if name not in tables)
    found = {}
    if TABULAR in fold.names and others:
        found[JOINED] = (TABULAR, *others)
    if len(names) > 1:
        found[SEPARATE] = names
    if others and len(tables) > 1:
        found[TABLES] = tables
    groups = tuple(name for name in fold.joined if name != TABULAR)
    if groups:
        found[PATHWAYS] = (*groups, *others)
    return found


def choose_inputs(fold: Fold, wanted: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """The wanted sets of a fold; none named means all.

    Raises:
        SettingsError: If the fold does not offer a wanted set.
    """
    offered = input_sets(fold)
    absent = [name for name in wanted if name not in offered]
    if absent:
        raise SettingsError(
            f"inputs: expected names of {list(offered)} for {fold.cohort}, got {absent}; a set "
            "needs modalities of its own"
        )
    return {name: offered[name] for name in (wanted or offered)}


def unimodal_inputs(fold: Fold) -> dict[str, str]:
    """Modalities that unimodal models are trained on: role (``table`` or ``bag``) by name.

    All tables as one vector where there are several, and every modality that is no table.
    """
    names = separate_names(fold)
    tables = [name for name in names if fold.kinds[name] == "tabular"]
    table = [TABULAR] if TABULAR in fold.names else tables[:1]
    found = dict.fromkeys(table, "table")
    return found | {name: role_of_kind(fold.kinds[name]) for name in names if name not in tables}


def role_of_kind(kind: str) -> str:
    """The role under which hyper-parameters are searched for a kind of modality."""
    return {"tabular": "table", "image": "image"}.get(kind, "bag")


def headline_inputs(fold: Fold) -> tuple[str, tuple[str, ...]]:
    """The set of modalities that methods are compared on: its kind, and their names.

    All tables as one and what is no table, where the fold offers that, else every modality apart.

    Raises:
        ModalityError: If the fold has a single modality.
    """
    offered = input_sets(fold)
    for kind in (JOINED, SEPARATE):
        if kind in offered:
            return kind, offered[kind]
    raise ModalityError(
        f"modalities: expected two modalities or more in {fold.cohort}, got {list(fold.names)}; "
        "name more, or leave 'modalities' empty"
    )
