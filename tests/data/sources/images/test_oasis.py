"""OASIS-1: made-up slices and a table of its form, and the counts of the real files."""

from __future__ import annotations

import io
import tarfile

import numpy as np
import pandas as pd
import pytest
import yaml
from PIL import Image

from mmlego.data import load_cohort, load_splits, make_fold, make_splits
from mmlego.data.cards.availability import check
from mmlego.data.sources.images.oasis import CLINICAL, COLUMNS, PLANES, SIDE
from mmlego.errors import DataError, DownloadError

N = 30


def table():
    """Thirty subjects of the cohort, and one of each kind that is left out."""
    rng = np.random.default_rng(0)
    rows = pd.DataFrame(
        {
            "ID": [f"OAS1_{i:04d}_MR1" for i in range(N)],
            "sex": rng.choice(["F", "M"], N),
            "hand": "R",
            "age": rng.integers(60, 90, N),
            "education": rng.integers(1, 6, N),
            "SES": np.where(np.arange(N) % 7 == 0, np.nan, 2.0),
            "MMSE": rng.integers(14, 31, N),
            "CDR": np.array([0.0, 0.5, 1.0])[np.arange(N) % 3],
            "eTIV": rng.integers(1200, 1900, N),
            "nWBV": rng.random(N),
            "ASF": rng.random(N) + 0.7,
            "Delay": np.nan,
        }
    )[list(COLUMNS)]
    young = rows.iloc[[0]].assign(ID="OAS1_0100_MR1", age=25, CDR=np.nan, MMSE=np.nan)
    rated = rows.iloc[[0]].assign(ID="OAS1_0101_MR1", age=59, CDR=0.0)
    again = rows.iloc[[0]].assign(ID="OAS1_0100_MR2", age=25, CDR=np.nan, Delay=30)
    severe = rows.iloc[[0]].assign(ID="OAS1_0102_MR1", CDR=2.0)
    return pd.concat([rows, young, rated, again, severe], ignore_index=True)


def shade(name, channel):
    return 4 * int(name[5:9]) + 40 * channel


def gray(shape, shade, mode="L"):
    packed = io.BytesIO()
    Image.fromarray(np.full(shape, shade, np.uint8)).convert(mode).save(packed, "JPEG")
    return packed.getvalue()


def slices():
    return {
        f"{plane}/{name}_{plane[0]}.jpg": gray(shape, shade(name, i))
        for name in table()["ID"][:N]
        for i, (plane, shape) in enumerate(PLANES.items())
    }


@pytest.fixture
def own(tmp_path, root):
    """Write a table and an archive with a card without checksums; gives the path of the card."""

    def write(rows=None, replaced=None, header=False):
        rows = table() if rows is None else rows
        rows.to_csv(tmp_path / "t.csv", index=False, header=header, na_rep="N/A")
        with tarfile.open(tmp_path / "s.tar", "w") as archive:
            for name, content in (slices() | (replaced or {})).items():
                if content is not None:
                    member = tarfile.TarInfo(name)
                    member.size = len(content)
                    archive.addfile(member, io.BytesIO(content))
        card = yaml.safe_load((root / "data/oasis1.yaml").read_text())
        card |= {"name": "brains", "expected": None}
        card["sources"] = {"table": {"path": "t.csv"}, "slices": {"path": "s.tar"}}
        path = tmp_path / "brains.yaml"
        path.write_text(yaml.safe_dump(card))
        return path

    return write


def test_the_cohort_is_who_is_old_enough_rated_and_has_slices(own):
    cohort = load_cohort(own(table().sample(frac=1, random_state=1)))
    rows = table()[:N]
    assert cohort.ids.tolist() == rows["ID"].tolist()
    assert cohort.groups.tolist() == [name[:9] for name in rows["ID"]]
    assert cohort.target.label.tolist() == (np.arange(N) % 3).tolist()
    assert cohort.names == ("clin", "mri")


def test_slices_belong_to_their_subjects_and_planes(own):
    cohort = load_cohort(own(), size=26)
    values = cohort.modalities["mri"].values
    assert values.shape == (N, 3, 26, 26)
    for name, image in zip(cohort.ids, values, strict=True):
        for i, channel in enumerate(image):
            assert channel[13, 13] == pytest.approx(shade(name, i) / 255, abs=0.01)
    assert cohort.modalities["mri"].features == tuple(PLANES)


def test_a_millimeter_is_equally_long_in_all_planes(own):
    white = {f"{plane}/OAS1_0003_MR1_{plane[0]}.jpg": gray(s, 255) for plane, s in PLANES.items()}
    cohort = load_cohort(own(replaced=white), size=SIDE)
    image = cohort.modalities["mri"].values[3]
    for channel, (h, w) in zip(image, PLANES.values(), strict=True):
        rows, columns = np.flatnonzero(channel.any(axis=1)), np.flatnonzero(channel.any(axis=0))
        assert (len(rows), len(columns)) == (h, w)
        assert rows.sum() == h * (SIDE - 1) / 2  # centered
        assert columns.sum() == w * (SIDE - 1) / 2
        assert channel.max() == 1


