from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest

from mmlego.errors import DataError, MetricError, SettingsError
from mmlego.learning.statistics import ranks

# AUC of four versions of a decision tree on 14 data sets, as printed by Demsar (2006, table 6).
METHODS = ("C4.5", "C4.5+m", "C4.5+cf", "C4.5+m+cf")
AUC = (
    (0.763, 0.768, 0.771, 0.798), (0.599, 0.591, 0.590, 0.569), (0.954, 0.971, 0.968, 0.967),
    (0.628, 0.661, 0.654, 0.657), (0.882, 0.888, 0.886, 0.898), (0.936, 0.931, 0.916, 0.931),
    (0.661, 0.668, 0.609, 0.685), (0.583, 0.583, 0.563, 0.625), (0.775, 0.838, 0.866, 0.875),
    (1.000, 1.000, 1.000, 1.000), (0.940, 0.962, 0.965, 0.962), (0.619, 0.666, 0.614, 0.669),
    (0.972, 0.981, 0.975, 0.975), (0.957, 0.978, 0.946, 0.970),
)  # fmt: skip


def tidy(values, labels):
    return pd.DataFrame(
        {"task": f"task {row}", "label": label, "value": value}
        for row, line in enumerate(values)
        for label, value in zip(labels, line, strict=True)
    )


@pytest.fixture
def published():
    table = tidy(AUC, METHODS)
    # Printed as equal, but ranked 2 and 3 by digits that the table does not show.
    table.loc[(table["task"] == "task 12") & (table["label"] == "C4.5+cf"), "value"] = 0.9754
    return table


def test_average_ranks_of_the_published_example(published):
    found = ranks.average_ranks(published.sample(frac=1, random_state=0)).set_index("label")
    printed = {"C4.5": 3.143, "C4.5+m": 2.000, "C4.5+cf": 2.893, "C4.5+m+cf": 1.964}
    assert found["rank"].round(3).to_dict() == printed
    assert found.index[0] == "C4.5+m+cf"
    assert set(found["n_tasks"]) == {14}


def test_lower_is_better_turns_the_ranks_round(published):
    up = ranks.average_ranks(published).set_index("label")["rank"]
    down = ranks.average_ranks(published, higher_is_better=False).set_index("label")["rank"]
    np.testing.assert_allclose(down[list(METHODS)], 5 - up[list(METHODS)])


def test_methods_that_lack_a_task_are_left_out_before_ranking(published):
    extra = pd.DataFrame(
        [{"task": f"task {i}", "label": "partial", "value": 2.0} for i in range(13)]
        + [{"task": "task 13", "label": "partial", "value": math.nan}]
    )
    both = pd.concat([extra, published])
    pd.testing.assert_frame_equal(ranks.average_ranks(both), ranks.average_ranks(published))
    assert ranks.friedman(both) == ranks.friedman(published)


def test_method_names_are_kept(published):
    table = published.assign(method=published["label"].str.len())
    found = ranks.average_ranks(table)
    assert (found["method"] == found["label"].str.len()).all()


def test_friedman_of_the_published_example(published):
    found = ranks.friedman(published)
    # Demsar prints 9.28 without the correction for ties: three pairs and one set of four.
    uncorrected = found.chi2 * (1 - (3 * 6 + 60) / (14 * 4 * 15))
    assert uncorrected == pytest.approx(9.28, abs=0.006)
    assert (found.n_methods, found.n_tasks) == (4, 14)
    assert 0.01 < found.p_value < 0.05
    assert found.f == pytest.approx(13 * found.chi2 / (14 * 3 - found.chi2))
    assert found.f_p_value < found.p_value


def test_friedman_without_ties_by_hand():
    table = tidy([(1, 8, 6, 4, 7, 2, 5, 3, 9), (1, 6, 3, 9, 7, 2, 8, 4, 5)], "abcdefghi")
    found = ranks.friedman(table)
    sums = np.array([2, 14, 9, 13, 14, 4, 13, 7, 14])
    chi2 = 12 / (2 * 9 * 10) * (sums**2).sum() - 3 * 2 * 10
    assert found.chi2 == pytest.approx(chi2)
    assert found.f == pytest.approx(2.75)
    assert found.f_p_value == pytest.approx(0.08697, abs=5e-6)


