from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from mmlego.errors import DataError, ShapeError
from mmlego.figures import power_law, rate_curves, scaling_plot, style
from mmlego.figures.scaling import PowerLaw


@pytest.fixture
def costs():
    return pd.DataFrame(
        [{"x": x, "value": scale * x**exponent * noise, "label": label, "method": method}
         for label, method, scale, exponent in
         (("merge", "lego_merge", 2.0, 1.0), ("attention", "perceiver", 0.5, 2.0))
         for x in (2, 4, 8) for noise in (0.9, 1 / 0.9)]
    )  # fmt: skip


@pytest.fixture
def rates():
    return pd.DataFrame(
        [{"x": x, "repeat": repeat, "value": 0.7 - 0.2 * x + 0.01 * repeat, "label": label,
          "method": label}
         for label in ("lego_merge", "snn") for x in (0.0, 0.5, 0.9) for repeat in (1, 2, 3)]
    )  # fmt: skip


def words(figure):
    return [text.get_text() for text in figure.legends[0].get_texts()]


def test_power_law_finds_scale_and_exponent():
    x = np.array([1.0, 2.0, 5.0, 5.0])
    assert power_law(x, 3 * x**-1.5) == pytest.approx((3, -1.5))
    with pytest.raises(DataError, match="positive"):
        power_law([1, 2], [0, 1])
    with pytest.raises(DataError, match="two sizes"):
        power_law([2, 2], [1, 2])
    with pytest.raises(ShapeError, match="one length"):
        power_law([1, 2], [1, 2, 3])


def test_scaling_draws_repeats_and_fits(costs, found):
    figure = scaling_plot(costs, xlabel="Modalities", ylabel="Seconds")
    ax = figure.axes[0]
    assert (ax.get_xscale(), ax.get_yscale()) == ("log", "log")
    assert [len(dots.get_xdata()) for dots in found(figure, "repeats")] == [6, 6]
    merge, attention = found(figure, "fit")
    np.testing.assert_allclose(merge.get_ydata(), [4, 16])
    np.testing.assert_allclose(attention.get_ydata(), [2, 32])
    assert merge.get_color() == style.color("lego_merge")
    assert words(figure) == ["merge: $x^{1.00}$", "attention: $x^{2.00}$"]
    figure.canvas.draw()
    assert [text.get_text() for text in ax.get_xticklabels()] == ["2", "4", "8"]


def test_fits_can_be_given(costs, found):
    figure = scaling_plot(costs, xlabel="n", ylabel="s", fits={"merge": PowerLaw(1.0, 0.5)})
    (line,) = found(figure, "fit")
    np.testing.assert_allclose(line.get_ydata(), [2**0.5, 8**0.5])
    assert words(figure) == ["merge: $x^{0.50}$", "attention"]
    one_size = scaling_plot(costs[costs["x"] == 2], xlabel="n", ylabel="s", fits={})
    assert found(one_size, "fit") == []
    with pytest.raises(DataError, match="positive"):
        scaling_plot(costs.assign(value=-1.0), xlabel="n", ylabel="s")


def test_curves_with_bands_and_chance(rates, found):
    figure = rate_curves(rates.sample(frac=1, random_state=0), xlabel="Missing", spread="sd")
    (merge, snn), bands = found(figure, "mean"), found(figure, "band")
    order = {line.get_label(): line for line in (merge, snn)}
    np.testing.assert_allclose(order["snn"].get_xdata(), [0, 0.5, 0.9])
    np.testing.assert_allclose(order["snn"].get_ydata(), [0.72, 0.62, 0.54])
    assert order["snn"].get_color() == style.color("snn")
    assert merge.get_marker() != snn.get_marker()
    corners = bands[0].get_paths()[0].vertices
    np.testing.assert_allclose([corners[:, 1].min(), corners[:, 1].max()], [0.53, 0.73])
    assert found(figure, "chance")[0].get_ydata() == [0.5, 0.5]
    assert words(figure)[-2:] == ["chance (0.5)", "one standard deviation"]


def test_bands_end_where_the_scale_of_the_metric_does(rates, found):
    high = rates.assign(value=rates["value"] + 0.05 * rates["repeat"] + 0.1)
    for metric, inside in (("c_index", True), ("seconds", False)):
        bands = found(rate_curves(high, xlabel="Missing", metric=metric), "band")
        top = max(band.get_paths()[0].vertices[:, 1].max() for band in bands)
        assert (top <= 1) == inside


def test_one_repeat_has_no_band(rates, found):
    figure = rate_curves(rates[rates["repeat"] == 1], xlabel="Missing", metric="balanced_accuracy")
    assert found(figure, "band") == []
    assert found(figure, "chance") == []
    assert words(figure) == ["lego_merge", "snn"]


def test_wide_bands_do_not_flatten_the_curves(rates, found):
    two = rates[rates["repeat"] < 3].copy()
    two.loc[two["repeat"] == 2, "value"] += 0.05
    low, high = rate_curves(two, xlabel="Missing").axes[0].get_ylim()
    assert two["value"].max() < high < 0.9
    assert 0.4 < low < 0.5


def test_curves_refuse(rates):
    with pytest.raises(DataError, match="got several"):
        rate_curves(rates.assign(repeat=1), xlabel="Missing")
    with pytest.raises(ShapeError, match="column 'value'"):
        rate_curves(rates.assign(value=np.nan), xlabel="Missing")
