"""Files: where they are looked for, how they are fetched, and that nothing half-written stays."""

from __future__ import annotations

import errno
import gzip
import hashlib
import os
import warnings
from pathlib import Path

import numpy as np
import pytest

from mmlego.data import load_card, load_cohort
from mmlego.data.cards.card import SourceFile
from mmlego.data.cards.fetch import download, verify
from mmlego.data.cards.locate import Files, cache_dir, data_roots, find_extra
from mmlego.data.cohorts import cache
from mmlego.errors import DataError, DownloadError

CONTENT = b"id,months\n" * 100


def source_of(content: bytes = CONTENT, **fields: object) -> SourceFile:
    defaults = {
        "path": "folder/file.csv",
        "url": "https://example.invalid/file.csv",
        "sha256": hashlib.sha256(content).hexdigest(),
        "bytes": len(content),
    }
    return SourceFile(**{**defaults, **fields})


def serve(content: bytes):
    def downloader(url: str, output: str, pooch: object) -> None:
        Path(output).write_bytes(content)

    return downloader


def fail_after(content: bytes, error: OSError):
    def downloader(url: str, output: str, pooch: object) -> None:
        Path(output).write_bytes(content)
        raise error

    return downloader


def left_in(folder: Path) -> list[Path]:
    return [p for p in folder.rglob("*") if p.is_file()] if folder.is_dir() else []


def test_a_download_lands_in_an_absent_cache_and_is_kept(tmp_path):
    cache_folder = tmp_path / "new" / "cache"
    path = download(source_of(), cache_folder, downloader=serve(CONTENT))
    assert path == cache_folder / "folder/file.csv"
    assert path.read_bytes() == CONTENT
    # an intact copy is not fetched again
    refuse = fail_after(b"", OSError("no network"))
    assert download(source_of(), cache_folder, downloader=refuse) == path


@pytest.mark.parametrize("content", [b"other content", CONTENT[:50]])
def test_altered_and_truncated_downloads_leave_nothing(tmp_path, content):
    with pytest.raises(DownloadError, match=r"folder/file.csv.*expected SHA-256 .* other content"):
        download(source_of(), tmp_path, downloader=serve(content))
    assert left_in(tmp_path) == []


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (OSError(errno.ENOSPC, "No space left"), "full disk.*MMLEGO_CACHE"),
        (ConnectionError("Name or service not known"), "connect to the network.*MMLEGO_DATA"),
        (PermissionError(errno.EACCES, "denied"), "writable folder.*MMLEGO_CACHE"),
    ],
)
def test_failed_downloads_say_what_to_do_and_leave_nothing(tmp_path, error, message):
    with pytest.raises(DownloadError, match=message):
        download(source_of(), tmp_path, downloader=fail_after(CONTENT[:20], error))
    assert left_in(tmp_path) == []


def test_a_cache_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(DownloadError, match="expected a writable folder"):
        download(source_of(), tmp_path / "file" / "cache", downloader=serve(CONTENT))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (CONTENT[:-5], "expected 1000 bytes, got 995 .*truncated"),
        (CONTENT + b"x", "got 1001 .*altered"),
        (CONTENT[:-1] + b"x", "expected SHA-256 .*altered"),
    ],
)
def test_altered_files_on_disk_are_refused(tmp_path, content, message):
    path = tmp_path / "file.csv"
    path.write_bytes(content)
    with pytest.raises(DownloadError, match=message):
        verify(path, source_of())


def test_a_changed_file_is_checked_again(tmp_path):
    path = tmp_path / "file.csv"
    path.write_bytes(CONTENT)
    assert verify(path, source_of()) == path
    path.write_bytes(CONTENT[:-1] + b"x")
    os.utime(path, ns=(1, 1))
    with pytest.raises(DownloadError):
        verify(path, source_of())


