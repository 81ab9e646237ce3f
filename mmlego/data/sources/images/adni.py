"""ADNI, from files that a licensed user prepares: tables, variants and volumes keyed by subject."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import numpy as np
from einops import reduce

from mmlego.data.cohorts.cohort import Cohort
from mmlego.data.cohorts.modality import Modality
from mmlego.data.sources.request import Request
from mmlego.data.sources.tables import read_modality, read_samples
from mmlego.errors import DataError, DownloadError

VARIANT_ARRAYS = ("subject", "variant", "dosage")
MOST = 2  # copies of the counted allele
CHANNEL = ("intensity",)


def load_adni(request: Request, *, factor: int = 1) -> Cohort:
    """Load the subjects of the target table, one sample each.

    Tables are read like those of one's own (``load_tables``). A subject that a file does not name
    lacks that modality. The variants are a table (subject and one column per variant), or an
    archive of numpy with the arrays ``subject`` (n,), ``variant`` (c,) and ``dosage`` (n, c): 0, 1
    or 2 copies, negative where unknown. The volumes are an archive of numpy with one array (d, h,
    w) per subject, named by the subject, all of one shape and in one atlas space.

    Args:
        request: Card, files, unit and modalities.
        factor: Volumes are shrunk by means of cubes of this side; what is left over at the far ends
            is cut off. 1 keeps them as they are.

    Raises:
        DataError: If the factor is out of range, or a table, an array or a value cannot be used.
        DownloadError: If an archive is damaged.

    Source: Peng et al. 2025 (AMC) use biospecimens, clinical records, 135,595 variants and images
    of 91 x 109 x 91 voxels of 2,380 subjects; their own files are not published, and the form of
    these files is our choice.
    """
    if isinstance(factor, bool) or not isinstance(factor, int) or factor < 1:
        raise DataError(f"factor: expected a whole number of 1 or more, got {factor!r}; 1 is usual")
    ids, groups, target = read_samples(request)
    modalities = {name: _modality(request, name, ids, factor) for name in request.modalities}
    return request.cohort(ids, groups, modalities, target)


def read_variants(
    path: Path, ids: Sequence[str] | np.ndarray
) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Return copies of each variant (n, c) float32 with NaN where unknown, present (n,), and names.

    Raises:
        DataError: If an array is missing, shapes differ, or a copy number is not 0, 1 or 2.
        DownloadError: If the archive is damaged.
    """
    with _archive(path) as stored:
        absent = [name for name in VARIANT_ARRAYS if name not in stored]
        if absent:
            raise DataError(
                f"'{path}': expected the arrays {', '.join(VARIANT_ARRAYS)}, got no "
                f"{', '.join(absent)}; write the archive again"
            )
        subject, variant, dosage = (stored[name] for name in VARIANT_ARRAYS)
    if dosage.shape != (len(subject), len(variant)) or len(set(subject)) < len(subject):
        raise DataError(
            f"'{path}': expected a dosage ({len(subject)}, {len(variant)}), one row per subject "
            f"and one column per variant, and no subject twice, got {dosage.shape}; write the "
            "archive again"
        )
    if not np.isin(dosage[dosage >= 0], range(MOST + 1)).all():
        raise DataError(
            f"'{path}': expected 0, 1 or 2 copies, or a negative number where unknown, got "
            f"{dosage.max()}; count the copies of one allele"
        )
    row_of = {str(name): row for row, name in enumerate(subject)}
    present = _who_is_in(path, ids, row_of)
    values = np.full((len(ids), len(variant)), np.nan, dtype=np.float32)
    rows = dosage[[row_of[i] for i in np.asarray(ids)[present]]]
    values[present] = np.where(rows >= 0, rows, np.nan)
    return values, present, variant.astype(str).tolist()


def read_volumes(
    path: Path, ids: Sequence[str] | np.ndarray, factor: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return volumes (n, 1, d, h, w) float32, zeros where absent, and present (n,).

    Raises:
        DataError: If an array is no volume, shapes differ, or the factor leaves nothing.
        DownloadError: If the archive is damaged.
    """
    with _archive(path) as stored:
        present = _who_is_in(path, ids, stored)
        shape = stored[np.asarray(ids)[present][0]].shape
        if len(shape) != 3 or min(shape) < factor:
            raise DataError(
                f"'{path}': expected volumes (d, h, w) with sides of {factor} (the factor) or "
                f"more, got {shape}; store one volume per subject, or lower the factor"
            )
        sides = [side // factor for side in shape]
        values = np.zeros((len(ids), 1, *sides), dtype=np.float32)
        for i in np.flatnonzero(present).tolist():
            volume = stored[ids[i]]
            if volume.shape != shape:
                raise DataError(
                    f"'{path}': '{ids[i]}': expected a volume {shape} as the first one has, got "
                    f"{volume.shape}; bring all volumes to one atlas space"
                )
            values[i, 0] = shrunk(volume, factor)
    return values, present


def shrunk(volume: np.ndarray, factor: int) -> np.ndarray:
    """Return the means of cubes of side ``factor`` of a volume (d, h, w), float32."""
    whole = volume[tuple(slice(side // factor * factor) for side in volume.shape)]
    cubes = "(d x) (h y) (w z) -> d h w"
    return reduce(whole.astype(np.float32), cubes, "mean", x=factor, y=factor, z=factor)


def _modality(request: Request, name: str, ids: np.ndarray, factor: int) -> Modality:
    part = request.card.modalities[name]
    if part.kind == "volume":
        values, present = read_volumes(request.path_of(name), ids, factor)
        return request.modality(name, values, present, CHANNEL)
    if request.card.sources[cast(str, part.source)].file.endswith(".npz"):
        return request.modality(name, *read_variants(request.path_of(name), ids))
    return read_modality(request, name, ids)


def _who_is_in(path: Path, ids: Sequence[str] | np.ndarray, stored: Any) -> np.ndarray:
    present = np.array([i in stored for i in ids])
    if not present.any():
        raise DataError(
            f"'{path}': expected subjects of the target table, such as '{ids[0]}', got none of "
            "them; use one id in all files"
        )
    return present


@contextmanager
def _archive(path: Path) -> Iterator[np.lib.npyio.NpzFile]:
    """Open an archive of numpy; its arrays are read one by one, when asked for."""
    try:
        with open(path, "rb") as file:
            stored = np.load(file, allow_pickle=False)
            if not isinstance(stored, np.lib.npyio.NpzFile):
                raise ValueError("a single array")
            yield stored
    except DataError:
        raise
    except (OSError, EOFError, ValueError, zipfile.BadZipFile, zlib.error) as error:
        raise DownloadError(
            f"'{path}': expected an archive of numpy (.npz), got '{error}'; write it again"
        ) from error
