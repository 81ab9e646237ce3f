"""Fetch one file with its checksum; nothing half-written or altered ever stays."""

from __future__ import annotations

import errno
import gzip
import hashlib
import os
import zlib
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path

from mmlego.data.cards.card import SourceFile
from mmlego.errors import DownloadError

Downloader = Callable[
    [str, str, object], None
]  # pooch's protocol: address, file to write, pooch object


def download(source: SourceFile, cache: Path, *, downloader: Downloader | None = None) -> Path:
    """Fetch a file into the cache and return its path; an intact copy there is kept.

    Args:
        source: The file; needs ``url`` and ``sha256``.
        cache: Folder below which ``source.path`` is written.
        downloader: Replacement for pooch's HTTP downloader.

    Raises:
        DownloadError: If there is no network, no space, no permission, or the content differs from
            the checksum.
    """
    import pooch

    target = cache / source.file
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        found = pooch.retrieve(
            url=source.url,
            known_hash=f"sha256:{source.sha256}",
            fname=target.name,
            path=target.parent,
            downloader=downloader or _http(),
        )
    except ValueError as error:  # pooch's error for a wrong hash
        raise DownloadError(
            f"'{source.path}' from {source.url}: expected SHA-256 {source.sha256}, got other "
            "content; the download is "
            "damaged or the publisher changed the file: try again, and if it persists, report it"
        ) from error
    except OSError as error:  # includes requests' ConnectionError, HTTPError and Timeout
        raise DownloadError(_os_problem(source, target, error)) from error
    return Path(found)


def verify(path: Path, source: SourceFile) -> Path:
    """Return the path if the file, or what it holds unpacked, has the checksum of the card.

    A packed copy of a file that the card names unpacked counts by what it holds; a folder has no
    checksum.

    Raises:
        DownloadError: If it is truncated or altered.
    """
    if source.folder:
        return path
    if path.name == f"{Path(source.file).name}.gz":
        return _verify_packed(path, source)
    same_bytes = source.sha256 is not None and sha256(path) == source.sha256
    if same_bytes or (
        source.content_sha256 is not None and _content_sha256(path) == source.content_sha256
    ):
        return path
    size = path.stat().st_size
    if source.bytes is not None and size != source.bytes:
        state = "truncated" if size < source.bytes else "altered"
        raise DownloadError(
            f"'{path}': expected {source.bytes} bytes, got {size} (the file is {state}); delete it "
            "and fetch it again"
        )
    if source.sha256 is not None:
        raise DownloadError(
            f"'{path}': expected SHA-256 {source.sha256}, got {sha256(path)} (the file is "
            "altered); delete it and fetch it again"
        )
    return path


def _verify_packed(path: Path, source: SourceFile) -> Path:
    found = _content_sha256(path)
    known = {source.sha256, source.content_sha256} - {None}
    if found is None or (known and found not in known):
        raise DownloadError(
            f"'{path}': expected the packed content of '{source.path}', got a truncated file "
            "or other content; delete it and fetch it again"
        )
    return path


def sha256(path: Path) -> str:
    """Return the SHA-256 of a file; computed once per path, size and time of change."""
    state = path.stat()
    return _sha256(str(path), state.st_size, state.st_mtime_ns)


@lru_cache(maxsize=256)
def _sha256(path: str, size: int, changed: int) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _content_sha256(path: Path) -> str | None:
    """Return the SHA-256 of what a gzip file holds, or None where it is damaged."""
    state = path.stat()
    return _unpacked_sha256(str(path), state.st_size, state.st_mtime_ns)


@lru_cache(maxsize=64)
def _unpacked_sha256(path: str, size: int, changed: int) -> str | None:
    digest = hashlib.sha256()
    try:
        with gzip.open(path, "rb") as file:
            while block := file.read(1 << 20):
                digest.update(block)
    except (OSError, EOFError, zlib.error):
        return None
    return digest.hexdigest()


def _http() -> Downloader:
    import pooch

    return pooch.HTTPDownloader(timeout=30)


def _os_problem(source: SourceFile, target: Path, error: OSError) -> str:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return (
            f"'{source.path}': expected space for it in {target.parent}, got a full disk; free "
            "some, or let "
            "MMLEGO_CACHE point at a folder with space"
        )
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EEXIST):
        return (
            f"'{source.path}': expected a writable folder {target.parent}, got "
            f"'{os.strerror(error.errno)}'; let "
            "MMLEGO_CACHE point at a folder of your own"
        )
    return (
        f"'{source.path}': expected an answer from {source.url}, got '{_first_line(error)}'; "
        "connect to the network, or "
        "let MMLEGO_DATA point at a folder that holds the file"
    )


def _first_line(error: OSError) -> str:
    text = str(error).splitlines()
    return text[0][:200] if text else type(error).__name__