def test_friedman_of_perfect_agreement_and_of_nothing():
    same = ranks.friedman(tidy([(1, 2, 3, 4)] * 7, "abcd"))
    assert same.chi2 == pytest.approx(21)
    assert (same.f, same.f_p_value) == (math.inf, 0.0)
    with pytest.raises(MetricError, match="ties everywhere"):
        ranks.friedman(tidy([(1, 1, 1)] * 3, "abc"))


def test_nemenyi_equals_the_printed_quantiles():
    printed = {2: 1.960, 3: 2.343, 4: 2.569, 5: 2.728, 6: 2.850, 7: 2.949, 8: 3.031, 9: 3.102,
               10: 3.164}  # fmt: skip
    for k, q in printed.items():
        found = ranks.nemenyi_distance(k, 11) / math.sqrt(k * (k + 1) / 66)
        assert found == pytest.approx(q, abs=0.0011)
    assert ranks.nemenyi_distance(4, 14) == pytest.approx(1.25, abs=0.005)
    assert ranks.nemenyi_distance(4, 14, alpha=0.1) == pytest.approx(1.12, abs=0.005)


def test_refusals(published):
    with pytest.raises(DataError, match=r"missing \['label'\]"):
        ranks.average_ranks(published.drop(columns="label"))
    with pytest.raises(DataError, match="average over repeats"):
        ranks.average_ranks(pd.concat([published, published[:1]]))
    with pytest.raises(MetricError, match="infinite"):
        ranks.average_ranks(published.assign(value=math.inf))
    with pytest.raises(DataError, match="all 14 tasks"):
        ranks.average_ranks(published.drop_duplicates("task"))
    with pytest.raises(DataError, match="three methods"):
        ranks.friedman(published[published["label"].isin(METHODS[:2])])
    with pytest.raises(DataError, match="two tasks"):
        ranks.friedman(published[published["task"] == "task 0"])


@pytest.mark.parametrize("options", [(1, 3, 0.05), (3, 0, 0.05), (3, 3, 0.0), (3, 3, 1.0)])
def test_nemenyi_refuses(options):
    with pytest.raises(SettingsError, match="nemenyi"):
        ranks.nemenyi_distance(*options[:2], alpha=options[2])


def test_signed_ranks_by_hand():
    # Of the 64 signs of six ranks, 14 give a sum of the negative ones of 6 or less.
    found = ranks.signed_ranks([0.1, 0.2, 0.3, 0.4, 0.5, -0.6])
    assert found.p_value == pytest.approx(2 * 14 / 64)
    assert (found.n, found.higher) == (6, 5)
    assert (found.mean, found.median) == pytest.approx((0.15, 0.25))
    turned = ranks.signed_ranks([-0.1, -0.2, -0.3, -0.4, -0.5, 0.6])
    assert turned.p_value == pytest.approx(found.p_value)
    assert turned.higher == 1
    assert found.rank_sum == 15 - 6 == -turned.rank_sum


def test_one_large_difference_does_not_turn_the_direction():
    found = ranks.signed_ranks([0.5, *(-0.01 - 0.001 * i for i in range(11))])
    assert found.mean > 0 > found.rank_sum
    assert found.p_value < 0.05


def test_ties_and_zeros_of_signed_ranks():
    # Ranks 1.5, 1.5, 3 and a zero that does not count.
    assert ranks.signed_ranks([0.1, -0.1, 0.2, 0.0]).rank_sum == 3
    assert ranks.signed_ranks([0.1, -0.1, 0.2, 0.0]).n == 4
    assert ranks.signed_ranks([0.0, 0.0])[-2:] == (0.0, 1.0)
    # Two of the 64 choices of signs are as extreme, whatever the ties.
    assert ranks.signed_ranks([0.1] * 6).p_value == pytest.approx(2 / 64)
    many = ranks.signed_ranks([*np.arange(1, 20), 1.0])
    assert many.p_value == pytest.approx(ranks.signed_ranks(np.arange(1, 21)).p_value, abs=1e-3)


def test_five_tasks_are_too_few_for_signed_ranks():
    assert ranks.signed_ranks([1, 2, 3, 4, 5]).p_value == pytest.approx(2 / 32)
    assert ranks.signed_ranks([1, 2, 3, 4, 5, 6]).p_value == pytest.approx(2 / 64)


@pytest.mark.parametrize("values", [[], [0.1, math.nan], [math.inf]])
def test_signed_ranks_refuse(values):
    with pytest.raises(MetricError, match="leave out tasks"):
        ranks.signed_ranks(values)
