from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_hex

from mmlego.errors import DataError, ShapeError
from mmlego.figures import (
    confidence_by_state,
    confidence_error_curves,
    confidence_error_histogram,
    confidence_scatter,
    style,
)
from mmlego.learning.metrics.confidence_error import confidence_error


@pytest.fixture
def errors():
    rng = np.random.default_rng(0)
    rows = []
    for repeat in (1, 2, 3):
        for modality, noise in (("rna", 0.1), ("image", 0.6)):
            true = rng.uniform(0.2, 1, 40)
            predicted = true + rng.normal(0, noise, 40)
            rows.append({"repeat": repeat, "modality": modality}
                        | confidence_error(predicted, true))  # fmt: skip
    return pd.DataFrame(rows)


@pytest.fixture
def samples():
    return pd.DataFrame(
        {"modality": ["rna"] * 3 + ["image"] * 2, "true": [0.2, 0.6, 0.9, 0.5, 0.5],
         "predicted": [0.3, 0.6, 1.4, -0.2, 0.4], "correct": [0.0, 1.0, 1.0, 1.0, 0.0]}
    )  # fmt: skip


def offsets(artists):
    return np.concatenate([artist.get_offsets() for artist in artists]).tolist()


def legend(figure):
    return [text.get_text() for text in figure.legends[0].get_texts()]


def test_curves_are_means_of_folds_in_a_band(errors, found):
    figure = confidence_error_curves(errors)
    rna, image = found(figure, "mean")
    np.testing.assert_allclose(rna.get_xdata(), np.arange(1, 11) / 10)
    columns = [f"above_{r / 10}" for r in range(1, 11)]
    part = errors.loc[errors["modality"] == "image", columns]
    np.testing.assert_allclose(image.get_ydata(), part.mean())
    band = found(figure, "band")[1].get_paths()[0].vertices[:, 1]
    assert band.min() == pytest.approx(part.to_numpy().min())
    assert band.max() == pytest.approx(part.to_numpy().max())
    assert legend(figure) == ["rna", "image", "lowest to highest fold"]


def test_curves_of_one_fold_have_no_band(errors, found):
    figure = confidence_error_curves(errors[errors["repeat"] == 2])
    assert found(figure, "band") == []
    assert legend(figure) == ["rna", "image"]


def test_bad_curves(errors):
    with pytest.raises(DataError, match="missing"):
        confidence_error_curves(errors.drop(columns="repeat"))
    with pytest.raises(DataError, match=r"such as above_0.1, got \[\]"):
        confidence_error_curves(errors[["repeat", "modality", "mae"]])
    with pytest.raises(DataError, match="got several"):
        confidence_error_curves(pd.concat([errors, errors]))
    with pytest.raises(DataError, match="a number behind"):
        confidence_error_curves(errors.rename(columns={"above_0.3": "above_all"}))
    with pytest.raises(ShapeError, match=r"above_0.5"):
        confidence_error_curves(errors.assign(**{"above_0.5": np.nan}))


def test_one_panel_per_modality_and_points_by_what_the_modality_says(samples, found):
    figure = confidence_scatter(samples)
    panels = [ax for ax in figure.axes if ax.get_visible()]
    assert [ax.get_title(loc="left") for ax in panels] == ["rna (n = 3)", "image (n = 2)"]
    assert offsets(found(figure, "right")) == [[0.6, 0.6], [0.9, 1.4], [0.5, -0.2]]
    assert offsets(found(figure, "wrong")) == [[0.2, 0.3], [0.5, 0.4]]
    low, high = panels[0].get_ylim()
    assert low < -0.2
    assert high > 1.4
    top = found(figure, "within")[0].get_paths()[0].vertices
    assert top[:, 1].max() == pytest.approx(1.1)
    assert {"modality alone is right", "modality alone is wrong"} < set(legend(figure))


@pytest.mark.parametrize("drop", [True, False])
def test_points_without_right_and_wrong(samples, found, drop):
    plain = samples.drop(columns="correct") if drop else samples.assign(correct=np.nan)
    figure = confidence_scatter(plain)
    assert len(offsets(found(figure, "points"))) == 5
    assert found(figure, "right") == found(figure, "wrong") == []
    assert legend(figure) == ["predicted = true", "error up to 10%"]


