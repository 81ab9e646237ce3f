"""What of a card is on this machine, and whether it is what the card says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from mmlego.data.cards.card import Card, SourceFile
from mmlego.data.cards.catalog import card_path, is_path, load_card
from mmlego.data.cards.locate import Files
from mmlego.data.cohorts.cohort import Cohort
from mmlego.data.cohorts.load import load_cohort
from mmlego.data.cohorts.target import SurvivalTarget
from mmlego.data.folds.splits import make_splits
from mmlego.errors import DataError, DownloadError


def files_of(name: str | Path, data_dir: str | Path | None = None) -> Files:
    """Return the files of a card, by name or path."""
    return Files(load_card(name), data_dir, card_path(name).parent if is_path(name) else None)


def state(files: Files) -> str:
    """Return "yes", "fetch", "partly" or "no": how much of the default modalities is here.

    "fetch": every missing file can be downloaded; "partly": some modalities are here or can be.
    """
    keys = [key for key in files.needed() if not files.card.sources[key].embedded]
    missing = [key for key in keys if files.find(key) is None]
    if not missing:
        return "yes"
    if all(files.card.sources[key].url for key in missing):
        return "fetch"
    obtainable = [key for key in keys if key not in missing or files.card.sources[key].url]
    return "partly" if obtainable else "no"


def check(name: str | Path, data_dir: str | Path | None = None) -> list[str]:
    """Check files, checksums, loading and counts of a data set; returns one line per passed check.

    Every unit of the card is loaded with all its modalities and divided once; nothing is
    downloaded.

    Raises:
        DataError: At the first check that fails; the message says what differs.
    """
    files = files_of(name, data_dir)
    lines = []
    for key, source in files.card.sources.items():
        found = files.find(key)
        if found is None and not source.embedded:
            raise DownloadError(files.how_to_obtain(key))
        lines.append(
            f"file {key}: embedded"
            if found is None
            else f"file {key}: {files.path(key)}, {_checked(source)}"
        )
    everything = tuple(files.card.modalities)
    for unit in files.card.split_units:
        cohort = load_cohort(name, unit=unit, modalities=everything, data_dir=data_dir)
        make_splits(cohort, repeats=1, unit=unit)
        _check_counts(files.card, cohort)
        lines.append(f"loads by {unit}: {cohort.describe()}")
    return lines


def _checked(source: SourceFile) -> str:
    """What was checked of a file that is there."""
    return "checksum ok" if source.sha256 or source.content_sha256 else "no checksum given"


def _check_counts(card: Card, cohort: Cohort) -> None:
    """Compare the cohort with the counts that the card expects."""
    expected = card.expected
    if expected is None:
        return
    patients = int(len(np.unique(cohort.groups)))
    by_row = cohort.unit == "row"
    found: dict[str, Any] = {"patients": patients, "rows" if by_row else "samples": cohort.n}
    wanted: dict[str, Any] = {
        "patients": expected.patients,
        "rows" if by_row else "samples": expected.rows if by_row else expected.samples,
    }
    if not by_row:
        outcome = _outcome_counts(cohort)
        found |= outcome | {
            f"present.{m}": int(p.sum()) for m, p in cohort.present.items() if m in expected.present
        }
        wanted |= {key: getattr(expected, key) for key in outcome}
        wanted |= {f"present.{m}": n for m, n in expected.present.items()}
    if expected.division:
        found["division"] = cohort.describe().get("division")
        wanted["division"] = expected.division
    found |= {f"features.{m}": cohort.modalities[m].width for m in expected.features}
    wanted |= {f"features.{m}": n for m, n in expected.features.items()}
    for key, value in wanted.items():
        if value is not None and found.get(key) != value:
            raise DataError(
                f"'{card.name}' by {cohort.unit}: expected {key} {value}, got {found.get(key)}; "
                "compare the file with "
                "the card"
            )


def _outcome_counts(cohort: Cohort) -> dict[str, Any]:
    if isinstance(cohort.target, SurvivalTarget):
        return {"events": int(cohort.target.event.sum())}
    return {
        "classes": np.bincount(cohort.target.label, minlength=len(cohort.target.classes)).tolist()
    }
