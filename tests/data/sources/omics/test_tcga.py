from __future__ import annotations

import shutil

import numpy as np
import pandas as pd
import pytest
import yaml

from mmlego.data import load_card, load_cohort, load_splits, make_fold
from mmlego.data.cards.availability import check
from mmlego.data.sources.omics.slides import READERS, read_embedding
from mmlego.data.sources.omics.tcga import load_tcga, read_omics
from mmlego.errors import CardError, DataError, DownloadError

# rows, patients, patients with an event, and columns of the published tables
FACTS = {
    "tcga-blca": (437, 373, 169, {"mut": 371, "cnv": 256, "rna": 1554}),
    "tcga-brca": (1022, 956, 130, {"mut": 21, "cnv": 1333, "rna": 1558}),
    "tcga-kirp": (284, 260, 40, {"mut": 20, "rna": 1557}),
    "tcga-ucec": (538, 480, 75, {"mut": 1406, "cnv": 5}),
    "tcga-luad": (515, 453, 158, {"mut": 864, "cnv": 517, "rna": 1555}),
    "tcga-lgg": (822, 479, 112, {"mut": 16, "cnv": 30, "rna": 1544}),
}
IMAGES = {
    "tcga-blca": (369, 2048),
    "tcga-brca": (884, 607),
    "tcga-kirp": (202, 136),
    "tcga-luad": (422, 607),
}
OUTCOMES = {"survival", "censor", "train", "hrd", "tmb", "n_mut", "subtype", "hif_split", "stage"}


@pytest.mark.parametrize(("name", "facts"), FACTS.items())
def test_counts_and_dimensions_are_those_of_the_published_tables(real, name, facts):
    rows, patients, events, widths = facts
    cohort = real(name)
    assert (cohort.n, int(cohort.target.event.sum())) == (patients, events)
    assert len(set(cohort.ids)) == patients
    tables = {m: cohort.modalities[m].width for m in cohort.names if m != "img"}
    assert tables == widths
    by_row = real(name, unit="row")
    assert (by_row.n, len(set(by_row.groups))) == (rows, patients)
    assert by_row.ids[0].endswith(".svs")


@pytest.mark.parametrize(("name", "image"), IMAGES.items())
def test_images_are_bags_of_the_patients_that_have_them(real, name, image):
    img = real(name).modalities["img"]
    assert (int(img.present.sum()), img.width) == image
    sizes = {len(bag) for bag in img.values if len(bag)}
    assert sizes == (set(range(1, 13)) & sizes if name == "tcga-kirp" else {1})
    if name == "tcga-kirp":
        assert max(sizes) == 12
        totals = [bag.sum(axis=1) for bag in img.values if len(bag)]
        np.testing.assert_allclose(np.concatenate(totals), 1.0, rtol=1e-5)


@pytest.mark.parametrize("name", FACTS)
def test_no_label_is_an_input(real, name):
    cohort = real(name, modalities=list(load_card(name).modalities))
    assert cohort.modalities["clin"].features == ("age", "is_female")
    for modality in cohort.modalities.values():
        for feature in modality.features:
            stem = feature.lower()
            if stem.endswith(("_mut", "_cnv", "_rnaseq")):
                continue
            assert not any(word in stem for word in OUTCOMES), feature
    for feature in cohort.modalities["img"].features if "img" in cohort.names else ():
        assert feature.endswith("_HE") or feature.startswith(("embedding_", "edge_"))


def test_the_event_is_the_opposite_of_censorship(mirror, real):
    table = read_omics(mirror / "tcga_omics/tcga_blca_all_clean.csv.zip")
    cohort = real("tcga-blca", unit="row", modalities=["mut"])
    assert (cohort.target.event == (table["censorship"].to_numpy() == 0)).all()
    assert (cohort.target.time == table["survival_months"].to_numpy()).all()


def test_rows_of_a_patient_carry_the_same_values(real):
    cohort = real("tcga-kirp", unit="row")
    first = {g: i for i, g in reversed(list(enumerate(cohort.groups)))}
    same = [first[g] for g in cohort.groups]
    for name in ("mut", "rna"):
        values = cohort.modalities[name].values
        np.testing.assert_array_equal(values, values[same])


def test_missing_ages_are_missing_values(real):
    clin = real("tcga-kirp", modalities=["clin"]).modalities["clin"]
    assert np.isnan(clin.values[:, 0]).sum() > 0
    assert clin.present.all()


def test_slides_of_a_patient_are_averaged(mirror, real):
    path = mirror / load_card("tcga-luad").sources["slides"].path
    slides = pd.read_csv(path).groupby("bcr_patient_barcode")
    several = [case for case, n in slides.size().items() if n > 1]
    cohort = real("tcga-luad", modalities=["img"])
    img = cohort.modalities["img"]
    places = [(i, case) for i, case in enumerate(cohort.ids) if case in several]
    assert len(places) > 20
    for i, case in places:
        rows = slides.get_group(case)[list(img.features)]
        np.testing.assert_allclose(img.values[i][0], rows.mean(), rtol=1e-5)


def test_the_mean_of_slides_skips_missing_values(tmp_path):
    rows = "bcr_patient_barcode,a_HE,b_HE,c_HE,os_time\nx,1,5,,9\nx,3,,,9\ny,7,8,9,1\n"
    (tmp_path / "hif.csv").write_text(rows)
    bags, features = READERS["hif_mean"](tmp_path / "hif.csv")
    assert features == ["a_HE", "b_HE", "c_HE"]
    np.testing.assert_array_equal(bags["x"], [[2, 5, np.nan]])
    np.testing.assert_array_equal(bags["y"], [[7, 8, 9]])
    assert len(READERS["hif"](tmp_path / "hif.csv")[0]["x"]) == 2


