from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from mmlego.errors import DataError, ShapeError
from mmlego.figures import learning_curves


@pytest.fixture
def histories():
    rows = [
        {"label": label, "repeat": repeat, "epoch": epoch, "train_loss": 1 / epoch,
         "val_loss": abs(epoch - 2) + repeat}
        for label in ("block", "snn") for repeat in (1, 2, 3) for epoch in (1, 2, 3, 4)
    ]  # fmt: skip
    return pd.DataFrame(rows)


def test_one_pair_of_lines_per_repeat(histories, found):
    figure = learning_curves(histories)
    assert len(found(figure, "train")) == len(found(figure, "validation")) == 6
    np.testing.assert_allclose(found(figure, "train")[0].get_ydata(), [1, 1 / 2, 1 / 3, 1 / 4])
    assert [ax.get_title(loc="left") for ax in figure.axes] == ["block", "snn"]
    assert {ax.get_xlabel() for ax in figure.axes} == {"Epoch"}
    assert figure.axes[0].get_ylabel() == "Loss per sample"


def test_best_epoch_is_marked(histories, found):
    marks = found(learning_curves(histories), "best")
    assert len(marks) == 6
    assert {float(mark.get_xdata()[0]) for mark in marks} == {2.0}


def test_training_without_validation(histories, found):
    figure = learning_curves(histories.assign(val_loss=np.nan))
    assert found(figure, "validation") == found(figure, "best") == []


def test_bad_histories(histories):
    with pytest.raises(DataError, match="val_loss"):
        learning_curves(histories.drop(columns="val_loss"))
    holes = histories.copy()
    holes.loc[0, "val_loss"] = np.nan
    with pytest.raises(ShapeError, match="label 'block'"):
        learning_curves(holes)
    with pytest.raises(DataError, match="got several"):
        learning_curves(pd.concat([histories, histories]))
