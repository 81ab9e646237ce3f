from __future__ import annotations

import numpy as np
import pytest
import torch

from mmlego.data import make_fold, make_splits, with_tabular
from mmlego.data.folds.pathways import load_signatures, with_pathways
from mmlego.errors import DataError, ModalityError

GROUPS = {"Tumor Suppression": ("TP53", "NKX2-1"), "Kinases & more": ("ABL1", "TP53")}
SUPPRESSION, KINASES = "pathway_tumor_suppression", "pathway_kinases_more"
TABLES = {
    "rna": ("ABL1_rnaseq", "TP53_rnaseq", "GAPDH_rnaseq"),
    "mut": ("TP53_mut", "NKX2-1_mut"),
    "clin": ("age", "TP53"),
}


@pytest.fixture
def fold(make_cohort, make_modality):
    rng = np.random.default_rng(0)
    present = {"rna": rng.random(40) < 0.7, "mut": rng.random(40) < 0.7, "clin": np.ones(40, bool)}
    modalities = {
        name: make_modality(
            rng.standard_normal((40, len(features))),
            name=name,
            features=features,
            present=present[name],
        )
        for name, features in TABLES.items()
    }
    cohort = make_cohort(modalities=modalities)
    return make_fold(cohort, make_splits(cohort)[0])


def test_a_group_holds_the_columns_of_its_genes_from_all_tables(fold):
    joined = with_pathways(fold, GROUPS)
    assert joined.names == ("rna", "mut", "clin", SUPPRESSION, KINASES)
    assert joined.features[SUPPRESSION] == ("rna:TP53_rnaseq", "mut:TP53_mut", "mut:NKX2-1_mut")
    assert joined.features[KINASES] == ("rna:ABL1_rnaseq", "rna:TP53_rnaseq", "mut:TP53_mut")
    assert (joined.widths[KINASES], joined.kinds[KINASES]) == (3, "tabular")
    for part, samples in joined.parts().items():
        own = fold.parts()[part]
        assert samples.names == joined.names
        assert samples.widths[SUPPRESSION] == 3
        expected = torch.cat([own.values["rna"][:, 1:2], own.values["mut"]], dim=1)
        assert torch.equal(samples.values[SUPPRESSION], expected)
        assert torch.equal(samples.present[SUPPRESSION], own.present["rna"] | own.present["mut"])


def test_a_sample_without_one_of_the_tables_has_zeros_there(fold):
    samples = with_pathways(fold, GROUPS).train
    lacking = samples.present["rna"] & ~samples.present["mut"]
    assert lacking.any()
    assert (samples.values[SUPPRESSION][lacking][:, 1:] == 0).all()
    assert (samples.values[SUPPRESSION][lacking][:, 0] != 0).all()


def test_the_fold_tells_which_tables_a_group_comes_from(fold):
    only_rna = {"Housekeeping": ("GAPDH",), **GROUPS}
    joined = with_pathways(fold, only_rna)
    assert joined.members("pathway_housekeeping") == ("rna",)
    assert joined.members(SUPPRESSION) == ("rna", "mut")
    samples = joined.train
    assert torch.equal(samples.present["pathway_housekeeping"], samples.present["rna"])
    assert fold.joined == {}
    assert fold.names == ("rna", "mut", "clin")


def test_a_group_without_columns_is_left_out(fold):
    joined = with_pathways(fold, {"Other": ("MYC", "age"), **GROUPS})
    assert joined.names[3:] == (SUPPRESSION, KINASES)


def test_tables_that_join_others_are_not_read_twice(fold):
    both = with_pathways(with_tabular(fold), GROUPS)
    assert both.features[SUPPRESSION] == with_pathways(fold, GROUPS).features[SUPPRESSION]


def test_refuses_folds_and_groups_that_do_not_fit(fold):
    with pytest.raises(DataError, match=r"ending in _mut, _cnv, _rnaseq.*\['Other'\]"):
        with_pathways(fold, {"Other": ("MYC", "age")})
    with pytest.raises(DataError, match="got none"):
        with_pathways(fold, {})
    with pytest.raises(DataError, match="expected distinct names"):
        with_pathways(fold, {"a b": ("TP53",), "A  B": ("ABL1",)})
    with pytest.raises(ModalityError, match=f"already has a modality '{SUPPRESSION}'"):
        with_pathways(with_pathways(fold, GROUPS), GROUPS)


def test_reads_columns_of_different_lengths(tmp_path):
    path = tmp_path / "groups.csv"
    path.write_text("Short,Long Group\nTP53,ABL1\n,ABL2\n, ABL1 \n,NA\n")
    assert load_signatures(path) == {"Short": ("TP53",), "Long Group": ("ABL1", "ABL2", "NA")}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "expected a CSV file"),
        ("a,b\nTP53\n", "expected a CSV file"),
        ("a,a\nTP53,ABL1\n", "expected distinct groups"),
        ("a,b\nTP53,\n", r"\['b'\] lack"),
        ("a,\nTP53,ABL1\n", r"\[''\] lack"),
    ],
)
def test_refuses_files_of_another_form(tmp_path, text, message):
    path = tmp_path / "groups.csv"
    path.write_text(text)
    with pytest.raises(DataError, match=message):
        load_signatures(path)


def test_refuses_a_file_that_is_not_there(tmp_path):
    with pytest.raises(DataError, match=r"absent\.csv.*correct the path"):
        load_signatures(tmp_path / "absent.csv")


def test_published_groups_cover_a_real_cohort(mirror, real):
    groups = load_signatures(mirror / "tcga_omics/signatures.csv")
    assert len(groups) == 6
    assert list(groups)[:2] == ["Tumor Suppressor Genes", "Oncogenes"]
    assert {"TP53", "WT1", "XPC"} <= set(groups["Tumor Suppressor Genes"])
    cohort = real("tcga-blca", modalities=["mut", "cnv", "rna", "img"])
    fold = with_pathways(make_fold(cohort, make_splits(cohort)[0]), groups)
    pathways = [name for name in fold.names if name.startswith("pathway_")]
    assert len(pathways) == 6
    assert "pathway_cytokines_and_growth_factors" in pathways
    for name in pathways:
        assert fold.members(name) == ("mut", "cnv", "rna")
        assert fold.train.values[name].shape[1] == fold.widths[name] > 10
    column = fold.features[pathways[0]].index("mut:TP53_mut")
    expected = fold.test.values["mut"][:, fold.features["mut"].index("TP53_mut")]
    assert torch.equal(fold.test.values[pathways[0]][:, column], expected)
