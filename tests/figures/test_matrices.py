from __future__ import annotations

import pandas as pd
import pytest
from seaborn.utils import relative_luminance

from mmlego.errors import DataError, ShapeError
from mmlego.figures import pair_matrix
from mmlego.figures.matrices import pair_means


@pytest.fixture
def pairs():
    return pd.DataFrame({
        "modalities": ["cnv", "cnv", "rna", "cnv+rna", "rna+cnv"],
        "value": [0.5, 0.6, 0.7, 0.8, 0.8],
    })  # fmt: skip


def test_means_in_the_lower_triangle(pairs, found):
    matrix = pair_means(pairs)
    assert matrix.loc["cnv", "cnv"] == pytest.approx(0.55)
    assert matrix.loc["rna", "cnv"] == pytest.approx(0.8)
    assert pd.isna(matrix.loc["cnv", "rna"])
    figure = pair_matrix(pairs)
    assert [text.get_text() for text in found(figure, "single")] == ["0.550", "0.700"]
    assert [text.get_text() for text in found(figure, "pair")] == ["0.800"]
    assert figure.axes[1].get_ylabel() == "Concordance index"


@pytest.mark.parametrize(("metric", "best"), [("c_index", (1, 0)), ("integrated_brier", (0, 0))])
def test_the_better_the_brighter_and_every_number_is_readable(pairs, metric, best):
    figure = pair_matrix(pairs, metric=metric)
    (mesh,) = figure.axes[0].collections
    cells = mesh.get_facecolors().reshape(2, 2, 4)
    shade = {(y, x): relative_luminance(cells[y, x]) for y, x in ((0, 0), (1, 0), (1, 1))}
    assert max(shade, key=shade.get) == best
    for text in figure.axes[0].texts:
        x, y = map(int, text.get_position())
        ends = sorted([shade[y, x], relative_luminance(text.get_color())])
        assert (ends[1] + 0.05) / (ends[0] + 0.05) > 4.5
    assert "brighter is better" in figure.axes[0].get_xlabel()


def test_bad_pairs(pairs):
    with pytest.raises(DataError, match="one or two modalities"):
        pair_matrix(pairs.replace("rna", "cnv+mut+rna"))
    with pytest.raises(DataError, match="at least one row"):
        pair_matrix(pairs[:0])
    with pytest.raises(ShapeError, match="NaN"):
        pair_matrix(pairs.assign(value=float("nan")))
