"""Notes on pages whose numbers were made by other code or data than what is here."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path

from mmlego.errors import RunError
from mmlego.runs.files import write_text
from mmlego.runs.records.status import CURRENT, EARLIER, OUTDATED, SUPERSEDED, Status

_RUN = re.compile(r"\| Run \| `([^`]+)`")
_MARK = "out-of-date"
_WORDS = {
    EARLIER: "This page was made by earlier code and has not been run again since. Its numbers "
    "stand as they were recorded.",
    OUTDATED: "This page was made before something that it depends on changed: {why}. Its numbers "
    "stand as they were recorded.",
    SUPERSEDED: "A later run answers the same question ({why}); this page is kept for comparison.",
}


def run_of(path: Path) -> str:
    """The run that an executed notebook shows, as its closing lines say; empty if they do not."""
    found = _RUN.search(path.read_text(encoding="utf-8"))
    return found.group(1) if found else ""


def add_note(path: Path, known: Mapping[str, Status]) -> bool:
    """Say under the title of a page what its record is worth today, where that is not all.

    Args:
        path: The executed notebook, in the source of the book as it is built.
        known: Status of every record by run id.

    Returns:
        Whether the page got a note.

    Raises:
        RunError: If the file is no notebook.
    """
    status = known.get(run_of(path))
    if status is None or status.state == CURRENT:
        return False
    try:
        page = json.loads(path.read_text(encoding="utf-8"))
        cells = page["cells"]
    except (ValueError, KeyError) as problem:
        raise RunError(f"page {path.name}: is no notebook ({problem}); run it again") from None
    if any(_MARK in cell["metadata"].get("tags", []) for cell in cells):
        return True
    note = {
        "cell_type": "markdown",
        "id": _MARK,
        "metadata": {"tags": [_MARK]},
        "source": [f"```{{note}}\n{_WORDS[status.state].format(why=status.why)}\n```\n"],
    }
    page["cells"] = [cells[0], note, *cells[1:]]
    write_text(path, json.dumps(page, indent=1, ensure_ascii=False) + "\n")
    return True
