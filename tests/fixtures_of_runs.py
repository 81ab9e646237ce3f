"""Small cohorts, settings, outcomes and projects for the tests of experiments."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import nbformat
import numpy as np
import pandas as pd
import pytest
import torch

from mmlego.bench.fold_bench import Bench
from mmlego.bench.outcome import LABELS, VALIDATION, Outcome
from mmlego.data import ClassTarget, Cohort, Modality, SurvivalTarget
from mmlego.data.folds.fold import Fold, make_fold
from mmlego.data.folds.splits import make_splits
from mmlego.data.folds.tabular import with_tabular
from mmlego.runs.records.record import Record, write_record
from mmlego.runs.records.results import COLUMNS, TABLE
from mmlego.runs.session import Session
from mmlego.runs.settings import SignalSettings, UnimodalSettings
from mmlego.studies.answer.contrasts import BEST, ENSEMBLE, FUSE, MERGE, Overview, load_from
from mmlego.studies.lego.run import train_unimodal

# The parameters cell of the notebook `signal_interference`.
PARAMETERS = (
    "n: int = 1000\nnoise: float = 0.1\ndraws: int = 20\nseed: int = 1\n"
    'grid: str = "manual"\nheadline: bool = False\nresults: str = ""\nforce: bool = False'
)
# What decides its numbers is read from its imports, which need not be carried out.
IMPORTS = "if n < 0:\n    from mmlego.studies.checks import interference\n"
KERNEL = {"name": "python3", "display_name": "Python 3", "language": "python"}
TINY = {
    "repeats": 2,
    "epochs": 2,
    "depth": 1,
    "latent_channels": 4,
    "latent_dim": 8,
    "device": "cpu",
}


@pytest.fixture(autouse=True)
def _quiet(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Shipped cards only, one thread, and no figure left open."""
    monkeypatch.delenv("MMLEGO_CARDS", raising=False)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
    plt.close("all")


@pytest.fixture
def tiny() -> Callable[..., UnimodalSettings]:
    """Settings of the notebook `unimodal` that train in a moment."""

    def make(kind: type = UnimodalSettings, **changes: object) -> UnimodalSettings:
        return kind.from_values(TINY | changes)

    return make


def _modality(name: str, kind: str, values: object, present: np.ndarray) -> Modality:
    width = values[0].shape[-1] if kind == "bag" else values.shape[-1]
    return Modality(
        name=name,
        title=name.upper(),
        kind=kind,
        values=values,
        present=present,
        features=tuple(f"{name}{i}" for i in range(width)),
    )


def _toy(n: int = 60, task: str = "survival", name: str = "toy") -> Cohort:
    """Two tables and a bag of n samples; every fifth sample lacks the bag."""
    rng = np.random.default_rng(5)
    ids = np.array([f"p{i:03d}" for i in range(n)])
    here, some = np.ones(n, dtype=bool), np.arange(n) % 5 > 0
    bags = [rng.standard_normal((3 if yes else 0, 4)).astype(np.float32) for yes in some]
    tables = {
        key: _modality(key, "tabular", rng.standard_normal((n, w)).astype(np.float32), here)
        for key, w in (("clin", 3), ("rna", 5))
    }
    target = (
        SurvivalTarget(rng.exponential(20, n) + 0.1, rng.random(n) < 0.6, "months")
        if task == "survival"
        else ClassTarget(np.arange(n) % 2, ("no", "yes"))
    )
    return Cohort(
        name=name,
        title="Toy",
        task=task,
        ids=ids,
        groups=ids,
        modalities=tables | {"img": _modality("img", "bag", bags, some)},
        target=target,
    )


@pytest.fixture(scope="session")
def toy() -> Callable[..., Cohort]:
    """Make a cohort of two tables and a bag, for either task."""
    return _toy


def _session(kind: type, results: Path, cohort: Cohort, **changes: object) -> Session:
    session = Session(kind.from_values(TINY | {"results": str(results)} | changes))
    session.cohort = cohort
    return session


@pytest.fixture(scope="session")
def new_session() -> Callable[..., Session]:
    """Make a session of a notebook on a given cohort."""
    return _session


@dataclass(frozen=True)
class Trained:
    """A finished run of `unimodal` on a toy cohort: its session, benches, and record."""

    session: Session
    benches: list[Bench]
    record: dict[str, Any]


