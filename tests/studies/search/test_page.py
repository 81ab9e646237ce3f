"""What the page of the notebook `tuning` shows, on made-up searches."""

from __future__ import annotations

import json
import math

import pandas as pd
import pytest

from mmlego.bench.tuning.search import FinishedSearch, Search
from mmlego.runs.records.record import plain
from mmlego.studies.search import page


def _study(method, losses, states=None, **importances):
    rows = {"number": range(len(losses)), "value": losses, "l1": 0.1}
    states = states or ["COMPLETE"] * len(losses)
    done = [x for x, state in zip(losses, states, strict=True) if state == "COMPLETE"]
    return FinishedSearch(
        task=Search(method, "all", ("clin", "img")),
        trials=pd.DataFrame(rows).assign(state=states),
        values={"l1": 0.012345, "depth": 2} if method == "healnet" else {"dropout": 0.5},
        loss=min(done),
        given=losses[0],
        importances=importances,
    )


@pytest.fixture
def studies():
    return [
        _study("healnet", [1.0, 0.8, 9.0], ["COMPLETE", "COMPLETE", "PRUNED"], l1=0.9, depth=0.1),
        _study("mcat", [2.0, 2.4, 2.2], l1=0.5, dropout=0.5),
    ]


def test_table_of_what_was_chosen(studies):
    table = page.chosen_table(studies).set_index("search")
    assert table.loc["healnet"].tolist() == [3, "1.0000", "0.8000", "0.2000", "0.012", "2", ""]
    assert table.loc["mcat", "dropout"] == "0.5"


def test_conclusion_counts_gains_and_names_what_mattered(studies):
    text = page.conclusion(studies)
    assert "for 1 of 2 methods, most of all for healnet (1.000 to 0.800)" in text
    assert "What mattered most is `l1` (70% on average)" in text
    without = page.conclusion([_study("mcat", [1.0])])
    assert "for 0 of 1 method." in without
    assert "too few trials" in without


def test_history_is_relative_to_the_given_settings(studies, monkeypatch):
    seen = []
    monkeypatch.setattr(page.figures, "search_history", lambda t, **how: seen.append(t))
    failed = _study("mcat", [math.nan, 3.0], ["PRUNED", "COMPLETE"])
    page.history_figure([*studies, failed])
    (table,) = seen
    assert dict(zip(table["number"], table["value"], strict=True)) == pytest.approx(
        {0: 1.0, 1: 1.0, 2: 1.1}
    )


def test_figures(studies):
    assert page.history_figure(studies) is not None
    assert page.importance_figure(studies) is not None
    assert page.importance_figure([_study("mcat", [1.0])]) is None


def test_record_holds_every_trial_and_no_nan(studies):
    found = plain(page.as_record([*studies, _study("mcat", [math.nan, 3.0], ["FAIL", "COMPLETE"])]))
    json.dumps(found, allow_nan=False)
    assert [len(study["trials"]) for study in found] == [3, 3, 2]
    assert found[2]["given"] is None
