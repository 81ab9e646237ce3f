"""ENRICO: screens of mobile apps and their wireframes, from the files of the publisher."""

from __future__ import annotations

import hashlib
import io
import random
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from mmlego.data.cards.fetch import sha256
from mmlego.data.cohorts.cache import read_arrays, write_arrays
from mmlego.data.cohorts.cohort import Cohort
from mmlego.data.cohorts.modality import Modality
from mmlego.data.cohorts.target import ClassTarget
from mmlego.data.sources.images.pictures import opened
from mmlego.data.sources.request import Request, read_columns
from mmlego.errors import DataError

SCREEN, TOPIC = "screen_id", "topic"
COLORS = ("red", "green", "blue")
FORMATS = {"screenshot": "JPEG", "wireframe": "PNG"}
EXCLUDED = (50105, 50109)  # the publisher lists their wireframes as not available
SCREENS = 1458  # in the complete table, without the excluded ones
SEED, TRAINING, VALIDATION = 42, 0.65, 0.15
_SUFFIXES = {"JPEG": "jpg", "PNG": "png"}
_FORM = 1  # of what is kept in the cache


def load_enrico(request: Request, *, height: int = 64, width: int = 32) -> Cohort:
    """Load one screen of an app per sample, with its topic of design as the label.

    ``topics`` has the columns screen_id and topic; the pictures are ``<screen_id>.jpg`` below the
    folder (or tar archive) ``screenshots`` and ``<screen_id>.png`` below ``wireframes``. Samples
    are the screens of the table in its order, without 50105 and 50109; one without a file of a kind
    lacks that modality. Names of files and topics are never inputs. Small pictures are kept in the
    cache. ``Cohort.division`` is the division of MultiBench, see ``published_parts``; an incomplete
    table has none.

    Args:
        request: Card, files, unit and modalities.
        height: Pictures are resized to this many pixels (bilinear); the ratio of their sides is not
            kept.
        width: The same, across.

    Raises:
        DataError: If a side is out of range, an id or a topic cannot be used, no screen has a file
            of a kind, or a picture is damaged.
        DownloadError: If the table or an archive is damaged.

    Source: Leiva et al. (2020); Liang et al. (MultiBench) for the excluded screens. There, and so
    perhaps in AMC, pictures of 256 x 128 pixels pass a network that has learned from ImageNet
    (VGG11 with batch normalization); here no network has seen them before, and models get the small
    picture itself, or patches of it. What AMC calls a set is the picture of the wireframe.
    """
    for option, side in (("height", height), ("width", width)):
        if isinstance(side, bool) or not isinstance(side, int) or side < 8:
            raise DataError(
                f"{option}: expected 8 pixels or more, got {side!r}; the usual picture has 64 x 32"
            )
    ids, target = _read_topics(request)
    modalities = {name: _modality(request, name, ids, height, width) for name in request.modalities}
    division = published_parts(SCREENS) if len(ids) == SCREENS else None
    return request.cohort(ids, ids, modalities, target, division)


def published_parts(n: int) -> np.ndarray:
    """Return the part of each of n screens in MultiBench: "train", "val" or "test".

    Args:
        n: Screens of the table in its order, without the excluded ones; 1,458 in the complete one.

    Source: Liang et al. (MultiBench): positions are shuffled by ``random`` of Python with seed 42,
    and cut at 65 % and 80 %. Later versions of their code then read the test samples from the
    training part, which is not offered.
    """
    order = list(range(n))
    random.Random(SEED).shuffle(order)
    cuts = [int(n * TRAINING), int(n * (TRAINING + VALIDATION))]
    parts = np.empty(n, dtype="U5")
    for part, positions in zip(("train", "val", "test"), np.split(order, cuts), strict=True):
        parts[positions] = part
    return parts


