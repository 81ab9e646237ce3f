from __future__ import annotations

import math
import subprocess
import sys

import numpy as np
import pytest

from mmlego.errors import MetricError, SettingsError, ShapeError
from mmlego.learning.metrics.survival import concordance_index
from mmlego.learning.statistics import resampling

# Remission in weeks of acute leukaemia, 6-mercaptopurine against placebo (Freireich et al. 1963):
# the textbook example, whose curve and log-rank statistic are printed in many places.
TREATED = (
    [6, 6, 6, 6, 7, 9, 10, 10, 11, 13, 16, 17, 19, 20, 22, 23, 25, 32, 32, 34, 35],
    [1, 1, 1, 0, 1, 0, 1, 0, 0, 1, 1, 0, 0, 0, 1, 1, 0, 0, 0, 0, 0],
)
PLACEBO = [1, 1, 2, 2, 3, 4, 4, 5, 5, 8, 8, 8, 8, 11, 11, 12, 12, 15, 17, 22, 23]


@pytest.fixture
def remission():
    time = np.array(TREATED[0] + PLACEBO, dtype=float)
    event = np.array(TREATED[1] + [1] * 21, dtype=bool)
    return event, time, np.array(["treated"] * 21 + ["placebo"] * 21)


def test_ttest_by_hand():
    test = resampling.corrected_resampled_ttest([1.0, 2.0, 3.0], 70, 15)
    error = math.sqrt((1 / 3 + 15 / 70) * 1.0)
    assert test.mean == 2.0
    assert test.statistic == pytest.approx(2.0 / error)
    half = 4.302652729911275 * error  # 97.5 % quantile of t with 2 degrees of freedom
    assert (test.low, test.high) == pytest.approx((2 - half, 2 + half))


def test_ttest_tends_to_the_plain_one_and_is_more_careful_otherwise():
    from scipy import stats

    values = np.random.default_rng(0).normal(0.5, 1.0, 12)
    plain = stats.ttest_1samp(values, 0.0)
    loose = resampling.corrected_resampled_ttest(values, 10**12, 1)
    assert loose.p_value == pytest.approx(plain.pvalue)
    assert loose.statistic == pytest.approx(plain.statistic)
    assert resampling.corrected_resampled_ttest(values, 70, 15).p_value > plain.pvalue


def test_ttest_without_variance():
    assert resampling.corrected_resampled_ttest([0.0, 0.0], 7, 3).p_value == 1.0
    same = resampling.corrected_resampled_ttest([0.5, 0.5], 7, 3)
    assert (same.p_value, same.low, same.high) == (0.0, 0.5, 0.5)


@pytest.mark.parametrize("values", [[1.0], [], [1.0, float("nan")], [[1.0, 2.0]]])
def test_ttest_refuses(values):
    with pytest.raises(MetricError, match="2 finite values"):
        resampling.corrected_resampled_ttest(values, 70, 15)
    with pytest.raises(SettingsError, match="sizes"):
        resampling.corrected_resampled_ttest([1.0, 2.0], 0, 15)


def test_holm_by_hand():
    found = resampling.holm([0.01, 0.04, 0.03, 0.005])
    assert found.tolist() == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert resampling.holm([0.5, 0.9]).tolist() == [1.0, 1.0]
    assert resampling.holm([]).tolist() == []
    with_gap = resampling.holm([0.01, float("nan"), 0.04])
    assert with_gap.tolist() == pytest.approx([0.02, float("nan"), 0.04], nan_ok=True)
    with pytest.raises(MetricError, match=r"in \[0, 1\]"):
        resampling.holm([0.1, 1.2])


def test_bootstrap_of_a_mean():
    values = np.random.default_rng(0).normal(3.0, 1.0, 200)
    found = resampling.bootstrap_ci(values, seed=1)
    half = 1.96 * values.std(ddof=1) / math.sqrt(200)
    assert found.estimate == pytest.approx(values.mean())
    assert (found.low, found.high) == pytest.approx(
        (values.mean() - half, values.mean() + half), abs=0.02
    )
    assert found == resampling.bootstrap_ci(values, seed=1)
    assert found != resampling.bootstrap_ci(values, seed=2)


def test_bootstrap_resamples_rows_together_and_counts_undefined_ones():
    rng = np.random.default_rng(0)
    time = rng.random(30)
    event = np.zeros(30, dtype=bool)
    event[:3] = True
    found = resampling.bootstrap_metric(concordance_index, [event, time, -time], n=200, seed=1)
    assert (found.estimate, found.low, found.high) == (1.0, 1.0, 1.0)
    assert 150 < found.n_used < 200
    with pytest.raises(ShapeError, match="equal length"):
        resampling.bootstrap_metric(concordance_index, [event, time[:5], time])
    event[1:3] = False
    with pytest.raises(MetricError, match="comparable pair"):
        resampling.bootstrap_metric(concordance_index, [event & False, time, time])


@pytest.mark.parametrize("options", [{"n": 0}, {"level": 1.0}, {"seed": -1}])
def test_bootstrap_refuses(options):
    with pytest.raises(SettingsError):
        resampling.bootstrap_ci([1.0, 2.0], **options)


