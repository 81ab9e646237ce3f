from __future__ import annotations

import json

import numpy as np
import pytest

from mmlego.runs.records.record import plain
from mmlego.runs.settings import PropertiesSettings
from mmlego.studies.checks import properties

SETTINGS = PropertiesSettings(latent_channels=5, latent_dim=8, draws=3, pairs=30)


@pytest.fixture(scope="module")
def found():
    return properties.measure_all(SETTINGS)


@pytest.fixture(scope="module")
def moved():
    return properties.distances(SETTINGS)


def test_the_transform_keeps_distances_and_the_merge_does_not(moved):
    np.testing.assert_allclose(moved.ratios(properties.TRANSFORMED), 1.0, atol=1e-9)
    ratios = moved.ratios(properties.MERGED)
    assert ratios.max() / ratios.min() > 1.5
    assert len(moved.table) == 2 * 30


def test_distant_pairs_can_share_a_merge_and_close_ones_can_part(moved):
    before, after = moved.collapsed
    assert before > 1
    assert after == pytest.approx(0, abs=1e-12)
    before, after = moved.jumped
    assert before < 1e-4
    assert after == pytest.approx((5 * 8) ** 0.5 * 2, rel=1e-3)


def test_table_gives_a_verdict_per_statement(found):
    rows = properties.table(found)
    assert len(rows) == len(found)
    assert dict(zip(rows["property"], rows["verdict"], strict=True))["P8"] == "does not hold"
    assert set(rows.loc[rows["property"] == "P3", "verdict"]) == {"holds"}


def test_sentences_follow_the_numbers(found, moved):
    text = properties.conclusion(found, moved)
    assert f"{len(found) - 2} of {len(found)} statements hold" in text
    assert "P8, the merge keeps distances" in text
    assert f"{moved.ratios(properties.MERGED).max():.2f}" in text
    assert "P8 does not hold" in text
    good = [measure for measure in found if measure.key != "P8"]
    assert "P8 does not hold" not in properties.conclusion(good, moved)
    assert "3 random latents of 5 by 8" in properties.describe(found, SETTINGS)


def test_record_is_plain_and_complete(found, moved):
    saved = json.loads(json.dumps(plain(properties.record(found, moved))))
    assert [row["holds"] for row in saved["statements"]] == [m.holds for m in found]
    assert saved["distance_ratio"][properties.TRANSFORMED]["min"] == pytest.approx(1.0)
