"""The memory promise of a merge, and that the benchmark runs."""

from __future__ import annotations

from mmlego.studies.checks import speed


def test_merge_keeps_one_latent_per_block():
    memory = speed.merge_memory(batch=8)
    assert 0 < memory["largest_block"] < memory["peak"] <= memory["allowance"]


def test_step_is_measured_against_its_floor():
    row = speed.step_against_floor(3, 5, 2, repeats=1)
    assert row["step"] > 0
    assert row["floor"] > 0


def test_re_balancing_is_measured_against_its_block():
    assert 0 < speed.rebalancing_share(4, 2, 3, 16, repeats=1) < float("inf")