@pytest.mark.parametrize("kind", [bool, "boolean", "Int64", int])
def test_flags_of_any_type(samples, found, kind):
    figure = confidence_scatter(samples.assign(correct=samples["correct"].astype(kind)))
    assert len(offsets(found(figure, "right"))) == 3


def test_bad_scatter(samples):
    with pytest.raises(DataError, match="missing"):
        confidence_scatter(samples.drop(columns="true"))
    for bad in (0.5, "yes"):
        with pytest.raises(DataError, match="1, 0 or missing"):
            confidence_scatter(samples.assign(correct=bad))
    with pytest.raises(ShapeError, match="predicted"):
        confidence_scatter(samples.assign(predicted=np.inf))


def test_shares_of_signed_errors(samples, found):
    figure = confidence_error_histogram(samples, bins=4)
    heights = [bar.get_height() for bar in found(figure, "bars")]
    assert sum(heights[:4]) == pytest.approx(1)
    assert sum(heights[4:]) == pytest.approx(1)
    # errors of the image are -0.7 and -0.1, of the other modality 0.1, 0 and 0.5
    assert heights[0] == 0
    assert heights[4] == 0.5
    means = [line.get_xdata()[0] for line in found(figure, "mean")]
    assert means == pytest.approx([0.2, -0.4])
    assert figure.axes[1].get_title(loc="left") == "image (n = 2, mean -0.400)"
    with pytest.raises(DataError, match="missing"):
        confidence_error_histogram(samples.drop(columns="predicted"))


@pytest.fixture
def states():
    return pd.DataFrame(
        {"modality": ["image"] * 6 + ["rna"] * 2, "repeat": [1, 1, 2, 1, 1, 2, 1, 2],
         "state": ["real"] * 3 + ["a gray image"] * 3 + ["real"] * 2,
         "confidence": [0.2, 0.8, 0.9, 0.4, 0.4, 0.4, 1.0, -0.5]}
    )  # fmt: skip


def test_boxes_by_state(states, found):
    figure = confidence_by_state(states)
    medians = [np.mean(line.get_xdata()) for line in found(figure, "median")]
    assert medians == pytest.approx([0.8, 0.4, 0.25])
    colors = [to_hex(box.get_facecolor()) for box in found(figure, "box")]
    assert colors == [style.GROUPS[0], style.GROUPS[1], style.GROUPS[0]]
    np.testing.assert_allclose([x for x, _ in offsets(found(figure, "means"))],
                               [0.5, 0.9, 0.4, 0.4, 1.0, -0.5])  # fmt: skip
    assert [ax.get_title(loc="left") for ax in figure.axes] == ["image", "rna"]
    labels = [text.get_text() for text in figure.axes[0].get_yticklabels()]
    assert labels == ["real", "a gray image"]


def test_states_without_folds(states, found):
    figure = confidence_by_state(states.drop(columns="repeat"))
    assert found(figure, "means") == []
    assert figure.legends == []
    with pytest.raises(ShapeError, match="confidence"):
        confidence_by_state(states.assign(confidence=np.nan))
    with pytest.raises(DataError, match="missing"):
        confidence_by_state(states.drop(columns="state"))


def test_no_legend_covers_a_label(errors, samples, states):
    tables = ((confidence_error_curves, errors), (confidence_scatter, samples),
              (confidence_error_histogram, samples), (confidence_by_state, states))  # fmt: skip
    for draw, table in tables:
        figure = draw(table, title="A heading")
        figure.canvas.draw()
        box = figure.legends[0].get_window_extent()
        shown = [ax for ax in figure.axes if ax.get_visible()]
        texts = [*figure.texts, *(ax.xaxis.label for ax in shown)]
        texts += [label for ax in shown for label in ax.get_xticklabels()]
        for text in texts:
            assert not (text.get_text() and box.overlaps(text.get_window_extent())), draw.__name__
        plt.close(figure)
