"""ADNI: files of the form that its card asks for, with made-up values and small volumes."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import yaml
from typer.testing import CliRunner

from mmlego.data import load_card, load_cohort, make_fold, make_splits
from mmlego.data.commands import app
from mmlego.data.sources.images.adni import read_volumes, shrunk
from mmlego.errors import DataError, DownloadError

CLASSES = ["CN", "MCI", "AD"]
N, VARIANTS, SHAPE = 30, 6, (5, 7, 6)
IDS = [f"{i:03d}_S_{i:04d}" for i in range(N)]


def tables():
    rng = np.random.default_rng(0)
    frames = {
        "subjects": pd.DataFrame({"label": np.array(CLASSES)[np.arange(N) % 3]}),
        "biospecimen": pd.DataFrame(rng.random((N, 2)), columns=["abeta", "tau"]),
        "clinical": pd.DataFrame(rng.random((N, 3)), columns=["age", "male", "weight"]),
    }
    for name, frame in frames.items():
        frame.insert(0, "subject", IDS)
        if name != "subjects":
            frames[name] = frame.sample(frac=1, random_state=1)  # the order is no key
    return frames


def variants(rows=range(N)):
    dosage = (np.add.outer(np.arange(N), np.arange(VARIANTS)) % 4 - 1).astype(np.int8)
    rows = list(rows)
    names = [f"rs{i}" for i in range(VARIANTS)]
    return {
        "subject": np.array(IDS)[rows],
        "variant": np.array(names),
        "dosage": dosage[rows],
    }


def volumes(rows=range(N)):
    rng = np.random.default_rng(1)
    made = {name: rng.random(SHAPE).astype(np.float32) for name in IDS}
    return {IDS[i]: made[IDS[i]] for i in rows}


@pytest.fixture
def own(tmp_path, root):
    """Write files of the form of the card; returns what gives the path of the card."""

    def write(genomic=None, mri=None, **replaced):
        folder = tmp_path / "adni"
        folder.mkdir(exist_ok=True)
        for name, frame in (tables() | replaced).items():
            frame.to_csv(folder / f"{name}.csv", index=False)
        np.savez_compressed(folder / "genomic.npz", **(variants() if genomic is None else genomic))
        np.savez_compressed(folder / "mri.npz", **(volumes() if mri is None else mri))
        card = yaml.safe_load((root / "data/adni.yaml").read_text()) | {"name": "memory"}
        path = tmp_path / "memory.yaml"
        path.write_text(yaml.safe_dump(card, sort_keys=False))
        return path

    return write


def test_files_are_joined_by_subject_in_any_order(own):
    order = np.random.default_rng(2).permutation(N)
    cohort = load_cohort(own(genomic=variants(order), mri=volumes(order)))
    assert cohort.ids.tolist() == IDS
    assert cohort.target.classes == tuple(CLASSES)
    assert cohort.target.label.tolist() == (np.arange(N) % 3).tolist()
    assert cohort.names == ("biospecimen", "clinical", "genomic", "mri")
    for name in ("biospecimen", "clinical"):
        expected = tables()[name].set_index("subject").loc[IDS]
        assert cohort.modalities[name].features == tuple(expected.columns)
        np.testing.assert_allclose(cohort.modalities[name].values, expected, rtol=1e-6)
    copies = variants()["dosage"].astype(float)
    copies[copies < 0] = np.nan
    np.testing.assert_array_equal(cohort.modalities["genomic"].values, copies)
    assert cohort.modalities["genomic"].features[0] == "rs0"
    expected = np.stack(list(volumes().values()))[:, None]
    np.testing.assert_array_equal(cohort.modalities["mri"].values, expected)
    assert all(here.all() for here in cohort.present.values())


def test_subjects_that_a_file_does_not_name_lack_the_modality(own):
    few = tables()["biospecimen"].query("subject != @IDS[4]")
    cohort = load_cohort(own(genomic=variants(range(3, N)), mri=volumes([9, 20]), biospecimen=few))
    here = {name: np.flatnonzero(flags).tolist() for name, flags in cohort.present.items()}
    assert here["biospecimen"] == [i for i in range(N) if i != 4]
    assert here["clinical"] == list(range(N))
    assert here["genomic"] == list(range(3, N))
    assert here["mri"] == [9, 20]
    np.testing.assert_array_equal(cohort.modalities["mri"].values[20, 0], volumes()[IDS[20]])


def test_variants_can_be_a_table(own, tmp_path):
    path = own()
    wide = variants()
    table = pd.DataFrame(wide["dosage"], columns=wide["variant"])
    table.insert(0, "subject", wide["subject"])
    table.to_csv(tmp_path / "adni/genomic.csv", index=False)
    path.write_text(path.read_text().replace("genomic.npz\n", "genomic.csv\n"))
    cohort = load_cohort(path, modalities=["genomic"])
    np.testing.assert_array_equal(cohort.modalities["genomic"].values, wide["dosage"])


def test_a_fold_scales_volumes_on_the_training_part(own):
    cohort = load_cohort(own(mri=volumes(range(2, N))))
    values = cohort.modalities["mri"].values
    split = make_splits(cohort, repeats=1)[0]
    fold = make_fold(cohort, split)
    here = cohort.present["mri"]
    train = values[np.intersect1d(split.train, np.flatnonzero(here))]
    scaler = fold.scalers["mri"]
    np.testing.assert_allclose(scaler.mean, [train.mean(dtype=np.float64)], rtol=1e-6)
    for index, part in ((split.train, fold.train), (split.test, fold.test)):
        expected = (values[index] - scaler.mean[0]) / scaler.std[0]
        expected[~here[index]] = 0.0
        np.testing.assert_allclose(part.values["mri"], expected, atol=1e-5)
    assert fold.kinds["mri"] == "volume"
    assert fold.widths["mri"] == 1
    assert fold.test.batch([0, 1]).inputs["mri"].shape == (2, 1, *SHAPE)
    assert fold.test.batch([0, 1]).masks == {}


def test_a_volume_with_channels_is_scaled_by_channel(make_modality, make_cohort):
    values = np.random.default_rng(0).random((40, 2, 3, 4, 5)).astype(np.float32)
    values[:, 1] *= 100
    volume = make_modality(values, kind="volume", features=("a", "b"))
    cohort = make_cohort(task="classification", modalities={"m": volume})
    assert volume.width == 2
    fold = make_fold(cohort, make_splits(cohort, repeats=1)[0])
    scaled = fold.train.values["m"]
    np.testing.assert_allclose(scaled.mean(dim=(0, 2, 3, 4)), 0, atol=1e-5)
    np.testing.assert_allclose(scaled.std(dim=(0, 2, 3, 4)), 1, atol=1e-3)
    with pytest.raises(DataError, match=r"expected \(n, ch, d, h, w\) with 3 features"):
        make_modality(values, kind="volume", features=("a", "b", "c"))


def test_volumes_are_shrunk_by_means_of_cubes(own):
    volume = np.arange(5 * 7 * 6, dtype=np.float32).reshape(SHAPE)
    small = shrunk(volume, 2)
    assert small.shape == (2, 3, 3)
    assert small[1, 2, 0] == volume[2:4, 4:6, 0:2].mean()
    cohort = load_cohort(own(), modalities=["mri"], factor=2)
    expected = np.stack([shrunk(v, 2) for v in volumes().values()])
    np.testing.assert_array_equal(cohort.modalities["mri"].values[:, 0], expected)
    with pytest.raises(DataError, match="sides of 6 .the factor. or more"):
        load_cohort(own(), modalities=["mri"], factor=6)
    for factor in (0, 1.5, True):
        with pytest.raises(DataError, match="factor: expected a whole number of 1"):
            load_cohort(own(), factor=factor)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"dosage": np.full((N, VARIANTS), 3)}, "expected 0, 1 or 2 copies.*got 3"),
        ({"dosage": np.full((N, VARIANTS), 0.5)}, "expected 0, 1 or 2 copies"),
        ({"dosage": np.zeros((N, 2))}, r"expected a dosage \(30, 6\).*got \(30, 2\)"),
        ({"subject": np.repeat(IDS[0], N)}, "no subject twice"),
        ({"subject": np.array([f"x{i}" for i in range(N)])}, "got none of them"),
    ],
)
def test_variants_that_cannot_be_used_are_refused(own, changes, message):
    with pytest.raises(DataError, match=message):
        load_cohort(own(genomic=variants() | changes))


def test_archives_without_an_array_are_refused(own):
    stored = variants()
    del stored["variant"]
    with pytest.raises(DataError, match="expected the arrays subject, variant, dosage.*no variant"):
        load_cohort(own(genomic=stored))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({IDS[0]: np.zeros((2, 5, 7, 6))}, r"expected volumes \(d, h, w\).*got \(2, 5, 7, 6\)"),
        ({IDS[3]: np.zeros((5, 7, 5))}, rf"'{IDS[3]}': expected a volume \(5, 7, 6\)"),
        ({IDS[3]: np.full(SHAPE, np.inf)}, "expected finite values or NaN, got infinity"),
    ],
)
def test_volumes_that_cannot_be_used_are_refused(own, changes, message):
    with pytest.raises(DataError, match=message):
        load_cohort(own(mri=volumes() | changes))


@pytest.mark.parametrize("damage", ["text", "array", "cut"])
def test_damaged_archives_are_named(own, tmp_path, damage):
    own()
    path = tmp_path / "adni/mri.npz"
    if damage == "array":
        with open(path, "wb") as file:
            np.save(file, np.zeros(3))
    else:
        path.write_bytes(b"no archive" if damage == "text" else path.read_bytes()[:500])
    with pytest.raises(DownloadError, match=r"mri\.npz': expected an archive of numpy"):
        read_volumes(path, IDS, 1)


def test_labels_are_named_and_never_an_input(own):
    numbers = tables()["subjects"].assign(label=1)
    with pytest.raises(DataError, match=r"labels among .*, got \[.1.\]"):
        load_cohort(own(subjects=numbers))
    leaking = tables()["clinical"].assign(label=2.0)
    assert "label" not in load_cohort(own(clinical=leaking)).modalities["clinical"].features


def test_show_says_what_to_obtain_and_where_to_put_it():
    shown = CliRunner().invoke(app, ["show", "adni"]).output
    for name, source in load_card("adni").sources.items():
        assert source.gated
        assert f"file {name}: {source.path} -> {source.obtain}" in shown
    for part in ("https://ida.loni.usc.edu", "DXSUM", "APOERES", "plink", "(91, 109, 91)", "-1"):
        assert part in shown


def test_a_missing_file_says_what_to_do(tmp_path):
    with pytest.raises(DownloadError, match=r"adni/subjects.csv'.*DXSUM.*<data root>/adni"):
        load_cohort("adni", data_dir=tmp_path)
