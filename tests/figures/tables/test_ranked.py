from __future__ import annotations

import re

import numpy as np
import pandas as pd
import pytest

from mmlego.errors import DataError
from mmlego.figures import ranked_table
from mmlego.figures.tables.sortable import assemble, cell, sort_key


@pytest.fixture
def means():
    return pd.DataFrame(
        [("brca", "merge", "MM-Lego", 0.62, 0.031, 5, 0.70, 0.02, False),
         ("blca", "merge", "MM-Lego", 0.66, 0.010, 5, np.nan, np.nan, None),
         ("brca", "late <1>", "Late", 0.64, 0.020, 5, 0.61, np.nan, True),
         ("blca", "late <1>", "Late", 0.60, 0.020, 5, np.nan, np.nan, None),
         ("brca", "snn", "", 0.50, 0.020, 5, np.nan, np.nan, None)],
        columns=["task", "label", "group", "mean", "sd", "n", "published", "published_sd",
                 "comparable"],
    )  # fmt: skip


def cells(text):
    """Rows of cells, each as its sorting key and its content."""
    body = text.split("<tbody>")[1].split("</tbody>")[0]
    return [
        re.findall(r'<t[dh][^>]*?(?: data-sort="([^"]*)")? class="[^"]*">(.*?)</t[dh]>', row)
        for row in body.strip().splitlines()
    ]


def test_cells_in_the_order_of_tasks(means):
    text = ranked_table(means, tasks=["blca", "brca"], caption="a < b")
    headings = re.findall(r"<button>(.*?)</button>", text)
    assert headings == ["Method", "Average rank", "blca", "brca"]
    merge, late, snn = cells(text)
    assert merge[0] == ("", "merge<br><small>MM-Lego</small>")
    assert late[0][1] == "late &lt;1&gt;<br><small>Late</small>"
    assert snn[0][1] == "snn"
    assert merge[2] == ("0.660", "<strong>0.660</strong> ± 0.010")
    assert late[2] == ("0.600", "<u>0.600</u> ± 0.020")
    assert snn[2] == ("", "–")
    assert late[3] == (
        "0.640", "<strong>0.640</strong> ± 0.020<br><small>0.610 (+0.030)</small>"
    )  # fmt: skip
    assert "<caption>a &lt; b</caption>" in text


def test_dagger_where_protocols_differ(means):
    text = ranked_table(means)
    merge = cells(text)[0][2][1]
    assert merge.startswith("<u>0.620</u> ± 0.031<br><small>0.700 ± 0.020 (-0.080)<abbr")
    assert text.count("†</abbr>") == 1
    assert "another protocol, so" in text
    assert "†" not in ranked_table(means.assign(comparable=True))
    assert "ublished" not in ranked_table(means.drop(columns=["published", "comparable"]))


def test_average_rank_of_methods_with_all_tasks(means):
    text = ranked_table(means)
    ranks = [row[1] for row in cells(text)]
    assert ranks == [("1.5", "<strong>1.50</strong>"), ("1.5", "<strong>1.50</strong>"), ("", "–")]
    assert "2 methods over 2 tasks" in text
    assert "1 method that lack" in text
    few = ranked_table(means[1:])
    assert "Average rank" not in few


def test_lower_is_better_turns_marks_and_ranks_round(means):
    text = ranked_table(means, tasks=["blca"], higher_is_better=False)
    merge, late = cells(text)
    assert merge[1:] == [("2.0", "<u>2.00</u>"), ("0.660", "<u>0.660</u> ± 0.010")]
    assert late[2][1] == "<strong>0.600</strong> ± 0.020"


def test_repeats_are_said_once_where_equal(means):
    assert "of 5 repeats" in ranked_table(means)
    assert "(n=" not in ranked_table(means)
    means.loc[0, "n"] = 1
    mixed = ranked_table(means)
    assert "of 5 repeats" not in mixed
    assert cells(mixed)[0][2][1].startswith("<u>0.620</u> <small>(n=1)</small>")


def test_a_published_value_alone_keeps_its_row(means):
    means.loc[0, "mean"] = np.nan
    text = ranked_table(means)
    key, words = cells(text)[0][1]
    assert key == ""
    assert words.startswith("–<br><small>0.700 ± 0.020<abbr ")


def test_refusals(means):
    with pytest.raises(DataError, match=r"no rows for tasks \['kirp'\]"):
        ranked_table(means, tasks=["kirp", "brca"])
    with pytest.raises(DataError, match="got several"):
        ranked_table(pd.concat([means, means]))
    with pytest.raises(DataError, match="rows with a mean"):
        ranked_table(means.assign(mean=np.nan))


@pytest.mark.parametrize(
    ("words", "key"),
    [("0.612 ± 0.03", "0.612"), ("-0.07 ★", "-0.07"), ("−3", "-3"), ("+0.2", "+0.2"),
     ("1,569", "1569"), ("< 0.001", "0.001"), ("2e-05", "2e-05"), ("–", ""), (" ", ""),
     ("12% of 9", "12"), ("3d", None), ("12.5kg", None), ("LegoMerge 2", None), ("nan", None)],
)  # fmt: skip
def test_cells_sort_by_their_first_number(words, key):
    assert sort_key(words) == key


def test_sorting_is_told_to_assistive_technology():
    text = assemble(["a"], [[cell("x", key=None, row_head=True)]], names=["wide"])
    assert '<div class="mml-table mml-sortable wide">' in text
    assert '<th scope="row" class="">x</th>' in text
    assert '<th scope="col"><button>a</button></th>' in text
    assert "aria-sort" in text
    plain = assemble(["a"], [["<td>x</td>"]], sortable=False)
    assert "mml-sortable" not in plain
    assert "<button>" not in plain
    assert "<script" not in plain


def test_equal_means_share_a_mark(means):
    means.loc[means["task"] == "brca", "mean"] = [0.64, 0.64, 0.50]
    merge, late, snn = cells(ranked_table(means, tasks=["brca"]))
    assert "<strong>0.640" in merge[2][1]
    assert "<strong>0.640" in late[2][1]
    assert snn[2][1] == "0.500 ± 0.020"
    assert merge[1][0] == late[1][0] == "1.5"
