"""CITE-seq of blood cells: counts of genes and of ten surface proteins in the same cell."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import sparse

from mmlego.data.cohorts.cohort import Cohort
from mmlego.data.cohorts.modality import Modality
from mmlego.data.cohorts.target import ClassTarget
from mmlego.data.sources.request import Request, read_table
from mmlego.errors import DataError, DownloadError

UNKNOWN = "unknown"
# lineage markers that define the six types: each type is told by these alone
GATED = ("CD3", "CD4", "CD8a", "CD14", "CD16", "CD19", "CD56")
LIBRARY = 10_000  # counts per cell after normalization


def load_citeseq(
    request: Request,
    *,
    genes: int = 1000,
    draw: int = 0,
    seen_in: float = 0.01,
    noise: float = 2.0,
    noise_draw: int = 0,
) -> Cohort:
    """Load the cells of known type, one sample each.

    What is computed here looks at one cell at a time, except for the choice of genes, which sees no
    label: so nothing leaks between the parts of a split.

    Args:
        request: Card, files, unit and modalities.
        genes: Number of genes of "rna", drawn at random.
        draw: Seed of that drawing, apart from all other seeds, so that the cohort stays the same.
        seen_in: Genes are drawn among those with a count in at least this share of the cells.
        noise: Standard deviation of the noise on "prot_noisy", in natural logarithms; 0 or more.
        noise_draw: Seed of that noise, which is drawn before any split.

    Raises:
        DataError: If an option is out of range, or the files do not fit together.
        DownloadError: If the file of counts is damaged.
    """
    _check_options(genes, draw, seen_in, noise, noise_draw)
    table = read_table(request.files.path("cells"), ["Barcode", "trueType"])
    known = (table["trueType"] != UNKNOWN).to_numpy()
    cells = table["Barcode"].to_numpy(dtype=str)
    modalities: dict[str, Modality] = {}
    for name in request.modalities:
        if name == "rna":
            counts, names = _read_genes(request, len(cells))
            values, features = expression(counts[known], names, genes, draw, seen_in)
        else:
            proteins = _read_proteins(request.files.path("proteins"), cells)
            values, features = _proteins(name, proteins, noise, noise_draw)
            values = values[known]
        modalities[name] = request.modality(name, values, np.ones(known.sum(), bool), features)
    target = _target(request, table["trueType"].to_numpy(dtype=str)[known])
    return request.cohort(cells[known], cells[known], modalities, target)


def expression(
    counts: sparse.csr_matrix, names: list[str], genes: int, draw: int, seen_in: float
) -> tuple[np.ndarray, list[str]]:
    """Normalize every cell to 10,000 counts, take log(1 + x), and draw genes at random.

    Args:
        counts: (n, c) counts of all genes, which the size of a cell is the sum of.
        names: c names of genes; of a name that occurs twice the second becomes "NAME-1".
        genes: Number of genes to draw.
        draw: Seed.
        seen_in: Least share of the cells with a count.

    Returns:
        (n, genes) float32 and the names, in the order of the file.

    Raises:
        DataError: If a cell has no count, or too few genes are seen.
    """
    size = np.asarray(counts.sum(axis=1), dtype=np.float64).ravel()
    if (size == 0).any():
        raise DataError(
            f"gene counts: expected counts in every cell, got none in {int((size == 0).sum())}; "
            "drop these cells from the table of types"
        )
    cells_with = np.asarray((counts > 0).sum(axis=0)).ravel()
    seen = np.flatnonzero(cells_with >= seen_in * counts.shape[0])
    if genes > len(seen):
        raise DataError(
            f"genes: expected at most the {len(seen)} that are seen in {seen_in:.1%} of the cells, "
            f"got {genes}; ask for fewer, or lower 'seen_in'"
        )
    chosen = np.sort(np.random.default_rng(draw).choice(seen, genes, replace=False))
    values = np.log1p(counts[:, chosen].toarray() * (LIBRARY / size[:, None]))
    unique = _unique(names)
    return values.astype(np.float32), [unique[i] for i in chosen]


def centered_log_ratio(counts: np.ndarray) -> np.ndarray:
    """Return log(1 + count) less its mean over the proteins of the cell, float64 (n, c)."""
    logs = np.log1p(np.asarray(counts, dtype=np.float64))
    return logs - logs.mean(axis=1, keepdims=True)


def _proteins(
    name: str, table: pd.DataFrame, noise: float, noise_draw: int
) -> tuple[np.ndarray, list[str]]:
    features = list(table.columns)
    if name == "prot_ungated":
        features = [protein for protein in features if protein not in GATED]
    values = centered_log_ratio(table[features].to_numpy())
    if name == "prot_noisy":
        # for all cells of the file in its order, so that no choice of samples changes it
        values += noise * np.random.default_rng(noise_draw).standard_normal(values.shape)
    return values.astype(np.float32), features


def _target(request: Request, types: np.ndarray) -> ClassTarget:
    classes = request.card.target.class_names
    strange = sorted(set(types) - set(classes))
    if strange:
        raise DataError(
            f"'{request.card.name}': expected the cell types {', '.join(classes)} or {UNKNOWN}, "
            f"got '{strange[0]}'; name every type in the card"
        )
    return ClassTarget(np.array([classes.index(kind) for kind in types]), tuple(classes))


def _read_proteins(path: Path, cells: np.ndarray) -> pd.DataFrame:
    """Read the counts in the order of the cells; columns are named by protein, without barcode."""
    table = read_table(path)
    table = table.set_index(table.columns[0]).rename(columns=lambda name: name.split("-")[0])
    absent = sorted(set(cells) - set(table.index))
    if absent:
        raise DataError(
            f"'{path}': expected a row for every cell of the table of types, got none for "
            f"{len(absent)}, the first '{absent[0]}'; take all files from one source"
        )
    return table.loc[cells]


def _read_genes(request: Request, n: int) -> tuple[sparse.csr_matrix, list[str]]:
    path = request.files.path("genes")
    try:
        with open(path, "rb") as file:
            counts = sparse.load_npz(file).tocsr()
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise DownloadError(
            f"'{path}': expected a sparse matrix of scipy, got '{error}'; obtain it again"
        ) from error
    names = request.files.path("gene_names").read_text(encoding="utf-8").split()
    if counts.shape != (n, len(names)):
        raise DataError(
            f"'{path}': expected counts of {n} cells and {len(names)} genes, as the tables of "
            f"types and names have, got {counts.shape}; take all files from one source"
        )
    return counts, names


def _unique(names: list[str]) -> list[str]:
    times: dict[str, int] = {}
    unique = []
    for name in names:
        count = times.get(name, 0)
        times[name] = count + 1
        unique.append(f"{name}-{count}" if count else name)
    return unique


def _check_options(genes: int, draw: int, seen_in: float, noise: float, noise_draw: int) -> None:
    if genes < 1 or min(draw, noise_draw) < 0 or not 0 <= seen_in <= 1 or noise < 0:
        raise DataError(
            "citeseq: expected genes >= 1, draw and noise_draw >= 0, seen_in in [0, 1] and noise "
            f">= 0, got {genes}, {draw}, {noise_draw}, {seen_in} and {noise}; correct the options "
            "of the loader"
        )
