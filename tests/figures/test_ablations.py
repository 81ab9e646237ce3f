from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from mmlego.errors import DataError, ShapeError
from mmlego.figures import ablation_bars, paired_differences, style, sweep_plot
from mmlego.figures.ablations import differences


@pytest.fixture
def levels(results):
    return results[["label", "method", "repeat", "value"]]


def test_bars_end_at_the_mean_and_start_at_chance(levels, found):
    bars = found(ablation_bars(levels, reference="SNN"), "bar")
    np.testing.assert_allclose([bar.get_x() for bar in bars], 0.5)
    np.testing.assert_allclose([bar.get_x() + bar.get_width() for bar in bars], [0.63, 0.60])
    from_zero = found(ablation_bars(levels, metric="integrated_brier"), "bar")
    assert [bar.get_x() for bar in from_zero] == [0, 0]


def test_differences_pair_by_repeat(levels, found):
    minus = differences(levels.sample(frac=1, random_state=0), reference="SNN")
    by_repeat = minus.set_index("repeat")["difference"].sort_index()
    np.testing.assert_allclose(by_repeat, [0.02, 0.01, 0.06])
    figure = paired_differences(levels, reference="SNN")
    (mean,) = found(figure, "mean")
    assert mean.get_xdata()[0] == pytest.approx(0.03)
    assert mean.get_color() == style.color("lego_merge")
    assert "difference to SNN" in figure.axes[0].get_xlabel()
    assert found(figure, "zero")


def test_corrected_interval_is_wider(levels, found):
    plain, wide = (
        found(paired_differences(levels, reference="SNN", test_train_ratio=r), "interval")[0]
        for r in (None, 0.2)
    )
    assert np.ptp(wide.get_xdata()) > np.ptp(plain.get_xdata())


def test_pairs_need_the_same_repeats(levels):
    with pytest.raises(DataError, match="same splits"):
        paired_differences(levels[1:], reference="SNN")
    with pytest.raises(DataError, match="is no label"):
        paired_differences(levels, reference="snn")
    with pytest.raises(DataError, match="beside 'SNN'"):
        paired_differences(levels[levels["label"] == "SNN"], reference="SNN")


def test_sweep_draws_repeats_and_mean(found):
    table = pd.DataFrame(
        [{"x": x, "repeat": r, "value": x + r} for x in (1.0, 0.0, 0.5) for r in (0, 1)]
    )
    figure = sweep_plot(table, xlabel="Weight (share)", reference=0.5)
    assert len(found(figure, "repeat")) == 2
    (mean,) = found(figure, "mean")
    np.testing.assert_allclose(mean.get_xdata(), [0, 0.5, 1])
    np.testing.assert_allclose(mean.get_ydata(), [0.5, 1.0, 1.5])
    assert figure.axes[0].get_xlabel() == "Weight (share)"
    assert len(found(figure, "reference")) == 1
    with pytest.raises(ShapeError, match="column 'x'"):
        sweep_plot(table.assign(x=np.nan), xlabel="Weight (share)")
    with pytest.raises(DataError, match="missing"):
        sweep_plot(table.drop(columns="x"), xlabel="Weight (share)")
