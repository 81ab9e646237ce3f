from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from mmlego.errors import DataError, ShapeError
from mmlego.figures import cohort_table, results_table, to_html


def test_cells_hold_mean_spread_and_count(tidy):
    table = results_table(tidy, metric="c_index")
    assert table["method"].tolist() == ["lego_merge", "snn"]
    assert table["tcga-blca"].tolist() == ["0.630 ± 0.036 (n=3) ★", "0.600 ± 0.017 (n=3) ☆"]
    assert table["tcga-brca"].tolist() == ["0.530 ± 0.036 (n=3) ★", "0.500 ± 0.017 (n=3) ☆"]


def test_published_columns_only_where_given(tidy):
    table = results_table(tidy, metric="c_index")
    assert table["tcga-blca: published"].tolist() == ["0.701", "–"]
    assert table["tcga-blca: difference"].tolist() == ["-0.071", "–"]
    assert not any(column.startswith("tcga-brca:") for column in table)


def test_lower_is_better_for_brier(tidy):
    table = results_table(tidy.assign(metric="integrated_brier"), metric="integrated_brier")
    assert table["tcga-blca"].str.contains("★").tolist() == [False, True]


def test_one_repeat_shows_no_spread(tidy):
    table = results_table(tidy[tidy["repeat"] == 1], metric="c_index", mark=False)
    assert table["tcga-blca"].tolist() == ["0.600 (n=1)", "0.580 (n=1)"]


def test_method_absent_from_a_cohort_keeps_its_row(tidy):
    part = tidy[~((tidy["cohort"] == "tcga-brca") & (tidy["method"] == "snn"))]
    table = results_table(part, metric="c_index")
    assert table["tcga-brca"].tolist() == ["0.530 ± 0.036 (n=3)", "–"]


def test_mixed_protocols_are_refused(tidy):
    mixed = pd.concat([tidy, tidy.assign(split_unit="row")])
    with pytest.raises(DataError, match="split unit"):
        results_table(mixed, metric="c_index")
    with pytest.raises(DataError, match="metric 'auc'"):
        results_table(tidy, metric="auc")
    with pytest.raises(ShapeError, match="NaN"):
        results_table(tidy.assign(value=np.nan), metric="c_index")
    with pytest.raises(DataError, match="missing"):
        results_table(tidy.drop(columns="variant"), metric="c_index")


def test_html_escapes_and_sorts_by_number(tidy):
    text = to_html(results_table(tidy, metric="c_index"), caption="a < b")
    assert "<caption>a &lt; b</caption>" in text
    assert '<td class="">LegoMerge</td>' in text
    assert 'data-sort="0.630" class="num best"' in text
    assert text.count("<button>") == text.count("<th ")
    assert "src=" not in text
    plain = to_html(pd.DataFrame({"x": [1]}), sortable=False)
    assert "<script" not in plain
    with pytest.raises(DataError, match="empty"):
        to_html(pd.DataFrame())


def test_cohort_table_reads_like_prose():
    frame = pd.DataFrame([{"name": "wdbc", "n": 1569, "modalities": ["mean", "worst"],
                           "events": None, "missing_share": 0.1234, "open": True}])  # fmt: skip
    table = cohort_table(frame)
    assert table.iloc[0].tolist() == ["wdbc", "1,569", "mean, worst", "–", "0.123", "yes"]
    assert list(table.columns)[-2:] == ["Missing share", "Open"]
    with pytest.raises(DataError, match="missing"):
        cohort_table(frame.drop(columns="n"))
    with pytest.raises(DataError, match="got several"):
        cohort_table(pd.concat([frame, frame]))
