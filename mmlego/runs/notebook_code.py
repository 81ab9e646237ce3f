"""The code that decides a notebook's numbers, as its own cells import it."""

from __future__ import annotations

import ast
import importlib
import importlib.util
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from types import ModuleType

from mmlego.bench.store.code import code_digest
from mmlego.errors import RunError
from mmlego.runs.catalogue import CATALOGUE
from mmlego.runs.notebooks import code_cells, notebook_path, read_notebook

# What these rooms hold shows numbers and makes none.
_SHOWING = ("mmlego.figures", "mmlego.reporting", "mmlego.book")
_STUDIES = "mmlego.studies"
# Imports from here stand for the session, which works with what it imports from those two rooms.
_SESSION, _WORKING = "mmlego.runs", ("mmlego.data", "mmlego.bench")


def numeric_code(notebook: str | Path) -> tuple[ModuleType, ...]:
    """The modules that decide the numbers of a notebook; their imports count with them.

    They are those that its cells import from this package, but for figures, reporting and pages; a
    page stands for what it imports from studies, as it may measure with that. The session counts
    where there is a cohort to train on. A notebook that reads results only makes its numbers on its
    pages, which count there.

    Args:
        notebook: Name or path.

    Raises:
        RunError: If there is no such notebook, an import of its cells cannot be resolved, or no
            code follows from a notebook.
    """
    path = notebook_path(notebook)
    stamp = path.stat()
    return _numeric_code(path, stamp.st_mtime_ns, stamp.st_size)


@lru_cache(maxsize=64)
def _numeric_code(path: Path, *_stamp: int) -> tuple[ModuleType, ...]:
    entry = CATALOGUE.get(path.stem)
    trains = entry is None or not entry.reads_results
    found: dict[str, ModuleType] = {}
    for module in _imported(path):
        if _is_in(module.__name__, _SESSION):
            standing = _session_code() if entry is None or entry.has_cohort else []
        elif any(_is_in(module.__name__, room) for room in _SHOWING):
            standing = []
        else:
            standing = list(_behind(module)) if trains else [module]
        found |= {item.__name__: item for item in standing}
    if code_digest(*found.values()) == code_digest():
        raise RunError(
            f"notebook {path.name}: no code that decides its numbers follows from its imports; "
            "import what trains or measures from mmlego in a cell of its own"
        )
    return tuple(found[name] for name in sorted(found))


def _is_in(module: str, room: str) -> bool:
    return module == room or module.startswith(f"{room}.")


def _behind(module: ModuleType) -> Iterator[ModuleType]:
    """The module itself, or where it is a page, what this page imports from studies."""
    last = module.__name__.rpartition(".")[2]
    if last != "page" and not last.endswith("_page"):
        yield module
        return
    for node in _imports_of(module, _STUDIES):
        for item in _from(node, module.__name__):
            yield from _behind(item)


def _imports_of(module: ModuleType, room: str) -> list[ast.ImportFrom]:
    """What a module imports from one room."""
    tree = ast.parse(Path(str(module.__file__)).read_text(encoding="utf-8"))
    nodes = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    return [node for node in nodes if node.module and _is_in(node.module, room)]


def _imported(path: Path) -> Iterator[ModuleType]:
    """Modules of this package that the cells of a notebook import."""
    owner = f"notebook {path.name}"
    for cell in code_cells(read_notebook(path)):
        try:
            tree = ast.parse(cell)
        except SyntaxError as problem:
            raise RunError(
                f"{owner}: a cell is no plain Python ({problem.msg}: "
                f"{(problem.text or '').strip()}); its imports cannot be read"
            ) from None
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom):
                yield from _from(node, owner)
            elif isinstance(node, ast.Import):
                names = [alias.name for alias in node.names if _is_in(alias.name, "mmlego")]
                yield from (_module(name, owner) for name in names)


def _from(node: ast.ImportFrom, owner: str) -> Iterator[ModuleType]:
    """What ``from a import b`` brings: the module ``b``, or the module that defines ``b``."""
    if node.level or not node.module:
        raise RunError(f"{owner}: a relative import cannot be resolved; name the module in full")
    if not _is_in(node.module, "mmlego"):
        return
    home = _module(node.module, owner)
    for alias in node.names:
        if importlib.util.find_spec(f"{node.module}.{alias.name}") if _is_package(home) else None:
            yield _module(f"{node.module}.{alias.name}", owner)
        elif hasattr(home, alias.name):
            yield _defining(getattr(home, alias.name), home, owner)
        else:
            raise RunError(
                f"{owner}: '{alias.name}' is not in '{node.module}'; name what it is called now"
            )


def _is_package(module: ModuleType) -> bool:
    return hasattr(module, "__path__")


def _defining(thing: object, home: ModuleType, owner: str) -> ModuleType:
    """The module that defines what a package passes on; any other module for itself."""
    name = getattr(thing, "__module__", None)
    if _is_package(home) and isinstance(name, str) and _is_in(name, "mmlego"):
        # The session is known by the package that passes it on, whatever file it lies in.
        return home if _is_in(home.__name__, _SESSION) else _module(name, owner)
    return home


def _module(name: str, owner: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except ImportError as problem:
        raise RunError(
            f"{owner}: module '{name}' cannot be imported ({problem}); name the module by "
            "what it is called now"
        ) from None


def _session_code() -> list[ModuleType]:
    """What the session loads data and trains with: all that it imports from those two rooms."""
    session = importlib.import_module(f"{_SESSION}.session")
    return [module for room in _WORKING for module in _session_part(session, room)]


def _session_part(session: ModuleType, room: str) -> list[ModuleType]:
    found = [item for node in _imports_of(session, room) for item in _from(node, "session")]
    if code_digest(*found) == code_digest():
        raise RunError(
            f"session: expected imports from {room} that decide numbers, found none; say in "
            "notebook_code.py where they are now"
        )
    return found