def test_gzip_files_of_equal_content_are_accepted(tmp_path):
    path = tmp_path / "file.csv.gz"
    inside = hashlib.sha256(CONTENT).hexdigest()
    source = source_of(gzip.compress(CONTENT, mtime=0), content_sha256=inside)
    path.write_bytes(gzip.compress(CONTENT, compresslevel=1, mtime=7))
    assert verify(path, source) == path
    path.write_bytes(gzip.compress(CONTENT, mtime=0)[:-9])
    with pytest.raises(DownloadError, match="truncated"):
        verify(path, source)


def test_a_packed_copy_serves_in_place_of_the_file(monkeypatch, tmp_path):
    monkeypatch.setenv("MMLEGO_CACHE", str(tmp_path / "cache"))
    card = load_card("rosmap")
    content = b"0\n1\n"
    source = card.sources["labels_test"].model_copy(
        update={"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}
    )
    files = Files(card.model_copy(update={"sources": {"labels_test": source}}), tmp_path)
    packed = tmp_path / f"{source.path}.gz"
    packed.parent.mkdir()
    packed.write_bytes(gzip.compress(content, mtime=3))
    assert files.path("labels_test") == packed
    for bad in (gzip.compress(b"0\n0\n"), gzip.compress(content)[:-6]):
        packed.write_bytes(bad)
        with pytest.raises(DownloadError, match="expected the packed content of 'rosmap/labels_te"):
            files.path("labels_test")
    packed.with_suffix("").write_bytes(content)
    assert files.path("labels_test") == packed.with_suffix("")


def test_a_folder_is_found_as_it_is_or_packed(monkeypatch, tmp_path):
    monkeypatch.setenv("MMLEGO_CACHE", str(tmp_path / "cache"))
    files = Files(load_card("citeseq-hspc"), tmp_path)
    with pytest.raises(DownloadError, match="to obtain: Bone-Marrow-Cytomorphology"):
        files.path("images")
    folder = tmp_path / "citeseq_hspc/bm_images"
    folder.parent.mkdir()
    packed = folder.with_name("bm_images.tar")
    packed.write_bytes(b"")
    assert files.path("images") == packed
    folder.mkdir()
    assert files.path("images") == folder


def test_folders_are_searched_in_order(monkeypatch, tmp_path):
    explicit, own, mirror, cached = (tmp_path / n for n in ("explicit", "own", "mirror", "cache"))
    monkeypatch.setenv("MMLEGO_DATA", str(mirror))
    monkeypatch.setenv("MMLEGO_CACHE", str(cached))
    card = load_card("tcga-blca")
    path = card.sources["omics"].path
    files = Files(card, explicit, own)
    for folder in (cached, mirror, own, explicit):
        (folder / path).parent.mkdir(parents=True)
    for folder in (cached, mirror, own, explicit):
        (folder / path).write_text("x")
        assert files.find("omics") == folder / path


def test_named_folders_must_exist(monkeypatch, tmp_path):
    with pytest.raises(DataError, match="data_dir: expected a folder"):
        load_cohort("tcga-blca", data_dir=tmp_path / "nowhere")
    monkeypatch.setenv("MMLEGO_DATA", str(tmp_path / "nowhere"))
    with pytest.raises(DataError, match="MMLEGO_DATA: expected a folder"):
        data_roots()
    assert load_cohort("transbig").n == 198  # needs no file, so the folder does not matter


def test_the_cache_is_the_named_one_or_that_of_the_user(monkeypatch, tmp_path):
    monkeypatch.setenv("MMLEGO_CACHE", str(tmp_path))
    assert cache_dir() == tmp_path
    monkeypatch.delenv("MMLEGO_CACHE")
    assert cache_dir().name == "mmlego"


def test_a_file_of_no_card_is_found_as_given_or_below_a_root(monkeypatch, tmp_path):
    mirror, cached = tmp_path / "mirror", tmp_path / "cache"
    monkeypatch.setenv("MMLEGO_DATA", str(mirror))
    monkeypatch.setenv("MMLEGO_CACHE", str(cached))
    monkeypatch.chdir(tmp_path)
    for folder in (cached, mirror, tmp_path):
        (folder / "genes").mkdir(parents=True)
    for root in (cached, mirror):
        (root / "genes" / "groups.csv").write_text("x")
        assert find_extra("genes/groups.csv", "groups") == root / "genes" / "groups.csv"
    (tmp_path / "genes" / "groups.csv").write_text("x")
    assert find_extra("genes/groups.csv", "groups") == Path("genes/groups.csv")
    whole = mirror / "genes" / "groups.csv"
    assert find_extra(str(whole), "groups") == whole


def test_a_file_of_no_card_that_is_nowhere_names_the_places(monkeypatch, tmp_path):
    (tmp_path / "folder").mkdir()
    monkeypatch.setenv("MMLEGO_CACHE", str(tmp_path))
    with pytest.raises(DownloadError, match=rf"groups: expected a file 'folder'.*{tmp_path}"):
        find_extra("folder", "groups")


def test_a_file_without_address_says_how_to_obtain_it(monkeypatch, tmp_path):
    monkeypatch.setenv("MMLEGO_CACHE", str(tmp_path))
    with pytest.raises(DownloadError, match=r"to obtain: Slide .*leave out img with modalities"):
        Files(load_card("tcga-blca")).path("slides")
    with pytest.raises(DownloadError, match="mmlego data prepare"):
        load_cohort("physionet2012-mortality")


def test_a_missing_file_is_fetched_and_checked(monkeypatch, tmp_path):
    monkeypatch.setenv("MMLEGO_CACHE", str(tmp_path))
    files = Files(load_card("tcga-ucec"), downloader=serve(b"not the archive"))
    with pytest.raises(DownloadError, match="other content"):
        files.path("omics")
    assert left_in(tmp_path) == []
    with pytest.raises(DataError, match="expected a file 'omix' under 'sources'"):
        files.path("omix")


ARRAYS = {"a": np.arange(6.0).reshape(2, 3), "ids": np.array(["x", "y"])}


@pytest.fixture
def fresh_cache(monkeypatch, tmp_path):
    monkeypatch.setenv("MMLEGO_CACHE", str(tmp_path))
    monkeypatch.setattr(cache, "_warned", set())
    return tmp_path


def test_prepared_arrays_come_back(fresh_cache):
    assert cache.read_arrays("key") is None
    path = cache.write_arrays("key", ARRAYS)
    assert left_in(fresh_cache) == [path]
    read = cache.read_arrays("key")
    assert set(read) == {"a", "ids"}
    np.testing.assert_array_equal(read["a"], ARRAYS["a"])


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 damaged", b"text"])
def test_damaged_prepared_arrays_count_as_absent(fresh_cache, content):
    path = cache.write_arrays("key", ARRAYS)
    path.write_bytes(content)
    assert cache.read_arrays("key") is None
    path.write_bytes(cache.write_arrays("other", ARRAYS).read_bytes()[:-30])
    assert cache.read_arrays("key") is None


def test_objects_are_never_unpickled(fresh_cache):
    path = cache.write_arrays("key", ARRAYS)
    np.savez(path, a=np.array([{}], dtype=object))
    assert cache.read_arrays("key") is None


def test_an_unwritable_cache_warns_once_and_does_not_stop(fresh_cache, monkeypatch):
    (fresh_cache / "file").write_text("in the way")
    monkeypatch.setenv("MMLEGO_CACHE", str(fresh_cache / "file"))
    with pytest.warns(UserWarning, match="going on without"):
        assert cache.write_arrays("key", ARRAYS) is None
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert cache.write_arrays("key", ARRAYS) is None


def test_a_full_cache_leaves_nothing_half_written(fresh_cache, monkeypatch):
    def full(file, arrays):
        file.write(b"half")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(cache, "_save", full)
    with pytest.warns(UserWarning, match="No space left"):
        assert cache.write_arrays("key", ARRAYS) is None
    assert left_in(fresh_cache) == []
    assert cache.read_arrays("key") is None
