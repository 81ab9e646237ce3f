"""What all tests share.

No window for figures, reference values, one thread and one seed for those that ask, and one smoke
grid for whoever needs its pages.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib as mpl
import pytest
import torch

mpl.use("Agg")
pytest_plugins = ["fixtures_of_runs"]
ROOT = Path(__file__).resolve().parents[1]
SMOKE = ROOT / "experiments" / "smoke.yaml"


@dataclass(frozen=True)
class Launched:
    """A finished launch of a grid: exit status, what it said, and its folder of results."""

    status: int
    said: str
    results: Path


@dataclass(frozen=True)
class SmokeGrid:
    """The smoke grid in a folder of its own: killed half-way, started again, started once more.

    Attributes:
        results: Folder of results.
        killed: Records (name -> content) that were finished when it was killed.
        second: Launch that went on from there.
        after_second: Records after it.
        third: Launch of a grid that was finished.
    """

    results: Path
    killed: dict[str, str]
    second: Launched
    after_second: dict[str, str]
    third: Launched


# Tests that share what is dear run in one process: the smoke grid, which runs once, and the cohorts
# of the mirror, which are loaded once. Other tests stay with their file and the models it trains.
_SHARED = {"tests/test_notebooks.py": "smoke", "tests/test_book.py": "smoke", "tests/data": "data"}
# What takes longest starts first. A process is given two groups at the start, so the one with the
# grid gets a short one beside it.
_FIRST = ("smoke", "data", "tests/test_readme.py", "tests/models/test_registry", "tests/studies")


# What trains the models of a whole study or search is left to `make test`.
_TRAINS = (
    "tests/bench/test_fold_bench.py",
    "tests/bench/tuning/test_search.py",
    "tests/models/test_registry_contract.py::test_learns",
    "tests/studies/amc/test_costs.py",
    "tests/studies/amc/test_run.py",
    "tests/studies/benchmark",
    "tests/studies/blocks",
    "tests/studies/checks",
    "tests/studies/dynamics",
    "tests/studies/lego",
    "tests/studies/robustness",
    "tests/studies/test_two_sentences.py",
    "tests/studies/tokens",
    "tests/studies/weights",
    "tests/runs/test_session.py",
)


def _group(nodeid: str) -> str:
    found = (group for place, group in _SHARED.items() if nodeid.startswith(place))
    return next(found, nodeid.split("::")[0])


def _place(nodeid: str) -> int:
    group = _group(nodeid)
    return next((i for i, name in enumerate(_FIRST) if group.startswith(name)), len(_FIRST))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Share groups out, not single tests; `--dist loadgroup` does nothing under pytest 9.2."""
    from xdist.scheduler import LoadScopeScheduling

    class Groups(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return _group(nodeid)

    return Groups(config, log)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the longest groups first, and see that nobody makes the smoke grid a second time."""
    for item in items:
        if item.nodeid.startswith(_TRAINS):
            item.add_marker(pytest.mark.trains)
        if "smoke" in getattr(item, "fixturenames", ()) and _group(item.nodeid) != "smoke":
            raise pytest.UsageError(
                f"{item.nodeid}: needs the smoke grid; list its file in _SHARED"
            )
    items.sort(key=lambda item: _place(item.nodeid))


@pytest.fixture(scope="session")
def repository() -> Path:
    """Root of the checkout."""
    return ROOT


@pytest.fixture(scope="session")
def reference() -> dict[str, Any]:
    """Reference values of blocks, encoders and metrics."""
    return json.loads((ROOT / "tests" / "reference" / "mmlego.json").read_text())


@pytest.fixture(scope="module")
def one_thread() -> Iterator[None]:
    """Small tensors are computed faster by one thread than by several that wait for each other."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def seeded() -> Iterator[None]:
    """The global generator starts at 0, and is left as found."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        yield


def _command(grid: Path, results: Path) -> list[str]:
    call = "from mmlego.cli import main; main()"
    options = ["run", "--grid", str(grid), "--results", str(results), "--cores", "2"]
    return [sys.executable, "-c", call, *options]


def _environment() -> dict[str, str]:
    return os.environ | {"COLUMNS": "200"}


def _records(results: Path) -> dict[str, str]:
    found = sorted((results / "runs").glob("*/record.json"))
    return {path.parent.name: path.read_text() for path in found}


def _launch(grid: Path, results: Path) -> Launched:
    done = subprocess.run(
        _command(grid, results), cwd=ROOT, env=_environment(), capture_output=True, text=True
    )
    return Launched(done.returncode, done.stdout + done.stderr, results)


def _launch_and_kill(grid: Path, results: Path, after: int, patience: float = 240.0) -> None:
    """Start a grid and kill it, its children included, once some of its runs are finished."""
    tickets = results / "artifacts" / "tickets"
    with subprocess.Popen(
        _command(grid, results),
        cwd=ROOT,
        env=_environment(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    ) as process:
        deadline = time.monotonic() + patience
        while process.poll() is None and time.monotonic() < deadline:
            if len(list(tickets.glob("*"))) >= after:
                break
            time.sleep(0.1)
        os.killpg(process.pid, signal.SIGKILL)


@pytest.fixture(scope="session")
def launch():
    """Launch a grid as the shell would, and wait for it."""
    return _launch


@pytest.fixture(scope="session")
def smoke(tmp_path_factory: pytest.TempPathFactory) -> SmokeGrid:
    """The whole smoke grid, made in three launches."""
    results = tmp_path_factory.mktemp("smoke")
    _launch_and_kill(SMOKE, results, after=2)
    tickets = {path.name for path in (results / "artifacts" / "tickets").glob("*")}
    killed = {
        name: text
        for name, text in _records(results).items()
        if any(ticket.startswith(name) for ticket in tickets)
    }
    second = _launch(SMOKE, results)
    after_second = _records(results)
    return SmokeGrid(results, killed, second, after_second, _launch(SMOKE, results))
