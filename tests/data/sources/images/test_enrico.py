"""ENRICO: files of the form of its publisher, with made-up topics and tiny pictures."""

from __future__ import annotations

import io
import random
import re
import tarfile

import numpy as np
import pandas as pd
import pytest
import yaml
from PIL import Image
from typer.testing import CliRunner

from mmlego.data import load_card, load_cohort, make_fold, make_splits
from mmlego.data.cards.availability import check
from mmlego.data.commands import app
from mmlego.data.sources.images import enrico
from mmlego.data.sources.images.enrico import published_parts, read_screens
from mmlego.errors import DataError, DownloadError

TOPICS = load_card("enrico").target.classes
N = 60
IDS = [int(i) for i in np.random.default_rng(5).permutation(N) + 100]  # in no order
EXCLUDED = [50105, 50109]
FOLDERS = {"screenshot": ("screenshots", "jpg"), "wireframe": ("wireframes", "png")}


def topic(i):
    return TOPICS[i % 4]


def table(ids=None):
    ids = [*IDS[:7], EXCLUDED[0], *IDS[7:30], EXCLUDED[1], *IDS[30:]] if ids is None else ids
    return pd.DataFrame({"screen_id": ids, "topic": [topic(i) for i in ids]})


def shade(i, name):
    """Each picture has one color, so that it can be told apart after resizing."""
    return (i, 255 - i, 40 if name == "screenshot" else 200)


def expected_picture(i, name):
    return np.array(shade(i, name))[:, None, None] / 255


@pytest.fixture
def own(tmp_path, root):
    """Write files of the form of the card; returns what gives the path of the card."""

    def write(topics=None, lacking=()):
        folder = tmp_path / "enrico"
        for name, (place, suffix) in FOLDERS.items():
            (folder / place).mkdir(parents=True, exist_ok=True)
            for i in IDS:
                if (name, i) not in lacking:
                    picture = Image.new("RGB", (54, 96), shade(i, name))
                    picture.save(folder / place / f"{i}.{suffix}")
        (table() if topics is None else topics).to_csv(folder / "design_topics.csv", index=False)
        card = yaml.safe_load((root / "data/enrico.yaml").read_text()) | {"name": "apps"}
        path = tmp_path / "apps.yaml"
        path.write_text(yaml.safe_dump(card, sort_keys=False))
        return path

    return write


@pytest.fixture
def complete(tmp_path, own):
    """A table of the published length, and one wireframe for all; returns the path of the card."""
    path = own()
    ids = np.random.default_rng(0).permutation(1458) + 1000
    ids = [*ids[:400], EXCLUDED[1], *ids[400:900], EXCLUDED[0], *ids[900:]]
    table(ids).to_csv(tmp_path / "enrico/design_topics.csv", index=False)
    (tmp_path / "enrico/wireframes").rename(tmp_path / "enrico/moved")
    content = tiny_png()
    with tarfile.open(tmp_path / "enrico/wireframes.tar", "w") as archive:
        for i in ids:
            member = tarfile.TarInfo(f"wireframes/{i}.png")
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return path


def tiny_png():
    file = io.BytesIO()
    Image.new("RGB", (8, 8)).save(file, "PNG")
    return file.getvalue()


def test_screens_come_in_the_order_of_the_table_with_their_pictures(own):
    cohort = load_cohort(own())
    assert cohort.ids.tolist() == [str(i) for i in IDS]
    assert cohort.groups.tolist() == cohort.ids.tolist()
    assert cohort.target.classes == tuple(TOPICS)
    assert [TOPICS[k] for k in cohort.target.label] == [topic(i) for i in IDS]
    assert cohort.names == ("screenshot", "wireframe")
    for name, modality in cohort.modalities.items():
        assert modality.kind == "image"
        assert modality.values.shape == (N, 3, 64, 32)
        assert modality.values.dtype == np.float32
        assert modality.features == ("red", "green", "blue")
        assert modality.present.all()
        for i, values in zip(IDS, modality.values, strict=True):
            # JPEG changes a color by a few levels
            wanted = np.broadcast_to(expected_picture(i, name), values.shape)
            np.testing.assert_allclose(values, wanted, atol=0.02)


