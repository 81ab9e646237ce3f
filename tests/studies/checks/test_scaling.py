from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch

from mmlego.bench.measuring import flops
from mmlego.errors import MetricError
from mmlego.methods.names import ENSEMBLE, LEGO_MERGE
from mmlego.studies.checks.contenders import CONTENDERS
from mmlego.studies.checks.scaling import CostProbe, fit_power_law, fits, sweep, training_step

PROBE = CostProbe(
    tokens=6,
    modalities=2,
    width=5,
    batch=2,
    latent_channels=2,
    latent_dim=8,
    depth=1,
    seed=1,
    hidden=8,
)
X = np.array([2, 4, 8, 16, 32, 64, 128])


def test_exponent_of_a_power_law_is_found_exactly():
    law = fit_power_law(X, 3.0 * X**1.5)
    assert law.exponent == pytest.approx(1.5)
    assert law.scale == pytest.approx(3.0)
    assert law.last == pytest.approx(1.5)
    assert law.high - law.low < 1e-6
    assert law.n_points == 4


def test_fixed_costs_bend_the_lower_half_only():
    law = fit_power_law(X, 40.0 + X**2)
    whole = np.polyfit(np.log(X), np.log(40.0 + X**2), 1)[0]
    assert whole < law.exponent < law.last < 2.0


def test_order_of_the_sizes_does_not_matter():
    order = np.random.default_rng(1).permutation(len(X))
    value = 5.0 + X**1.2
    assert fit_power_law(X[order], value[order]) == fit_power_law(X, value)


@pytest.mark.parametrize(
    ("power", "verdict"), [(1.0, "linear"), (0.6, "below linear"), (2.0, "above linear")]
)
def test_verdict_follows_the_interval(power, verdict):
    noise = np.exp(0.02 * np.random.default_rng(1).standard_normal(len(X)))
    assert fit_power_law(X, noise * X**power).verdict == verdict


def test_an_interval_that_holds_everything_decides_nothing():
    law = fit_power_law([1, 2, 4], [1.0, 5.0, 2.0])
    assert law.verdict == "not determined"


def test_interval_covers_the_truth_as_often_as_it_says():
    rng = np.random.default_rng(1)
    hits = 0
    for _ in range(300):
        law = fit_power_law(X, X * np.exp(0.1 * rng.standard_normal(len(X))))
        hits += law.low <= 1.0 <= law.high
    assert 0.91 < hits / 300 < 0.99


@pytest.mark.parametrize(("x", "value"), [([1, 2], [1, 2]), ([1, 2, 3], [1, 0, 2])])
def test_what_has_no_power_law_is_refused(x, value):
    with pytest.raises(MetricError, match="three sizes"):
        fit_power_law(x, value)


def test_operations_of_a_product_are_counted():
    a, b = torch.randn(3, 4), torch.randn(4, 5)
    assert flops(lambda: a @ b) == 2 * 3 * 4 * 5


def test_fused_attention_is_counted_too():
    x = torch.randn(1, 2, 16, 8)
    attend = torch.nn.functional.scaled_dot_product_attention
    assert flops(lambda: attend(x, x, x)) == 2 * 2 * (2 * 16 * 16 * 8)


def test_a_step_of_a_merge_trains_its_blocks_and_a_step_of_a_stack_the_whole():
    merge, stack = (
        flops(training_step(CONTENDERS[name], PROBE)) for name in ("lego_merge", "lego_fuse")
    )
    assert merge > stack > 0


def test_sweep_counts_every_method_at_every_size():
    chosen = [CONTENDERS[name] for name in (LEGO_MERGE, ENSEMBLE, "mcat", "late_bilinear")]
    table = sweep(chosen, PROBE, "modalities", [8, 2, 4])
    assert set(table["method"]) == {LEGO_MERGE, ENSEMBLE, "mcat"}
    assert table.groupby("method")["x"].apply(list).tolist() == [[2, 4, 8]] * 3
    laws = fits(table)
    assert laws["ensemble", "modalities"].last == pytest.approx(1.0, abs=0.01)
    wide = sweep(chosen, PROBE, "latent_dim", [8, 16, 32])
    assert set(wide["method"]) == {"lego_merge"}


def test_counts_are_the_same_again_and_seconds_are_seconds():
    chosen = [CONTENDERS["healnet"]]
    once, again = (sweep(chosen, PROBE, "tokens", [4, 8, 16]) for _ in range(2))
    pd.testing.assert_frame_equal(once, again)
    timed = sweep(chosen, PROBE, "tokens", [4, 8, 16], repeats=1)
    assert timed["value"].between(1e-6, 5).all()
