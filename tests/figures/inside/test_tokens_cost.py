from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_hex

from mmlego.errors import DataError, ShapeError
from mmlego.figures import style, token_cost_bars
from mmlego.methods.names import AMC


@pytest.fixture
def costs():
    rows = {
        "method": [AMC, "fusemoe", "maggate"],
        "gflops": [2.0, 3.0, 1.0],
        "gflops_without_encoders": [1.5, 2.5, 0.5],
        "step_ms": [20.0, 10.0, 5.0],
        "step_ms_without_encoders": [15.0, 8.0, 1.0],
    }
    return pd.DataFrame(rows)


def bars(ax, gid):
    return [patch for patch in ax.patches if patch.get_gid() == gid]


def widths(ax, gid):
    return [bar.get_width() for bar in bars(ax, gid)]


def test_both_costs_of_every_model(costs):
    operations, time = token_cost_bars(costs).axes
    assert widths(operations, "whole") == [1, 2, 3]
    assert widths(operations, "bare") == [0.5, 1.5, 2.5]
    assert widths(time, "whole") == [5, 20, 10]
    assert widths(time, "bare") == [1, 15, 8]
    names = [label.get_text() for label in operations.get_yticklabels()]
    assert names == [style.title(method) for method in ("maggate", AMC, "fusemoe")]
    assert to_hex(bars(operations, "bare")[1].get_facecolor()) == style.color("amc")
    assert operations.get_xlabel() == "prediction, GFLOP"
    assert time.get_xlabel() == "training step, ms"


def test_legend_and_heading(costs):
    figure = token_cost_bars(costs, title="Costs")
    texts = [text.get_text() for text in figure.legends[0].get_texts()]
    assert texts == ["as a whole", "without encoders"]
    assert figure.get_suptitle() == "Costs"


def test_refusals(costs):
    with pytest.raises(DataError, match="missing"):
        token_cost_bars(costs.drop(columns="step_ms"))
    with pytest.raises(DataError, match="one row per"):
        token_cost_bars(pd.concat([costs, costs]))
    with pytest.raises(DataError, match="above 0"):
        token_cost_bars(costs.assign(gflops=[1.0, 0.0, 1.0]))
    with pytest.raises(ShapeError, match="finite"):
        token_cost_bars(costs.assign(step_ms=[1.0, np.nan, 1.0]))
