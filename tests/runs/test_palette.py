from __future__ import annotations

from io import BytesIO

import numpy as np
import pandas as pd
import pytest
from matplotlib import pyplot as plt
from PIL import Image

from mmlego.figures import forest_plot, heatmap_grid, method_task_plot
from mmlego.methods import METHODS
from mmlego.runs.palette import MOST_OF_A_COLOR, MOST_OF_A_SURFACE, with_palette


def saved(figure):
    file = BytesIO()
    figure.savefig(file, format="png", dpi=110)
    plt.close(figure)
    return file.getvalue()


def pixels(png):
    return np.asarray(Image.open(BytesIO(png)).convert("RGB"), dtype=int)


def encoded(array):
    file = BytesIO()
    Image.fromarray(array).save(file, format="PNG")
    return file.getvalue()


@pytest.fixture
def forest():
    rows = [{"label": method, "method": method, "repeat": repeat, "value": 0.5 + 0.01 * repeat * at}
            for at, method in enumerate(list(METHODS)[:16]) for repeat in (1, 2)]  # fmt: skip
    return saved(forest_plot(pd.DataFrame(rows)))


@pytest.fixture
def cells():
    rng = np.random.default_rng(0)
    table = pd.DataFrame([{"task": f"t{task}", "label": f"m{row}", "value": rng.uniform(0.6, 0.7)}
                          for task in range(9) for row in range(12)])  # fmt: skip
    return saved(method_task_plot(table))


def test_a_figure_shrinks_and_looks_the_same(forest):
    small = with_palette(forest)
    assert len(small) < 0.4 * len(forest)
    assert Image.open(BytesIO(small)).mode == "P"
    before, after = pixels(forest), pixels(small)
    assert before.shape == after.shape
    moved = np.abs(before - after)
    assert moved.max() <= MOST_OF_A_COLOR
    assert moved.mean() < 0.75
    assert (after[0, 0] == 255).all()


def test_cells_of_a_heat_map_keep_their_tint(cells):
    before, after = pixels(cells), pixels(with_palette(cells))
    colors, places, counts = np.unique(
        before.reshape(-1, 3), axis=0, return_inverse=True, return_counts=True
    )
    surface = (counts >= counts.sum() / 1000)[places.ravel()]
    moved = np.abs(before - after).reshape(-1, 3)[surface]
    assert len(colors) > 100
    assert moved.max() <= MOST_OF_A_SURFACE


def test_a_palette_is_not_given_twice(forest):
    small = with_palette(forest)
    assert with_palette(small) == small


def test_photographs_stay_as_they_are():
    rng = np.random.default_rng(0)
    photo = rng.integers(0, 256, (64, 64, 3), dtype=np.uint8)
    assert with_palette(encoded(photo)) == encoded(photo)
    x, y = np.meshgrid(np.linspace(0, 1, 60), np.linspace(0, 1, 60))
    smooth = np.stack([x, y, 1 - x * y], axis=2)
    grid = saved(heatmap_grid([smooth] * 4, [rng.random((6, 6)) for _ in range(4)]))
    moved = np.abs(pixels(grid) - pixels(with_palette(grid)))
    assert moved.max() <= MOST_OF_A_COLOR
    assert moved.mean() <= 0.75


def test_transparent_parts_stay():
    see_through = np.zeros((8, 8, 4), dtype=np.uint8)
    assert with_palette(encoded(see_through)) == encoded(see_through)


def test_no_picture_grows():
    dot = encoded(np.full((1, 1, 3), 255, dtype=np.uint8))
    assert len(with_palette(dot)) <= len(dot)
