"""MOGONET's files: ROSMAP as published, and small files of the same form."""

from __future__ import annotations

import gzip

import numpy as np
import pytest
import yaml

from mmlego.data import load_cohort, load_splits, make_fold, make_splits
from mmlego.errors import DataError

SIZES = {"train": 8, "test": 5}
WIDTHS = {"mrna": 3, "meth": 2, "mirna": 4}


def table(part, name):
    rng = np.random.default_rng(len(part) * 10 + len(name))
    return rng.random((SIZES[part], WIDTHS[name])).round(4)


@pytest.fixture
def own(tmp_path, root):
    """Write files of the published form; returns a function that gives the path of their card."""

    def write(classes=("a", "b", "c"), **replaced):
        files = {}
        for part, n in SIZES.items():
            files[f"labels_{part}"] = "".join(f"{i % 3:.18e}\n" for i in range(n))
            for name in WIDTHS:
                rows = (",".join(map(str, row)) for row in table(part, name))
                files[f"{name}_{part}"] = "\n".join(rows) + "\n"
        for name, width in WIDTHS.items():
            files[f"{name}_features"] = "".join(f"{name} {i}\n" for i in range(width))
        for key, text in (files | replaced).items():
            (tmp_path / f"{key}.csv.gz").write_bytes(gzip.compress(text.encode()))
        card = yaml.safe_load((root / "data/rosmap.yaml").read_text())
        card |= {"name": "small", "expected": None}
        card["sources"] = {key: {"path": f"{key}.csv"} for key in files}
        card["target"]["classes"] = list(classes)
        path = tmp_path / "small.yaml"
        path.write_text(yaml.safe_dump(card))
        return path

    return write


def test_training_rows_come_first_and_are_numbered(own):
    cohort = load_cohort(own(), unit="official")
    assert cohort.ids.tolist()[:2] == ["train-001", "train-002"]
    assert cohort.ids.tolist()[-1] == "test-005"
    assert cohort.division.tolist() == ["train"] * 8 + ["test"] * 5
    assert cohort.groups.tolist() == cohort.ids.tolist()
    assert cohort.unit == "patient"
    assert cohort.target.label.tolist() == [0, 1, 2, 0, 1, 2, 0, 1, 0, 1, 2, 0, 1]
    assert cohort.target.classes == ("a", "b", "c")  # as many as the files have, so BRCA as well
    for name, modality in cohort.modalities.items():
        expected = np.concatenate([table("train", name), table("test", name)])
        np.testing.assert_allclose(modality.values, expected, rtol=1e-6)
        assert modality.features[0] == f"{name} 0"
        assert modality.scaling == "minmax"


@pytest.mark.parametrize(
    ("replaced", "message"),
    [
        ({"mrna_test": "1,2,3\n"}, "expected 5 samples .* of 3 features .* got 1 of 3"),
        ({"meth_features": "one\n"}, "expected 8 samples .* of 1 features .* got 8 of 2"),
        ({"labels_test": "0.5\n" * 5}, r"expected whole numbers, got 0\.5"),
        ({"mirna_train": "a,b\n"}, "expected a CSV table without header"),
        ({"labels_train": "7\n" * 8}, r"expected labels in 0\.\.2"),
    ],
)
def test_files_that_do_not_fit_together_are_refused(own, replaced, message):
    with pytest.raises(DataError, match=message):
        load_cohort(own(**replaced))


def test_rosmap_is_the_published_division(real):
    cohort = real("rosmap", unit="official")
    assert cohort.target.classes == ("control", "Alzheimer's disease")
    counts = {
        part: np.bincount(cohort.target.label[cohort.division == part]).tolist()
        for part in ("train", "test")
    }
    assert counts == {"train": [118, 127], "test": [51, 55]}
    assert cohort.modalities["mrna"].features[0].startswith("ENSG")
    assert cohort.modalities["meth"].features[0].startswith("cg")
    assert cohort.modalities["mirna"].features[0].startswith("hsa-")


def test_committed_official_splits_of_rosmap_equal_the_rule(real):
    cohort = real("rosmap", unit="official")
    made = make_splits(cohort, repeats=25, unit="official")
    for stored, split in zip(load_splits(cohort, 25, "official"), made, strict=True):
        assert stored.source == "rosmap.official.csv"
        assert stored.val.tolist() == split.val.tolist()
        assert (len(split.train), len(split.val), len(split.test)) == (202, 43, 106)


def test_full_training_of_rosmap_scales_as_the_published_code(real):
    cohort = real("rosmap", unit="official_full")
    fold = make_fold(cohort, make_splits(cohort, repeats=1, unit="official_full")[0])
    assert (len(fold.train), len(fold.val), len(fold.test)) == (245, 0, 106)
    train = cohort.modalities["meth"].values[:245].astype(float)
    test = cohort.modalities["meth"].values[245:].astype(float)
    expected = (test - train.min(axis=0)) / (np.ptp(train, axis=0) + 1e-10)
    np.testing.assert_allclose(fold.test.values["meth"].numpy(), expected, rtol=1e-5, atol=1e-6)