def test_kaplan_meier_of_the_textbook(remission):
    event, time, group = remission
    curve = resampling.kaplan_meier(event[group == "treated"], time[group == "treated"])
    at = dict(zip(curve.times.tolist(), curve.survival.tolist(), strict=True))
    printed = {6: 0.857, 7: 0.807, 10: 0.753, 13: 0.690, 16: 0.627, 22: 0.538, 23: 0.448}
    assert {t: round(at[t], 3) for t in printed} == printed
    assert [curve.at_risk(t) for t in (0, 6, 7, 10, 35, 36)] == [21, 21, 17, 15, 1, 0]
    assert ((curve.lower <= curve.survival) & (curve.survival <= curve.upper)).all()


def test_kaplan_meier_equals_scikit_survival(remission):
    from sksurv.nonparametric import kaplan_meier_estimator

    event, time, _ = remission
    times, survival, band = kaplan_meier_estimator(event, time, conf_type="log-log")
    curve = resampling.kaplan_meier(event, time)
    for found, expected in zip(curve[:4], (times, survival, *band), strict=True):
        np.testing.assert_array_equal(found, expected)


def test_kaplan_meier_without_events_stays_at_one():
    curve = resampling.kaplan_meier([False, False], [2.0, 1.0])
    assert curve.times.tolist() == [1.0, 2.0]
    assert curve.survival.tolist() == curve.lower.tolist() == [1.0, 1.0]
    with pytest.raises(ShapeError, match="outcome"):
        resampling.kaplan_meier([], [])
    with pytest.raises(SettingsError, match="level"):
        resampling.kaplan_meier([True], [1.0], level=95)


def test_logrank_of_the_textbook(remission):
    chi2, p = resampling.logrank_test(*remission)
    assert chi2 == pytest.approx(16.79, abs=0.005)
    assert p == pytest.approx(4.2e-5, rel=0.02)


def test_logrank_refuses(remission):
    event, time, group = remission
    with pytest.raises(MetricError, match="two groups"):
        resampling.logrank_test(event, time, np.zeros(42))
    with pytest.raises(MetricError, match="0 events"):
        resampling.logrank_test(event & False, time, group)
    with pytest.raises(ShapeError, match="group"):
        resampling.logrank_test(event, time, group[:5])


def test_risk_groups_split_at_the_training_median():
    train = [1.0, 2.0, 3.0, 10.0]
    assert resampling.risk_groups([2.0, 2.5, 2.6, 9.0], train).tolist() == [
        False,
        False,
        True,
        True,
    ]
    assert resampling.risk_groups([2.6, 9.0], train).all()  # its own median plays no part
    assert resampling.risk_groups([2.0, 2.6], 2.5).tolist() == [False, True]
    with pytest.raises(ShapeError, match="train_risk"):
        resampling.risk_groups([1.0], [])


def test_calibration_by_hand():
    label = [0, 0, 1, 1]
    table = resampling.calibration_table(label, [0.1, 0.3, 0.3, 0.9], bins=2, strategy="uniform")
    assert table["n"].tolist() == [3, 1]
    assert table["predicted"].tolist() == pytest.approx([0.7 / 3, 0.9])
    assert table["observed"].tolist() == pytest.approx([1 / 3, 1.0])


def test_calibration_of_true_probabilities_lies_on_the_diagonal():
    rng = np.random.default_rng(0)
    probability = rng.random(20_000)
    label = (rng.random(20_000) < probability).astype(int)
    for strategy in ("quantile", "uniform"):
        table = resampling.calibration_table(label, probability, strategy=strategy)
        assert len(table) == 10
        assert table["n"].sum() == 20_000
        np.testing.assert_allclose(table["observed"], table["predicted"], atol=0.03)


def test_equal_probabilities_share_a_bin():
    table = resampling.calibration_table([0, 1, 0, 1], [0.5, 0.5, 0.5, 0.5])
    assert table["n"].tolist() == [4]


def test_survival_calibration_by_hand():
    event = np.array([True, True, False, True, False, True])
    time = np.array([1.0, 2.0, 3.0, 4.0, 5.0, 9.0])
    predicted = np.array([0.1, 0.2, 0.3, 0.7, 0.8, 0.9])
    table = resampling.survival_calibration(event, time, predicted, 5.0, groups=2)
    assert table["predicted"].tolist() == pytest.approx([0.2, 0.8])
    # 3 at risk: 2/3 after the first event, 1/3 after the second; then 2/3 after one of three.
    assert table["observed"].tolist() == pytest.approx([1 / 3, 2 / 3])
    assert table[["n", "events"]].to_numpy().tolist() == [[3, 2], [3, 1]]
    with pytest.raises(ShapeError, match=r"in \[0, 1\]"):
        resampling.survival_calibration(event, time, predicted * 2, 5.0)
    with pytest.raises(SettingsError, match="horizon"):
        resampling.survival_calibration(event, time, predicted, 0.0)


def test_roc_curve_encloses_the_auc():
    from mmlego.learning.metrics.classification import auc

    rng = np.random.default_rng(0)
    label, score = rng.integers(0, 2, 60), rng.random(60)
    curve = resampling.roc_curve(label, score)
    area = np.trapezoid(curve.true_positive, curve.false_positive)
    assert area == pytest.approx(auc(label, score))
    with pytest.raises(MetricError, match="both classes"):
        resampling.roc_curve([1, 1], [0.1, 0.2])


def test_importing_learning_is_light():
    code = (
        "import sys, mmlego.learning, mmlego.models.encoders, mmlego.models.baselines\n"
        "import mmlego.studies.checks.signals\n"
        "heavy = {'sksurv', 'sklearn', 'scipy', 'pandas', 'matplotlib'} & set(sys.modules)\n"
        "sys.exit(str(heavy) if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
