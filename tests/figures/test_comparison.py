from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from mmlego.errors import DataError, ShapeError
from mmlego.figures import method_task_plot, style, uplift_plot


@pytest.fixture
def means():
    """Best block and merge on two tasks; one value is published, under another protocol."""
    return pd.DataFrame(
        [("blca", "best block", "lego_block", 0.60, 0.03, np.nan, None),
         ("blca", "merge", "lego_merge", 0.64, 0.02, 0.70, False),
         ("brca", "best block", "lego_block", 0.58, np.nan, 0.61, True),
         ("brca", "merge", "lego_merge", 0.55, 0.01, np.nan, None)],
        columns=["task", "label", "method", "value", "sd", "published", "comparable"],
    )  # fmt: skip


def test_dots_whiskers_and_gains(means, found):
    figure = uplift_plot(means)
    dots = found(figure, "mean")
    assert [dot.get_xdata()[0] for dot in dots] == [0.60, 0.64, 0.58, 0.55]
    assert dots[1].get_markerfacecolor() == style.color("lego_merge")
    assert dots[0].get_markerfacecolor() == "white"
    whiskers = [list(bar.get_xdata()) for bar in found(figure, "interval")]
    np.testing.assert_allclose(whiskers, [[0.57, 0.63], [0.62, 0.66], [0.54, 0.56]])
    assert [text.get_text() for text in found(figure, "gain")] == ["+0.040", "-0.030"]
    words = [text.get_text() for text in figure.legends[0].get_texts()]
    assert "gain: merge minus best block" in words


def test_diamonds_stand_beside_their_mean(means, found):
    figure = uplift_plot(means)
    (other, same), dots = found(figure, "published"), found(figure, "mean")
    assert list(other.get_xdata()) == [0.70]
    assert list(other.get_ydata()) == list(dots[1].get_ydata())
    assert list(same.get_ydata()) == list(dots[2].get_ydata())
    assert other.get_alpha() < same.get_alpha()
    words = " ".join(text.get_text() for text in figure.legends[0].get_texts())
    assert "pale: other protocol" in words
    bare = uplift_plot(means.drop(columns=["published", "comparable"]))
    assert found(bare, "published") == []


def test_a_task_without_the_first_label_has_no_gain(means, found):
    assert len(found(uplift_plot(means[1:]), "gain")) == 1
    alone = uplift_plot(means[means["label"] == "merge"])
    assert found(alone, "gain") == []
    assert not any("gain" in text.get_text() for text in alone.legends[0].get_texts())


def test_uplift_refuses(means):
    with pytest.raises(DataError, match="got several"):
        uplift_plot(pd.concat([means, means]))
    with pytest.raises(ShapeError, match="NaN"):
        uplift_plot(means.assign(value=np.nan))
    with pytest.raises(DataError, match=r"missing \['sd'\]"):
        uplift_plot(means.drop(columns="sd"))


def test_grid_prints_every_mean_and_tints_by_the_best_of_the_task(means, found):
    figure = method_task_plot(means)
    (mesh,) = figure.axes[0].collections
    np.testing.assert_allclose(mesh.get_array(), [[0.04, 0], [0, 0.03]], atol=1e-12)
    best = {text.get_position(): text.get_text() for text in found(figure, "best")}
    assert best == {(0.5, 1.5): "0.640", (1.5, 0.5): "0.580"}
    assert [text.get_text() for text in found(figure, "value")] == ["0.600", "0.550"]
    assert [text.get_text() for text in figure.axes[0].get_xticklabels()] == ["blca", "brca"]
    low = method_task_plot(means, higher_is_better=False)
    assert [text.get_text() for text in found(low, "best")] == ["0.600", "0.550"]


def test_grid_with_a_gap(means, found):
    texts = [text.get_text() for text in found(method_task_plot(means[:3]), "value")]
    assert texts == ["0.600", "–"]


def test_a_wide_grid_fits_a_phone(found):
    tasks = [f"TCGA-{name}" for name in ("BLCA", "BRCA", "KIRP", "UCEC", "LUAD", "GBM", "HNSC")]
    table = pd.DataFrame(
        [{"task": task, "label": f"Late fusion (number {i:02d})", "value": 0.5 + 0.01 * i}
         for i in range(18) for task in tasks]
    )  # fmt: skip
    figure = method_task_plot(table, width=5.8, title="All")
    figure.canvas.draw()
    row = [
        text.get_window_extent() for text in found(figure, "value") if text.get_position()[1] == 0.5
    ]
    assert all(left.x1 < right.x0 for left, right in zip(row, row[1:], strict=False))
    ax = figure.axes[0]
    for text in (*ax.get_yticklabels(), *ax.get_xticklabels()):
        box = text.get_window_extent()
        assert box.x0 >= 0
        assert box.x1 <= figure.bbox.x1


def test_grid_refuses(means):
    with pytest.raises(DataError, match="positive reach"):
        method_task_plot(means, reach=0)
    with pytest.raises(DataError, match="got several"):
        method_task_plot(means.assign(task="blca"))
