"""Make an executed notebook fit to publish: no traces of the machine, small figures."""

from __future__ import annotations

import base64
import re
from typing import Any

from mmlego.bench.settings import RunSettings
from mmlego.runs.palette import with_palette

# "/somewhere/metrics.py:140: MetricWarning: text", followed by the indented line of source
_WARNING = re.compile(r"^\S*[/\\]\S*:\d+: (?P<kind>\w+): (?P<text>.*)$")
# A progress bar that cannot draw itself as a widget is of no concern to a reader.
_DROPPED = ("TqdmWarning",)


def presentable(notebook: Any, settings: RunSettings) -> Any:
    """Clean an executed notebook, in place.

    Timestamps and paths of papermill go; the cell of parameters shows those of this run, without
    the folder of results; warnings keep their words and lose the file that they came from; figures
    get a palette, see ``with_palette``.
    """
    notebook.metadata.pop("papermill", None)
    for cell in notebook.cells:
        cell.metadata.pop("papermill", None)
        cell.metadata.pop("execution", None)
        _tidy_parameters(cell, settings)
        if cell.cell_type == "code":
            cell.outputs = [out for out in map(_clean_output, cell.outputs) if out is not None]
    return notebook


def _tidy_parameters(cell: Any, settings: RunSettings) -> None:
    tags = cell.metadata.get("tags", [])
    if "injected-parameters" in tags:
        cell.source = "# this run's parameters\n" + "\n".join(
            f"{name} = {value!r}" for name, value in settings.identity().items()
        )
        cell.metadata["tags"] = [*tags, "hide-input"]
    elif "parameters" in tags:
        cell.metadata["tags"] = [*tags, "remove-cell"]


def _clean_output(output: Any) -> Any | None:
    """Clean one output; None if nothing is left of it."""
    if "image/png" in output.get("data", {}):
        output.data["image/png"] = _small(output.data["image/png"])
    if output.output_type != "stream" or output.name != "stderr":
        return output
    output.text = clean_warnings(output.text)
    return output if output.text.strip() else None


def _small(encoded: str) -> str:
    """Return a picture in base64 with a palette; the very same text if it stays as it is."""
    png = base64.b64decode(encoded)
    small = with_palette(png)
    return encoded if small == png else base64.b64encode(small).decode("ascii")


def clean_warnings(text: str) -> str:
    """Reduce printed warnings to their category and words, each once."""
    kept: list[str] = []
    after_warning = False
    for line in text.splitlines():
        found = _WARNING.match(line)
        if found:
            after_warning = True
            message = f"{found['kind']}: {found['text']}"
            if found["kind"] not in _DROPPED and message not in kept:
                kept.append(message)
        elif not (after_warning and line.startswith("  ")):
            after_warning = False
            kept.append(line)
    return "".join(f"{line}\n" for line in kept)