def test_the_screens_without_a_wireframe_are_left_out_even_where_files_exist(own, tmp_path):
    path = own()
    for i in EXCLUDED:
        for place, suffix in FOLDERS.values():
            Image.new("RGB", (9, 9)).save(tmp_path / f"enrico/{place}/{i}.{suffix}")
    cohort = load_cohort(path)
    assert cohort.n == N
    assert not {str(i) for i in EXCLUDED} & set(cohort.ids)


def test_pictures_are_resized_bilinearly_to_the_size_that_is_asked_for(own, tmp_path):
    path = own()
    pixels = np.random.default_rng(0).integers(0, 256, (96, 54, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / f"enrico/wireframes/{IDS[3]}.png")
    cohort = load_cohort(path, modalities=["wireframe"], height=24, width=16)
    small = Image.fromarray(pixels).resize((16, 24), Image.Resampling.BILINEAR)
    wanted = np.moveaxis(np.asarray(small), -1, 0) / 255
    np.testing.assert_allclose(cohort.modalities["wireframe"].values[3], wanted, rtol=1e-6)
    for option in ("height", "width"):
        for side in (7, 16.0, True):
            with pytest.raises(DataError, match=f"{option}: expected 8 pixels or more, got"):
                load_cohort(path, **{option: side})


@pytest.mark.parametrize("mode", ["RGBA", "P", "L"])
def test_pictures_of_other_modes_become_rgb(own, tmp_path, mode):
    path = own()
    color = Image.new("RGB", (54, 96), (102, 102, 102))
    picture = color.convert(mode)
    if mode == "RGBA":
        picture.putalpha(0)
    extra = {"transparency": b"\x00\x80"} if mode == "P" else {}
    picture.save(tmp_path / f"enrico/wireframes/{IDS[0]}.png", **extra)
    values = load_cohort(path, modalities=["wireframe"]).modalities["wireframe"].values[0]
    np.testing.assert_allclose(values, 102 / 255, atol=1e-6)


def test_a_screen_without_a_file_lacks_the_modality(own):
    cohort = load_cohort(own(lacking=[("wireframe", IDS[4]), ("screenshot", IDS[9])]))
    assert np.flatnonzero(~cohort.present["wireframe"]).tolist() == [4]
    assert np.flatnonzero(~cohort.present["screenshot"]).tolist() == [9]
    values = cohort.modalities["wireframe"].values[5]
    wanted = np.broadcast_to(expected_picture(IDS[5], "wireframe"), values.shape)
    np.testing.assert_allclose(values, wanted, rtol=1e-6)


def test_a_screen_without_any_file_has_to_leave_the_table(own):
    path = own(lacking=[(name, IDS[4]) for name in FOLDERS])
    with pytest.raises(
        DataError, match=rf"at least one modality per sample, got none for.*{IDS[4]}"
    ):
        load_cohort(path)


def test_a_division_equals_an_independent_one():
    for n in (1458, 20):
        rows = [f"row {i}" for i in range(n)]
        random.Random(42).shuffle(rows)
        first, second = int(0.65 * n), int(0.8 * n)
        wanted = {"train": rows[:first], "val": rows[first:second], "test": rows[second:]}
        parts = published_parts(n)
        for part, names in wanted.items():
            assert {f"row {i}" for i in np.flatnonzero(parts == part)} == set(names)
    sizes = dict(zip(*np.unique(published_parts(1458), return_counts=True), strict=True))
    assert sizes == {"train": 947, "val": 219, "test": 292}


def test_the_official_unit_has_the_published_test_part(complete, tmp_path):
    options = {"modalities": ["wireframe"], "height": 8, "width": 8}
    cohort = load_cohort(complete, unit="official", **options)
    rows = pd.read_csv(tmp_path / "enrico/design_topics.csv", dtype=str)["screen_id"]
    rows = [i for i in rows if int(i) not in EXCLUDED]
    assert cohort.ids.tolist() == rows
    random.Random(42).shuffle(rows)
    for split in make_splits(cohort, repeats=3, unit="official"):
        assert set(cohort.ids[split.test]) == set(rows[1166:])
        assert set(cohort.ids[split.train]) == set(rows[:947])
        assert set(cohort.ids[split.val]) == set(rows[947:1166])
    usual = make_splits(cohort, repeats=1)[0]
    assert (len(usual.train), len(usual.test)) == (int(0.7 * 1458), int(0.15 * 1458))


def test_other_rows_than_the_published_ones_have_no_official_division(own):
    path = own()
    cohort = load_cohort(path, unit="official")
    assert cohort.division is None
    with pytest.raises(DataError, match="got one without; use unit 'patient'"):
        make_splits(cohort, repeats=1, unit="official")
    with pytest.raises(DataError, match="got one without; use unit 'patient'"):
        check(path)


def test_the_card_can_be_checked_by_both_units(own, monkeypatch):
    monkeypatch.setattr(enrico, "SCREENS", N)
    lines = check(own())
    assert [line.split(":")[0] for line in lines[-2:]] == ["loads by patient", "loads by official"]


def test_topics_and_names_of_files_are_never_inputs(own, tmp_path):
    path = own()
    before = load_cohort(path)
    table().assign(topic=TOPICS[-1]).to_csv(tmp_path / "enrico/design_topics.csv", index=False)
    swapped = load_cohort(path)
    assert set(swapped.target.label) == {len(TOPICS) - 1}
    renamed = {IDS[0]: 90001, IDS[1]: 90002}
    for place, suffix in FOLDERS.values():
        for old, new in renamed.items():
            folder = tmp_path / "enrico" / place
            (folder / f"{old}.{suffix}").rename(folder / f"{new}.{suffix}")
    table([renamed.get(i, i) for i in IDS]).to_csv(
        tmp_path / "enrico/design_topics.csv", index=False
    )
    for after in (swapped, load_cohort(path)):
        for name, modality in before.modalities.items():
            np.testing.assert_array_equal(after.modalities[name].values, modality.values)
            assert after.modalities[name].features == ("red", "green", "blue")


def test_a_fold_leaves_the_colors_as_they_are(own):
    cohort = load_cohort(own(lacking=[("wireframe", i) for i in IDS[::3]]))
    split = make_splits(cohort, repeats=1)[0]
    fold = make_fold(cohort, split)
    here = cohort.present["wireframe"][split.test]
    values = fold.test.values["wireframe"].numpy()
    raw = cohort.modalities["wireframe"].values[split.test]
    np.testing.assert_array_equal(values[here], raw[here])
    assert not values[~here].any()
    assert fold.kinds == {"screenshot": "image", "wireframe": "image"}
    assert fold.test.batch([0, 1]).inputs["screenshot"].shape == (2, 3, 64, 32)


def test_small_pictures_are_kept_until_a_file_changes(own, tmp_path, monkeypatch):
    path = own()
    folder = tmp_path / "enrico/wireframes"

    def paint(color):
        # unpacked, so that the size of the file does not change with the color
        Image.new("RGB", (54, 96), color).save(folder / f"{IDS[8]}.png", compress_level=0)

    paint((9, 9, 9))
    first = load_cohort(path).modalities["wireframe"].values
    read = enrico.read_screens
    asked = []
    monkeypatch.setattr(enrico, "read_screens", lambda *a: asked.append(a[2]) or read(*a))
    np.testing.assert_array_equal(load_cohort(path).modalities["wireframe"].values, first)
    assert asked == []
    paint((1, 2, 3))
    again = load_cohort(path)
    assert asked == ["PNG"]
    assert again.modalities["wireframe"].values[8].max() == np.float32(3) / 255
    (folder / f"{IDS[2]}.png").unlink()
    assert np.flatnonzero(~load_cohort(path).present["wireframe"]).tolist() == [2]
    load_cohort(path, height=32)
    assert asked == ["PNG", "PNG", "JPEG", "PNG"]


def test_damaged_pictures_are_named(own, tmp_path):
    path = own()
    picture = tmp_path / f"enrico/screenshots/{IDS[1]}.jpg"
    whole = picture.read_bytes()
    picture.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataError, match=rf"'{IDS[1]}\.jpg': expected a picture as JPEG, got"):
        load_cohort(path)
    picture.write_bytes(tiny_png())
    with pytest.raises(DataError, match=rf"'{IDS[1]}\.jpg': expected a picture as JPEG"):
        load_cohort(path)


