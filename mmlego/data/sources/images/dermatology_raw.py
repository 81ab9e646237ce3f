"""From the official images and tables of HAM10000 to the two prepared files that the card names."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from mmlego.data.cards.catalog import card_dirs
from mmlego.data.sources.images.dermatology_images import SIDE
from mmlego.data.sources.request import require_columns
from mmlego.data.sources.writing import write_whole
from mmlego.errors import DataError

IMAGE_FILE = "ham10000_128_lanczos_q90.tar"
TABLE_FILE = "metadata_7496.csv"
LIST_FILE = "prepare/ham10000_images.csv.gz"  # below the folder of the cards
_TABLES = {"HAM10000": "HAM10000_metadata", "ISIC2018_test": "ISIC2018_Task3_Test_GroundTruth"}
_COLUMNS = ["lesion_id", "image_id", "dx", "dx_type", "age", "sex", "localization", "dataset"]
_MALIGNANT = ("akiec", "bcc", "mel")


def prepare_ham10000(
    source: str | Path,
    out: str | Path,
    *,
    log: Callable[[str], None] | None = None,
    images: pd.Series | None = None,
) -> list[Path]:
    """Write the archive of small images and the table of their metadata from the official files.

    An image becomes its largest central square, shrunk to 128 x 128 (Lanczos), as a JPEG of quality
    90. Of the training images the last one is kept for each of four in five lesions; as no rule
    names these lesions, the ids are listed beside the cards.

    Args:
        source: Folder with the unpacked archives of images (in any folders below it), and with
            ``HAM10000_metadata`` and ``ISIC2018_Task3_Test_GroundTruth`` (.csv or .tab).
        out: Folder of the two prepared files; made if needed.
        log: Called with one line per table, and one when the images are done.
        images: Ids to prepare; None takes the list beside the cards.

    Returns:
        The paths of the archive and of the table.

    Raises:
        DataError: If a table, a row or an image is missing or damaged. Nothing is written then.
    """
    source, out = Path(source), Path(out)
    table = pd.concat([_official(source, part, name, log) for part, name in _TABLES.items()])
    table = table.sort_values("image_id", ignore_index=True)
    wanted = set(listed_images() if images is None else images)
    table = table[table["image_id"].isin(wanted)]
    _check_complete(wanted - set(table["image_id"]), "row", source)
    found = {path.stem: path for path in sorted(source.rglob("ISIC_*.jpg"))}
    _check_complete(wanted - set(found), "image", source)
    archive = pack({f"{i}.jpg": shrink(found[i]) for i in table["image_id"]})
    if log is not None:
        log(f"images: {len(table)} shrunk to {SIDE} x {SIDE}")
    text = table.to_csv(index=False, lineterminator="\n").encode()
    return [write_whole(out / IMAGE_FILE, archive), write_whole(out / TABLE_FILE, text)]


def listed_images() -> pd.Series:
    """Return the ids of the prepared images.

    Raises:
        DataError: If the list is not there.
    """
    path = card_dirs()[-1] / LIST_FILE
    try:
        return pd.read_csv(path, dtype=str)["image_id"]
    except (OSError, KeyError, ValueError) as error:
        raise DataError(
            f"'{path}': expected the list of images, got '{error}'; restore the file"
        ) from error


def shrink(path: Path) -> bytes:
    """Return the largest central square of an image, as a JPEG of 128 x 128 pixels.

    Raises:
        DataError: If the file is no image.
    """
    try:
        with Image.open(path, formats=["JPEG"]) as image:
            side = min(image.size)
            left, top = ((n - side) // 2 for n in image.size)
            square = image.convert("RGB").crop((left, top, left + side, top + side))
    except (OSError, SyntaxError, ValueError) as error:
        raise DataError(
            f"'{path}': expected a JPEG image, got '{error}'; download the archive again"
        ) from error
    packed = io.BytesIO()
    square.resize((SIDE, SIDE), Image.Resampling.LANCZOS).save(packed, "JPEG", quality=90)
    return packed.getvalue()


def pack(files: Mapping[str, bytes]) -> bytes:
    """Return a tar archive; equal content in equal order gives equal bytes."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return packed.getvalue()


def _official(
    source: Path, part: str, name: str, log: Callable[[str], None] | None
) -> pd.DataFrame:
    """Read one official table, with the columns that the prepared one adds."""
    paths = [path for end in ("", ".csv", ".tab") if (path := source / f"{name}{end}").is_file()]
    if not paths:
        raise DataError(
            f"'{source}': expected a table {name} (.csv or .tab), got none; download it from the "
            "publisher into this folder"
        )
    try:
        with open(paths[0], encoding="utf-8") as file:
            separator = "\t" if "\t" in file.readline() else ","
        table = pd.read_csv(paths[0], sep=separator)
    except (OSError, ValueError) as error:
        raise DataError(
            f"'{paths[0]}': expected a table, got '{error}'; download it again"
        ) from error
    require_columns(table, _COLUMNS, f"'{paths[0]}'")
    table = table[_COLUMNS].assign(
        part=part,
        age=table["age"].astype(np.float64),
        melanoma=(table["dx"] == "mel").astype(np.int64),
        malignant=table["dx"].isin(_MALIGNANT).astype(np.int64),
    )
    if log is not None:
        log(f"{name}: {len(table)} images")
    return table


def _check_complete(absent: set[str], what: str, source: Path) -> None:
    if absent:
        raise DataError(
            f"'{source}': expected one {what} per listed image, got none for {len(absent)}, the "
            f"first '{min(absent)}'; download and unpack all archives of the publisher there"
        )