def test_columns_are_those_of_the_table_and_gaps_stay_gaps(own):
    cohort = load_cohort(own(), modalities=["clin", "mmse"])
    rows = table()[:N]
    found = pd.DataFrame(cohort.modalities["clin"].values, columns=CLINICAL)
    for name in CLINICAL:
        expected = rows["sex"] == "M" if name == "male" else rows[name]
        np.testing.assert_allclose(found[name], expected.to_numpy(dtype=float), rtol=1e-6)
    assert found["SES"].isna().sum() == 5
    assert cohort.modalities["mmse"].values[:, 0].tolist() == rows["MMSE"].tolist()


def test_rating_score_and_delay_have_no_influence_on_the_default_inputs(own):
    plain = load_cohort(own())
    rows = table()
    rows["CDR"] = rows["CDR"].replace({0.0: 1.0, 1.0: 0.0})
    changed = load_cohort(own(rows.assign(MMSE=3, Delay=7)))
    assert changed.target.label.tolist() != plain.target.label.tolist()
    for name in plain.names:
        np.testing.assert_array_equal(
            changed.modalities[name].values, plain.modalities[name].values
        )
    features = {f for name in plain.names for f in plain.modalities[name].features}
    assert not features & {"CDR", "MMSE", "Delay", "hand", "ID"}


def test_a_fold_leaves_slices_as_they_are(own):
    cohort = load_cohort(own(), size=16)
    split = make_splits(cohort, repeats=1)[0]
    fold = make_fold(cohort, split)
    np.testing.assert_array_equal(
        fold.test.values["mri"].numpy(), cohort.modalities["mri"].values[split.test]
    )
    assert fold.kinds["mri"] == "image"
    assert fold.n_outputs == 3


FILE = "coronal/OAS1_0004_MR1_c.jpg"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, f"expected a slice '{FILE}', got none"),
        (b"no picture", f"s.tar': '{FILE}': expected a picture as JPEG"),
        (gray((176, 208), 3), f"'{FILE}': expected 176 x 176 pixels, got 176 x 208"),
        (gray((176, 176), 3, "RGB"), r"expected a gray picture \(mode L\), got mode RGB"),
    ],
)
def test_slices_that_cannot_be_used_are_named(own, content, message):
    path = own(replaced={FILE: content})
    with pytest.raises(DataError, match=message):
        load_cohort(path)
    assert load_cohort(path, modalities=["clin"]).n == N


def test_a_damaged_archive_is_named(own):
    path = own()
    (path.parent / "s.tar").write_bytes(b"x" * 2000)
    with pytest.raises(DownloadError, match="or a tar archive of it"):
        load_cohort(path)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"sex": "f"}, "expected F, M in column 'sex', got 'f'"),
        ({"CDR": 3.0}, "expected 0.0, 0.5, 1.0, 2.0 in column 'CDR', got '3.0'"),
        ({"age": "old"}, "expected numbers in column 'age', got 'old'"),
        ({"more": 1}, "expected the 12 columns .* got 13"),
    ],
)
def test_tables_that_cannot_be_used_are_refused(own, changes, message):
    with pytest.raises(DataError, match=message):
        load_cohort(own(table().assign(**changes)))


def test_a_header_is_no_row(own):
    with pytest.raises(DataError, match="without its header"):
        load_cohort(own(header=True))


@pytest.mark.parametrize("size", [7, 209, 64.0])
def test_bad_sizes_are_refused(own, size):
    with pytest.raises(DataError, match="size: expected 8 to 208 pixels"):
        load_cohort(own(), size=size)


def test_real_subjects_have_the_known_counts(real):
    assert check("oasis1")
    cohort = real("oasis1")
    assert np.bincount(cohort.target.label).tolist() == [98, 70, 28]
    assert cohort.modalities["mri"].values.shape == (196, 3, 64, 64)
    assert 0 == cohort.modalities["mri"].values.min() < cohort.modalities["mri"].values.max() <= 1
    unknown = np.isnan(cohort.modalities["clin"].values)
    assert unknown.sum(axis=0).tolist() == [0, 0, 0, 18, 0, 0, 0]


def test_committed_splits_of_the_real_subjects_equal_the_rule(real):
    cohort = real("oasis1", modalities=["clin"])
    for stored, made in zip(load_splits(cohort, 25), make_splits(cohort, repeats=25), strict=True):
        assert stored.source == "oasis1.csv"
        assert set(cohort.target.label[made.test]) == {0, 1, 2}
        for part, index in made.parts().items():
            assert (stored.parts()[part] == index).all()
