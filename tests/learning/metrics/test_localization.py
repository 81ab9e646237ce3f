from __future__ import annotations

import numpy as np
import pytest

from mmlego.errors import MetricError, ShapeError
from mmlego.learning.metrics.localization import (
    centre_prior,
    heat_auc,
    heat_share,
    lesion_mask,
    otsu,
)

SKIN, LESION = np.array([0.85, 0.65, 0.62]), np.array([0.45, 0.28, 0.22])


def disk(center, radius, side=64):
    y, x = np.ogrid[:side, :side]
    return (y - center[0]) ** 2 + (x - center[1]) ** 2 <= radius**2


@pytest.fixture
def picture():
    """Make noisy skin with a lesion; returns the image and where the lesion is."""

    def make(center=(30, 34), radius=12, lesion=LESION, seed=0):
        where = disk(center, radius)
        clean = np.where(where[..., None], lesion, SKIN)
        noise = np.random.default_rng(seed).normal(0, 0.02, clean.shape)
        return np.clip(clean + noise, 0, 1), where

    return make


def overlap(mask, where):
    return (mask & where).sum() / (mask | where).sum()


def test_a_dark_lesion_is_found_wherever_it_is(picture):
    for center in ((30, 34), (14, 50), (45, 20)):
        image, where = picture(center)
        mask = lesion_mask(image)
        assert mask.dtype == bool
        assert overlap(mask, where) > 0.85


def test_a_lesion_that_differs_in_color_alone_is_found(picture):
    gray = SKIN.mean()
    image, where = picture(lesion=np.array([gray + 0.25, gray - 0.12, gray - 0.13]))
    assert abs(image[where].mean() - image[~where].mean()) < 0.01
    assert overlap(lesion_mask(image), where) > 0.85


def test_bytes_and_floats_give_the_same_outline(picture):
    image, _ = picture()
    levels = np.round(image * 255).astype(np.uint8)
    np.testing.assert_array_equal(lesion_mask(levels), lesion_mask(levels / 255))


def test_the_largest_of_two_is_taken_and_its_holes_are_filled(picture):
    image, where = picture(radius=15)
    image[disk((30, 34), 4)] = SKIN
    image[disk((56, 6), 4)] = LESION
    mask = lesion_mask(image)
    assert mask[30, 34]
    assert not mask[56, 6]
    assert overlap(mask, where) > 0.85


def test_hairs_do_not_count(picture):
    image, where = picture()
    for start in range(2, 62, 12):
        image[:, start : start + 3] = 0.05
    image[10:13] = 0.05
    assert overlap(lesion_mask(image), where) > 0.85


def test_dark_corners_do_not_count(picture):
    image, where = picture(radius=8, lesion=0.75 * SKIN)
    view = disk((31.5, 31.5), 33)
    image[~view] = 0.02
    mask = lesion_mask(image)
    assert overlap(mask, where) > 0.8
    assert not (mask & ~view).any()


def test_a_slope_of_the_light_does_not_count(picture):
    image, where = picture(radius=9, lesion=0.75 * SKIN)
    image = image * np.linspace(1.1, 0.5, 64)[None, :, None]
    assert overlap(lesion_mask(np.clip(image, 0, 1)), where) > 0.7


def test_no_outline_where_there_is_none(picture):
    assert lesion_mask(np.full((64, 64, 3), 0.6)) is None
    assert lesion_mask(np.zeros((64, 64, 3))) is None  # all corner
    assert lesion_mask(np.random.default_rng(0).normal(0.6, 0.05, (64, 64, 3)).clip(0, 1)) is None
    assert lesion_mask(picture(radius=3)[0]) is None  # below 2% of the image
    assert lesion_mask(picture((32, 32), radius=42)[0]) is None  # above 90%
    frame, _ = picture(center=(0, 0), radius=0)
    frame[:, :10] = frame[:, -10:] = frame[:10] = LESION  # on most of the rim
    assert lesion_mask(frame) is None


def test_bad_images(picture):
    image, _ = picture()
    with pytest.raises(ShapeError, match="channels to the end"):
        lesion_mask(np.moveaxis(image, -1, 0))
    with pytest.raises(ShapeError, match="undo the standardization"):
        lesion_mask(image * 3)
    image[0, 0, 0] = np.nan
    with pytest.raises(ShapeError, match="finite values"):
        lesion_mask(image)


def test_otsu_equals_a_search_over_thresholds():
    rng = np.random.default_rng(3)
    values = np.concatenate([rng.normal(0.3, 0.06, 400), rng.normal(0.7, 0.1, 200)]).clip(0, 1)
    threshold, explained = otsu(values)

    def share(at):
        low, high = values[values <= at], values[values > at]
        between = len(low) * len(high) / 600**2 * (low.mean() - high.mean()) ** 2
        return between / values.var()

    assert explained == pytest.approx(max(map(share, np.linspace(0.2, 0.8, 301))), abs=2e-3)
    assert explained == pytest.approx(share(threshold), abs=2e-3)
    assert otsu(np.full(9, 0.4))[1] == 0
    assert otsu([0.2, 0.2, 0.9])[1] == pytest.approx(1)


def test_the_prior_is_highest_in_the_middle_and_the_same_on_all_sides():
    prior = centre_prior(9, 13)
    assert prior.argmax() == 4 * 13 + 6
    np.testing.assert_array_equal(prior, prior[::-1, ::-1])
    assert prior[0, 6] == pytest.approx(prior[4, 2])  # 4 pixels away, up or left
    assert prior.max() == 1
    assert prior.min() > 0
    with pytest.raises(ShapeError, match="0 x 4"):
        centre_prior(0, 4)


def test_area_of_heat_counted_over_pairs():
    heat = np.array([[3.0, 2.0], [2.0, 1.0]])
    mask = np.array([[True, True], [False, False]])
    # of the pairs 3-2, 3-1, 2-2, 2-1 three are in order and one is tied
    assert heat_auc(heat, mask) == 3.5 / 4
    assert heat_auc(-heat, mask) == 0.5 / 4
    assert heat_auc(np.ones((2, 2)), mask) == 0.5


def test_the_prior_scores_by_where_the_lesion_is(picture):
    prior = centre_prior(64, 64)
    assert heat_auc(prior, picture((31, 31))[1]) > 0.98
    assert heat_auc(prior, picture((8, 8))[1]) < 0.4


def test_share_of_heat():
    mask = np.zeros((4, 4), dtype=bool)
    mask[0] = True
    assert heat_share(np.full((4, 4), 0.3), mask) == pytest.approx(1)
    assert heat_share(mask * 0.7, mask) == pytest.approx(4)
    assert heat_share(~mask * 0.7, mask) == 0


def test_bad_heat():
    heat, mask = np.ones((3, 3)), np.eye(3, dtype=bool)
    for score in (heat_auc, heat_share):
        with pytest.raises(ShapeError, match="resize the map"):
            score(heat[:2], mask)
        with pytest.raises(ShapeError, match="finite"):
            score(np.where(mask, np.nan, heat), mask)
        with pytest.raises(ShapeError, match="boolean mask"):
            score(heat, mask.astype(float))
    with pytest.raises(MetricError, match="both classes"):
        heat_auc(heat, np.zeros((3, 3), dtype=bool))
    for bad in (-heat, 0 * heat):
        with pytest.raises(ShapeError, match="heat of 0 or more"):
            heat_share(bad, mask)
    with pytest.raises(ShapeError, match="0 pixels of lesion"):
        heat_share(heat, np.zeros((3, 3), dtype=bool))
