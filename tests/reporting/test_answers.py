"""The answer of a run in two sentences."""

from __future__ import annotations

import re

import pandas as pd
import pytest

from mmlego.reporting import answers


def _table(**values):
    return pd.DataFrame(
        {"label": label, "repeat": repeat, "value": value, "n_train": 70, "n_test": 15}
        for label, found in values.items()
        for repeat, value in enumerate(found, start=1)
    )


@pytest.fixture
def table(noise):
    return _table(merge=0.7 + noise, block=0.6 - noise, ensemble=0.65 + noise)


def sentences(text):
    return re.split(r"(?<=[.])\s+", text)


def test_what_is_reached_and_who_wins(table):
    text = answers.against(table, "c_index", "merge", ["block", "ensemble"])
    first, second = sentences(text)
    assert first == (
        "The mean concordance index over 5 repeats is 0.700 ± 0.008 for **merge**, "
        "0.600 ± 0.008 for block and 0.650 ± 0.008 for ensemble."
    )
    assert second.startswith("merge beats block by 0.100")


def test_what_did_not_run_is_left_out(table):
    text = answers.against(table, "c_index", "merge", ["nobody", "merge", "block", "block"])
    assert text.count("for block") == 1
    assert "nobody" not in text
    assert len(sentences(text)) == 2


def test_the_best_row_stands_for_a_question_that_was_not_run(table):
    first, second = sentences(answers.against(table, "c_index", "nobody", ["block"]))
    assert "for **merge**" in first
    assert second.startswith("merge beats block")


def test_nothing_to_compare_with(table):
    _, second = sentences(answers.against(table, "c_index", "merge"))
    assert second == "Nothing to compare it with is part of this run."


def test_seeds_on_one_test_part_decide_nothing(table):
    _, second = sentences(answers.against(table, "c_index", "merge", ["block"], fixed=True))
    assert "beats" not in second
    assert second.endswith("on one test part, which says nothing about other patients.")


def test_the_condition_is_named(table):
    text = answers.against(table, "c_index", "merge", ["block"], where="at overlap 0")
    assert text.startswith("The mean concordance index over 5 repeats at overlap 0 is")
