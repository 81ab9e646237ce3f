from __future__ import annotations

import numpy as np
import pytest

from mmlego.errors import DataError, MMLegoError, ShapeError
from mmlego.figures import kaplan_meier_plot, survival_calibration, survival_overview
from mmlego.figures.predictions.survival import at_risk


def test_at_risk_counts():
    assert at_risk([2, 4, 4, 6, 8, 10], [0, 2, 4, 4.1, 10, 11]) == [6, 6, 5, 3, 1, 0]


def test_curve_is_the_product_of_surviving_shares(survival, found):
    event, time, _ = survival
    (curve,) = found(survival_overview(event, time, unit="months"), "curve")
    at = dict(zip(curve.get_xdata().tolist(), curve.get_ydata().tolist(), strict=True))
    assert at[0] == 1
    assert at[2] == pytest.approx(5 / 6)
    assert at[4] == pytest.approx(5 / 6 * 4 / 5)
    assert at[6] == pytest.approx(5 / 6 * 4 / 5 * 2 / 3)


def test_band_encloses_the_curve(survival, found):
    event, time, _ = survival
    figure = survival_overview(event, time, unit="months")
    (band,), (curve,) = found(figure, "band"), found(figure, "curve")
    heights = band.get_paths()[0].vertices[:, 1]
    assert heights.min() >= 0
    assert heights.max() == 1
    assert heights.min() < curve.get_ydata().min()


def test_groups_have_curve_band_and_numbers_at_risk(survival, found):
    event, time, group = survival
    figure = kaplan_meier_plot(
        event, time, group, unit="months", p_value=0.0001, names={0: "low risk", 1: "high risk"}
    )
    assert len(found(figure, "curve")) == len(found(figure, "band")) == 2
    counts = [int(text.get_text()) for text in found(figure, "at risk: low risk")]
    ticks = [text.get_position()[0] for text in found(figure, "at risk: low risk")]
    assert counts == at_risk(time[group == 0], ticks)
    assert counts[0] == 3
    assert figure.axes[0].get_legend().get_title().get_text() == "log-rank p < 0.001"
    assert figure.axes[1].get_xlabel() == "Time (months)"
    assert figure.axes[0].get_ylabel() == "Survival probability"


def test_bad_survival_data(survival):
    event, time, group = survival
    with pytest.raises(ShapeError, match="one length"):
        kaplan_meier_plot(event, time[:-1], unit="months")
    with pytest.raises(ShapeError, match="non-negative"):
        kaplan_meier_plot(event, -time, unit="months")
    with pytest.raises(ShapeError, match="booleans"):
        kaplan_meier_plot(time, time, unit="months")
    with pytest.raises(ShapeError, match="NaN"):
        kaplan_meier_plot(event, time * np.nan, unit="months")
    with pytest.raises(DataError, match="p_value"):
        kaplan_meier_plot(event, time, group, unit="months", p_value=1.2)
    with pytest.raises(DataError, match="groups"):
        kaplan_meier_plot(event, time, unit="months", p_value=0.2)
    with pytest.raises(MMLegoError):
        kaplan_meier_plot([], [], unit="months")


def test_calibration_compares_group_means(survival, found):
    event, time, _ = survival
    predicted = np.array([0.1, 0.3, 0.2, 0.8, 0.9, 0.7])
    figure = survival_calibration(predicted, event, time, horizon=5, unit="months", n_groups=2)
    groups = found(figure, "group")
    np.testing.assert_allclose([dot.get_xdata()[0] for dot in groups], [0.2, 0.8])
    # Low group: deaths at 2 and 4, one censored at 4; high group: nobody leaves before 6.
    np.testing.assert_allclose([dot.get_ydata()[0] for dot in groups], [1 / 3, 1.0])
    assert "5 months" in figure.axes[0].get_xlabel()


def test_an_event_at_the_horizon_counts(survival, found):
    event, time, _ = survival
    figure = survival_calibration(
        np.full(6, 0.5), event, time, horizon=2, unit="months", n_groups=2
    )
    heights = [dot.get_ydata()[0] for dot in found(figure, "group")]
    np.testing.assert_allclose(heights, [2 / 3, 1.0])


def test_calibration_refuses_risks_and_bad_horizons(survival):
    event, time, _ = survival
    with pytest.raises(ShapeError, match="not logits or risks"):
        survival_calibration(-time, event, time, horizon=5, unit="months")
    with pytest.raises(DataError, match="horizon"):
        survival_calibration(time / 10, event, time, horizon=0, unit="months")
