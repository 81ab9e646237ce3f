"""Means, published rows and comparisons as text."""

from __future__ import annotations

import math

import pandas as pd
import pytest

from mmlego.learning.statistics import pairing
from mmlego.reporting.tables import (
    comparison_row,
    mean_and_sd,
    mean_of,
    mean_with_sd,
    metric_table,
    with_published,
)

KNOWN = pd.DataFrame(
    {
        "method": ["one", "two"],
        "metric": ["c_index", "c_index"],
        "published": [0.7, 0.8],
        "published_sd": [0.01, math.nan],
        "comparable": [True, False],
        "why": ["", "other patients"],
    }
)


@pytest.fixture
def outcomes(outcome):
    return [
        outcome(method=method, repeat=repeat, metrics={"c_index": value})
        for method, values in {"one": (0.5, 0.6), "two": (0.9,), "three": (math.nan,)}.items()
        for repeat, value in enumerate(values, start=1)
    ]


def test_a_mean_has_its_spread_where_there_is_one():
    assert mean_with_sd(0.6344, 0.0316) == "0.634 ± 0.032"
    assert mean_with_sd(0.6344, math.nan) == "0.634"
    assert mean_with_sd(math.nan, math.nan) == "undefined"
    assert mean_with_sd(math.nan, math.nan, absent="") == ""
    assert mean_and_sd([0.5, math.nan, 0.6]) == "0.550 ± 0.071"
    assert mean_and_sd([0.5, math.nan]) == "0.500"
    assert mean_and_sd([math.nan]) == mean_and_sd([]) == "undefined"
    ranked = pairing.means(pd.DataFrame({"label": ["a", "a", "b"], "value": [0.5, 0.6, 0.1]}))
    assert [mean_of(ranked, name) for name in "ab"] == ["0.550 ± 0.071", "0.100"]


def test_every_model_has_a_row_and_its_published_values_one_below(outcomes):
    known = KNOWN.set_index(["method", "metric"])
    table = metric_table(
        outcomes, ["c_index"], lambda o: o.method.upper(), known, lambda o: (o.method,)
    )
    assert table.iloc[:, 0].tolist() == [
        "ONE",
        "ONE, published (comparable)",
        "TWO",
        "TWO, published (not comparable: other patients)",
        "THREE",
    ]
    assert table["repeats"].tolist() == [2, "", 1, "", 1]
    texts = ["0.550 ± 0.071", "0.700 ± 0.010", "0.900", "0.800", "undefined"]
    assert table.iloc[:, 2].tolist() == texts
    bare = metric_table(outcomes, ["c_index"], lambda o: o.method)
    assert bare.iloc[:, 0].tolist() == ["one", "two", "three"]


def test_published_values_stand_beside_their_label_only(outcomes):
    values = pd.DataFrame({"label": ["one", "two", "three"], "value": [0.5, 0.9, 0.2]})
    known = KNOWN.set_index("method")
    found = with_published(values, outcomes, known, lambda o: o.method, lambda o: o.method)
    assert found["published"].tolist()[:2] == [0.7, 0.8]
    assert math.isnan(found["published"][2])
    assert found["comparable"].tolist() == [True, False, False]
    assert with_published(values, [], known, str, str)["published"].isna().all()
    assert "published" not in values


def test_a_comparison_of_a_single_repeat_has_no_interval():
    rows = {"label": ["a", "b"] * 3, "value": [0.5, 0.4, 0.7, 0.5, 0.6, 0.3]}
    table = pd.DataFrame(rows | {"repeat": [1, 1, 2, 2, 3, 3], "n_train": 8, "n_test": 2})
    row = comparison_row(pairing.compare(table, "a", "b"), 0.5)
    assert row["comparison"] == "a minus b"
    assert row["difference"] == "+0.200"
    assert row["repeats"] == 3
    assert row["p (Holm)"] == "0.5"
    assert " to " in row["95 % interval"]
    single = comparison_row(pairing.compare(table[table["repeat"] == 1], "a", "b"), 0.5)
    assert single["difference"] == "+0.100"
    assert [single[name] for name in ("95 % interval", "p", "p (Holm)")] == ["", "", ""]
