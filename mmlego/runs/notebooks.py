"""Read notebooks.

Their parameters, their code, and whether an executed one really ran to its end.
"""

from __future__ import annotations

import ast
import copy
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import yaml

from mmlego.bench.settings import unknown_name
from mmlego.bench.store.code import notebook_digest
from mmlego.data.cards.suggest import did_you_mean
from mmlego.data.paths import project_root
from mmlego.errors import RunError, SettingsError

_TRUE = {"true": True, "yes": True, "false": False, "no": False}


def notebook_path(name: str | Path) -> Path:
    """The file of a notebook, given by name (``merge``) or path.

    Raises:
        RunError: If there is no such notebook.
    """
    path = Path(name)
    if path.suffix != ".ipynb":
        path = project_root() / "notebooks" / f"{name}.ipynb"
    if not path.is_file():
        known = sorted(file.stem for file in (project_root() / "notebooks").glob("*.ipynb"))
        raise RunError(
            f"notebook '{name}': expected one of {known} or a path to a notebook; {path} does not "
            f"exist{did_you_mean(path.stem, known)}"
        )
    return path


def read_notebook(path: Path) -> Any:
    """Parse a notebook file."""
    import nbformat

    try:
        return nbformat.read(path, as_version=4)
    except (OSError, ValueError, nbformat.ValidationError) as problem:
        raise RunError(f"notebook {path.name}: cannot be read ({problem})") from None


def code_cells(notebook: Any) -> list[str]:
    """Sources of the code cells that are not empty."""
    return [
        cell.source for cell in notebook.cells if cell.cell_type == "code" and cell.source.strip()
    ]


def default_parameters(path: Path) -> dict[str, Any]:
    """Names and defaults of a notebook's parameters, read without running it.

    Raises:
        RunError: If the notebook has no parameters cell, more than one, or a default that is not a
            literal.
    """
    stamp = path.stat()
    return copy.deepcopy(_default_parameters(path, stamp.st_mtime_ns, stamp.st_size))


@lru_cache(maxsize=64)
def _default_parameters(path: Path, *_stamp: int) -> dict[str, Any]:
    """The same, read once per version of a notebook."""
    tagged = [
        cell
        for cell in read_notebook(path).cells
        if "parameters" in cell.get("metadata", {}).get("tags", [])
    ]
    if len(tagged) != 1:
        raise RunError(
            f"notebook {path.name}: expected one cell tagged 'parameters', found {len(tagged)}"
        )
    found: dict[str, Any] = {}
    for node in ast.parse(tagged[0].source).body:
        target = (
            node.target if isinstance(node, ast.AnnAssign) else getattr(node, "targets", [None])[0]
        )
        if not isinstance(target, ast.Name):
            raise RunError(f"notebook {path.name}: its parameters cell may hold assignments only")
        try:
            found[target.id] = ast.literal_eval(node.value)
        except ValueError:
            raise RunError(
                f"notebook {path.name}: the default of '{target.id}' is not a literal"
            ) from None
    return found


def given_parameters(texts: Sequence[str]) -> dict[str, str]:
    """Parameters as a command line gives them: ``name=value`` texts as a mapping.

    Raises:
        SettingsError: If one of them is no such text.
    """
    for text in texts:
        if "=" not in text:
            raise SettingsError(f"parameter '{text}': expected name=value")
    return dict(text.split("=", 1) for text in texts)


def source_digest(path: Path) -> str:
    """Hash of the code of a notebook."""
    return notebook_digest(code_cells(read_notebook(path)))


def cast_parameter(name: str, value: Any, default: Any) -> Any:
    """Turn a value from a command line, a YAML file, or numpy into the builtin type of the default.

    Raises:
        SettingsError: If it cannot be turned into that type.
    """
    value = value.item() if hasattr(value, "item") and not isinstance(value, str) else value
    value = str(value) if isinstance(value, Path) else value
    value = list(value) if isinstance(value, tuple) else value
    try:
        return _cast(value, default)
    except (ValueError, TypeError, KeyError, yaml.YAMLError):
        raise SettingsError(
            f"parameter '{name}': expected a value of type {type(default).__name__}, such as "
            f"{default!r}, got {value!r}"
        ) from None


def _cast(value: Any, default: Any) -> Any:
    if isinstance(default, bool):
        return value if isinstance(value, bool) else _TRUE[str(value).lower()]
    if isinstance(default, int):
        if isinstance(value, bool):
            raise TypeError
        return value if isinstance(value, int) else int(str(value))
    if isinstance(default, float):
        if isinstance(value, bool):
            raise TypeError
        return float(value)
    if isinstance(default, list):
        return _cast_list(value)
    return value if isinstance(value, str) else str(value)


def _cast_list(value: Any) -> list[Any]:
    """A list, written as a list, as ``[a, b]``, or as ``a,b``."""
    if isinstance(value, str):
        text = value if value.startswith("[") else f"[{value}]"
        value = yaml.safe_load(text)
    if not isinstance(value, list):
        raise TypeError
    return [item.item() if hasattr(item, "item") else item for item in value]


def cast_parameters(path: Path, given: dict[str, Any]) -> dict[str, Any]:
    """All parameters of a notebook: its defaults, and the given values in their types.

    Raises:
        SettingsError: If a name is unknown or a value has the wrong type.
    """
    defaults = default_parameters(path)
    for name in given:
        if name not in defaults:
            raise SettingsError(unknown_name(f"notebook '{path.stem}'", name, defaults))
    return defaults | {
        name: cast_parameter(name, value, defaults[name]) for name, value in given.items()
    }


def failures(notebook: Any) -> list[str]:
    """Why an executed notebook does not count as run to its end; empty if it does.

    A killed kernel leaves no trace but cells without an execution count, so these count too. Cells
    are numbered as in the source, without those that papermill adds.
    """
    found = []
    cells = [cell for cell in notebook.cells if not _added(cell)]
    for number, cell in enumerate(cells, start=1):
        if cell.cell_type != "code" or not cell.source.strip():
            continue
        errors = [out for out in cell.get("outputs", []) if out.output_type == "error"]
        found += [f"cell {number}: {error.ename}: {error.evalue}" for error in errors]
        if cell.get("execution_count") is None:
            found.append(f"cell {number} was not executed")
    return found


def _added(cell: Any) -> bool:
    """Whether papermill added a cell: its banner over an error, and the parameters it injects."""
    tags = cell.get("metadata", {}).get("tags", [])
    return "papermill-error-cell-tag" in tags or "injected-parameters" in tags
