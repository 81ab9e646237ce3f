from __future__ import annotations

import numpy as np
import pytest
import torch

from mmlego.runs.settings import EfficiencySettings
from mmlego.studies.checks import costs
from mmlego.studies.checks.contenders import CONTENDERS

SETTINGS = EfficiencySettings(
    n_samples=8,
    table_widths=[20, 3],
    bag_width=6,
    tokens=3,
    latent_channels=2,
    latent_dim=8,
    batch_size=4,
    repeats=2,
    epochs=7,
    tune_epochs=3,
)


@pytest.fixture(scope="module")
def found():
    return costs.costs(SETTINGS)


def test_samples_have_the_sizes_that_are_asked_for():
    samples = costs.random_samples(SETTINGS)
    batch = samples.batch()
    assert {name: tuple(x.shape) for name, x in batch.inputs.items()} == {
        "table1": (8, 20),
        "table2": (8, 3),
        "bag": (8, 3, 6),
    }
    again = costs.random_samples(SETTINGS).batch()
    assert torch.equal(batch.inputs["bag"], again.inputs["bag"])


def test_every_method_has_its_cost(found):
    assert set(found) == set(CONTENDERS)
    for cost in found.values():
        assert cost.total_seconds > 0
        assert cost.peak_bytes > 4 * cost.parameters / max(len(cost.parts), 1)


def test_a_merge_pays_for_its_blocks_and_a_stack_for_both(found):
    merge, fuse, whole = found["lego_merge"], found["lego_fuse"], found["healnet"]
    assert set(merge.parts) == {"table1", "table2", "bag"}
    assert merge.joint is None
    assert merge.total_seconds == pytest.approx(7 * merge.part_seconds)
    assert fuse.total_seconds == pytest.approx(7 * fuse.part_seconds + 3 * fuse.joint_seconds)
    assert (whole.parts, whole.part_epochs) == ({}, 0)
    assert whole.total_seconds == pytest.approx(7 * whole.joint_seconds)


def test_peak_of_parts_is_that_of_the_largest_one(found):
    merge = found["lego_merge"]
    assert merge.peak_bytes == max(part.peak_bytes for part in merge.parts.values())


def test_tables_are_joined_for_a_method_of_two_modalities():
    samples = costs.random_samples(SETTINGS)
    joined = costs._joined(samples)
    assert joined.widths == {"tabular": 23, "bag": 6}
    np.testing.assert_array_equal(joined.values["tabular"][:, 20:], samples.values["table2"])
