"""Which modalities models of several modalities are given, combination by combination."""

from __future__ import annotations

import pytest

from mmlego.bench.inputs import (
    INPUT_TITLES,
    JOINED,
    PATHWAYS,
    SEPARATE,
    TABLES,
    choose_inputs,
    input_sets,
    role_of_kind,
    separate_names,
    unimodal_inputs,
)
from mmlego.data.folds.fold import make_fold
from mmlego.data.folds.joining import join_columns
from mmlego.data.folds.splits import make_splits
from mmlego.data.folds.tabular import with_tabular
from mmlego.errors import SettingsError


@pytest.fixture
def fold_of(toy):
    """Make the fold of some modalities of the toy cohort."""

    def make(*names):
        cohort = toy().select(list(names))
        return with_tabular(make_fold(cohort, make_splits(cohort, repeats=1)[0]))

    return make


def test_tables_and_a_bag(fold_of):
    fold = fold_of("clin", "rna", "img")
    assert input_sets(fold) == {
        JOINED: ("tabular", "img"),
        SEPARATE: ("clin", "img", "rna"),
        TABLES: ("clin", "rna"),
    }
    assert unimodal_inputs(fold) == {"tabular": "table", "img": "bag"}


def test_tables_only(fold_of):
    """Joined, they are a single modality, and apart they are all there is."""
    fold = fold_of("clin", "rna")
    assert input_sets(fold) == {SEPARATE: ("clin", "rna")}
    assert unimodal_inputs(fold) == {"tabular": "table"}


def test_one_table_and_a_bag(fold_of):
    fold = fold_of("clin", "img")
    assert input_sets(fold) == {SEPARATE: ("clin", "img")}
    assert unimodal_inputs(fold) == {"clin": "table", "img": "bag"}


@pytest.mark.parametrize(("name", "role"), [("clin", "table"), ("img", "bag")])
def test_a_single_modality_offers_no_set(fold_of, name, role):
    fold = fold_of(name)
    assert input_sets(fold) == choose_inputs(fold, []) == {}
    assert unimodal_inputs(fold) == {name: role}


def test_groups_of_genes_replace_the_tables(fold_of):
    fold = fold_of("clin", "rna", "img")
    for name, columns in (("pathway_b", [0, 1]), ("pathway_a", [3])):
        fold = join_columns(fold, name, {"rna": columns})
    found = input_sets(fold)
    assert found[PATHWAYS] == ("pathway_b", "pathway_a", "img")
    assert found[SEPARATE] == ("clin", "img", "rna")
    assert separate_names(fold) == ("clin", "img", "rna")
    assert unimodal_inputs(fold) == {"tabular": "table", "img": "bag"}


def test_every_set_has_a_title_of_its_own():
    assert set(INPUT_TITLES) == {JOINED, SEPARATE, TABLES, PATHWAYS}
    assert len(set(INPUT_TITLES.values())) == 4


def test_wanted_sets_in_their_order_or_all(fold_of):
    fold = fold_of("clin", "rna", "img")
    assert list(choose_inputs(fold, [TABLES, JOINED])) == [TABLES, JOINED]
    assert choose_inputs(fold, []) == input_sets(fold)


def test_set_that_the_data_do_not_offer(fold_of):
    with pytest.raises(SettingsError, match=r"names of \['separate'\] for toy, got \['joined'\]"):
        choose_inputs(fold_of("clin", "rna"), [SEPARATE, JOINED])


@pytest.mark.parametrize(
    ("kind", "role"),
    [("tabular", "table"), ("bag", "bag"), ("series", "bag"), ("image", "image")],
)
def test_roles_of_kinds(kind, role):
    assert role_of_kind(kind) == role