def test_folders_without_the_screens_and_damaged_archives_are_refused(tmp_path):
    (tmp_path / "wireframes").mkdir()
    with pytest.raises(DataError, match=r"wireframes'.*such as '7\.png', got none of them"):
        read_screens(tmp_path / "wireframes", ["7"], "PNG", 8, 8)
    archive = tmp_path / "wireframes.tar"
    archive.write_bytes(b"no archive")
    with pytest.raises(DownloadError, match="or a tar archive of it"):
        read_screens(archive, ["7"], "PNG", 8, 8)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"topic": "maze"}, r"expected the topics bare, camera, .* in column 'topic', got 'maze'"),
        ({"topic": np.nan}, "got .?nan"),
        ({"screen_id": "a"}, "expected one whole number per row in column 'screen_id'.*got 'a'"),
        ({"screen_id": 5}, "none of them twice, got .*5"),
        ({"screen_id": np.arange(N + 2) + 0.5}, "got type float64"),
    ],
)
def test_tables_that_cannot_be_used_are_refused(own, changes, message):
    with pytest.raises(DataError, match=message):
        load_cohort(own(topics=table().assign(**changes)))


def test_damaged_and_missing_tables_are_named(own, tmp_path):
    path = own(topics=table().rename(columns={"topic": "label"}))
    with pytest.raises(DataError, match=r"design_topics\.csv': expected the columns topic"):
        load_cohort(path)
    file = tmp_path / "enrico/design_topics.csv"
    file.write_bytes(b"")
    with pytest.raises(DownloadError, match=r"design_topics\.csv': expected a CSV table"):
        load_cohort(path)
    file.unlink()
    with pytest.raises(DownloadError, match=r"design_topics\.csv'.*luileito/enrico.*<data root>"):
        load_cohort(path)


