from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_hex

from mmlego.errors import DataError, ShapeError
from mmlego.figures import modality_panels, style


@pytest.fixture
def table():
    rows = [
        ("kirp", "img", 0.60, 0.5, 0.7, False),
        ("kirp", "rna", 0.70, 0.6, 0.8, False),
        ("kirp", "all, literal", 0.65, 0.6, 0.7, True),
        ("eicu", "lab", 0.80, np.nan, np.nan, False),
        ("eicu", "all, literal", 0.75, np.nan, np.nan, True),
        ("lgg", "rna", 0.55, 0.5, 0.6, False),
    ]
    columns = ["task", "label", "mean", "low", "high", "whole"]
    return pd.DataFrame(rows, columns=columns).assign(chance=0.5)


def at(artists):
    return [(float(a.get_xdata()[0]), float(a.get_ydata()[0])) for a in artists]


def test_one_panel_per_task_and_one_row_per_label(table, found):
    figure = modality_panels(table, xlabel="C-index")
    panels = [ax for ax in figure.axes if ax.get_visible()]
    assert [ax.get_title(loc="left") for ax in panels] == ["kirp", "eicu", "lgg"]
    names = [[label.get_text() for label in ax.get_yticklabels()] for ax in panels]
    assert names == [["img", "rna", "all, literal"], ["lab", "all, literal"], ["rna"]]
    assert at(found(figure, "alone")) == [(0.6, 0)]
    assert at(found(figure, "best")) == [(0.7, 1), (0.8, 0), (0.55, 0)]
    assert at(found(figure, "whole")) == [(0.65, 2), (0.75, 1)]
    assert to_hex(found(figure, "whole")[0].get_color()) == style.color("amc")
    assert len(found(figure, "interval")) == 4
    assert [float(line.get_xdata()[0]) for line in found(figure, "chance")] == [0.5] * 3


def test_without_chance_and_with_a_single_task(table, found):
    part = table[table["task"] == "kirp"].drop(columns="chance")
    figure = modality_panels(part, xlabel="C-index", title="Alone")
    assert found(figure, "chance") == []
    assert len(figure.axes) == 1
    assert figure.axes[0].get_xlabel() == "C-index"
    assert figure.get_suptitle() == "Alone"
    left, right = figure.axes[0].get_xlim()
    assert left < 0.6 < 0.7 < right


def test_no_frame_beyond_the_best_possible_score(table):
    best = table["mean"] + 0.19
    wide = table.assign(mean=best, high=best + 3, low=best - 3)
    left, right = modality_panels(wide, xlabel="C-index").axes[0].get_xlim()
    assert left > 0.2
    assert 1.0 < right < 1.05


def test_refusals(table):
    with pytest.raises(DataError, match="missing"):
        modality_panels(table.drop(columns="low"), xlabel="x")
    with pytest.raises(DataError, match="one row per"):
        modality_panels(pd.concat([table, table]), xlabel="x")
    with pytest.raises(DataError, match="low <= mean <= high"):
        modality_panels(table.assign(low=0.9), xlabel="x")
    with pytest.raises(ShapeError, match="finite"):
        modality_panels(table.assign(mean=np.nan), xlabel="x")
