"""Find the files of a card: explicit folder, mirror, cache, and at last the network."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from mmlego.data.cards.card import Card, SourceFile
from mmlego.data.cards.fetch import download, verify
from mmlego.errors import DataError, DownloadError

_PACKED = {False: ".gz", True: ".tar"}  # ending of a packed copy, by whether it is a folder


def cache_dir() -> Path:
    """Return the folder for downloads and prepared arrays, which need not exist.

    It is ``MMLEGO_CACHE``, or else the cache folder of the user.
    """
    import pooch

    own = os.environ.get("MMLEGO_CACHE")
    return Path(own) if own else Path(pooch.os_cache("mmlego"))


def data_roots(data_dir: str | Path | None = None, card_folder: Path | None = None) -> list[Path]:
    """Return the folders to look in: explicit, the card's own, ``MMLEGO_DATA``, the cache.

    Raises:
        DataError: If the explicit folder or the one in ``MMLEGO_DATA`` does not exist.
    """
    named = {"data_dir": data_dir, "MMLEGO_DATA": os.environ.get("MMLEGO_DATA")}
    for where, folder in named.items():
        if folder and not Path(folder).is_dir():
            raise DataError(
                f"{where}: expected a folder, got '{folder}', which is none; correct or unset it"
            )
    roots = [named["data_dir"], card_folder, named["MMLEGO_DATA"], cache_dir()]
    return [Path(root) for root in roots if root]


@dataclass(frozen=True)
class Files:
    """The files of one card.

    Attributes:
        card: The card.
        data_dir: Explicit data root, or None.
        card_folder: Folder of a card of one's own, or None for a shipped card.
        downloader: Replacement for the default downloader of ``fetch.download``; for tests and
            proxies.
    """

    card: Card
    data_dir: str | Path | None = None
    card_folder: Path | None = None
    downloader: Callable[[str, str, object], None] | None = field(default=None, repr=False)

    def find(self, key: str) -> Path | None:
        """Return where a file, folder, or packed copy of it is on this machine, unchecked.

        A file may be packed as ``<path>.gz`` and a folder as ``<path>.tar``. None means that it is
        not here.
        """
        source = self._source(key)
        if source.embedded:
            return None
        for root in data_roots(self.data_dir, self.card_folder):
            plain, packed = root / source.file, root / f"{source.file}{_PACKED[source.folder]}"
            if plain.is_dir() if source.folder else plain.is_file():
                return plain
            if packed.is_file():
                return packed
        return None

    def path(self, key: str) -> Path:
        """Return the checked path of a file; downloads it to the cache where it is nowhere else.

        Raises:
            DownloadError: If the file is nowhere and cannot be fetched, is truncated, or differs
                from its checksum.
        """
        source = self._source(key)
        found = self.find(key)
        if found is not None:
            return verify(found, source)
        if source.url is None:
            raise DownloadError(self.how_to_obtain(key))
        return download(source, cache_dir(), downloader=self.downloader)

    def needed(self) -> list[str]:
        """Return the keys of the files that the default modalities and the target need."""
        optional = {m.source for m in self.card.modalities.values() if not m.default}
        used = {m.source for m in self.card.modalities.values() if m.default} | {
            self.card.target.source
        }
        return [key for key in self.card.sources if key not in optional or key in used]

    def how_to_obtain(self, key: str) -> str:
        """Return what to do about a file that is not on this machine."""
        source = self._source(key)
        roots = ", ".join(str(r) for r in data_roots(self.data_dir, self.card_folder))
        fetch = f"run 'mmlego data fetch {self.card.name}'" if source.url else "obtain the file"
        how = " ".join((source.obtain or fetch).split()).rstrip(".")
        users = [name for name, m in self.card.modalities.items() if m.source == key]
        optional = 0 < len(users) < len(self.card.modalities)
        without = f"; or leave out {', '.join(users)} with modalities=[...]" if optional else ""
        return (
            f"'{self.card.name}' file '{source.path}': expected it below one of {roots}, got "
            f"nothing; to obtain: {how}; put it at <data root>/{source.path} and let MMLEGO_DATA "
            f"point at the data root{without}"
        )

    def _source(self, key: str) -> SourceFile:
        if key not in self.card.sources:
            raise DataError(
                f"card '{self.card.name}': expected a file '{key}' under 'sources', got "
                f"{sorted(self.card.sources)}; add it to the card"
            )
        return self.card.sources[key]


def find_extra(path: str | Path, what: str) -> Path:
    """Return where a file that no card names is: as given, or below a data root.

    Raises:
        DownloadError: If it is nowhere.
    """
    places = [Path(path), *(root / path for root in data_roots())]
    for place in places:
        if place.is_file():
            return place
    raise DownloadError(
        f"{what}: expected a file '{path}' here or below one of "
        f"{', '.join(str(root) for root in data_roots())}, got nothing; data/README.md says where "
        "it is published"
    )
