"""What ran: revision, versions, hardware."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import subprocess
from pathlib import Path

from mmlego._version import __version__

_VERSIONED = ("torch", "numpy", "pandas", "scikit-learn", "scikit-survival", "scipy")


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
