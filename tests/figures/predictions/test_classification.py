from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from mmlego.errors import DataError, ShapeError
from mmlego.figures import confusion_plot, reliability_plot, roc_plot, style


def test_roc_has_a_curve_per_repeat_and_the_mean(scores, found):
    figure = roc_plot(scores, method="lego_fuse")
    assert len(found(figure, "repeat")) == 2
    (mean,) = found(figure, "mean")
    assert mean.get_color() == style.color("lego_fuse")
    areas = [roc_auc_score(one["label"], one["score"]) for _, one in scores.groupby("repeat")]
    assert f"AUC {np.mean(areas):.3f} ± {np.std(areas, ddof=1):.3f}" in mean.get_label()
    assert mean.get_ydata()[0] == 0
    assert mean.get_ydata()[-1] == 1
    assert figure.axes[0].get_xlabel() == "False positive rate"


def test_area_under_a_repeat_curve_is_its_auc(scores, found):
    one = scores[scores["repeat"] == 1]
    (curve,) = found(roc_plot(one), "repeat")
    area = np.trapezoid(curve.get_ydata(), curve.get_xdata())
    assert area == pytest.approx(roc_auc_score(one["label"], one["score"]))


def test_mean_curve_is_the_mean_height_of_the_repeats(scores, found):
    figure = roc_plot(scores)
    (mean,) = found(figure, "mean")
    # Between the repeats everywhere, so neither their maximum nor a single one.
    heights = [
        np.interp(0.305, curve.get_xdata(), curve.get_ydata()) for curve in found(figure, "repeat")
    ]
    assert len(set(heights)) == 2
    assert np.interp(0.305, mean.get_xdata(), mean.get_ydata()) == pytest.approx(np.mean(heights))


def test_reliability_joins_tied_bins(scores, found):
    figure = reliability_plot(scores.assign(score=scores["score"].round(1)), n_bins=10)
    assert len(found(figure, "repeat")) == 2
    brier = ((scores["score"].round(1) - scores["label"]) ** 2).mean()
    assert f"Brier score {brier:.3f}" in {text.get_text() for text in figure.axes[0].texts}


def test_reliability_of_a_constant_prediction_is_one_point(scores, found):
    figure = reliability_plot(scores.assign(score=0.4))
    for line in found(figure, "repeat"):
        np.testing.assert_allclose(line.get_xydata(), [[0.4, 0.5]])


def test_bad_scores(scores):
    with pytest.raises(DataError, match="one class only"):
        roc_plot(scores.assign(label=1))
    with pytest.raises(DataError, match="labels 0 and 1"):
        roc_plot(scores.assign(label=scores["label"] + 1))
    with pytest.raises(ShapeError, match="probabilities"):
        reliability_plot(scores.assign(score=scores["score"] * 5))
    with pytest.raises(DataError, match="missing"):
        roc_plot(scores.drop(columns="score"))


def test_confusion_shows_counts():
    figure = confusion_plot([[5, 1], [2, 0]], ["nevus", "melanoma"])
    assert [text.get_text() for text in figure.axes[0].texts] == ["5", "1", "2", "0"]
    assert figure.axes[0].get_ylabel() == "True class"
    with pytest.raises(ShapeError, match="confusion counts"):
        confusion_plot([[5, 1], [2, 0]], ["nevus"])
    with pytest.raises(ShapeError, match="non-negative"):
        confusion_plot([[5, -1], [2, 0]], ["nevus", "melanoma"])
