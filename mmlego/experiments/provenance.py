"""What ran: code, versions, hardware, revision."""

from __future__ import annotations

import ast
import hashlib
import importlib.metadata
import os
import platform
import subprocess
from functools import lru_cache
from pathlib import Path

from mmlego._version import __version__

PACKAGE = Path(__file__).resolve().parents[1]
# Storage, settings and bookkeeping: needed to compute numbers, but unable to change them.
_NOT_NUMERIC = tuple(
    f"mmlego.{name}"
    for name in (
        "errors",
        "_version",
        "experiments.outcome",
        "experiments.paths",
        "experiments.provenance",
        "experiments.session",
        "experiments.settings",
        "experiments.settings_base",
        "experiments.store",
        "experiments.views",
    )
)
_VERSIONED = ("torch", "numpy", "pandas", "scikit-learn", "scikit-survival", "scipy")


def _without_docstrings(tree: ast.AST) -> ast.AST:
    """Drop docstrings, so that better words do not make a result look stale."""
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if not isinstance(body, list) or not body or not isinstance(body[0], ast.Expr):
            continue
        if isinstance(getattr(body[0], "value", None), ast.Constant) and len(body) > 1:
            node.body = body[1:]
    return tree


def _file_of(module: str) -> Path | None:
    """The source file of a module of this package, or None for anything else."""
    path = PACKAGE.joinpath(*module.split(".")[1:])
    if path.with_suffix(".py").is_file() and path != PACKAGE:
        return path.with_suffix(".py")
    return path / "__init__.py" if (path / "__init__.py").is_file() else None


def _imports(tree: ast.AST) -> set[str]:
    """Modules of this package that a module imports by their absolute names."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
    return {name for name in found if name.split(".")[0] == "mmlego"}


@lru_cache(maxsize=32)
def code_digest(*modules: str) -> str:
    """Hash the code of some modules and of all that they import from this package.

    Comments, layout, docstrings, and modules that cannot change a number do not count. Returns 12
    hexadecimal digits.
    """
    seen: dict[str, str] = {}
    waiting = list(modules)
    while waiting:
        name = waiting.pop()
        path = None if name in _NOT_NUMERIC else _file_of(name)
        if path is None or str(path) in seen:
            continue
        tree = ast.parse(path.read_text(encoding="utf-8"))
        waiting += sorted(_imports(tree))
        seen[str(path)] = ast.dump(_without_docstrings(tree))
    text = "\n".join(
        f"{Path(path).relative_to(PACKAGE).as_posix()}:{seen[path]}" for path in sorted(seen)
    )
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def notebook_digest(cells: list[str]) -> str:
    """Hash the code cells of a notebook, 12 hexadecimal digits."""
    return hashlib.sha256("\n\f".join(cells).encode()).hexdigest()[:12]


def git_revision(folder: Path) -> str:
    """Revision of the checkout, with ``+changes`` where files differ from it, or ``unknown``."""
    try:
        revision = _git(folder, "rev-parse", "--short=12", "HEAD")
        changed = _git(
            folder, "status", "--porcelain", "--untracked-files=no", "--", "mmlego", "notebooks"
        )
    except (OSError, subprocess.SubprocessError):
        return "unknown"
    return f"{revision}+changes" if changed else revision


def _git(folder: Path, *words: str) -> str:
    done = subprocess.run(
        ["git", *words], cwd=folder, check=True, capture_output=True, text=True, timeout=10
    )
    return done.stdout.strip()


def versions() -> dict[str, str]:
    """Versions of Python, of this package, and of the libraries that numbers depend on."""
    found = {"python": platform.python_version(), "mmlego": __version__}
    return found | {name: importlib.metadata.version(name) for name in _VERSIONED}


def hardware(device: str) -> dict[str, str | int]:
    """The kind of machine, without any name that would identify it."""
    import torch

    facts: dict[str, str | int] = {
        "device": device,
        "machine": platform.machine(),
        "system": platform.system(),
        "cores": len(os.sched_getaffinity(0))
        if hasattr(os, "sched_getaffinity")
        else os.cpu_count() or 1,
        "threads": torch.get_num_threads(),
    }
    if device == "cuda":
        facts["accelerator"] = torch.cuda.get_device_name()
    return facts
