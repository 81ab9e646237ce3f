from __future__ import annotations

import pandas as pd
import pytest

from mmlego.errors import DataError, ShapeError
from mmlego.figures.inside.distances import distance_plot

TABLE = pd.DataFrame(
    {"kind": ["kept", "kept", "merged"], "before": [1.0, 10.0, 2.0], "after": [1.0, 10.0, 0.5]}
)


def test_one_mark_per_pair_and_the_line_on_which_distances_are_kept(found):
    figure = distance_plot(TABLE, xlabel="moved", title="Steps")
    kept, merged = found(figure, "pairs")
    assert kept.get_xdata().tolist() == [1.0, 10.0]
    assert merged.get_ydata().tolist() == [0.5]
    (line,) = found(figure, "equal")
    assert line.get_xdata().tolist() == line.get_ydata().tolist() == [0.5, 10.0]
    assert figure.axes[0].get_xlabel() == "moved"
    assert figure.axes[0].get_xscale() == figure.axes[0].get_yscale() == "log"


def test_what_has_no_logarithm_is_refused():
    with pytest.raises(ShapeError, match="above 0"):
        distance_plot(TABLE.assign(after=[1.0, 0.0, 2.0]))
    with pytest.raises(DataError, match="missing"):
        distance_plot(TABLE.drop(columns="kind"))
