"""A method that is added by its model and one entry of the registry is in everything."""

from __future__ import annotations

import importlib.util
import itertools
from pathlib import Path

import contract_models
import optuna
import pandas as pd
import pytest
import torch
from torch import nn

from mmlego.bench.fold_bench import Bench, methods_for
from mmlego.bench.inputs import JOINED
from mmlego.bench.settings import TuningSettings
from mmlego.bench.store.fits import FitStore
from mmlego.bench.tuning.search import search, tasks
from mmlego.bench.tuning.space import given_values, suggest
from mmlego.figures import style
from mmlego.methods.method import MULTIMODAL, Family, Method, SearchSpace
from mmlego.methods.names import LEGO_MERGE
from mmlego.methods.registry import METHODS, networks
from mmlego.models.contract import check_kinds, read_batch
from mmlego.runs.settings import BenchmarkSettings
from mmlego.studies.answer.main_table import load_tasks, main_table
from mmlego.studies.benchmark.run import bench_fold

TOY = "mean_fusion"
CONTRACT = Path(__file__).parents[1] / "models" / "test_registry_contract.py"


class MeanFusion(nn.Module):
    """The mean of the encodings that are there, and two layers behind it."""

    # The code of a fit is that of a module of the package, which stands in for this one.
    __module__ = "mmlego.models.contract"

    def __init__(self, widths, n_outputs, *, kinds=None, width=24, dropout=0.1):
        super().__init__()
        self.widths, self.kinds = dict(widths), check_kinds("MeanFusion", widths, kinds)
        self.encoders = nn.ModuleDict({name: nn.Linear(c, width) for name, c in widths.items()})
        self.behind = nn.Sequential(nn.Linear(width, width), nn.GELU(), nn.Dropout(dropout))
        self.head = nn.Linear(width, n_outputs)

    def forward(self, inputs, present=None, masks=None):
        parts = read_batch("MeanFusion", self.widths, self.kinds, inputs, present, masks)
        here = torch.stack([part.here for part in parts.values()], dim=1).float()
        codes = torch.stack([self._code(name, part) for name, part in parts.items()], dim=1)
        mean = (codes * here[..., None]).sum(dim=1) / here.sum(dim=1, keepdim=True)
        return self.head(self.behind(mean))

    def _code(self, name, part):
        """Encoding (b, w); of a bag the mean over its instances."""
        encoder = self.encoders[name]
        if part.values is None:
            return encoder.bias.new_zeros(len(part.here), encoder.out_features)
        if part.mask is None:
            return encoder(part.values)
        weight = part.mask.float() / part.mask.sum(dim=1, keepdim=True).clamp(min=1)
        return (torch.tanh(encoder(part.values)) * weight[..., None]).sum(dim=1)


ENTRY = Method(
    title="Mean fusion",
    family=Family("My fusion", "#123456"),
    build=MeanFusion,
    kind=MULTIMODAL,
    page="book/methods/baselines",
    search=SearchSpace(sizes={"width": (8, 24)}, dropouts={"dropout": 0.1}, given={"width": 24}),
)


@pytest.fixture(autouse=True)
def _added(monkeypatch):
    """The one entry."""
    monkeypatch.setitem(METHODS, TOY, ENTRY)


def _contract():
    """The module of contract tests, loaded anew, so that it reads the registry as it is now."""
    spec = importlib.util.spec_from_file_location("contract_with_another_method", CONTRACT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _cases(check):
    """Values of what a test is parametrized by, in all combinations."""
    marks = [mark for mark in getattr(check, "pytestmark", []) if mark.name == "parametrize"]
    for values in itertools.product(*(mark.args[1] for mark in marks)):
        yield dict(zip([mark.args[0] for mark in marks], values, strict=True))


def test_the_contract_tests_check_it(monkeypatch):
    assert TOY in contract_models.models()
    module, small = _contract(), contract_models.small_of(TOY)
    monkeypatch.setitem(module.MODELS, TOY, small)
    bags = [name for name, kind in small.kinds.items() if kind != "tabular"]
    checks = {n: check for n, check in vars(module).items() if n.startswith("test_")}
    assert len(checks) > 15
    for check in checks.values():
        wanted = check.__code__.co_varnames[: check.__code__.co_argcount]
        for case in [{"name": TOY}] if "name" in wanted else _cases(check):
            given = {
                "small": small,
                "model": small.make(),
                "inputs": small.batch(module.ROWS),
                "bags": bags,
            } | case
            check(**{name: given[name] for name in wanted})


def test_the_benchmark_trains_it_and_scores_it(folds, tiny, tmp_path):
    fold = folds()[0]
    assert TOY in methods_for(fold, ("tabular", "img"))
    assert TOY not in methods_for(fold, ["tabular"])
    bench = Bench(fold, tiny(BenchmarkSettings, epochs=1), FitStore(tmp_path / "fits"))
    (found,) = bench_fold(bench, [JOINED], [TOY])
    assert (found.method, found.inputs) == (TOY, JOINED)
    assert 0 <= found.metrics["c_index"] <= 1
    (again,) = bench_fold(bench, [JOINED], [TOY])
    assert again.key == found.key


def test_it_is_searched(folds, tiny, tmp_path):
    (task,) = [task for task in tasks(folds()[0]) if task.method == TOY]
    assert task.names == ("tabular", "img")
    given = given_values(TOY, TuningSettings())
    assert (given["width"], given["dropout"]) == (24, 0.1)
    assert suggest(optuna.trial.FixedTrial(given), TOY) == given
    settings = tiny(TuningSettings, epochs=1, trials=2, methods=[TOY])
    (study,) = search(folds(), settings, tmp_path / "toy.db")
    assert set(study.values) == set(given)


def test_the_main_table_has_a_row_of_it(results):
    everything = "clin+img+rna"
    results.benchmark(
        {(TOY, JOINED, everything): [0.7, 0.8], (LEGO_MERGE, JOINED, everything): [0.5, 0.6]}
    )
    table = main_table(load_tasks(results.folder))
    assert isinstance(table, pd.DataFrame)
    row = table[table["method"] == TOY].iloc[0]
    assert row["label"] == "Mean fusion"
    assert row["mean"] == pytest.approx(0.75)


def test_figures_and_groups_of_methods_know_it():
    assert style.color(TOY) == "#123456"
    assert style.family(TOY) == "My fusion"
    assert style.title(TOY) == "Mean fusion"
    assert TOY in networks()
