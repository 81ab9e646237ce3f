from __future__ import annotations

import numpy as np
import pytest

from mmlego.errors import DataError, ShapeError
from mmlego.figures import class_overview, presence_plot
from mmlego.figures.predictions.missing import presence_patterns

PRESENT = {
    "img": np.array([1, 1, 0, 1, 0], dtype=bool),
    "rna": np.array([1, 1, 1, 1, 0], dtype=bool),
}


def test_patterns_count_every_sample_once():
    patterns = presence_patterns(PRESENT)
    assert patterns["count"].tolist() == [3, 1, 1]
    assert patterns.loc[0, ["img", "rna"]].all()


def test_plot_shows_counts_and_totals(found):
    figure = presence_plot(PRESENT)
    assert [bar.get_height() for bar in found(figure, "pattern")] == [3, 1, 1]
    rows = [text.get_text() for text in figure.axes[1].get_yticklabels()]
    assert rows == ["img (3)", "rna (4)"]
    assert figure.axes[0].get_ylabel() == "Number of patients"


def test_rare_patterns_are_counted_not_dropped(found):
    figure = presence_plot(PRESENT, max_patterns=1)
    assert len(found(figure, "pattern")) == 1
    assert "2 rarer with 2 patients not shown" in figure.axes[1].get_xlabel()


def test_bad_presence():
    with pytest.raises(DataError, match="at least one modality"):
        presence_plot({})
    with pytest.raises(ShapeError, match="one length"):
        presence_plot({**PRESENT, "mut": [True]})
    with pytest.raises(ShapeError, match="booleans"):
        presence_plot({"img": [0, 2]})


def test_class_bars(found):
    figure = class_overview([0, 0, 2], ["a", "b", "c"])
    assert [bar.get_width() for bar in found(figure, "class")] == [2, 0, 1]
    with pytest.raises(ShapeError, match="class numbers 0 to 1"):
        class_overview([0, 2], ["a", "b"])