def test_glioblastoma_is_no_lower_grade_glioma(mirror, real):
    table = read_omics(mirror / "tcga_omics/tcga_gbmlgg_all_clean.csv.zip")
    glioblastoma = set(table.loc[table["oncotree_code"] == "GBM", "case_id"])
    assert len(glioblastoma) == 90
    assert not glioblastoma & set(real("tcga-lgg", modalities=["mut"]).ids)


def test_reports_are_texts_of_the_patients_that_have_them(real):
    cohort = real("tcga-brca", modalities=["mut", "img", "report"])
    report = cohort.modalities["report"]
    assert (report.kind, int(report.present.sum())) == ("text", 894)
    assert np.all(list(cohort.present.values()), axis=0).sum() == 825
    assert "report" not in real("tcga-brca").names
    text = report.values[cohort.ids.tolist().index("TCGA-3C-AALI")]
    assert text.startswith("what was the size of the mass? 1.3 x 1.3 x 1.2 cm.")
    fold = make_fold(cohort, load_splits(cohort)[0])
    assert (fold.kinds["report"], fold.widths["report"]) == ("tabular", 128)


def test_nuclear_morphology_is_optional(real):
    nuclei = real("tcga-kirp", modalities=["nuclei", "mut"]).modalities["nuclei"]
    assert (nuclei.width, int(nuclei.present.sum())) == (50, 202)


@pytest.mark.parametrize("name", [*FACTS])
def test_the_check_of_each_cohort_passes(mirror, name):
    assert any(line.startswith("loads by row") for line in check(name))


def test_a_truncated_archive_is_refused_with_and_without_checksum(mirror, tmp_path):
    path = load_card("tcga-ucec").sources["omics"].path
    copy = tmp_path / path
    copy.parent.mkdir()
    shutil.copyfile(mirror / path, copy)
    with open(copy, "r+b") as file:
        file.truncate(copy.stat().st_size // 2)
    with pytest.raises(DownloadError, match="truncated"):
        load_cohort("tcga-ucec", data_dir=tmp_path)
    with pytest.raises(DownloadError, match="expected a zip archive .*truncated"):
        read_omics(copy)


def test_a_truncated_slide_file_is_refused(tmp_path):
    path = tmp_path / "x.npz"
    np.savez(path, X=np.zeros((2, 3), np.float32))
    with pytest.raises(DownloadError, match="expected an npz file with X, case"):
        read_embedding(path)
    path.write_bytes(path.read_bytes()[:40])
    with pytest.raises(DownloadError, match="expected an npz file"):
        read_embedding(path)


@pytest.fixture
def small_tcga(tmp_path, monkeypatch):
    """A made-up cohort in the published format, to test the loader without the mirror."""
    rng = np.random.default_rng(0)
    cases = np.repeat([f"TCGA-AA-{i:04d}" for i in range(12)], [2] + [1] * 11)
    table = pd.DataFrame(
        {
            "case_id": cases,
            "slide_id": [f"slide{i}.svs" for i in range(13)],
            "age": 60,
            "is_female": 1,
            "survival_months": np.arange(1.0, 14),
            "censorship": [0, 0] + [1] * 11,
            "train": 1.0,
            "TP53_mut": rng.integers(0, 2, 13),
            "MYC_cnv": 1,
            "A_rnaseq": rng.standard_normal(13),
            "B_rnaseq": rng.standard_normal(13),
        }
    )
    text = load_card("tcga-blca").model_dump()
    text["sources"]["omics"] |= {"path": "o.zip", "url": None, "sha256": None, "bytes": None}
    text["sources"]["slides"] |= {"path": "s.npz", "sha256": None, "bytes": None}
    text["name"], text["expected"] = "small", None
    (tmp_path / "small.yaml").write_text(yaml.safe_dump(text))
    packing = {"method": "zip", "archive_name": "x"}
    table.to_csv(tmp_path / "o.zip", index=False, compression=packing)
    np.savez(tmp_path / "s.npz", X=np.ones((2, 4), np.float32), case=cases[[0, 5]])
    return tmp_path / "small.yaml"


def test_the_loader_keeps_one_row_per_patient_or_all(small_tcga):
    by_patient, by_row = load_cohort(small_tcga), load_cohort(small_tcga, unit="row")
    assert (by_patient.n, by_row.n) == (12, 13)
    assert by_patient.target.event.sum() == 1
    assert by_row.target.event.sum() == 2
    assert by_patient.modalities["rna"].features == ("A_rnaseq", "B_rnaseq")
    assert by_patient.modalities["img"].present.sum() == 2
    # one of the two patients with an image has two rows
    assert by_row.modalities["img"].present.sum() == 3


def test_rows_of_a_code_can_be_left_out(small_tcga):
    archive = small_tcga.parent / "o.zip"
    table = read_omics(archive).assign(oncotree_code=["A"] * 4 + ["B"] * 9)
    table.to_csv(archive, index=False, compression={"method": "zip", "archive_name": "x"})
    assert load_cohort(small_tcga, without=["A"]).n == 9
    assert load_cohort(small_tcga, unit="row", without=["B"]).n == 4
    with pytest.raises(DataError, match=r"option 'without': expected codes .* got \['GMB'\]"):
        load_cohort(small_tcga, without=["GMB", "A"])


def test_the_form_of_the_slide_file_must_be_known(small_tcga):
    text = small_tcga.read_text()
    small_tcga.write_text(text.replace("image: embedding", "image: patches"))
    with pytest.raises(CardError, match="'loader.options.image': expected one of embedding, hif"):
        load_cohort(small_tcga)
    assert set(READERS) == {"embedding", "hif", "hif_mean", "regions"}
    assert load_tcga.__doc__
