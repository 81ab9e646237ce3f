"""Generated spots: what is seen, where, and bad options."""

from __future__ import annotations

import numpy as np
import pytest

from mmlego.data import load_cohort
from mmlego.data.sources.images.spots import draw_spots
from mmlego.errors import DataError


def test_the_cohort_of_the_card():
    cohort = load_cohort("spots")
    pictures = cohort.modalities["picture"].values
    assert pictures.shape == (160, 3, 64, 64)
    assert 0.0 <= pictures.min() <= pictures.max() <= 1.0
    assert cohort.fingerprint() == load_cohort("spots").fingerprint()


def test_both_modalities_tell_the_label_and_neither_alone_tells_all():
    cohort = load_cohort("spots")
    label = cohort.target.label
    table = cohort.modalities["clin"].values[:, 0]
    darkness = -cohort.modalities["picture"].values.min(axis=(2, 3)).mean(axis=1)
    for signal in (table, darkness):
        middle = np.median(signal)
        right = ((signal > middle) == label).mean()
        assert 0.65 < right < 0.98
    assert abs(np.corrcoef(table[label == 1], darkness[label == 1])[0, 1]) < 0.3, "but the label"


def test_a_spot_is_where_its_mask_is():
    pictures, masks = draw_spots(np.array([0.0, 0.5, 1.0]), np.random.default_rng(0))
    brightness = pictures.mean(axis=1)
    for picture, mask in zip(brightness, masks, strict=True):
        assert 150 < mask.sum() < 700
        assert picture[mask].max() < picture[~mask].mean()
    assert brightness[0][masks[0]].mean() > brightness[2][masks[2]].mean(), "malignant is darker"


@pytest.mark.parametrize("options", [{"n": 10}, {"table_features": 0}, {"noise": -1.0}])
def test_refuses_options_out_of_range(options):
    from mmlego.data.sources.images.spots import load_spots

    with pytest.raises(DataError, match=r"spots: expected n >= 20"):
        load_spots(None, **options)
