from __future__ import annotations

import numpy as np
import pytest

from mmlego.errors import DataError, ShapeError
from mmlego.figures import forest_plot, style


def test_draws_every_repeat_and_the_mean(results, found):
    figure = forest_plot(results)
    dots, means = found(figure, "repeats"), found(figure, "mean")
    assert [len(dot.get_offsets()) for dot in dots] == [3, 3]
    np.testing.assert_allclose(dots[0].get_offsets()[:, 0], [0.60, 0.62, 0.67])
    np.testing.assert_allclose([mean.get_xdata()[0] for mean in means], [0.63, 0.60])
    assert means[0].get_color() == style.color("lego_merge")


def test_labels_and_chance(results, found):
    figure = forest_plot(results)
    ax = figure.axes[0]
    assert ax.get_xlabel() == "Concordance index (higher is better)"
    assert [text.get_text() for text in ax.get_yticklabels()] == ["LegoMerge", "SNN"]
    assert found(figure, "chance")[0].get_xdata() == [0.5, 0.5]


def test_published_diamond_only_where_given(results, found):
    figure = forest_plot(results)
    (diamond,) = found(figure, "published")
    assert diamond.get_xdata() == [0.701]
    assert diamond.get_ydata() == [0]
    assert diamond.get_markerfacecolor() == "none"
    assert diamond.get_marker() == "D"
    words = [text.get_text() for text in figure.legends[0].get_texts()]
    assert "published (row-level split)" in words
    bare = forest_plot(results.drop(columns="published"))
    assert found(bare, "published") == []
    assert not any("published" in text.get_text() for text in bare.legends[0].get_texts())


def test_value_of_another_protocol_is_lighter(results, found):
    same = found(forest_plot(results.assign(comparable=True)), "published")[0]
    other = found(forest_plot(results.assign(comparable=False)), "published")[0]
    assert other.get_alpha() < same.get_alpha()


def test_order_by_value_respects_the_metric(results):
    def first(metric):
        ax = forest_plot(results, metric=metric, order="value").axes[0]
        return ax.get_yticklabels()[0].get_text()

    assert first("c_index") == "LegoMerge"
    assert first("integrated_brier") == "SNN"


def test_reference_of_differences_is_not_called_chance(results):
    words = [t.get_text() for t in forest_plot(results, chance=0.0).legends[0].get_texts()]
    assert "no difference" in words
    assert not any("chance" in word for word in words)


def test_brier_has_no_chance_line(results, found):
    figure = forest_plot(results, metric="integrated_brier")
    assert found(figure, "chance") == []
    assert "lower is better" in figure.axes[0].get_xlabel()


def test_one_repeat_has_no_whisker(results, found):
    figure = forest_plot(results[results["repeat"] == 1])
    assert found(figure, "interval") == []
    assert len(found(figure, "mean")) == 2


def test_an_interval_ends_where_the_scale_of_the_metric_does(results, found):
    wide = results.assign(value=[0.2, 0.6, 0.99, 0.5, 0.95, 0.99])
    for bar in found(forest_plot(wide), "interval"):
        assert 0 <= bar.get_xdata().min() < bar.get_xdata().max() <= 1
    assert max(bar.get_xdata().max() for bar in found(forest_plot(wide), "interval")) == 1
    below = found(forest_plot(wide.assign(value=wide["value"] - 0.9), chance=0.0), "interval")
    assert min(bar.get_xdata().min() for bar in below) == -1
    unknown = found(forest_plot(wide, metric="seconds"), "interval")
    assert max(bar.get_xdata().max() for bar in unknown) > 1


def test_bad_tables(results):
    with pytest.raises(DataError, match=r"missing \['method'\]"):
        forest_plot(results.drop(columns="method"))
    with pytest.raises(DataError, match="at least one row"):
        forest_plot(results[:0])
    with pytest.raises(ShapeError, match="NaN"):
        forest_plot(results.assign(value=np.nan))
    with pytest.raises(DataError, match="got several"):
        forest_plot(results.assign(repeat=1))
    with pytest.raises(DataError, match="expected one of"):
        forest_plot(results, order="alphabetical")
