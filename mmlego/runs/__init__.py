"""Runs of notebooks: settings, sessions, the guarded runner, grids, records and results."""

from __future__ import annotations

from mmlego.runs.runner import run_notebook
from mmlego.runs.runner import run_notebook as run
from mmlego.runs.session import Session, open_session

__all__ = ["Session", "open_session", "run", "run_notebook"]
