"""Groups of genes as modalities: one table per group, from all gene tables of a fold."""

from __future__ import annotations

import csv
import re
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path

from mmlego.data.folds.fold import Fold
from mmlego.data.folds.joining import Columns, join_columns
from mmlego.errors import DataError

PREFIX = "pathway_"
SUFFIXES = ("_mut", "_cnv", "_rnaseq")


def load_signatures(path: str | Path) -> dict[str, tuple[str, ...]]:
    """Read gene groups from a CSV file with one column per group: its name, then its genes.

    Columns may differ in length; empty cells and repetitions within a column are left out.

    Returns:
        Symbols of the genes by name of the group, in the order of the file.

    Raises:
        DataError: If the file cannot be read, or a group lacks a name or genes, or occurs twice.
    """
    try:
        with open(path, newline="", encoding="utf-8-sig") as file:
            header, *rows = csv.reader(file)
        columns = list(zip(header, *rows, strict=True))
    except (OSError, ValueError, csv.Error) as error:
        raise DataError(
            f"'{path}': expected a CSV file with one column per group of genes, got '{error}'; "
            "correct the path or the file"
        ) from error
    groups = {name.strip(): _symbols(genes) for name, *genes in columns}
    empty = [name for name, genes in groups.items() if not name or not genes]
    if empty or len(groups) < len(columns):
        raise DataError(
            f"'{path}': expected distinct groups with a name and genes, got {header}, of which "
            f"{empty} lack one of both; correct the file"
        )
    return groups


def with_pathways(fold: Fold, groups: Mapping[str, Collection[str]]) -> Fold:
    """Add one tabular modality per group of genes, such as ``pathway_protein_kinases``.

    It holds the columns of all gene tables whose gene is in the group: features named after a gene
    with ``_mut``, ``_cnv`` or ``_rnaseq`` behind it. A gene may be in several groups, and a group
    without columns is left out. ``join_columns`` tells what holds for samples that lack a table.

    Args:
        fold: The fold, which stays as it is. Modalities that join others are not read, since their
            features start with the name of a table.
        groups: Symbols of the genes by name of the group, as ``load_signatures`` gives them.

    Raises:
        DataError: If two groups get the same name, or no group has a column.
        ModalityError: If the fold already has a modality of such a name.

    Source: Chen et al. 2021 (MCAT), with six groups; there as well, expression, copy number and
        mutations of a group form one vector.
    """
    tables = _gene_tables(fold)
    names = [_modality(group) for group in groups]
    if len(set(names)) < len(names):
        raise DataError(f"gene groups: expected distinct names, got {names}; rename a group")
    found = {
        name: columns
        for name, genes in zip(names, groups.values(), strict=True)
        if (columns := _columns(tables, set(genes)))
    }
    if not found:
        raise DataError(
            f"fold of {fold.cohort}: expected features such as TP53_mut, ending in "
            f"{', '.join(SUFFIXES)}, of genes in {list(groups)}, got none in "
            f"{list(fold.names)}; choose gene tables, or groups that fit them"
        )
    for name, columns in found.items():
        fold = join_columns(fold, name, columns)
    return fold


def _symbols(cells: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(cell.strip() for cell in cells if cell.strip()))


def _modality(group: str) -> str:
    return PREFIX + re.sub(r"[^a-z0-9]+", "_", group.lower()).strip("_")


def _gene_tables(fold: Fold) -> dict[str, list[str | None]]:
    """Return the gene of every column, None for other columns, by table."""
    return {
        name: [_gene(feature) for feature in fold.features[name]]
        for name in fold.names
        if fold.kinds[name] == "tabular"
    }


def _gene(feature: str) -> str | None:
    for suffix in SUFFIXES:
        if feature.endswith(suffix):
            return feature.removesuffix(suffix)
    return None


def _columns(tables: Mapping[str, list[str | None]], genes: set[str]) -> Columns:
    found = {
        table: [i for i, gene in enumerate(columns) if gene in genes]
        for table, columns in tables.items()
    }
    return {table: chosen for table, chosen in found.items() if chosen}
