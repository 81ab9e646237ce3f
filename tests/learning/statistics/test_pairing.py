from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from mmlego.errors import MetricError
from mmlego.learning.statistics.pairing import (
    FEWEST_REPEATS,
    Paired,
    adjust,
    compare,
    counted,
    means,
    sentence,
    sentences,
)


def _table(first, second, n_train=70, n_test=15):
    rows = [
        {"label": label, "repeat": repeat, "value": value, "n_train": n_train, "n_test": n_test}
        for label, values in (("a", first), ("b", second))
        for repeat, value in enumerate(values, start=1)
    ]
    return pd.DataFrame(rows)


def test_agrees_with_a_t_test_when_test_parts_are_negligible():
    """Without the correction term the test is the paired t-test of scipy."""
    rng = np.random.default_rng(1)
    a, b = rng.normal(0.6, 0.05, (2, 6))
    found = compare(_table(a, b, n_train=10**9, n_test=1), "a", "b")
    expected = stats.ttest_rel(a, b)
    interval = expected.confidence_interval(0.95)
    assert found.p_value == pytest.approx(expected.pvalue, rel=1e-5)
    assert (found.lower, found.upper) == pytest.approx((interval.low, interval.high), rel=1e-5)


def test_correction_by_hand():
    a, b = np.array([0.62, 0.66, 0.60, 0.71, 0.64]), np.array([0.60, 0.61, 0.61, 0.66, 0.60])
    found = compare(_table(a, b), "a", "b")
    d = a - b
    error = np.sqrt((1 / 5 + 15 / 70) * d.var(ddof=1))
    assert found.n == 5
    assert found.mean == pytest.approx(d.mean())
    assert found.p_value == pytest.approx(2 * stats.t.sf(d.mean() / error, 4))
    assert found.upper - found.mean == pytest.approx(stats.t.ppf(0.975, 4) * error)


def test_the_second_is_subtracted():
    table = _table([0.7, 0.8], [0.5, 0.55])
    assert compare(table, "a", "b").mean == pytest.approx(0.225)
    assert compare(table, "b", "a").mean == pytest.approx(-0.225)


def test_only_shared_repeats_count():
    table = _table([0.7, 0.8, 0.9], [0.5, 0.6])
    found = compare(table, "a", "b")
    assert (found.n, found.mean) == (2, pytest.approx(0.2))


def test_single_repeat_has_no_p_value():
    found = compare(_table([0.7], [0.5]), "a", "b")
    assert found.n == 1
    assert np.isnan([found.p_value, found.lower, found.upper]).all()
    assert not found.decided
    assert sentence(found) == (
        "a minus b: +0.200 over 1 repeat, too few to say whether that is more than chance."
    )


@pytest.mark.parametrize("names", [("a", "c"), ("c", "b")])
def test_labels_that_share_no_repeat(names):
    with pytest.raises(MetricError, match="share no repeat"):
        compare(_table([0.7], [0.5]), *names)


@pytest.mark.parametrize(("n", "decided"), [(FEWEST_REPEATS - 1, False), (FEWEST_REPEATS, True)])
def test_few_repeats_decide_nothing_whatever_the_p_value(n, decided):
    found = Paired("a", "b", n, 0.1, 0.09, 0.11, 1e-9)
    assert found.decided is decided
    assert ("too few" in sentence(found)) is not decided


def test_sentence_gives_numbers_and_a_verdict():
    assert sentence(Paired("Merge", "b", 5, 0.1, 0.05, 0.15, 0.004)) == (
        "Merge minus b: +0.100 over 5 repeats (95 % interval +0.050 to +0.150, p = 0.004); "
        "the repeats tell the two apart."
    )
    assert "cannot tell the two apart" in sentence(Paired("a", "b", 5, 0.1, -0.05, 0.25, 0.2))


def test_means_are_sorted_and_counted():
    table = _table([0.5, 0.7], [0.8, 0.6])
    found = means(table)
    assert found.index.tolist() == ["b", "a"]
    assert found.loc["a"].tolist() == pytest.approx([0.6, np.std([0.5, 0.7], ddof=1), 2])


def _pairs(*p_values):
    return [Paired(f"m{i}", "b", 5, 0.1, 0.0, 0.2, p) for i, p in enumerate(p_values)]


def test_adjusting_by_hand():
    """Three comparisons count; the one without a p-value keeps its place and does not."""
    found = adjust(_pairs(0.02, np.nan, 0.04, 0.01))
    assert [pair.p_value for pair in found] == pytest.approx(
        [0.04, np.nan, 0.04, 0.03], nan_ok=True
    )
    assert [pair.first for pair in found] == ["m0", "m1", "m2", "m3"]
    assert [(pair.mean, pair.lower, pair.upper) for pair in found] == [(0.1, 0.0, 0.2)] * 4


def test_one_comparison_is_not_adjusted():
    assert adjust(_pairs(0.02)) == _pairs(0.02)
    assert adjust([]) == []


def test_adjusting_can_take_a_verdict_back():
    alone, among = _pairs(0.03)[0], adjust(_pairs(0.03, 0.5))[0]
    assert alone.decided
    assert not among.decided


def test_a_list_of_sentences_is_corrected_for_its_length():
    text = sentences(_pairs(0.03, 0.5))
    assert "p = 0.06); the repeats cannot tell the two apart." in text
    assert [line[:2] for line in text.splitlines()[:2]] == ["* ", "* "]
    assert text.endswith("(Holm).")
    alone = sentences(_pairs(0.03))
    assert alone == f"* {sentence(_pairs(0.03)[0])}"
    assert "Holm" not in alone
    assert sentences([]) == ""


def test_too_few_repeats_have_no_p_values_to_correct():
    few = [replace(pair, n=3) for pair in _pairs(0.01, 0.02)]
    assert "Holm" not in sentences(few)
    assert "p = " not in sentences(few)


def test_numbers_with_their_words():
    assert [counted(n, "repeat") for n in (0, 1, 2)] == ["0 repeats", "1 repeat", "2 repeats"]
