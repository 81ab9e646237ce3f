"""What a trained AMC replaced, as tables: they must add up, and lead back to the traces."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch

from mmlego.errors import DataError
from mmlego.experiments import amc, token_story, tokens
from mmlego.experiments.amc import ARMS
from mmlego.experiments.settings import TokenSettings
from mmlego.experiments.store import FitStore

SIZES = {"tokens": 6, "width": 8, "heads": 2, "experts": 2, "top_k": 1, "layers": 3}


@pytest.fixture
def trained(folds, tmp_path):
    fold = folds(task="classification")[0]
    settings = TokenSettings(cohort="toy", epochs=2, patience=2, device="cpu", **SIZES)
    names = sorted(set(fold.names) - set(fold.joined))
    store = FitStore(tmp_path / "fits")
    return lambda arm: amc.train_arm(fold, ARMS[arm], names, settings, store)


def test_counts_and_pairs_add_up(trained):
    told = tokens.watch(trained("literal"))
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
    told = tokens.watch(run)
    probability = told.logits.double().softmax(dim=-1).numpy()
    assert np.allclose(probability, run.outcome.prediction["probability"], atol=1e-5)


def test_origins_follow_tokens_through_all_layers(trained):
    told = tokens.watch(trained("literal"))
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
        tokens.origins(tokens.watch(trained("no_fusion")), shown=3)


def test_equal_importance(trained):
    run = trained("literal")
    own, equal = tokens.watch(run), tokens.watch(run, "equal")
    present = equal.traces[0].here.sum(dim=1, keepdim=True)
    share = equal.traces[0].importance
    assert torch.allclose(share, equal.traces[0].here / present)
    table = tokens.entropy_table(own, equal).set_index("scores")["entropy"]
    assert 0 <= table["own"] <= np.log(2)
    assert table["own"] == pytest.approx(
        tokens.entropy_table(own, own).set_index("scores")["entropy"]["equal"]
    )


def test_extremes(trained):
    told = tokens.watch(trained("literal"))
    of = told.names[0]
    table = tokens.extremes(told, of, {}, most=2)
    shares = told.traces[0].importance[told.traces[0].here.all(dim=1), 0].numpy()
    found = table[table["modality"] == of].groupby("extreme")["importance"]
    assert found.min()["lowest"] == pytest.approx(shares.min())
    assert found.max()["highest"] == pytest.approx(shares.max())
    assert set(table["outcome"]) <= set(told.trained.fold.classes)


def test_words_and_correlations(trained):
    told = [tokens.watch(trained("literal"))]
    words = token_story.importance_sentences(told, {})
    assert "equal share is" in words
    assert "Lambda" in words
    gradients = pd.DataFrame(
        {
            "pair": ["a - b"] * 4,
            "kind": ["experts", "experts", "dense", "dense"],
            "cosine": [0.9, 0.7, 0.1, 0.2],
        }
    )
    assert "median 0.80 with experts and 0.15" in token_story.conflict_sentences(gradients)
    assert "in 1 of 1 pairs" in token_story.conflict_sentences(gradients)
