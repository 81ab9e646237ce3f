from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest

from mmlego.errors import ShapeError
from mmlego.learning.metrics.entropy import prediction_entropy

REFERENCE = Path(__file__).parents[2] / "reference" / "amc.json"


def test_entropy_equals_the_reference_case():
    cases = json.loads(REFERENCE.read_text())["cases"]
    case = next(case for case in cases if case["name"] == "prediction_entropy")
    found = prediction_entropy(case["inputs"]["p"])
    np.testing.assert_allclose(found, case["expected"]["entropy"], atol=case["tolerance"])
    assert found.mean() == pytest.approx(case["expected"]["mean"], abs=case["tolerance"])


def test_entropy_runs_from_certain_to_uniform():
    found = prediction_entropy([[1.0, 0.0, 0.0], [1 / 3, 1 / 3, 1 / 3], [0.0, 0.5, 0.5]])
    assert found[0] == 0.0
    assert found[1:] == pytest.approx([math.log(3), math.log(2)])


@pytest.mark.parametrize(
    ("probability", "words"),
    [
        ([[0.5, 0.6]], "summing to 1"),
        ([[0.5, 0.5], [1.5, -0.5]], "summing to 1"),
        ([[math.nan, 1.0]], "summing to 1"),
        ([[2.0, -1.0, 3.0]], "summing to 1"),
        ([0.5, 0.5], r"\(n, k\)"),
        (np.zeros((0, 2)), r"got \(0, 2\)"),
        (np.zeros((3, 0)), r"got \(3, 0\)"),
    ],
)
def test_entropy_refuses_what_is_no_distribution(probability, words):
    with pytest.raises(ShapeError, match=words):
        prediction_entropy(probability)