def _trained(results: Path, task: str) -> Trained:
    session = _session(UnimodalSettings, results, _toy(task=task))
    benches = session.benches()
    session.add(train_unimodal(benches))
    return Trained(session, benches, session.finish().record)


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """Trained on a survival task; its folder of results is not to be changed."""
    return _trained(tmp_path_factory.mktemp("survival"), "survival")


@pytest.fixture(scope="session")
def trained_classes(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """Trained on two classes; its folder of results is not to be changed."""
    return _trained(tmp_path_factory.mktemp("classes"), "classification")


@pytest.fixture
def fold(toy: Callable[..., Cohort]) -> Fold:
    """The first fold of the toy cohort."""
    cohort = toy()
    return make_fold(cohort, make_splits(cohort, repeats=1)[0])


@pytest.fixture
def folds(toy: Callable[..., Cohort]) -> Callable[..., list[Fold]]:
    """Make folds of the toy cohort, with all tables side by side as one more modality."""

    def make(count: int = 1, task: str = "survival") -> list[Fold]:
        cohort = toy(task=task)
        splits = make_splits(cohort, repeats=count)[:count]
        return [with_tabular(make_fold(cohort, split)) for split in splits]

    return make


@pytest.fixture
def outcome() -> Callable[..., Outcome]:
    """An outcome with made-up numbers."""

    def make(method: str = "lego_merge", arm: str = "", **changes: object) -> Outcome:
        values = {
            "modalities": ("clin", "genes"),
            "repeat": 1,
            "ids": np.array(["a", "b", "c"]),
            "prediction": {"risk": np.array([0.1, 0.2, 0.3])},
            "metrics": {"c_index": 0.6},
            "n_train": 70,
        }
        return Outcome(method=method, arm=arm, **(values | changes))

    return make


class Project:
    """A project of its own, with one notebook that the runner knows, and a folder of results."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.results = folder / "results"
        (folder / "notebooks").mkdir(parents=True)
        (folder / "experiments").mkdir()
        self.write()

    def settings(self, **given: object) -> SignalSettings:
        return SignalSettings.from_values({"results": str(self.results)} | given)

    def recording(self, **given: object) -> str:
        """Code of a cell that writes a record, without the cost of importing the package."""
        run_id = self.settings(**given).run_id
        record = {"run_id": run_id, "notebook": "signal_interference", "outcomes": []}
        record |= {"modules": {}, "versions": {}}
        record |= {"parameters": {"grid": "manual"}, "data": {}, "hardware": {"device": "cpu"}}
        return (
            "import json, pathlib, time\n"
            f'folder = pathlib.Path(results or "results/local") / "runs" / "{run_id}"\n'
            "folder.mkdir(parents=True, exist_ok=True)\n"
            '(folder / "record.json").write_text(\n'
            f"    json.dumps({json.dumps(record)} | "
            '{"finished": time.time(), "seconds": 0.1})\n)'
        )

    def write(self, *cells: str, parameters: str = PARAMETERS) -> Path:
        """Write the notebook: its parameters cell, and cells of code."""
        new, code = nbformat.v4, nbformat.v4.new_code_cell
        first, *others = cells or [self.recording()]
        sources = [new.new_markdown_cell("# Title"), code(parameters)]
        sources[1].metadata["tags"] = ["parameters"]
        notebook = new.new_notebook(cells=[*sources, code(IMPORTS + first), *map(code, others)])
        notebook.metadata["kernelspec"] = dict(KERNEL)
        path = self.folder / "notebooks" / "signal_interference.ipynb"
        nbformat.write(notebook, path)
        return path

    def files(self) -> set[str]:
        """Names of everything in the folder of results that could be taken for a result."""
        found = {path.relative_to(self.results) for path in self.results.rglob("*")}
        return {str(path) for path in found if (self.results / path).is_file()}


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    """An empty project that is the working directory."""
    made = Project(tmp_path / "project")
    monkeypatch.chdir(made.folder)
    return made


_METHODS = {
    MERGE: {"method": "lego_merge"},
    FUSE: {"method": "lego_fuse", "arm": "stack", "tune_epochs": 2},
    BEST: {"method": "lego_block", "chosen_by": VALIDATION},
    ENSEMBLE: {"method": "ensemble"},
}
_NOISE = np.array([0.010, -0.010, 0.004, -0.004, 0.001])


def write_run(
    folder: Path, about: Mapping[str, Any], outcomes: Sequence[Mapping[str, Any]] = ()
) -> Path:
    """Write a made-up record, of outcomes that have labels, metrics and facts at least."""
    usual = dict.fromkeys(LABELS, "") | {"tune_epochs": None, "metrics": {}, "facts": {}}
    rows = [usual | dict(outcome) for outcome in outcomes]
    texts = [{name: json.dumps(row[name]) for name in ("metrics", "facts")} for row in rows]
    table = pd.DataFrame([row | text for row, text in zip(rows, texts, strict=True)])
    return write_record(Record(dict(about), table, pd.DataFrame(), pd.DataFrame()), folder)


@pytest.fixture
def made_up_run() -> Callable[..., Path]:
    """Write a record into a folder of results: ``write_run``."""
    return write_run


class Results:
    """A folder of results that is written row by row."""

    def __init__(self, folder):
        self.folder = folder
        self.rows = []
        (folder / "runs").mkdir()

    def add(self, label, values, cohort="toy", grid="paper", unit="patient", **changes):
        labels = _METHODS.get(label, {"method": label})
        row = dict.fromkeys(COLUMNS, "") | {
            "cohort": cohort,
            "tune_epochs": None,
            **labels,
            "modalities": "clin+img",
            "split_unit": unit,
            "metric": "c_index",
            "grid": grid,
            "n_train": 70,
            "n_test": 15,
            "seconds": 1.0,
            "device": "cpu",
            "run_id": f"unimodal-{cohort}-{grid}",
        }
        for repeat, value in enumerate(values, start=1):
            self.rows.append(row | {"repeat": repeat, "value": value} | changes)

    def facts(self, cohort="toy", grid="paper", **data):
        record = {
            "run_id": f"unimodal-{cohort}-{grid}",
            "notebook": "unimodal",
            "parameters": {"grid": grid, "split_unit": "patient", "cohort": cohort},
            "data": {
                "name": cohort,
                "metric": "c_index",
                "tables": ["clin"],
                "published": {},
                "capped_from": None,
            }
            | data,
        }
        write_run(self.folder, record)

    def benchmark(
        self, values, cohort="toy", grid="paper", unit="patient", *, tuned=True, methods=(), **data
    ):
        """A run of `benchmark`: values by (method, inputs, modalities, chosen by); its id."""
        how = "tuned" if tuned else "given"
        run_id = "-".join(("benchmark", cohort, grid, unit, how, *methods))
        metric = data.get("metric", "c_index")
        for (method, inputs, modalities, *chosen), found in values.items():
            what = {"inputs": inputs, "modalities": modalities, "run_id": run_id}
            what |= {"chosen_by": "".join(chosen)}
            self.add(method, found, cohort, grid, unit, **({"metric": metric} | what))
        record = {
            "run_id": run_id,
            "notebook": "benchmark",
            "finished": "2026-01-01",
            "parameters": {
                "grid": grid,
                "split_unit": unit,
                "cohort": cohort,
                "hyperparameters": how,
                "methods": list(methods),
                "repeats": max(map(len, values.values()), default=1),
            },
            "data": {
                "name": cohort,
                "metric": metric,
                "tables": ["clin", "rna"],
                "published": {},
                "capped_from": None,
            }
            | data,
        }
        write_run(self.folder, record, [{}] * len(values))
        self.write()
        return run_id

    def write(self):
        frame = pd.DataFrame(self.rows, columns=COLUMNS).astype({"tune_epochs": "Int64"})
        frame.to_parquet(self.folder / TABLE, index=False)

    def load(self):
        self.write()
        return load_from(self.folder)


@pytest.fixture
def noise() -> np.ndarray:
    """Five values whose mean is next to nothing."""
    return _NOISE


@pytest.fixture
def results(tmp_path: Path) -> Results:
    """An empty folder of results."""
    return Results(tmp_path)


@pytest.fixture
def answered(results: Results) -> Overview:
    """Merge beats the best block clearly in `one`, loses in `two`, and ties with the ensemble."""
    for cohort, shift in (("one", 0.1), ("two", -0.1)):
        results.facts(cohort)
        results.add(MERGE, 0.7 + shift + _NOISE, cohort)
        results.add(BEST, 0.7 + _NOISE[::-1], cohort)
        results.add(ENSEMBLE, 0.7 + shift - _NOISE, cohort)
    return results.load()