def read_screens(
    path: Path, ids: Sequence[str] | np.ndarray, form: str, height: int, width: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return small pictures (n, 3, height, width) uint8, zeros where absent, and present (n,).

    Any mode of color becomes RGB; transparency is dropped.

    Args:
        path: A folder, or a tar archive of it.
        ids: Names of the files, without their ending.
        form: "JPEG" or "PNG".
        height: In pixels.
        width: In pixels.

    Raises:
        DataError: If no id has a picture, or one is damaged or of another format.
        DownloadError: If the archive is damaged.
    """
    values = np.zeros((len(ids), len(COLORS), height, width), dtype=np.uint8)
    present = np.zeros(len(ids), dtype=bool)
    with opened(path) as read:
        for i, name in enumerate(_names(ids, form)):
            content = read(name)
            if content is not None:
                values[i] = _small(content, form, height, width, f"'{path}': '{name}'")
                present[i] = True
    if not present.any():
        raise DataError(
            f"'{path}': expected pictures of the screens of the table, such as "
            f"'{_names(ids, form)[0]}', got none of them; put the files directly below the folder"
        )
    return values, present


def _read_topics(request: Request) -> tuple[np.ndarray, ClassTarget]:
    path = request.files.path("topics")
    table = read_columns(path, [SCREEN, TOPIC])
    screens = table[SCREEN]
    if screens.dtype != np.int64 or screens.duplicated().any():
        raise DataError(
            f"'{path}': expected one whole number per row in column '{SCREEN}', none of them "
            f"twice, got {_first_strange(screens)}; take the published table"
        )
    table = table[~screens.isin(EXCLUDED)]
    classes = request.card.target.class_names
    topics = table[TOPIC].astype(str).str.lower()
    unknown = sorted(set(topics) - set(classes))
    if unknown:
        raise DataError(
            f"'{path}': expected the topics {', '.join(classes)} in column '{TOPIC}', got "
            f"{', '.join(map(repr, unknown[:5]))}; take the published table"
        )
    label = topics.map(classes.index).to_numpy(dtype=np.int64)
    return table[SCREEN].to_numpy().astype(str), ClassTarget(label, tuple(classes))


def _first_strange(screens: pd.Series) -> str:
    if screens.duplicated().any():
        return repr(screens[screens.duplicated()].iloc[0])
    return f"type {screens.dtype}"


def _modality(request: Request, name: str, ids: np.ndarray, height: int, width: int) -> Modality:
    path = request.path_of(name)
    form = FORMATS[name]
    key = f"enrico-{_FORM}-{name}-{height}x{width}-{_state(path, _names(ids, form))[:16]}"
    stored = read_arrays(key)
    if stored is None:
        values, present = read_screens(path, ids, form, height, width)
        stored = {"values": values, "present": present}
        write_arrays(key, stored)
    values = stored["values"].astype(np.float32) / 255
    return request.modality(name, values, stored["present"], COLORS)


def _names(ids: Sequence[str] | np.ndarray, form: str) -> list[str]:
    return [f"{i}.{_SUFFIXES[form]}" for i in ids]


def _state(path: Path, names: Sequence[str]) -> str:
    """Return a digest that changes with the files: of an archive its content, else their times."""
    if path.is_file():
        listed: list[object] = [sha256(path), *names]
    else:
        found = {file.name: file.stat() for file in path.iterdir()}
        listed = [
            (name, found[name].st_size, found[name].st_mtime_ns) if name in found else name
            for name in names
        ]
    return hashlib.sha256(repr(listed).encode()).hexdigest()


def _small(content: bytes, form: str, height: int, width: int, where: str) -> np.ndarray:
    try:
        with Image.open(io.BytesIO(content), formats=[form]) as image:
            # a palette with transparency has no direct way to RGB
            picture = (image.convert("RGBA") if image.mode == "P" else image).convert("RGB")
    except (OSError, SyntaxError, ValueError) as error:
        raise DataError(
            f"{where}: expected a picture as {form}, got '{error}'; obtain it again, or delete it "
            "so that the screen lacks it"
        ) from error
    small = picture.resize((width, height), Image.Resampling.BILINEAR)
    return np.moveaxis(np.asarray(small), -1, 0)
