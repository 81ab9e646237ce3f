"""Which records are current for the code, data and versions that are here, and what changed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import pandas as pd

from mmlego.bench.store.code import module_digests
from mmlego.bench.tuning.values import values_digest
from mmlego.data import load_card, load_cohort
from mmlego.data.cards.availability import state as availability
from mmlego.data.cards.locate import Files
from mmlego.errors import MMLegoError
from mmlego.runs.notebook_code import numeric_code
from mmlego.runs.provenance import versions
from mmlego.runs.records.record import read_records
from mmlego.runs.records.results import COLUMNS, contradictions, rows_of

CURRENT, OUTDATED, SUPERSEDED, EARLIER = "current", "outdated", "superseded", "earlier code"
# Parameters that say how much of a question is answered, and where, but not which question it is.
_EXTENT = ("grid", "repeats", "methods", "device", "arms", "rivals")
_MOST_NAMES = 4


@dataclass(frozen=True)
class Status:
    """What a record is worth today.

    Attributes:
        run_id: Name of the run.
        notebook: Its notebook.
        cohort: Its cohort, empty for a run without one.
        state: ``current``, ``outdated``, ``superseded``, or ``earlier code`` for what was made
            before records kept the code of each module.
        why: What changed, or which run takes its place; empty for what is current.
    """

    run_id: str
    notebook: str
    cohort: str
    state: str
    why: str = ""


def statuses(results: Path, *, data: bool = True) -> list[Status]:
    """The status of every record, sorted by run id.

    Args:
        results: Folder of results.
        data: Whether cohorts whose files are here are loaded, to see whether they changed.
    """
    records = read_records(results)
    metrics = pd.DataFrame([row for one in records for row in rows_of(one)], columns=COLUMNS)
    pairs = contradictions(metrics)
    return [_status(record, records, pairs, data) for record in records]


def _status(
    record: Mapping[str, Any], others: Sequence[Mapping[str, Any]], pairs: pd.DataFrame, data: bool
) -> Status:
    cohort = str(record["data"].get("name", ""))
    known = (str(record["run_id"]), str(record["notebook"]), cohort)
    later = superseded_by(record, others)
    if later:
        return Status(*known, SUPERSEDED, f"by {later}")
    corrected = _corrected(record, others, pairs)
    if corrected:
        return Status(*known, OUTDATED, corrected)
    if record.get("earlier"):
        return Status(*known, EARLIER, "its keys cannot be compared; run it again")
    changes = [_code_changes(record), _version_changes(record), _value_changes(record)]
    changes.append(_data_changes(record) if data else "")
    why = "; ".join(change for change in changes if change)
    return Status(*known, OUTDATED if why else CURRENT, why)


def superseded_by(record: Mapping[str, Any], others: Sequence[Mapping[str, Any]]) -> str:
    """The run that answers the same question later and as fully, or nothing."""
    same = [
        other
        for other in others
        if other["run_id"] != record["run_id"]
        and _question(other) == _question(record)
        and other["finished"] > record["finished"]
        and _covers(other, record)
    ]
    return str(max(same, key=lambda other: other["finished"])["run_id"]) if same else ""


def _corrected(
    record: Mapping[str, Any], others: Sequence[Mapping[str, Any]], pairs: pd.DataFrame
) -> str:
    """The later runs that give keys of a record other values, or nothing."""
    part = pairs[pairs["one"] == record["run_id"]]
    if part.empty:
        return ""
    finished = {other["run_id"]: other["finished"] for other in others}
    later = [
        f"{rows} {'value differs' if rows == 1 else 'values differ'} in {other}"
        for _, other, rows in part.itertuples(index=False)
        if finished[other] > record["finished"]
    ]
    return "; ".join(later)


def _question(record: Mapping[str, Any]) -> dict[str, Any]:
    rest = {name: v for name, v in record["parameters"].items() if name not in _EXTENT}
    return rest | {"notebook": record["notebook"]}


def _covers(other: Mapping[str, Any], record: Mapping[str, Any]) -> bool:
    """Whether a record has an outcome wherever another one has."""

    def places(one: Mapping[str, Any]) -> set[tuple[Any, ...]]:
        names = ("method", "arm", "inputs", "condition", "chosen_by", "tune_epochs", "modalities")
        return {tuple(o[n] for n in (*names, "repeat")) for o in one["outcomes"]}

    return places(record) <= places(other)


def _code_changes(record: Mapping[str, Any]) -> str:
    """The modules that changed, came, or went since a record was made."""
    then, now = record["modules"], module_digests(*numeric_code(record["notebook"]))
    changed = sorted(name for name in {*then, *now} if then.get(name) != now.get(name))
    if not changed:
        return ""
    rest = f" and {len(changed) - _MOST_NAMES} more" if len(changed) > _MOST_NAMES else ""
    return f"code changed: {', '.join(changed[:_MOST_NAMES])}{rest}"


def _version_changes(record: Mapping[str, Any]) -> str:
    """The libraries whose minor version is another one."""
    then, now = record["versions"], versions()
    changed = [
        f"{name} {then[name]} is {now[name]} now"
        for name in now
        if name not in ("python", "mmlego")
        and name in then
        and then[name].split(".")[:2] != now[name].split(".")[:2]
    ]
    return ", ".join(changed)


def _value_changes(record: Mapping[str, Any]) -> str:
    """Whether the searched values of a record are no longer those of the file."""
    then = record["data"].get("values")
    if then is None:
        return ""
    return "" if then == values_digest(record["data"]["name"]) else "searched values changed"


def _data_changes(record: Mapping[str, Any]) -> str:
    """Whether the cohort is no longer what it was, as far as its files are here."""
    then, parameters = record["data"].get("fingerprint"), record["parameters"]
    if then is None:
        return ""
    now = _fingerprint(
        parameters["cohort"],
        tuple(parameters["modalities"]),
        parameters["split_unit"],
        parameters["max_samples"],
    )
    return "" if now in ("", then) else "data changed"


@lru_cache(maxsize=64)
def _fingerprint(cohort: str, modalities: tuple[str, ...], unit: str, most: int) -> str:
    """Fingerprint of a cohort; empty where its files are not here."""
    try:
        if availability(Files(load_card(cohort))) != "yes":
            return ""
        found = load_cohort(
            cohort, modalities=list(modalities) or None, unit=unit, max_samples=most or None
        )
    except MMLegoError:
        return ""
    return found.fingerprint()
