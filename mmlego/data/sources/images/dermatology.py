"""HAM10000: dermoscopic images with age, sex and body site; melanoma or not."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd

from mmlego.data.cohorts.cohort import Cohort
from mmlego.data.cohorts.modality import Modality
from mmlego.data.cohorts.target import ClassTarget
from mmlego.data.sources.images.dermatology_images import (
    CELL_FEATURES,
    COLORS,
    check_patch,
    check_size,
    patch_tokens,
    read_images,
    small_picture,
)
from mmlego.data.sources.request import Request, require_columns
from mmlego.errors import DataError

SITES = (
    "abdomen",
    "acral",
    "back",
    "chest",
    "ear",
    "face",
    "foot",
    "genital",
    "hand",
    "lower extremity",
    "neck",
    "scalp",
    "trunk",
    "upper extremity",
)
UNKNOWN = "unknown"
CLINICAL = (
    "age",
    "age unknown",
    "male",
    "sex unknown",
    *(f"site: {site}" for site in (*SITES, UNKNOWN)),
)
# These are read and nothing else: diagnosis, how it was confirmed, and where the image came from
# tell the label.
_COLUMNS = ["lesion_id", "image_id", "age", "sex", "localization", "melanoma"]


def load_ham10000(
    request: Request,
    *,
    negatives_per_positive: int | None = 5,
    patch: int = 16,
    size: int = 64,
    draw: int = 0,
) -> Cohort:
    """Load the images, one sample each, with the lesion as the group that splits keep together.

    Args:
        request: Card, files, unit and modalities.
        negatives_per_positive: Images of other lesions kept per image of a melanoma; None keeps
            all. Lesions are drawn before any split, so the test parts have this ratio as well.
        patch: Side of a patch in pixels: a multiple of 4 that divides 128.
        size: Side of the small picture in pixels: a divisor of 128, 8 or more.
        draw: Seed of the drawing, apart from all other seeds, so that the cohort stays the same.

    Raises:
        DataError: If an option is out of range, an entry of the table is unknown, or an image is
            missing or damaged.

    Source: Hemker et al. 2025 for negatives down-sampled 5:1; doing so by lesion is our choice.
    """
    check_patch(patch)
    check_size(size)
    if negatives_per_positive is not None:
        _check_whole("negatives_per_positive", negatives_per_positive, 1)
    _check_whole("draw", draw, 0)
    table = _read_table(request.files.path("table"), request.card.name)
    if negatives_per_positive is not None:
        kept = drawn(table["lesion_id"], table["melanoma"], negatives_per_positive, draw)
        table = table[kept]
    ids = table["image_id"].to_numpy(dtype=str)
    picture = partial(small_picture, size=size)
    shapes: dict[str, Callable[[np.ndarray], np.ndarray]]
    shapes = {"img": partial(patch_tokens, patch=patch), "photo": picture, "pixels": picture}
    wanted = {name: make for name, make in shapes.items() if name in request.modalities}
    pictures = _pictures(request.files.path("images"), ids, wanted) if wanted else {}
    modalities = {
        name: _clinical(request, name, table)
        if name == "clin"
        else _visual(request, name, pictures[name])
        for name in request.modalities
    }
    target = ClassTarget(table["melanoma"].to_numpy(), request.card.target.class_names)
    return request.cohort(ids, table["lesion_id"].to_numpy(dtype=str), modalities, target)


def drawn(groups: pd.Series, label: pd.Series, ratio: int, seed: int) -> np.ndarray:
    """Keep every positive, and whole groups without one until there are ``ratio`` times as many.

    A group that would exceed the number is passed over, so the number is met exactly where groups
    of one are left; if there are fewer negatives, all stay. The result depends on the ids of the
    groups, not on the order of the rows.

    Args:
        groups: (n,) ids.
        label: (n,) 0 or 1.
        ratio: Negatives per positive.
        seed: Seed of the order in which groups are drawn.

    Returns:
        (n,) bool, True = kept.
    """
    groups, label = groups.to_numpy(dtype=str), label.to_numpy()
    with_positive = np.isin(groups, groups[label == 1])
    names, sizes = np.unique(groups[~with_positive], return_counts=True)
    room = ratio * int((label == 1).sum()) - int((with_positive & (label == 0)).sum())
    chosen = []
    for i in np.random.default_rng(seed).permutation(len(names)):
        if sizes[i] <= room:
            chosen.append(names[i])
            room -= int(sizes[i])
    return with_positive | np.isin(groups, chosen)


def clinical_features(table: pd.DataFrame) -> np.ndarray:
    """Return age in years, sex and body site, float32 (n, 19), in the order of ``CLINICAL``.

    What is unknown has a column of its own, beside NaN for the number: the gap itself can be told
    from a value, and NaN is replaced with the mean of the training part. Ages are rounded to five
    years; an age of 0 stands beside diagnoses of old skin and means unknown.

    Raises:
        DataError: If a sex or a site has a name that is not known.
    """
    age = table["age"].astype(np.float64).replace(0.0, np.nan)
    sex = _known(table, "sex", ("female", "male"))
    site = _known(table, "localization", SITES)
    columns = [
        age,
        age.isna(),
        (sex == "male").astype(np.float64).where(sex != UNKNOWN),
        sex == UNKNOWN,
    ]
    columns += [site == name for name in (*SITES, UNKNOWN)]
    return np.stack([column.to_numpy(dtype=np.float32) for column in columns], axis=1)


def _clinical(request: Request, name: str, table: pd.DataFrame) -> Modality:
    """A sample of which neither age, nor sex, nor site is known lacks the modality."""
    values = clinical_features(table)
    gaps = [CLINICAL.index(f) for f in ("age unknown", "sex unknown", f"site: {UNKNOWN}")]
    present = ~np.all(values[:, gaps].astype(bool), axis=1)
    return request.modality(name, values, present, CLINICAL)


def _visual(request: Request, name: str, made: list[np.ndarray]) -> Modality:
    values, features = (tuple(made), CELL_FEATURES) if name == "img" else (np.stack(made), COLORS)
    return request.modality(name, values, np.ones(len(made), dtype=bool), features)


def _pictures(
    path: Path, ids: np.ndarray, makers: dict[str, Callable[[np.ndarray], np.ndarray]]
) -> dict[str, list[np.ndarray]]:
    """Decode every image once and turn it into all that is wanted of it."""
    made: dict[str, list[np.ndarray]] = {name: [] for name in makers}
    for image in read_images(path, ids):
        for name, make in makers.items():
            made[name].append(make(image))
    return made


def _known(table: pd.DataFrame, column: str, names: tuple[str, ...]) -> pd.Series:
    values = table[column].fillna(UNKNOWN)
    strange = sorted(set(values) - {*names, UNKNOWN})
    if strange:
        raise DataError(
            f"column '{column}': expected {', '.join(names)} or {UNKNOWN}, got {strange[0]!r}; "
            "correct the table"
        )
    return values


def _check_whole(option: str, value: object, least: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise DataError(
            f"{option}: expected a whole number of {least} or more, got {value!r}; correct the "
            "option of the loader"
        )


def _read_table(path: Path, name: str) -> pd.DataFrame:
    """Read the columns that are used, sorted by image."""
    where = f"'{name}' table"
    header = pd.read_csv(path, nrows=0)
    require_columns(header, _COLUMNS, where)
    table = pd.read_csv(path, usecols=_COLUMNS)
    if not table["melanoma"].isin((0, 1)).all():
        raise DataError(
            f"{where}: expected 0 or 1 in column 'melanoma', got other values; correct the table"
        )
    return table.sort_values("image_id", ignore_index=True)
