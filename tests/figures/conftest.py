from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest


@pytest.fixture(autouse=True)
def _close_figures():
    yield
    plt.close("all")


@pytest.fixture
def found():
    """Return all artists of a figure with a group id."""

    def find(figure, gid):
        return [
            artist for ax in figure.axes
            for artist in (*ax.lines, *ax.collections, *ax.patches, *ax.texts)
            if artist.get_gid() == gid
        ]  # fmt: skip

    return find


@pytest.fixture
def results():
    """Two methods, three repeats, one published value."""
    rows = [
        {"label": label, "method": method, "repeat": repeat, "value": value,
         "published": published}
        for label, method, values, published in (
            ("LegoMerge", "lego_merge", (0.60, 0.62, 0.67), 0.701),
            ("SNN", "snn", (0.58, 0.61, 0.61), np.nan),
        )
        for repeat, value in enumerate(values, start=1)
    ]  # fmt: skip
    return pd.DataFrame(rows)


@pytest.fixture
def tidy(results):
    """The same in the layout of results/metrics.csv, for two cohorts."""
    one = results.drop(columns="label").assign(
        variant="", modalities="cnv+rna", metric="c_index", split_unit="patient"
    )
    two = one.assign(cohort="tcga-brca", value=one["value"] - 0.1, published=np.nan)
    return pd.concat([one.assign(cohort="tcga-blca"), two], ignore_index=True)


@pytest.fixture
def survival():
    """Six hand-made samples: event, time, group."""
    event = np.array([True, False, True, True, True, False])
    time = np.array([2.0, 4.0, 4.0, 6.0, 8.0, 10.0])
    return event, time, np.array([0, 1, 0, 1, 0, 1])


@pytest.fixture
def scores():
    """Binary predictions of two repeats."""
    rng = np.random.default_rng(1)
    label = np.tile([0, 1], 60)
    score = np.clip(0.5 + 0.2 * (label - 0.5) + rng.normal(0, 0.2, 120), 0, 1)
    return pd.DataFrame({"repeat": np.repeat([1, 2], 60), "label": label, "score": score})
