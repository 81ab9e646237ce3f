"""What a trained AMC replaced, as tables: they must add up, and lead back to the traces."""

from __future__ import annotations

from dataclasses import replace

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
def traced(trained, store):
    return lambda arm: ReplacementTrace(trained(arm), store)


@pytest.fixture
def alone(fold, settings, store):
    return list(amc.train_alone([fold], settings, store))


def test_counts_and_pairs_add_up(traced):
    done = traced("literal")
    counts, pairs = tokens.count_table(done), tokens.pair_table(done)
    assert len(done.traces) == 2
    assert set(counts["layer"]) == {1, 2}
    keys = ["layer", "sample", "modality"]
    from_pairs = pairs.rename(columns={"replaced_modality": "modality"}).groupby(keys)["tokens"]
    expected = counts.set_index(keys)["replaced"]
    found = from_pairs.sum().reindex(expected.index, fill_value=0)
    assert (found == expected).all()
    sums = counts.groupby(["layer", "sample"])["importance"].sum()
    assert np.allclose(sums, 1, atol=1e-5)


def test_logits_are_those_that_were_tested(trained, store):
    run = trained("literal")
    done = ReplacementTrace(run, store)
    probability = done.logits.double().softmax(dim=-1).numpy()
    assert np.allclose(probability, run.outcome.prediction["probability"], atol=1e-5)


def test_origins_follow_tokens_through_all_layers(traced):
    done = traced("literal")
    source = tokens.origins(done, shown=10_000)
    complete = done.traces[0].here.all(dim=1)
    names = done.names
    first, second = (trace.donor[complete] for trace in done.traces)
    for m, name in enumerate(names):
        for b in range(int(complete.sum())):
            for n in range(6):
                assert source[name][b, n] == int(first[b, int(second[b, m, n]), n])
    few = tokens.origins(done, shown=3)
    assert len(few[names[0]]) == 3
    again = tokens.origins_of(done.table(tokens.origin_table, shown=3))
    assert list(again) == list(few)
    assert all(np.array_equal(again[name], few[name]) for name in few)


def test_origins_need_replacements(traced):
    with pytest.raises(DataError, match="re-balances"):
        tokens.origins(traced("no_fusion"), shown=3)


def test_equal_importance(trained, store):
    run = trained("literal")
    own, equal = ReplacementTrace(run, store), ReplacementTrace(run, store, "equal")
    present = equal.traces[0].here.sum(dim=1, keepdim=True)
    share = equal.traces[0].importance
    assert torch.allclose(share, equal.traces[0].here / present)
    table = page.entropies([run], "literal", store).set_index("scores")["entropy"]
    assert 0 <= table["own"] <= np.log(2)
    for done in (own, equal):
        probability = done.logits.double().softmax(dim=-1).numpy()
        entropy = -(probability * np.log(probability)).sum(axis=1).mean()
        assert table[done.importance or "own"] == pytest.approx(entropy)
    assert table["own"] != table["equal"]


def test_extremes(traced):
    done = traced("literal")
    of = done.names[0]
    table = tokens.extremes(done, of, {}, most=2)
    shares = done.traces[0].importance[done.traces[0].here.all(dim=1), 0].numpy()
    found = table[table["modality"] == of].groupby("extreme")["importance"]
    assert found.min()["lowest"] == pytest.approx(shares.min())
    assert found.max()["highest"] == pytest.approx(shares.max())
    assert set(table["outcome"]) <= set(done.trained.fold.classes)


def test_words_and_correlations(traced):
    done = [traced("literal")]
    words = page.importance_sentences(done, {})
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


def test_shares_are_of_complete_samples(traced):
    done = traced("literal")
    shares = tokens.count_table(done, complete=True)
    whole = int(done.traces[0].here.all(dim=1).sum())
    assert 0 < whole < len(done.trained.test)
    assert (shares.groupby(["layer", "modality"]).size() == whole).all()
    sums = shares.groupby("modality")["importance"].mean().sum()
    assert sums == pytest.approx(1.0)
    assert tokens.count_table(done).groupby("modality")["importance"].mean().sum() > 1.01


def test_worth_alone_beside_both_rules(traced, alone):
    by_rule = {rule: [traced(rule)] for rule in ("literal", "inverse")}
    table, words = page.against_alone(by_rule, alone, "macro_f1")
    assert table.columns[0] == "rule"
    assert table.groupby("rule")["modality"].nunique().to_dict() == {"literal": 3, "inverse": 3}
    assert words.count("AMC, literal") == words.count("AMC, inverse") == 3


def test_conflicts_of_both_rules(trained, settings, store):
    rules = ["literal", "inverse", "retain"]
    names = [*rules[:2], "dense, literal", "dense, inverse"]
    runs = [trained(name) for name in names]
    settings = settings.model_copy(update={"rules": rules})
    titles = {name: name for name in runs[0].names}
    table = page.conflicts_of(runs, settings, titles, store)
    found = {tuple(row) for row in table[["rule", "kind"]].drop_duplicates().to_numpy()}
    assert found == {(r, k) for r in rules[:2] for k in ("experts", "dense")}
    assert page.conflict_figure(table, "inverse") is not None
    assert page.conflict_figure(table, "retain") is None
    with pytest.raises(SettingsError, match="expected one of the rules"):
        page.conflicts_of(runs, settings.model_copy(update={"rules": ["retain"]}), {}, store)


def test_the_page_is_drawn_again_from_tables_alone(trained, settings, store):
    """All that is measured is recorded: with it, no model is asked for."""
    runs = [trained(name) for name in ("literal", "dense, literal")]
    settings = settings.model_copy(update={"rules": ["literal"]})
    titles = {name: name.upper() for name in runs[0].names}

    def shown(runs, store):
        traces = page.trace_replacements(runs, "literal", store)
        assert page.exchange_figure(traces, titles).axes
        assert page.importance_figure(traces, titles).axes
        assert page.map_figure(traces[0], 3, titles).axes
        assert page.cases_figure(traces[0], titles).axes
        return (
            page.importance_sentences(traces, titles),
            page.conflict_sentences(page.conflicts_of(runs, settings, titles, store)),
            page.entropy_sentences(runs, ["literal"], store),
        )

    def lost():
        raise AssertionError("no weights are kept")

    first = shown(runs, store)
    recorded = FitStore(store.folder / "none", recall_table=store.tables.get)
    without = [replace(run, make=lost, known=run.outcome) for run in runs]
    assert shown(without, recorded) == first
    with pytest.raises(AssertionError, match="no weights"):
        shown(without, FitStore(store.folder / "none"))
