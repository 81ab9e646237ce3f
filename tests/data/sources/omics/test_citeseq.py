"""CITE-seq: what is drawn and computed per cell, on small files and on the published ones."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import yaml
from scipy import sparse

from mmlego.data import load_cohort
from mmlego.data.sources.omics.citeseq import GATED, centered_log_ratio, expression
from mmlego.errors import DataError, DownloadError

TYPES = ["B cells", "unknown", "CD4+ T cells", "NK cells", "CD8+ T cells", "CD14+ monocytes"]
PROTEINS = ["CD154", "CD4", "CD56", "CD3", "CD19", "CD14", "CD11c", "CD8a", "CD16", "CD127"]
ALL = ["prot", "rna", "prot_ungated", "prot_noisy"]
N = 24


def counts():
    rng = np.random.default_rng(0)
    genes = rng.poisson(0.8, (N, 30))
    genes[:, :3] = 0  # never seen
    genes[:, 3] += 1
    return genes, rng.poisson(40, (N, len(PROTEINS)))


@pytest.fixture
def own(tmp_path, root):
    """Write small files of the published form; returns the path of their card."""

    def write(types=None, genes=None, names=None):
        cells = [f"CELL{i:02d}-1" for i in range(N)]
        table = pd.DataFrame({"Barcode": cells, "trueType": types or TYPES * (N // len(TYPES))})
        table.to_csv(tmp_path / "cells.csv", index=False)
        drawn, proteins = counts()
        columns = [f"{p}-ACGT" for p in PROTEINS]
        # the rows of the proteins are in another order, and there is one cell more
        frame = pd.DataFrame(proteins, index=cells, columns=columns)
        frame.loc["OTHER-1"] = 1
        frame[::-1].to_csv(tmp_path / "proteins.csv")
        sparse.save_npz(
            tmp_path / "genes.npz", sparse.csr_matrix(drawn if genes is None else genes)
        )
        (tmp_path / "names.txt").write_text("\n".join(names or [f"G{i}" for i in range(30)]))
        card = yaml.safe_load((root / "data/citeseq.yaml").read_text())
        card |= {"name": "cells", "expected": None}
        paths = {"cells": "cells.csv", "proteins": "proteins.csv", "genes": "genes.npz"}
        paths["gene_names"] = "names.txt"
        card["sources"] = {key: {"path": path} for key, path in paths.items()}
        card["loader"]["options"] |= {"genes": 10}
        path = tmp_path / "cells.yaml"
        path.write_text(yaml.safe_dump(card))
        return path

    return write


def test_cells_of_unknown_type_are_left_out(own):
    cohort = load_cohort(own(), modalities=ALL)
    assert cohort.n == 20
    assert "CELL01-1" not in cohort.ids
    assert [cohort.target.classes[i] for i in cohort.target.label[:3]] == [
        "B cells",
        "CD4+ T cells",
        "NK cells",
    ]
    kinds = {name: (m.kind, m.width) for name, m in cohort.modalities.items()}
    assert kinds == {
        "prot": ("tabular", 10),
        "rna": ("tabular", 10),
        "prot_ungated": ("tabular", 3),
        "prot_noisy": ("tabular", 10),
    }
    assert load_cohort(own()).names == ("prot", "rna")


def test_rows_of_all_files_are_joined_by_cell(own):
    cohort = load_cohort(own(), modalities=ALL)
    genes, proteins = counts()
    rows = [int(cell[4:6]) for cell in cohort.ids]
    expected = centered_log_ratio(proteins[rows])
    np.testing.assert_allclose(cohort.modalities["prot"].values, expected, rtol=1e-5)
    columns = [int(name[1:]) for name in cohort.modalities["rna"].features]
    size = genes[rows].sum(axis=1, keepdims=True)
    expected = np.log1p(genes[rows][:, columns] * 10_000 / size)
    np.testing.assert_allclose(cohort.modalities["rna"].values, expected, rtol=1e-5)


def test_ungated_proteins_are_none_of_the_lineage_markers(own):
    cohort = load_cohort(own(), modalities=ALL)
    assert cohort.modalities["prot_ungated"].features == ("CD154", "CD11c", "CD127")
    assert set(GATED) < set(PROTEINS)
    np.testing.assert_allclose(
        cohort.modalities["prot_ungated"].values.sum(axis=1), np.zeros(20), atol=1e-5
    )


def test_what_is_gated_has_no_influence_on_the_ungated(own, tmp_path):
    path = own()
    before = load_cohort(path, modalities=["prot_ungated"])
    table = pd.read_csv(tmp_path / "proteins.csv", index_col=0)
    table[[c for c in table.columns if c.split("-")[0] in GATED]] = 7
    table.to_csv(tmp_path / "proteins.csv")
    assert load_cohort(path, modalities=["prot_ungated"]).fingerprint() == before.fingerprint()


def test_a_cell_depends_on_no_other_cell():
    genes, proteins = counts()
    names = [f"G{i}" for i in range(30)]
    whole, features = expression(sparse.csr_matrix(genes), names, 27, 0, 0.0)
    part, same = expression(sparse.csr_matrix(genes[:5]), names, 27, 0, 0.0)
    assert features == same
    np.testing.assert_array_equal(whole[:5], part)
    np.testing.assert_array_equal(
        centered_log_ratio(proteins)[:5], centered_log_ratio(proteins[:5])
    )


def test_genes_are_drawn_among_those_seen_with_a_seed_of_their_own(own):
    path = own()
    first = load_cohort(path).modalities["rna"].features
    assert load_cohort(path, seed=9).modalities["rna"].features == first
    assert load_cohort(path, draw=1).modalities["rna"].features != first
    everything = load_cohort(path, genes=27).modalities["rna"].features
    assert set(everything) == {f"G{i}" for i in range(3, 30)}
    with pytest.raises(DataError, match="at most the 27 that are seen in 1.0% .* got 28"):
        load_cohort(path, genes=28)
    assert load_cohort(path, genes=1, seen_in=1.0).modalities["rna"].features == ("G3",)


def test_noise_is_fixed_and_can_be_set(own):
    path = own()

    def values(**options):
        cohort = load_cohort(path, modalities=["prot", "prot_noisy"], **options)
        return [cohort.modalities[name].values for name in ("prot", "prot_noisy")]

    clean, noisy = values()
    np.testing.assert_array_equal(values()[1], noisy)
    assert (noisy - clean).std() == pytest.approx(2.0, abs=0.25)
    np.testing.assert_array_equal(*values(noise=0))
    assert (values(noise_draw=1)[1] != noisy).all()


def test_a_name_that_occurs_twice_is_told_apart(own):
    path = own(names=["A"] * 30)
    features = load_cohort(path, genes=27).modalities["rna"].features
    assert len(set(features)) == 27
    assert features[-1] == "A-29"


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"types": ["B cells", "martian"] * 12}, DataError, "or unknown, got 'martian'"),
        ({"names": ["a"]}, DataError, "24 cells and 1 genes, .* got \\(24, 30\\)"),
        ({"genes": np.zeros((N, 30))}, DataError, "expected counts in every cell, got none in 20"),
    ],
)
def test_files_that_do_not_fit_together_are_refused(own, changes, error, message):
    with pytest.raises(error, match=message):
        load_cohort(own(**changes))


def test_damaged_files_and_bad_options_are_refused(own, tmp_path):
    path = own()
    with pytest.raises(DataError, match="expected genes >= 1"):
        load_cohort(path, noise=-1.0)
    table = pd.read_csv(tmp_path / "proteins.csv")
    table.iloc[:-1].to_csv(tmp_path / "proteins.csv", index=False)
    with pytest.raises(DataError, match="a row for every cell .* the first 'CELL00-1'"):
        load_cohort(path)
    (tmp_path / "genes.npz").write_bytes((tmp_path / "genes.npz").read_bytes()[:100])
    with pytest.raises(DownloadError, match="expected a sparse matrix of scipy"):
        load_cohort(path, modalities=["rna"])


def test_the_published_cells_are_those_of_the_card(real):
    cohort = real("citeseq", modalities=ALL)
    assert np.bincount(cohort.target.label).tolist() == [69, 99, 7, 571, 223, 213]
    assert cohort.modalities["prot"].features == tuple(PROTEINS)
    rna = cohort.modalities["rna"]
    assert ((rna.values > 0).mean(axis=0) >= 0.01).all()
    assert rna.width == len(set(rna.features)) == 1000


def test_proteins_tell_the_type_and_the_weaker_forms_tell_less(real):
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import cross_val_score

    cohort = real("citeseq", modalities=["prot", "prot_ungated", "prot_noisy"])
    scores = {
        name: cross_val_score(
            LogisticRegression(max_iter=500), m.values, cohort.target.label, cv=5
        ).mean()
        for name, m in cohort.modalities.items()
    }
    assert scores["prot"] > 0.99
    assert 0.6 < scores["prot_ungated"] < 0.85
    assert 0.75 < scores["prot_noisy"] < 0.93
