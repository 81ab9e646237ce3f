from __future__ import annotations

import io
import tarfile
import time

import numpy as np
import pandas as pd
import pytest
import yaml
from PIL import Image

from mmlego.data import load_cohort, load_splits, make_fold, make_splits
from mmlego.data.sources.images.dermatology import CLINICAL, SITES, clinical_features, drawn
from mmlego.data.sources.images.dermatology_images import (
    CELL_FEATURES,
    area_average,
    patch_tokens,
    small_picture,
)
from mmlego.data.sources.images.dermatology_raw import listed_images, pack, prepare_ham10000, shrink
from mmlego.errors import DataError, DownloadError

N, MELANOMAS = 60, 6
LEAKS = ("dx", "dx_type", "dataset", "part", "malignant")


def jpeg(seed, size=(128, 128), mode="RGB"):
    """Large squares of random colors, so that the compression changes little."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (4, 4, 3), dtype=np.uint8)
    picture = Image.fromarray(coarse).resize(size, Image.Resampling.NEAREST).convert(mode)
    packed = io.BytesIO()
    picture.save(packed, "JPEG", quality=95)
    return packed.getvalue()


def rows():
    """Two images of each of three lesions with a melanoma, and one or two of each of 45 others."""
    rng = np.random.default_rng(5)
    label = (np.arange(N) < MELANOMAS).astype(int)
    lesion = np.where(label == 1, np.arange(N) // 2, np.arange(N) - (np.arange(N) % 6 == 1))
    return pd.DataFrame(
        {
            "lesion_id": [f"L{i}" for i in lesion],
            "image_id": [f"I{i:03d}" for i in rng.permutation(N)],
            "dx": np.where(label == 1, "mel", "nv"),
            "dx_type": "histo",
            "age": rng.integers(1, 18, N) * 5.0,
            "sex": rng.choice(["male", "female"], N),
            "localization": rng.choice(SITES, N),
            "dataset": "rosendahl",
            "part": "HAM10000",
            "melanoma": label,
            "malignant": label,
        }
    )


@pytest.fixture
def own(tmp_path, root):
    """Write a table and an archive with a card without checksums; returns the path of the card."""

    def write(table=None, replaced=None, **changes):
        table = rows() if table is None else table
        files = {f"{i}.jpg": jpeg(int(i[1:])) for i in table["image_id"]} | (replaced or {})
        (tmp_path / "i.tar").write_bytes(pack({n: c for n, c in files.items() if c is not None}))
        table.to_csv(tmp_path / "t.csv", index=False)
        card = yaml.safe_load((root / "data/ham10000.yaml").read_text())
        card |= {"name": "skin", "expected": None, **changes}
        card["sources"] = {"images": {"path": "i.tar"}, "table": {"path": "t.csv"}}
        path = tmp_path / "skin.yaml"
        path.write_text(yaml.safe_dump(card))
        return path

    return write


def everything(path, **options):
    return load_cohort(path, modalities=["clin", "img", "photo"], **options)


def test_one_sample_per_image_with_the_lesion_as_group(own):
    cohort = everything(own(), negatives_per_positive=None)
    table = rows().sort_values("image_id")
    assert cohort.ids.tolist() == table["image_id"].tolist()
    assert cohort.groups.tolist() == table["lesion_id"].tolist()
    assert cohort.target.label.tolist() == table["melanoma"].tolist()
    assert cohort.target.classes == ("no melanoma", "melanoma")
    kinds = {name: (m.kind, m.width) for name, m in cohort.modalities.items()}
    assert kinds == {"clin": ("tabular", 19), "img": ("bag", 48), "photo": ("image", 3)}


def test_image_and_row_belong_together_whatever_the_order_of_the_rows(own):
    first = everything(own(), negatives_per_positive=2)
    again = everything(own(rows().sample(frac=1, random_state=1)), negatives_per_positive=2)
    assert again.fingerprint() == first.fingerprint()
    for i, name in enumerate(first.ids):
        image = np.asarray(Image.open(io.BytesIO(jpeg(int(name[1:])))))
        np.testing.assert_array_equal(first.modalities["img"].values[i], patch_tokens(image, 16))
        np.testing.assert_array_equal(first.modalities["photo"].values[i], small_picture(image, 64))


def test_what_tells_the_label_has_no_influence_on_any_input(own):
    def inputs(table):
        cohort = everything(own(table), negatives_per_positive=None)
        return [m.values for m in cohort.modalities.values()], cohort

    plain, cohort = inputs(rows())
    changed, _ = inputs(rows().assign(melanoma=1 - rows()["melanoma"], **dict.fromkeys(LEAKS, 7)))
    for a, b in zip(plain, changed, strict=True):
        np.testing.assert_array_equal(np.asarray(a), np.asarray(b))
    features = {f for m in cohort.modalities.values() for f in m.features}
    assert not features & {*LEAKS, "melanoma", "lesion_id", "image_id"}
    assert inputs(rows().drop(columns=list(LEAKS)))[1].n == N  # they are not even read


def test_negatives_are_drawn_by_whole_lesions(own):
    table = rows()
    full = {lesion: len(part) for lesion, part in table.groupby("lesion_id")}
    for draw in range(5):
        cohort = load_cohort(own(), modalities=["clin"], negatives_per_positive=5, draw=draw)
        assert np.bincount(cohort.target.label).tolist() == [5 * MELANOMAS, MELANOMAS]
        for lesion, count in zip(*np.unique(cohort.groups, return_counts=True), strict=True):
            assert count == full[lesion]


def test_the_drawing_has_a_seed_of_its_own(own):
    def ids(**options):
        return set(load_cohort(own(), modalities=["clin"], **options).ids)

    assert ids(seed=0) == ids(seed=1)
    assert ids(draw=0) != ids(draw=1)
    assert len(ids(negatives_per_positive=100)) == N


def test_an_image_without_melanoma_of_a_lesion_with_one_counts_and_stays():
    groups = pd.Series(["a", "a", "b", "c", "d", "e"])
    label = pd.Series([1, 0, 0, 0, 0, 0])
    for seed in range(5):
        kept = drawn(groups, label, 2, seed)
        assert kept[:2].all()
        assert kept.sum() == 3


def test_lesions_are_never_divided(own):
    cohort = load_cohort(own(), modalities=["clin"], negatives_per_positive=None)
    assert len(set(cohort.groups)) < cohort.n
    for split in make_splits(cohort, repeats=10):
        parts = [set(cohort.groups[index]) for index in split.parts().values()]
        assert sum(map(len, parts)) == len(set.union(*parts))


def test_gaps_have_columns_of_their_own():
    table = pd.DataFrame(
        {
            "age": [45.0, np.nan, 0.0],
            "sex": ["male", np.nan, "female"],
            "localization": ["back", "unknown", np.nan],
        }
    )
    found = pd.DataFrame(clinical_features(table), columns=CLINICAL)
    assert found["age"].iloc[0] == 45
    assert found["age"].isna().tolist() == [False, True, True]
    assert found["age unknown"].tolist() == [0, 1, 1]
    assert found["male"].iloc[[0, 2]].tolist() == [1, 0]
    assert np.isnan(found["male"].iloc[1])
    assert found["sex unknown"].tolist() == [0, 1, 0]
    sites = found[[c for c in CLINICAL if c.startswith("site")]]
    assert sites.sum(axis=1).tolist() == [1, 1, 1]
    assert sites["site: back"].tolist() == [1, 0, 0]
    assert sites["site: unknown"].tolist() == [0, 1, 1]


def test_a_sample_of_which_nothing_is_known_lacks_the_table(own):
    table = rows()
    table.loc[7, ["age", "sex", "localization"]] = [np.nan, "unknown", "unknown"]
    table.loc[8, ["age", "sex"]] = [np.nan, "unknown"]
    cohort = everything(own(table), negatives_per_positive=None)
    assert cohort.ids[~cohort.present["clin"]].tolist() == [table["image_id"][7]]
    assert cohort.present["img"].all()


def test_patches_come_row_by_row_and_so_do_their_cells():
    image = np.zeros((128, 128, 3), np.uint8)
    image[16:32, 48:64] = (0, 51, 255)  # second row of patches, fourth column
    tokens = patch_tokens(image, 16)
    assert tokens.shape == (64, 48)
    assert np.flatnonzero(tokens.any(axis=1)).tolist() == [8 + 3]
    np.testing.assert_allclose(tokens[11].reshape(16, 3), np.tile([0, 0.2, 1], (16, 1)))
    image = np.zeros((128, 128, 3), np.uint8)
    image[4:8, 8:12, 0] = 255  # second row of cells, third column
    hit = patch_tokens(image, 16)[0]
    assert [CELL_FEATURES[i] for i in np.flatnonzero(hit)] == ["r1c2_red"]


@pytest.mark.parametrize(("patch", "tokens"), [(4, 1024), (8, 256), (32, 16), (128, 1)])
def test_other_patches_have_as_many_features(own, patch, tokens):
    bags = load_cohort(own(), modalities=["img"], patch=patch).modalities["img"].values
    assert {bag.shape for bag in bags} == {(tokens, 48)}


def test_pictures_are_shrunk_to_mean_colors(own):
    image = np.random.default_rng(0).integers(0, 256, (128, 128, 3), dtype=np.uint8)
    expected = image[2:4, 126:128].mean(axis=(0, 1)) / 255
    np.testing.assert_allclose(small_picture(image, 64)[:, 1, 63], expected, rtol=1e-6)
    white = np.full((128, 128, 3), 255, np.uint8)
    assert (area_average(white, 32) == 1).all()  # no overflow
    photo = load_cohort(own(), modalities=["photo"], size=32).modalities["photo"]
    assert photo.values.shape[1:] == (3, 32, 32)
    assert photo.values.min() >= 0
    assert photo.values.max() <= 1


def test_pixels_are_the_same_pictures_and_stay_in_the_unit_interval(own):
    cohort = load_cohort(own(), modalities=["photo", "pixels"])
    photo, pixels = (cohort.modalities[name].values for name in ("photo", "pixels"))
    np.testing.assert_array_equal(photo, pixels)
    fold = make_fold(cohort, make_splits(cohort, repeats=1)[0])
    assert fold.train.values["pixels"].min() >= 0
    assert fold.train.values["pixels"].max() <= 1
    assert fold.train.values["photo"].min() < 0


def test_a_fold_scales_every_channel_on_the_training_part(own):
    cohort = everything(own(), negatives_per_positive=None)
    values = cohort.modalities["photo"].values
    values[:, 1] *= 0.1
    split = make_splits(cohort, repeats=1)[0]
    fold = make_fold(cohort, split)
    train = values[split.train]
    np.testing.assert_allclose(
        fold.scalers["photo"].mean, train.mean(axis=(0, 2, 3), dtype=np.float64), rtol=1e-5
    )
    scaled = fold.train.values["photo"]
    np.testing.assert_allclose(scaled.mean(dim=(0, 2, 3)), 0, atol=1e-5)
    np.testing.assert_allclose(scaled.std(dim=(0, 2, 3)), 1, atol=1e-3)
    scaler = fold.scalers["photo"]
    shape = (3, 1, 1)
    expected = (values[split.test] - scaler.mean.reshape(shape)) / scaler.std.reshape(shape)
    np.testing.assert_allclose(fold.test.values["photo"], expected, atol=1e-5)
    batch = fold.test.batch([0, 1])
    assert batch.inputs["photo"].shape == (2, 3, 64, 64)
    assert batch.inputs["img"].shape == (2, 64, 48)
    assert fold.kinds["photo"] == "image"
    assert fold.widths["photo"] == 3


@pytest.mark.parametrize(
    ("replaced", "message"),
    [
        (b"no picture", r"i\.tar': 'I003\.jpg': expected a JPEG image"),
        (jpeg(3)[:400], r"'I003\.jpg': expected a JPEG image.*Truncated"),
        (jpeg(3, (64, 128)), r"'I003\.jpg': expected a color image of 128 x 128.*\(128, 64, 3\)"),
        (jpeg(3, mode="L"), r"'I003\.jpg': expected a color image"),
        (None, r"one image per row of the table, got none for 1, the first 'I003\.jpg'"),
    ],
)
def test_damaged_and_missing_images_are_named(own, replaced, message):
    path = own(replaced={"I003.jpg": replaced})
    with pytest.raises(DataError, match=message):
        load_cohort(path, negatives_per_positive=None)
    assert load_cohort(path, modalities=["clin"]).n > 0  # the images are not needed for the table


def test_a_damaged_archive_is_named(own):
    path = own()
    (path.parent / "i.tar").write_bytes(b"x" * 2000)
    with pytest.raises(DownloadError, match=r"i\.tar': expected a tar archive"):
        load_cohort(path)


def test_nothing_is_unpacked_to_disk(own, tmp_path):
    path = own(replaced={"../outside.txt": b"x"})
    before = set(tmp_path.parent.rglob("*"))
    load_cohort(path)
    assert set(tmp_path.parent.rglob("*")) == before


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"patch": 12}, "patch: expected one of 4, 8, 16, 32, 64, 128 pixels .*got 12"),
        ({"patch": 2}, "patch: expected one of"),
        ({"size": 100}, "size: expected one of 8, 16, 32, 64, 128 pixels .*got 100"),
        ({"negatives_per_positive": 0}, "negatives_per_positive: expected a whole number of 1"),
        ({"negatives_per_positive": 2.5}, "negatives_per_positive: expected a whole number"),
        ({"draw": -1}, "draw: expected a whole number of 0 or more"),
        ({"patches": 8}, "did you mean 'patch'"),
    ],
)
def test_bad_options_are_refused(own, options, message):
    with pytest.raises(DataError, match=message):
        load_cohort(own(), **options)


@pytest.mark.parametrize(
    ("column", "value", "message"),
    [
        ("sex", "m", "column 'sex': expected female, male or unknown, got 'm'"),
        ("localization", "knee", "column 'localization': .*got 'knee'"),
        ("melanoma", 2, "expected 0 or 1 in column 'melanoma'"),
        ("image_id", "I000", "duplicates"),
    ],
)
def test_bad_tables_are_refused(own, column, value, message):
    table = rows()
    table.loc[:1, column] = value
    path = own(table)
    with pytest.raises(DataError, match=message):
        load_cohort(path, modalities=["clin"], negatives_per_positive=None)


def test_a_table_without_a_needed_column_is_refused(own):
    path = own(rows().drop(columns="age"))
    with pytest.raises(DataError, match="expected the columns age"):
        load_cohort(path, modalities=["clin"])


def test_real_images_have_the_known_counts_and_load_in_time(mirror):
    start = time.monotonic()
    cohort = load_cohort("ham10000")
    assert time.monotonic() - start < 30  # seconds; about two on a free core
    assert cohort.n == len(set(cohort.ids)) == 3972
    assert np.bincount(cohort.target.label).tolist() == [3310, 662]
    assert len(set(cohort.groups)) == 3797
    assert cohort.present["clin"].sum() == 3803
    assert cohort.modalities["img"].values[0].shape == (64, 48)
    assert cohort.modalities["clin"].features == CLINICAL


def test_committed_splits_of_the_real_images_equal_the_rule(real):
    cohort = real("ham10000", modalities=["clin"])
    made = make_splits(cohort, repeats=5)
    for stored, split in zip(load_splits(cohort, 5), made, strict=True):
        assert stored.source == "ham10000.csv.gz"
        for part, index in split.parts().items():
            assert (stored.parts()[part] == index).all()
            share = cohort.target.label[index].mean()
            assert share == pytest.approx(1 / 6, abs=0.03)


@pytest.fixture
def official(tmp_path):
    """Three official images, two of them training images, with their tables."""
    folder = tmp_path / "official"
    (folder / "part_1").mkdir(parents=True)
    columns = ["lesion_id", "image_id", "dx", "dx_type", "age", "sex", "localization", "dataset"]
    table = rows()[columns].iloc[[0, 10, 20]].assign(image_id=["ISIC_1", "ISIC_0", "ISIC_2"])
    table.iloc[:2].to_csv(folder / "HAM10000_metadata.csv", index=False)
    test = table.iloc[2:].to_csv(index=False, sep="\t", quotechar='"', quoting=2)
    (folder / "ISIC2018_Task3_Test_GroundTruth.tab").write_text(test)
    for i in range(3):
        (folder / "part_1" / f"ISIC_{i}.jpg").write_bytes(jpeg(i, (600, 450)))
    return folder


def prepared(folder, out, images=("ISIC_0", "ISIC_1", "ISIC_2"), **options):
    return prepare_ham10000(folder, out, images=pd.Series(list(images)), **options)


def test_preparation_writes_what_the_loader_reads(official, tmp_path, root):
    lines = []
    archive, table = prepared(official, tmp_path / "out", log=lines.append)
    assert lines[0] == "HAM10000_metadata: 2 images"
    found = pd.read_csv(table)
    assert found["image_id"].tolist() == ["ISIC_0", "ISIC_1", "ISIC_2"]
    assert found["part"].tolist() == ["HAM10000", "HAM10000", "ISIC2018_test"]
    assert found[["melanoma", "malignant"]].to_numpy().tolist() == [[0, 0], [1, 1], [0, 0]]
    again = prepared(official, tmp_path / "again")[0]
    assert again.read_bytes() == archive.read_bytes()
    card = yaml.safe_load((root / "data/ham10000.yaml").read_text())
    card["sources"] = {"images": {"path": archive.name}, "table": {"path": table.name}}
    path = tmp_path / "out" / "skin.yaml"
    path.write_text(yaml.safe_dump(card | {"name": "skin", "expected": None}))
    assert everything(path).ids.tolist() == ["ISIC_0", "ISIC_1", "ISIC_2"]


def test_preparation_keeps_the_listed_images_only(official, tmp_path):
    archive, table = prepared(official, tmp_path / "out", images=["ISIC_1"])
    assert pd.read_csv(table)["image_id"].tolist() == ["ISIC_1"]
    with tarfile.open(archive) as packed:
        assert packed.getnames() == ["ISIC_1.jpg"]


def test_images_are_cut_to_the_central_square(tmp_path):
    wide = np.zeros((450, 600, 3), np.uint8)
    wide[:, 75:525] = 255
    Image.fromarray(wide).save(tmp_path / "wide.jpg", quality=95)
    small = np.asarray(Image.open(io.BytesIO(shrink(tmp_path / "wide.jpg"))))
    assert small.shape == (128, 128, 3)
    assert small[:, 2:-2].min() > 245


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda f: (f / "part_1/ISIC_0.jpg").unlink(), "one image per .*the first 'ISIC_0'"),
        (lambda f: (f / "part_1/ISIC_0.jpg").write_bytes(b"x"), "ISIC_0.jpg': expected a JPEG"),
        (lambda f: (f / "HAM10000_metadata.csv").unlink(), "expected a table HAM10000_metadata"),
        (lambda f: (f / "HAM10000_metadata.csv").write_text(""), "expected a table, got"),
        (lambda f: (f / "HAM10000_metadata.csv").write_text("a,b\n1,2"), "the columns lesion_id"),
    ],
)
def test_damaged_official_files_write_nothing(official, tmp_path, damage, message):
    damage(official)
    with pytest.raises(DataError, match=message):
        prepared(official, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_listed_image_without_a_row_is_named(official, tmp_path):
    with pytest.raises(DataError, match="one row per listed image, got none for 1, .*'ISIC_9'"):
        prepared(official, tmp_path / "out", images=["ISIC_0", "ISIC_9"])


def test_the_prepared_files_are_those_of_the_mirror(mirror, tmp_path):
    folder = mirror / "ham10000"
    table = pd.read_csv(folder / "metadata_7496.csv")
    assert listed_images().tolist() == table["image_id"].tolist()
    with tarfile.open(folder / "ham10000_128_lanczos_q90.tar") as stored:
        files = {m.name: stored.extractfile(m).read() for m in stored.getmembers()}
    assert pack(files) == (folder / "ham10000_128_lanczos_q90.tar").read_bytes()
    # the table alone: stand-ins for the official images
    for part, name in (
        ("HAM10000", "HAM10000_metadata"),
        ("ISIC2018_test", "ISIC2018_Task3_Test_GroundTruth"),
    ):
        official = table[table["part"] == part].drop(columns=["part", "melanoma", "malignant"])
        official.sample(frac=1, random_state=0).to_csv(tmp_path / f"{name}.csv", index=False)
    some = table["image_id"][::20]
    for i in some:
        (tmp_path / f"{i}.jpg").write_bytes(files[f"{i}.jpg"])
    written = prepared(tmp_path, tmp_path / "out", images=some)[1].read_text().splitlines()
    lines = (folder / "metadata_7496.csv").read_text().splitlines()
    assert written == [lines[0], *lines[1::20]]
