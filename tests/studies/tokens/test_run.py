"""What a trained AMC replaced, as tables: they must add up, and lead back to the traces."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch

from mmlego.bench.store.fits import FitStore
from mmlego.errors import DataError, SettingsError
from mmlego.runs.settings import TokenSettings
from mmlego.studies.amc import run as amc
from mmlego.studies.amc.run import ARMS
from mmlego.studies.tokens import page
from mmlego.studies.tokens import run as tokens
from mmlego.studies.tokens.run import ReplacementTrace

SIZES = {"tokens": 6, "width": 8, "heads": 2, "experts": 2, "top_k": 1, "layers": 3}


@pytest.fixture
def settings():
    return TokenSettings(cohort="toy", epochs=2, patience=2, device="cpu", **SIZES)


@pytest.fixture
def fold(folds):
    return folds(task="classification")[0]


@pytest.fixture
def store(tmp_path):
    return FitStore(tmp_path / "fits")


@pytest.fixture
def trained(fold, settings, store):
    names = sorted(set(fold.names) - set(fold.joined))
    return lambda arm: amc.train_arm(fold, ARMS[arm], names, settings, store)


@pytest.fixture
def alone(fold, settings, store):
    return list(amc.train_alone([fold], settings, store))


def test_counts_and_pairs_add_up(trained):
    told = ReplacementTrace(trained("literal"))
    counts, pairs = tokens.count_table(told), tokens.pair_table(told)
    assert len(told.traces) == 2
    assert set(counts["layer"]) == {1, 2}
    keys = ["layer", "sample", "modality"]
    from_pairs = pairs.rename(columns={"replaced_modality": "modality"}).groupby(keys)["tokens"]
    expected = counts.set_index(keys)["replaced"]
    found = from_pairs.sum().reindex(expected.index, fill_value=0)
    assert (found == expected).all()
    sums = counts.groupby(["layer", "sample"])["importance"].sum()
    assert np.allclose(sums, 1, atol=1e-5)


def test_logits_are_those_that_were_tested(trained):
    run = trained("literal")
    told = ReplacementTrace(run)
    probability = told.logits.double().softmax(dim=-1).numpy()
    assert np.allclose(probability, run.outcome.prediction["probability"], atol=1e-5)


def test_origins_follow_tokens_through_all_layers(trained):
    told = ReplacementTrace(trained("literal"))
    source = tokens.origins(told, shown=10_000)
    complete = told.traces[0].here.all(dim=1)
    names = told.names
    first, second = (trace.donor[complete] for trace in told.traces)
    for m, name in enumerate(names):
        for b in range(int(complete.sum())):
            for n in range(6):
                assert source[name][b, n] == int(first[b, int(second[b, m, n]), n])
    few = tokens.origins(told, shown=3)
    assert len(few[names[0]]) == 3


def test_origins_need_replacements(trained):
    with pytest.raises(DataError, match="re-balances"):
        tokens.origins(ReplacementTrace(trained("no_fusion")), shown=3)


def test_equal_importance(trained):
    run = trained("literal")
    own, equal = ReplacementTrace(run), ReplacementTrace(run, "equal")
    present = equal.traces[0].here.sum(dim=1, keepdim=True)
    share = equal.traces[0].importance
    assert torch.allclose(share, equal.traces[0].here / present)
    table = tokens.entropy_table(own, equal).set_index("scores")["entropy"]
    assert 0 <= table["own"] <= np.log(2)
    assert table["own"] == pytest.approx(
        tokens.entropy_table(own, own).set_index("scores")["entropy"]["equal"]
    )


def test_extremes(trained):
    told = ReplacementTrace(trained("literal"))
    of = told.names[0]
    table = tokens.extremes(told, of, {}, most=2)
    shares = told.traces[0].importance[told.traces[0].here.all(dim=1), 0].numpy()
    found = table[table["modality"] == of].groupby("extreme")["importance"]
    assert found.min()["lowest"] == pytest.approx(shares.min())
    assert found.max()["highest"] == pytest.approx(shares.max())
    assert set(table["outcome"]) <= set(told.trained.fold.classes)


def test_words_and_correlations(trained):
    told = [ReplacementTrace(trained("literal"))]
    words = page.importance_sentences(told, {})
    assert "equal share is" in words
    assert "Lambda" in words
    gradients = pd.DataFrame(
        {
            "pair": ["a - b"] * 4,
            "kind": ["experts", "experts", "dense", "dense"],
            "cosine": [0.9, 0.7, 0.1, 0.2],
            "rule": ["inverse"] * 4,
        }
    )
    assert "AMC, inverse, a - b: median 0.80 with experts and 0.15" in page.conflict_sentences(
        gradients
    )
    assert "in 1 of 1 pairs" in page.conflict_sentences(gradients)


def test_shares_are_of_complete_samples(trained):
    told = ReplacementTrace(trained("literal"))
    shares = tokens.count_table(told, complete=True)
    whole = int(told.traces[0].here.all(dim=1).sum())
    assert 0 < whole < len(told.trained.test)
    assert (shares.groupby(["layer", "modality"]).size() == whole).all()
    sums = shares.groupby("modality")["importance"].mean().sum()
    assert sums == pytest.approx(1.0)
    assert tokens.count_table(told).groupby("modality")["importance"].mean().sum() > 1.01


def test_worth_alone_beside_both_rules(trained, alone):
    watched = {rule: [ReplacementTrace(trained(rule))] for rule in ("literal", "inverse")}
    table, words = page.against_alone(watched, alone, "macro_f1")
    assert table.columns[0] == "rule"
    assert table.groupby("rule")["modality"].nunique().to_dict() == {"literal": 3, "inverse": 3}
    assert words.count("AMC, literal") == words.count("AMC, inverse") == 3


def test_conflicts_of_both_rules(trained, settings):
    rules = ["literal", "inverse", "retain"]
    names = [*rules[:2], "dense, literal", "dense, inverse"]
    runs = [trained(name) for name in names]
    settings = settings.model_copy(update={"rules": rules})
    titles = {name: name for name in runs[0].names}
    table = page.conflicts_of(runs, settings, titles)
    found = {tuple(row) for row in table[["rule", "kind"]].drop_duplicates().to_numpy()}
    assert found == {(r, k) for r in rules[:2] for k in ("experts", "dense")}
    assert page.conflict_figure(table, "inverse") is not None
    assert page.conflict_figure(table, "retain") is None
    with pytest.raises(SettingsError, match="expected one of the rules"):
        page.conflicts_of(runs, settings.model_copy(update={"rules": ["retain"]}), {})
