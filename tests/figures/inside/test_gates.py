from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from mmlego.errors import DataError, ShapeError
from mmlego.figures import feature_ranking


@pytest.fixture
def gates():
    rows = [
        {"modality": modality, "feature": f"{modality}{i}", "repeat": repeat,
         "gate": 0.1 + 0.8 * i / n + shift}
        for modality, n in (("rna", 30), ("protein", 4))
        for i in range(n) for repeat, shift in ((1, 0.0), (2, 0.02), (3, 0.04))
    ]  # fmt: skip
    return pd.DataFrame(rows)


def names(ax):
    return [text.get_text() for text in ax.get_yticklabels()]


def test_both_ends_are_drawn_and_the_rest_is_counted(gates, found):
    figure = feature_ranking(gates, top=3)
    rna, protein = figure.axes
    assert names(rna) == ["rna29", "rna28", "rna27", "rna2", "rna1", "rna0", "… 24 between …"]
    assert names(protein) == ["protein3", "protein2", "protein1", "protein0"]
    assert rna.get_title(loc="left") == "rna (30 features)"
    assert len(found(figure, "between")) == 1
    means = [line.get_xdata()[0] for line in found(figure, "mean")]
    assert means[0] == pytest.approx(0.12 + 0.8 * 29 / 30)
    assert means[5] == pytest.approx(0.12)
    heights = [line.get_ydata()[0] for line in found(figure, "mean")]
    assert heights[:6] == [0, 1, 2, 4, 5, 6]
    assert rna.get_ylim()[0] > rna.get_ylim()[1]


def test_whiskers_are_one_standard_deviation_over_folds(gates, found):
    whisker = found(feature_ranking(gates), "whisker")[0]
    middle, half = 0.12 + 0.8 * 29 / 30, np.std([0, 0.02, 0.04], ddof=1)
    np.testing.assert_allclose(whisker.get_xdata(), [middle - half, middle + half])
    one = feature_ranking(gates[gates["repeat"] == 1])
    assert found(one, "whisker") == []
    assert "one standard deviation" not in str([t.get_text() for t in one.legends[0].get_texts()])


def test_features_of_one_name_in_two_modalities_stay_apart(gates):
    gates["feature"] = gates["feature"].str.extract(r"(\d+)", expand=False).astype(int)
    rna, protein = feature_ranking(gates, top=2).axes
    assert names(rna) == ["29", "28", "1", "0", "… 26 between …"]
    assert names(protein) == ["3", "2", "1", "0"]


def test_long_names_are_cut(gates):
    gates["feature"] = gates["feature"] + "_of_a_very_long_descriptive_name"
    assert max(map(len, names(feature_ranking(gates).axes[0]))) == 24


def test_bad_rankings(gates):
    with pytest.raises(DataError, match="missing"):
        feature_ranking(gates.drop(columns="repeat"))
    with pytest.raises(DataError, match="got several"):
        feature_ranking(pd.concat([gates, gates]))
    with pytest.raises(DataError, match="top of 1 or more, got 0"):
        feature_ranking(gates, top=0)
    with pytest.raises(ShapeError, match="gate"):
        feature_ranking(gates.assign(gate=np.nan))
