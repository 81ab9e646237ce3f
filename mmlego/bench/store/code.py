"""Digests of code, by which a fit is known to be made by the very code that is here."""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Callable
from functools import lru_cache, partial
from pathlib import Path
from types import ModuleType

from mmlego.errors import RunError

PACKAGE = Path(__file__).resolve().parents[2]
# Storage, settings and bookkeeping: needed to compute numbers, but unable to change them.
_NOT_NUMERIC = (
    "mmlego.errors",
    "mmlego._version",
    "mmlego.bench.outcome",
    "mmlego.bench.settings",
    "mmlego.bench.store.code",
    "mmlego.bench.store.fits",
    "mmlego.data.paths",
    "mmlego.methods.method",
    "mmlego.methods.names",
    "mmlego.runs.session",
    "mmlego.runs.settings",
)


_WITH_DOCSTRING = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)


def _without_docstrings(tree: ast.AST) -> ast.AST:
    """Drop docstrings, so that better words do not make a result look stale."""
    for node in ast.walk(tree):
        if not isinstance(node, _WITH_DOCSTRING) or len(node.body) < 2:
            continue
        if isinstance(node.body[0], ast.Expr) and isinstance(node.body[0].value, ast.Constant):
            node.body = node.body[1:]
    return tree


def _file_of(module: str) -> Path | None:
    """The source file of a module of this package, or None for what is no module of it."""
    path = PACKAGE.joinpath(*module.split(".")[1:])
    if path.with_suffix(".py").is_file() and path != PACKAGE:
        return path.with_suffix(".py")
    return path / "__init__.py" if (path / "__init__.py").is_file() else None


def _source_of(module: str, importer: str) -> Path:
    """The source file of a module that must be there.

    Raises:
        RunError: If it is not: code that is not found must not count as code that is the same.
    """
    path = _file_of(module)
    if path is None:
        raise RunError(
            f"code of {importer}: module '{module}' is not in the package; name the module by what "
            "it is called now"
        )
    return path


def _imports(tree: ast.AST, importer: str) -> set[str]:
    """Modules of this package that a module imports by their absolute names.

    Raises:
        RunError: If one of them is not there.
    """
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module and _is_ours(node.module):
            _source_of(node.module, importer)
            inner = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= {node.module, *(name for name in inner if _file_of(name))}
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names if _is_ours(alias.name)}
    return found


def _is_ours(module: str) -> bool:
    return module.split(".")[0] == "mmlego"


def code_digest(*code: ModuleType | Callable[..., object]) -> str:
    """Hash the code of some modules and of all that they import from this package.

    Comments, layout, docstrings, and modules that cannot change a number do not count. What a
    partial fixes of a function or class does.

    Args:
        code: Modules of this package, or functions and classes, which stand for their modules.

    Returns:
        12 hexadecimal digits.

    Raises:
        RunError: If one of them is no module of this package, or imports one that is not there.
    """
    digest = _digest(tuple(sorted({_module_name(item) for item in code})))
    partials = [item for item in code if isinstance(item, partial)]
    fixed = [repr((p.args, p.keywords)) for p in partials if p.args or p.keywords]
    return _short("\n".join([digest, *sorted(fixed)])) if fixed else digest


def _module_name(item: ModuleType | Callable[..., object]) -> str:
    item = getattr(item, "func", item)  # what a partial calls
    name = item.__name__ if isinstance(item, ModuleType) else getattr(item, "__module__", None)
    if not isinstance(name, str) or not _is_ours(name):
        raise RunError(f"code of {item!r}: expected a module, function or class of this package")
    return name


def module_digests(*code: ModuleType | Callable[..., object]) -> dict[str, str]:
    """Digest of every module that counts in ``code_digest``, by name: what changed can be named."""
    closure = _closure(tuple(sorted({_module_name(item) for item in code})))
    return {name: hashlib.sha256(text.encode()).hexdigest()[:8] for name, text in closure}


@lru_cache(maxsize=256)
def _digest(modules: tuple[str, ...]) -> str:
    text = "\n".join(f"{name}:{code}" for name, code in _closure(modules))
    return _short(text)


@lru_cache(maxsize=256)
def _closure(modules: tuple[str, ...]) -> tuple[tuple[str, str], ...]:
    """Name and code of some modules and of all that they import, sorted by name."""
    seen: dict[str, str] = {}
    waiting = [(name, "a fit") for name in modules]
    while waiting:
        name, importer = waiting.pop()
        path = _source_of(name, importer)
        if name in _NOT_NUMERIC or name in seen:
            continue
        seen[name], imported = _parsed(path, name)
        waiting += [(found, name) for found in imported]
    return tuple(sorted(seen.items()))


@lru_cache(maxsize=1024)
def _parsed(path: Path, name: str) -> tuple[str, tuple[str, ...]]:
    """The code of a module without words, and what it imports."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    imported = tuple(sorted(_imports(tree, name)))
    return ast.dump(_without_docstrings(tree)), imported


def notebook_digest(cells: list[str]) -> str:
    """Hash the code cells of a notebook, 12 hexadecimal digits."""
    return _short("\n\f".join(cells))


def _short(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:12]
