"""From the official text files of the challenge to the two prepared tables that the card names."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from pathlib import Path

import pandas as pd

from mmlego.data.sources.writing import write_whole
from mmlego.errors import DataError

LONG_FILE = "p12_long.csv.gz"
OUTCOME_FILE = "p12_outcomes.csv"


def prepare_physionet(
    source: str | Path, out: str | Path, *, log: Callable[[str], None] | None = None
) -> list[Path]:
    """Write the long table of measurements and the table of outcomes from the official files.

    Args:
        source: Folder with ``set-a/*.txt`` and ``Outcomes-a.txt``, and the same for b and c; at
            least one set.
        out: Folder of the two prepared files; made if needed.
        log: Called with one line per set.

    Returns:
        The paths of the long table (set, RecordID, minute, Parameter, Value; gzip) and of the
        outcomes.

    Raises:
        DataError: If no set is there, a set has no outcomes, or a file is damaged. Nothing is
            written then.
    """
    source, out = Path(source), Path(out)
    sets = [name for name in "abc" if (source / f"set-{name}").is_dir()]
    if not sets:
        raise DataError(
            f"'{source}': expected folders set-a, set-b, set-c with .txt files, got none of them; "
            "unpack the official "
            "archives there"
        )
    tables, outcomes = [], []
    for name in sets:
        tables.append(_read_set(source / f"set-{name}", name))
        outcomes.append(_read_outcomes(source / f"Outcomes-{name}.txt", name, tables[-1]))
        if log is not None:
            log(f"set {name}: {len(outcomes[-1])} stays, {len(tables[-1])} measurements")
    long = pd.concat(tables).to_csv(index=False, lineterminator="\n").encode()
    table = pd.concat(outcomes).to_csv(index=False, lineterminator="\n").encode()
    return [
        write_whole(out / LONG_FILE, gzip.compress(long, mtime=0)),
        write_whole(out / OUTCOME_FILE, table),
    ]


def read_record(path: Path) -> pd.DataFrame:
    """Read one stay: RecordID, minute since admission, Parameter, Value.

    Raises:
        DataError: If the file is not in the official format.
    """
    try:
        table = pd.read_csv(path)
        clock = table["Time"].str.split(":", expand=True).astype(int)
        table = table.assign(minute=clock[0] * 60 + clock[1], Value=table["Value"].astype(float))
        numbers = table.loc[table["Parameter"] == "RecordID", "Value"]
        record = int(numbers.iloc[0])
    except (OSError, KeyError, ValueError, IndexError, AttributeError) as error:
        raise DataError(
            f"'{path}': expected the lines Time,Parameter,Value with a RecordID, got '{error}'; "
            "download the set again"
        ) from error
    table = table[
        (table["Parameter"] != "RecordID") & table["Parameter"].notna() & table["Value"].notna()
    ]
    return table.assign(RecordID=record)[["RecordID", "minute", "Parameter", "Value"]]


def _read_set(folder: Path, name: str) -> pd.DataFrame:
    paths = sorted(folder.glob("*.txt"))
    if not paths:
        raise DataError(
            f"'{folder}': expected one .txt file per stay, got none; unpack the official archive "
            "there"
        )
    table = pd.concat([read_record(path) for path in paths])
    table.insert(0, "set", name)
    return table


def _read_outcomes(path: Path, name: str, measurements: pd.DataFrame) -> pd.DataFrame:
    try:
        table = pd.read_csv(path)
        stays = set(table["RecordID"])
    except (OSError, KeyError, ValueError) as error:
        raise DataError(
            f"'{path}': expected a table with RecordID, got '{error}'; download it again"
        ) from error
    found = set(measurements["RecordID"])
    if stays != found:
        raise DataError(
            f"'{path}': expected the outcomes of the {len(found)} stays in set-{name}, got "
            f"{len(stays)} "
            f"({len(stays ^ found)} differ); take both from one download"
        )
    table.insert(1, "set", name)
    return table
