from __future__ import annotations

import numpy as np
import pytest

from mmlego.errors import DataError, ShapeError
from mmlego.figures import heatmap_grid, mean_heatmap


@pytest.fixture
def pictures():
    rng = np.random.default_rng(0)
    return list(rng.random((5, 16, 16, 3))), list(rng.uniform(0.2, 0.7, (5, 4, 4)))


def maps(figure):
    return [image for ax in figure.axes for image in ax.images if image.get_gid() == "heat"]


def test_maps_cover_their_images_on_one_scale(pictures):
    images, heats = pictures
    figure = heatmap_grid(images, heats, [f"s{i}" for i in range(5)])
    drawn = maps(figure)
    assert len(drawn) == 5
    lowest, highest = np.min(heats), np.max(heats)
    for image, heat in zip(drawn, heats, strict=True):
        assert image.get_clim() == (lowest, highest)
        assert list(image.get_extent()) == [-0.5, 15.5, 15.5, -0.5]
        assert image.get_alpha() == 0.6
        assert image.get_cmap().name == "viridis"
        np.testing.assert_array_equal(image.get_array(), heat)
    titles = [ax.get_title(loc="left") for ax in figure.axes[:8]]
    assert titles == ["s0", "s1", "s2", "s3", "s4", "", "", ""]
    assert [ax.get_visible() for ax in figure.axes[:8]] == [True] * 5 + [False] * 3
    assert "Heat" in figure.axes[-1].get_xlabel()


def test_outlines_where_there_is_a_mask(pictures, found):
    images, heats = pictures
    inner = np.zeros((16, 16), dtype=bool)
    inner[4:8, 5:9] = True
    cut = np.zeros((16, 16), dtype=bool)
    cut[:, :6] = True
    figure = heatmap_grid(images[:4], heats[:4], masks=[inner, None, cut, np.zeros_like(cut)])
    lines = found(figure, "outline")
    inside, edge = lines[0].get_paths()[0].vertices, lines[1].get_paths()[0].vertices
    assert inside.min(axis=0).tolist() == [4.5, 3.5]
    assert inside.max(axis=0).tolist() == [8.5, 7.5]
    assert edge.min(axis=0).tolist() == [-0.5, -0.5]  # closed where the image ends
    assert [len(ax.collections) for ax in figure.axes[:2]] == [1, 0]
    assert figure.axes[2].get_xlim() == (-0.5, 15.5)
    assert figure.axes[2].get_ylim() == (15.5, -0.5)


def test_bad_grids(pictures):
    images, heats = pictures
    with pytest.raises(DataError, match="1 to 16 images, got 20"):
        heatmap_grid(images * 4, heats * 4)
    with pytest.raises(DataError, match="got 0"):
        heatmap_grid([], [])
    with pytest.raises(ShapeError, match="'heats': 4"):
        heatmap_grid(images, heats[:4])
    with pytest.raises(ShapeError, match="'titles': 1"):
        heatmap_grid(images, heats, ["one"])
    with pytest.raises(ShapeError, match="channels to the end"):
        heatmap_grid([np.moveaxis(image, -1, 0) for image in images], heats)
    with pytest.raises(ShapeError, match="undo the standardization"):
        heatmap_grid([4 * image for image in images], heats)
    with pytest.raises(ShapeError, match="2 axis"):
        heatmap_grid(images, [heat[None] for heat in heats])
    with pytest.raises(ShapeError, match="boolean masks"):
        heatmap_grid(images, heats, masks=[heat > 0.5 for heat in heats])


def test_mean_map_beside_image_and_prior(pictures):
    (image, *_), (heat, *_) = pictures
    figure = mean_heatmap(heat, image, prior=heat**2)
    figure.canvas.draw()
    panels = figure.axes[:3]
    assert [ax.get_title(loc="left") for ax in panels] == [
        "Mean heat-map", "Mean image", "Center alone",
    ]  # fmt: skip
    np.testing.assert_array_equal(panels[0].images[0].get_array(), heat)
    np.testing.assert_array_equal(panels[2].images[0].get_array(), heat**2)
    assert len(figure.axes) == 5  # two color bars
    boxes = [ax.get_window_extent() for ax in panels]
    np.testing.assert_allclose([box.y1 for box in boxes], boxes[0].y1, atol=1)
    np.testing.assert_allclose([box.height for box in boxes], boxes[0].height, atol=1)


def test_mean_map_alone(pictures):
    heat = pictures[1][0]
    assert len(mean_heatmap(heat).axes) == 2
    with pytest.raises(ShapeError, match="2 axis"):
        mean_heatmap(heat[None])
    with pytest.raises(ShapeError, match="mean_heatmap: expected images"):
        mean_heatmap(heat, heat)
