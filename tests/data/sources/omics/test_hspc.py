"""The replication's cells: tables of its schema with made-up values, and small pictures."""

from __future__ import annotations

import tarfile

import numpy as np
import pandas as pd
import pytest
import yaml
from PIL import Image

from mmlego.data import load_cohort, make_fold, make_splits
from mmlego.data.cards.availability import check
from mmlego.data.sources.images.pictures import read_pictures
from mmlego.errors import DataError, DownloadError

CLASSES = ["BP", "EryP", "MoP", "NeuP"]
DONORS = [31800, 32606, 13176]
ALL = ["prot", "rna", "img"]
N = 72
SUFFIXES = ["jpg", "png", "tiff"]


def cell(i):
    return f"{i:012x}"


def tables():
    rng = np.random.default_rng(0)
    ids = [cell(i) for i in range(N)]
    kinds = np.array(CLASSES)[np.arange(N) // 3 % 4]
    meta = pd.DataFrame({"cell_id": ids, "day": 2, "donor": np.array(DONORS)[np.arange(N) % 3]})
    meta = meta.assign(cell_type=kinds, technology="citeseq")
    paths = [f"{kind}/X_{i:05d}.{SUFFIXES[i % 3]}" for i, kind in enumerate(kinds)]
    frames = {
        "meta_data_train": meta,
        "protein_data_train": pd.DataFrame(rng.random((N, 4)), columns=list("abcd")),
        "rna_rand_data_train": pd.DataFrame(
            rng.random((N, 6)), columns=[f"g{i}" for i in range(6)]
        ),
        "image_data": pd.DataFrame({"file_path": paths}),
    }
    for name, frame in frames.items():
        if "cell_id" not in frame:
            frame.insert(0, "cell_id", ids)
            frames[name] = frame.sample(frac=1, random_state=1)  # the order is no key
    return frames


def shade(i):
    """Each picture has one color, so that it can be told apart after resizing."""
    return (3 * i, 255 - 3 * i, 40)


@pytest.fixture
def own(tmp_path, root):
    """Write tables and pictures of the schema; returns what gives the path of their card."""

    def write(packed=False, expected=None, **replaced):
        frames = tables()
        folder = tmp_path / "citeseq_hspc"
        for name in frames["image_data"]["file_path"]:
            path = folder / "bm_images" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            i = int(path.stem[2:])
            Image.new("RGB", (20 + i, 30), shade(i)).save(path)
        for name, frame in (frames | replaced).items():
            frame.to_csv(folder / f"{name}.csv", index=False)
        if packed:
            with tarfile.open(folder / "bm_images.tar", "w") as archive:
                archive.add(folder / "bm_images", arcname=packed)
            (folder / "bm_images").rename(folder / "moved")
        card = yaml.safe_load((root / "data/citeseq-hspc.yaml").read_text())
        card |= {"name": "cells", "expected": expected}
        path = tmp_path / "cells.yaml"
        path.write_text(yaml.safe_dump(card, sort_keys=False))
        return path

    return write


def pictures_are_those_of_their_cells(cohort, side=64):
    values = cohort.modalities["img"].values
    assert values.shape == (cohort.n, 3, side, side)
    assert 0 <= values.min() <= values.max() <= 1
    for i, name in enumerate(cohort.ids):
        color = np.array(shade(int(name, 16))) / 255
        # JPEG changes a color by a few levels
        np.testing.assert_allclose(values[i].mean(axis=(1, 2)), color, atol=0.02)


def test_tables_and_pictures_are_joined_by_cell(own):
    cohort = load_cohort(own())
    frames = {name: frame.set_index("cell_id") for name, frame in tables().items()}
    assert cohort.names == ("prot", "rna", "img")
    assert cohort.ids.tolist() == [cell(i) for i in range(N)]
    assert cohort.target.classes == tuple(CLASSES)
    types = [cohort.target.classes[i] for i in cohort.target.label]
    assert types == frames["meta_data_train"]["cell_type"].tolist()
    assert cohort.division.tolist() == frames["meta_data_train"]["donor"].astype(str).tolist()
    for name, table in (("prot", "protein_data_train"), ("rna", "rna_rand_data_train")):
        expected = frames[table].loc[cohort.ids]
        assert cohort.modalities[name].features == tuple(expected.columns)
        np.testing.assert_allclose(cohort.modalities[name].values, expected, rtol=1e-6)
    pictures_are_those_of_their_cells(cohort)


@pytest.mark.parametrize("top", ["bm_images", "."])
def test_pictures_can_come_out_of_an_archive(own, top):
    pictures_are_those_of_their_cells(load_cohort(own(packed=top), modalities=["img"]))


def test_the_size_of_the_pictures_can_be_set(own):
    pictures_are_those_of_their_cells(load_cohort(own(), size=16, modalities=["img"]), side=16)
    with pytest.raises(DataError, match="size: expected 8 pixels or more, got 4"):
        load_cohort(own(), size=4)


def test_pictures_are_resized_bilinearly(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (250, 250, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    made = read_pictures(tmp_path, ["a.png"], 64)[0]
    expected = Image.fromarray(pixels).resize((64, 64), Image.Resampling.BILINEAR)
    np.testing.assert_allclose(made, np.moveaxis(np.asarray(expected), -1, 0) / 255, rtol=1e-6)


def test_one_donor_is_left_out_at_a_time_and_pictures_stay_as_they_are(own):
    cohort = load_cohort(own(), unit="donor")
    splits = make_splits(cohort, repeats=3, unit="donor")
    assert [s.held_out for s in splits] == ["13176", "31800", "32606"]
    for split in splits:
        fold = make_fold(cohort, split)
        assert (len(fold.train), len(fold.val), len(fold.test)) == (39, 9, 24)
        assert fold.held_out == split.held_out
        np.testing.assert_array_equal(
            fold.test.values["img"].numpy(), cohort.modalities["img"].values[split.test]
        )
        assert abs(float(fold.train.values["prot"].mean())) < 1e-5


def test_a_cell_without_a_row_lacks_the_modality_and_the_first_of_two_rows_counts(own):
    frames = tables()
    rna = frames["rna_rand_data_train"]
    twice = pd.concat([rna, rna.assign(g0=9.0)])
    images = frames["image_data"]
    fewer = images[images["cell_id"] != cell(5)]
    cohort = load_cohort(own(rna_rand_data_train=twice, image_data=fewer))
    assert cohort.modalities["rna"].values[:, 0].max() < 1
    assert np.flatnonzero(~cohort.modalities["img"].present).tolist() == [5]
    assert cohort.modalities["rna"].present.all()


def test_the_counts_of_the_card_are_checked(own):
    counts = {"samples": N, "patients": N, "classes": [18] * 4, "features": {"img": 3}}
    donors = {str(donor): 24 for donor in DONORS}
    lines = check(own(expected=counts | {"division": donors}))
    assert any(line.startswith("loads by donor") for line in lines)
    with pytest.raises(DataError, match="expected division .*'31800': 25"):
        check(own(expected=counts | {"division": donors | {"31800": 25}}))


def test_a_missing_picture_is_named(own, tmp_path):
    path = own()
    name = "BP/X_00001.png"
    (tmp_path / "citeseq_hspc/bm_images" / name).unlink()
    with pytest.raises(DataError, match=f"expected a picture '{name}'.*got none"):
        load_cohort(path)


def test_a_missing_picture_of_an_archive_is_named(own):
    images = tables()["image_data"]
    images.loc[images["cell_id"] == cell(7), "file_path"] = "EryP/none.jpg"
    with pytest.raises(DataError, match="expected a picture 'EryP/none.jpg'"):
        load_cohort(own(packed="bm_images", image_data=images))


@pytest.mark.parametrize("mode", ["L", "RGBA", "P"])
def test_pictures_without_three_colors_are_refused(own, tmp_path, mode):
    path = own()
    Image.new(mode, (30, 30)).save(tmp_path / "citeseq_hspc/bm_images/BP/X_00001.png")
    with pytest.raises(
        DataError, match=rf"X_00001.png': expected .* \(mode RGB\), got mode {mode}"
    ):
        load_cohort(path)


def test_damaged_pictures_and_archives_are_refused(own, tmp_path):
    path = own()
    picture = tmp_path / "citeseq_hspc/bm_images/BP/X_00001.png"
    picture.write_bytes(picture.read_bytes()[:60])
    with pytest.raises(DataError, match="expected a picture as JPEG, PNG, TIFF"):
        load_cohort(path)
    archive = tmp_path / "damaged.tar"
    archive.write_bytes(b"no archive")
    with pytest.raises(DownloadError, match="or a tar archive of it"):
        read_pictures(archive, ["a.png"], 64)


@pytest.mark.parametrize(
    ("name", "changes", "message"),
    [
        ("meta_data_train", {"cell_type": "HSC"}, "the classes BP, EryP, MoP, NeuP .*got 'HSC'"),
        ("meta_data_train", {"donor": np.nan}, "expected a donor for every cell, got none for 72"),
        ("protein_data_train", {"a": "high"}, "expected columns of numbers .* got 'a'"),
        ("rna_rand_data_train", {"cell_id": "other"}, "expected cells of the table of cells"),
    ],
)
def test_tables_that_cannot_be_used_are_refused(own, name, changes, message):
    frame = tables()[name].assign(**changes)
    with pytest.raises(DataError, match=message):
        load_cohort(own(**{name: frame}))


def test_columns_of_the_schema_are_required(own):
    frame = tables()["meta_data_train"].drop(columns="donor")
    with pytest.raises(DataError, match="expected the columns donor"):
        load_cohort(own(meta_data_train=frame))


def test_nothing_of_the_table_of_cells_is_an_input(own):
    cohort = load_cohort(own())
    features = {f for m in cohort.modalities.values() for f in m.features}
    assert not features & {"cell_id", "day", "donor", "cell_type", "technology", "file_path"}
