"""Experiments: settings, the registry of methods, sessions of notebooks, runs, grids, results."""

from __future__ import annotations

from mmlego.experiments.methods import METHODS
from mmlego.experiments.runner import run_notebook
from mmlego.experiments.runner import run_notebook as run
from mmlego.experiments.session import Session, open_session

__all__ = ["METHODS", "Session", "open_session", "run", "run_notebook"]