def test_the_case_of_a_topic_does_not_matter(own):
    capital = table().assign(topic=lambda t: t["topic"].str.title())
    cohort = load_cohort(own(topics=capital))
    assert [TOPICS[k] for k in cohort.target.label] == [topic(i) for i in IDS]


def test_the_card_has_the_topics_of_the_publisher_and_says_what_to_obtain():
    card = load_card("enrico")
    notes = " ".join(card.notes)
    counts = {name: int(count) for count, name in re.findall(r"(\d+) ([a-z]+)(?=[,:.])", notes)}
    assert sum(counts[name] for name in TOPICS) == 1460
    assert sorted(TOPICS) == TOPICS
    assert len(TOPICS) == 20
    shown = CliRunner().invoke(app, ["show", "enrico"]).output
    for name, source in card.sources.items():
        assert f"file {name}: {source.path} -> {source.obtain}" in shown


def test_the_published_score_stands_beside_and_is_not_comparable():
    from mmlego.studies.amc.published import published_amc

    known = published_amc("enrico").set_index(["method", "arm", "metric"])
    assert set(known.index) == {("amc", rule, "accuracy") for rule in ("literal", "inverse")}
    assert known["published"].tolist() == pytest.approx([0.689, 0.689])
    assert known["published_sd"].tolist() == pytest.approx([0.037, 0.037])
    assert known["why"].str.contains("may test on training screens").all()
