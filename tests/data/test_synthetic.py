from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

from mmlego.data import load_cohort
from mmlego.errors import DataError

OPTIONS = {"n": 900, "task": "classification", "outcome_noise": 0.2, "noise": 0.3}


def features(cohort, name):
    """One vector per sample: the mean over instances or steps."""
    values = cohort.modalities[name].values
    if cohort.modalities[name].kind == "bag":
        return np.stack([bag.mean(axis=0) for bag in values])
    return values if values.ndim == 2 else values.mean(axis=1)


def auc(x, cohort):
    y = cohort.target.label
    model = LogisticRegression(max_iter=500, C=0.1).fit(x[:600], y[:600])
    return roc_auc_score(y[600:], model.predict_proba(x[600:])[:, 1])


@pytest.mark.parametrize("name", ["tab", "bag", "series"])
def test_unique_signal_is_in_its_modality_and_nowhere_else(name):
    cohort = load_cohort("synthetic", unique={name: 1.0}, shared=0, **OPTIONS)
    for other in cohort.names:
        found = auc(features(cohort, other), cohort)
        assert found > 0.8 if other == name else found < 0.6, (other, found)


def test_shared_signal_is_in_every_modality():
    cohort = load_cohort("synthetic", unique=0, shared=1.0, **OPTIONS)
    assert min(auc(features(cohort, name), cohort) for name in cohort.names) > 0.8


def test_synergy_is_seen_in_two_modalities_together_only():
    cohort = load_cohort("synthetic", unique=0, shared=0, synergy=1.0, **OPTIONS)
    tab, bag = features(cohort, "tab"), features(cohort, "bag")
    for alone in (tab, bag, np.hstack([tab, bag])):
        squares = np.hstack([alone, alone**2])
        assert auc(squares, cohort) < 0.62
    crossed = np.einsum("ni,nj->nij", tab, bag).reshape(len(tab), -1)
    assert auc(crossed / crossed.std(axis=0), cohort) > 0.85


def test_without_any_signal_there_is_none():
    cohort = load_cohort("synthetic", unique=0, shared=0, **OPTIONS)
    x = np.hstack([features(cohort, name) for name in cohort.names])
    assert 0.4 < auc(x, cohort) < 0.6


def test_risk_shortens_survival():
    options = {"n": 300, "unique": 0, "shared": 1.0, "outcome_noise": 0.1, "censoring": 0}
    cohort = load_cohort("synthetic", **options, noise=0.05)
    x = np.column_stack([features(cohort, "tab"), np.ones(cohort.n)])
    fit = np.linalg.lstsq(x, np.log(cohort.target.time), rcond=None)[0]
    assert np.corrcoef(x @ fit, np.log(cohort.target.time))[0, 1] > 0.9
    assert cohort.target.event.all()


def test_the_same_seed_gives_the_same_cohort_and_another_another():
    a, b = (load_cohort("synthetic", missing=0.2, seed=4).fingerprint() for _ in range(2))
    assert a == b
    assert load_cohort("synthetic", missing=0.2, seed=5).fingerprint() != a


def test_leaving_out_a_modality_changes_nothing_else():
    full, part = load_cohort("synthetic"), load_cohort("synthetic", modalities=["series"])
    assert full.select(["series"]).fingerprint() == part.fingerprint()


def test_rates_and_sizes_are_as_asked():
    cohort = load_cohort(
        "synthetic", n=1000, missing={"tab": 0.4}, censoring=0.6, bag_size=(2, 3), n_steps=5
    )
    assert cohort.modalities["tab"].present.mean() == pytest.approx(0.6, abs=0.05)
    assert cohort.modalities["bag"].present.all()
    assert cohort.target.event.mean() == pytest.approx(0.4, abs=0.01)
    assert {len(bag) for bag in cohort.modalities["bag"].values} == {2, 3}
    assert cohort.modalities["series"].values.shape == (1000, 5, 16)


def test_every_sample_keeps_a_modality():
    cohort = load_cohort("synthetic", missing=0.9)
    assert cohort.require_some_modality() is cohort


def test_classes_are_equally_frequent():
    cohort = load_cohort("synthetic", task="classification", n_classes=4)
    assert np.bincount(cohort.target.label).tolist() == [50, 50, 50, 50]


@pytest.mark.parametrize(
    "options",
    [
        {"n": 5},
        {"task": "regression"},
        {"unique": -1.0},
        {"missing": 1.0},
        {"censoring": 1.5},
        {"bag_size": (0, 3)},
        {"n_classes": 1},
        {"synergy_pair": ("tab", "img")},
        {"missing": {"img": 0.5}},
        {"noise": -0.1},
    ],
)
def test_settings_out_of_range_are_refused(options):
    with pytest.raises(DataError, match="synthetic cohort: expected"):
        load_cohort("synthetic", **options)
