from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from mmlego.errors import DataError, ShapeError
from mmlego.figures import critical_difference_plot, style
from mmlego.figures.ranking import cliques
from mmlego.methods.names import LEGO_MERGE
from mmlego.methods.registry import METHODS


@pytest.fixture
def ranks():
    return pd.DataFrame(
        {"label": ["C", "A", "D", "B"], "rank": [2.9, 1.2, 3.8, 2.1],
         "method": ["snn", LEGO_MERGE, "own", "healnet"]}
    )  # fmt: skip


@pytest.fixture
def many():
    values = np.linspace(3, 16, 18)
    methods = list(METHODS)[:18]
    return pd.DataFrame(
        {"label": [style.title(name) for name in methods], "rank": values, "method": methods}
    )


def boxes(figure, artists):
    figure.canvas.draw()
    return [artist.get_window_extent() for artist in artists]


def test_cliques_are_the_largest_runs():
    assert cliques([1.2, 2.1, 2.9, 3.8], 1.0) == [(0, 1), (1, 2), (2, 3)]
    assert cliques([1.2, 2.1, 2.9, 3.8], 1.75) == [(0, 2), (1, 3)]
    assert cliques([1, 2, 3], 1.0) == []  # a difference of the distance itself tells apart
    assert cliques([1, 2, 3], 9.0) == [(0, 2)]


def test_bars_join_and_names_lead_to_their_rank(ranks, found):
    figure = critical_difference_plot(ranks, 1.75)
    bars = found(figure, "clique")
    assert [list(bar.get_xdata()) for bar in bars] == [[1.2, 2.9], [2.1, 3.8]]
    assert bars[0].get_ydata()[0] != bars[1].get_ydata()[0]
    (scale,) = found(figure, "distance")
    assert np.ptp(scale.get_xdata()) == pytest.approx(1.75)
    lines = found(figure, "leader")
    assert [line.get_xdata()[0] for line in lines] == [1.2, 2.1, 2.9, 3.8]
    assert lines[0].get_color() == style.color("lego_merge")
    assert lines[3].get_color() == style.NEUTRAL
    names = found(figure, "name")
    assert [name.get_text() for name in names] == list("ABCD")
    numbers = [number.get_text() for number in found(figure, "number")]
    assert numbers == ["1.2", "2.1", "2.9", "3.8"]
    for line, name in zip(lines, names, strict=True):
        assert (line.get_xdata()[-1], line.get_ydata()[-1]) == name.xy


def test_leaders_do_not_cross(many, found):
    paths = [(line.get_xdata(), line.get_ydata()[1]) for line in
             found(critical_difference_plot(many, 4.0), "leader")]  # fmt: skip
    for one, (x, y) in enumerate(paths):
        for two, (other, height) in enumerate(paths):
            # The way out of one, at height y, meets the way down of another.
            between = min(x[1], x[2]) < other[0] < max(x[1], x[2])
            assert one == two or not (between and height > y)


@pytest.mark.parametrize("width", [5.8, 10.0])
@pytest.mark.parametrize("distance", [1.0, 4.0, 9.3])
def test_eighteen_names_stay_apart_and_inside(many, found, width, distance):
    figure = critical_difference_plot(many, distance, width=width, title="All")
    names = boxes(figure, [*found(figure, "name"), *found(figure, "number")])
    for one, box in enumerate(names):
        assert box.x0 >= 0
        assert box.x1 <= figure.bbox.x1
        assert box.y0 >= 0
        assert not any(box.overlaps(other) for other in names[one + 1 :])
    ax = figure.axes[0]
    assert ax.get_window_extent().width > 0.3 * figure.bbox.width
    top = [*ax.get_xticklabels(), ax.xaxis.label, *(t for t in ax.texts if not t.get_gid())]
    top = boxes(figure, [text for text in top if text.get_text()])
    (scale,) = boxes(figure, found(figure, "distance"))
    assert not any(a.overlaps(b) for i, a in enumerate(top) for b in [*top[i + 1 :], *names])
    assert not any(scale.overlaps(box) for box in top[:-1])


def test_refusals(ranks):
    with pytest.raises(DataError, match="positive distance"):
        critical_difference_plot(ranks, 0.0)
    with pytest.raises(DataError, match="two methods"):
        critical_difference_plot(ranks[:1], 1.0)
    with pytest.raises(DataError, match="got several"):
        critical_difference_plot(ranks.assign(label="A"), 1.0)
    with pytest.raises(ShapeError, match="NaN"):
        critical_difference_plot(ranks.assign(rank=np.nan), 1.0)
