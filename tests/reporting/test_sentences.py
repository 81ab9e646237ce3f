"""What a page says about how its samples were divided."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from mmlego.reporting import sentences

SIZES = {"train": 70, "val": 15, "test": 15}


def _session(unit, val=15, repeats=3, samples=None):
    fold = SimpleNamespace(train=range(70), val=range(val), test=range(15))
    cohort = SimpleNamespace(
        title="Toy",
        n=100,
        task="classification",
        card=None if samples is None else SimpleNamespace(samples=samples),
        target=SimpleNamespace(label=np.arange(100) % 2, classes=("a", "b")),
        capped_from=None,
    )
    settings = SimpleNamespace(split_unit=unit, repeats=repeats, epochs=2, profile="paper")
    return SimpleNamespace(cohort=cohort, settings=settings, folds=[fold])


@pytest.mark.parametrize(
    ("unit", "val", "words"),
    [
        ("patient", 15, "3 random splits into training, validation and test (70, 15 and 15"),
        ("row", 15, "3 random splits into training, validation and test (70, 15 and 15"),
        ("official", 15, "The publisher's test part, and 3 random draws of a validation part"),
        ("official_full", 0, "70 training and 15 test samples without a validation part, with 3"),
        ("donor", 15, "3 donors held out in turn, with a random validation part of the others"),
    ],
)
def test_how_the_samples_are_divided(unit, val, words):
    assert words in sentences.data(_session(unit, val))


def test_one_test_part_for_all_repeats_is_a_caveat():
    for unit in ("official", "official_full"):
        assert "All repeats share one test part" in sentences.data(_session(unit))
    for unit in ("patient", "row", "donor"):
        assert "share one test part" not in sentences.data(_session(unit))


def test_what_one_sample_is():
    assert "**Toy**: 100 patients, 50 a, 50 b." in sentences.data(_session("patient"))
    assert "100 cells" in sentences.data(_session("donor", samples="cells"))
    assert "100 rows (a patient can have several)" in sentences.data(
        _session("row", samples="cells")
    )
