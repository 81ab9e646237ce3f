from __future__ import annotations

import enum

import numpy as np
import pandas as pd
import pytest

from mmlego.errors import DataError, ShapeError
from mmlego.figures import importance_bars, search_history


@pytest.fixture
def trials():
    return pd.DataFrame(
        {"number": [0, 1, 2, 3, 4, 5, 6],
         "value": [1.0, 0.5, 0.8, 0.9, np.nan, 0.7, np.nan],
         "state": ["COMPLETE", "PRUNED", "COMPLETE", "COMPLETE", "FAIL", "COMPLETE", "RUNNING"]}
    )  # fmt: skip


def test_best_so_far_counts_complete_trials_only(trials, found):
    (line,) = found(search_history(trials.sample(frac=1, random_state=0)), "best")
    assert list(line.get_xdata()) == [0, 2, 3, 5, 6]
    assert list(line.get_ydata()) == [1.0, 0.8, 0.8, 0.7, 0.7]


def test_states_are_told_apart(trials, found):
    figure = search_history(trials)
    drawn = {state: list(found(figure, state)[0].get_xdata())
             for state in ("complete", "pruned", "failed")}  # fmt: skip
    assert drawn == {"complete": [0, 2, 3, 5], "pruned": [1], "failed": [4]}
    words = [text.get_text() for text in figure.legends[0].get_texts()]
    assert words == ["complete (4)", "pruned (1)", "failed (1)", "best so far (0.7)"]


def test_members_of_an_enumeration_are_states_too(trials, found):
    kind = enum.IntEnum("TrialState", ["COMPLETE", "PRUNED", "FAIL", "RUNNING"])
    members = trials.assign(state=[f"TrialState.{kind[s].name}" for s in trials["state"]])
    assert len(found(search_history(members), "complete")[0].get_xdata()) == 4


def test_a_diverged_trial_does_not_flatten_the_rest(trials, found):
    trials.loc[3, "value"] = 500.0
    figure = search_history(pd.concat([trials, trials[:3].assign(number=[7, 8, 9])]))
    (above,) = found(figure, "above")
    assert list(above.get_xdata()) == [3]
    assert figure.axes[0].get_ylim()[1] < 2


def test_history_refuses(trials):
    with pytest.raises(DataError, match="complete trial"):
        search_history(trials[trials["state"] == "FAIL"])
    with pytest.raises(DataError, match="got several"):
        search_history(trials.assign(number=1))
    with pytest.raises(ShapeError, match="complete trials"):
        search_history(trials.assign(value=np.nan))


def test_bars_of_one_study_are_sorted(found):
    figure = importance_bars({"depth": 0.2, "learning_rate": 0.7, "dropout": 0.1})
    assert [bar.get_width() for bar in found(figure, "bar")] == [0.7, 0.2, 0.1]
    ax = figure.axes[0]
    assert [text.get_text() for text in ax.get_yticklabels()] == [
        "learning rate",
        "depth",
        "dropout",
    ]
    assert found(figure, "studies") == []


def test_mean_over_the_studies_that_varied_a_parameter(found):
    table = pd.DataFrame({"study": ["a", "a", "b"], "parameter": ["depth", "dropout", "depth"],
                          "importance": [0.8, 0.3, 0.4]})  # fmt: skip
    figure = importance_bars(table)
    assert [bar.get_width() for bar in found(figure, "bar")] == pytest.approx([0.6, 0.3])
    assert [len(dots.get_offsets()) for dots in found(figure, "studies")] == [2, 1]
    assert "2 studies" in figure.axes[0].get_xlabel()


def test_importances_refuse():
    with pytest.raises(DataError, match="negative"):
        importance_bars({"depth": -0.1})
    with pytest.raises(DataError, match="at least one row"):
        importance_bars({})
    with pytest.raises(ShapeError, match="NaN"):
        importance_bars({"depth": np.nan})
