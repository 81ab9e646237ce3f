from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from mmlego.figures import parts


@pytest.fixture
def ax():
    return plt.subplots()[1]


def test_whiskers_end_with_the_scale_and_missing_ones_are_not_drawn(ax):
    parts.whisker(ax, (0.9, 1.2), 0, "black", within=(0.0, 1.0))
    parts.whisker(ax, (np.nan, np.nan), 1, "black")
    (bar,) = ax.lines
    assert list(bar.get_xdata()) == [0.9, 1.0]
    assert bar.get_gid() == "interval"


def test_surplus_panels_are_hidden_and_the_lowest_have_numbers():
    figure, axes, lowest = parts.panels(3, 2, height=lambda across, down: across + 2.0 * down)
    assert figure.get_figheight() == 6
    assert len(axes) == 3
    assert lowest == axes[1:]
    assert [ax.get_visible() for ax in figure.axes] == [True, True, True, False]


def test_rows_have_the_first_on_top(ax):
    parts.bars(ax, ["a", "b"], [1, 2], ["one", "two"], "black", "bar")
    assert [text.get_text() for text in ax.get_yticklabels()] == ["a", "b"]
    assert ax.get_ylim()[0] > ax.get_ylim()[1]
    assert [text.get_text() for text in ax.texts] == ["one", "two"]
    assert [patch.get_width() for patch in ax.patches] == [1, 2]


def test_mean_rows_take_the_ends_that_they_are_given(ax):
    rows = pd.DataFrame({"label": ["b", "a", "a"], "value": [0.5, 0.2, 0.4]})
    parts.mean_rows(ax, rows, {"a": "#ff0000", "b": "#0000ff"}, lambda values: (0.1, 0.6))
    marks = {gid: [line for line in ax.lines if line.get_gid() == gid]
             for gid in ("mean", "interval")}  # fmt: skip
    places = np.concatenate([line.get_xydata() for line in marks["mean"]])
    np.testing.assert_allclose(places, [[0.3, 0], [0.5, 1]])
    (bar,) = marks["interval"]  # a single repeat has none
    np.testing.assert_allclose(bar.get_xdata(), [0.1, 0.6])


def test_shares_are_of_all_values(ax):
    drawn = parts.shares(ax, [0.5, 0.5, 1.5, 2.5], np.arange(4.0), "black")
    assert [bar.get_height() for bar in drawn] == [0.5, 0.25, 0.25]
    assert ax.get_ylabel() == ""


def test_cells_without_a_value_have_their_own_text(ax):
    values = pd.DataFrame([[0.0, 1.0], [np.nan, 0.5]])
    texts = parts.cells(ax, values, values.astype(str).to_numpy(), empty="–", cmap="Greys")
    assert {place: text.get_text() for place, text in texts.items()} == {
        (0, 0): "0.0", (0, 1): "1.0", (1, 0): "–", (1, 1): "0.5",
    }  # fmt: skip
    assert (texts[0, 0].get_color(), texts[0, 1].get_color()) == ("black", "white")
