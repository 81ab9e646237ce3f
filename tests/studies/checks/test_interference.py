from __future__ import annotations

import numpy as np
import pytest

from mmlego.runs.records.record import plain
from mmlego.runs.settings import SignalSettings
from mmlego.studies.checks import interference
from mmlego.studies.checks.signals import additive_inverse_pair, merge_signals


@pytest.fixture(scope="module")
def cases():
    return interference.cases(SignalSettings(n=400, draws=4))


def test_four_experiments_with_all_draws(cases):
    assert list(cases) == [
        "additive inverse",
        "frequency offset",
        "phase offset",
        "frequency offset, pointwise amplitude",
    ]
    for case in cases.values():
        assert case.draws.groupby("rule")["draw"].nunique().eq(4).all()
        assert len(case.signals["first"]) == 400


def test_first_draw_is_the_seed_s_own(cases):
    a, b = additive_inverse_pair(400, noise=0.1, seed=1)
    case = cases["additive inverse"]
    assert np.array_equal(case.signals["first"], a)
    merged = case.merged[interference.NAMES["harmonic"]]
    assert merged == pytest.approx(np.real(merge_signals(a, b, "harmonic")))


def test_known_answers(cases):
    inverse = cases["additive inverse"].table.set_index("rule")
    harmonic, mean = interference.NAMES["harmonic"], interference.NAMES["mean"]
    assert inverse.loc[mean, "energy_ratio"] < 0.02
    assert inverse.loc[harmonic, "energy_ratio"] > 0.9
    assert abs(inverse.loc[harmonic, "correlation"]) < 0.3
    offset = cases["frequency offset"].table.set_index("rule")
    assert offset.loc[harmonic, "energy_ratio"] < offset.loc[mean, "energy_ratio"]


def test_table_is_the_mean_of_the_draws(cases):
    case = cases["phase offset"]
    raw = case.draws.groupby("rule")["energy_ratio"].mean()
    for rule, name in interference.NAMES.items():
        assert case.table.set_index("rule").loc[name, "energy_ratio"] == pytest.approx(raw[rule])


def test_sentences_follow_the_numbers(cases):
    text = interference.conclusion(cases)
    wins, loses = text.splitlines()[:2]
    assert "additive inverse" in wins
    assert "frequency offset" in loses
    assert "4 experiments, 4 draws each" in interference.describe(cases)
    value = cases["additive inverse"].table.set_index("rule").loc["mean", "energy_ratio"]
    assert f"mean {value:.1%}" in interference.read(cases["additive inverse"])


def test_record_holds_builtins_only(cases):
    found = plain(interference.record(cases))
    assert set(found) == set(cases)
    assert {type(value) for row in found["phase offset"] for value in row.values()} <= {str, float}


def test_summary_has_a_row_per_experiment_and_rule(cases):
    assert len(interference.summary(cases)) == 4 * len(interference.NAMES)
