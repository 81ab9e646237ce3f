from __future__ import annotations

import pandas as pd
import pytest

from mmlego.reporting.rates import bullets, change_line, verdicts


def _table(repeats, **shifts):
    rows = [
        {
            "x": 0.5,
            "label": label,
            "repeat": repeat,
            "value": 0.6 + shift + 0.001 * repeat * (1 + shift),
            "n_train": 70,
            "n_test": 15,
        }
        for label, shift in shifts.items()
        for repeat in range(1, repeats + 1)
    ]
    return pd.DataFrame(rows)


def test_too_few_repeats_are_one_line_whatever_the_rivals():
    found = verdicts(_table(2, a=0.1, b=0.0, c=0.2), "a", {"b": "the mean", "c": "the rest"}, "A")
    assert found == [
        "A: +0.100 against the mean, -0.100 against the rest; over 2 repeats, too few to conclude "
        "anything; run more."
    ]


def test_enough_repeats_are_a_verdict_for_every_rival_that_is_there():
    found = verdicts(_table(6, a=0.1, b=0.0, c=0.2), "a", ("b", "c", "d"), "A")
    assert [line.split(" by ")[0] for line in found] == ["A beats b", "A loses to c"]
    assert verdicts(_table(6, b=0.0), "a", ("b",), "A") == []


def test_p_values_are_corrected_for_the_number_of_rivals():
    noisy = _table(5, a=0.0, b=0.0, c=0.0, d=0.0)
    noise = {"a": [0.07, 0.05, 0.09, 0.02, 0.05]}
    for label, values in noise.items():
        noisy.loc[noisy["label"] == label, "value"] += values
    alone = verdicts(noisy, "a", ("b",), "A")[0]
    among = verdicts(noisy, "a", ("b", "c", "d"), "A")[0]
    assert "beats" in alone
    assert "neither wins nor loses" in among


def test_a_change_is_told_from_the_largest_loss_to_the_largest_gain():
    rows = [("a", 0.0, 0.7), ("a", 1.0, 0.6), ("b", 0.0, 0.5), ("b", 1.0, 0.55)]
    table = pd.DataFrame(rows, columns=["label", "x", "value"])
    said = change_line(table, 0.0, 1.0, "rate")
    assert said == "Change of the mean from rate 0 to 1: a -0.100, b +0.050."
    with pytest.raises(KeyError):
        change_line(table, 0.0, 0.5, "rate")


def test_lines_become_a_list():
    assert bullets(["one", "two"]) == "* one\n* two"
