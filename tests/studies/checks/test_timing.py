from __future__ import annotations

import os

import torch
from torch import nn

from mmlego.bench.measuring import limited_threads
from mmlego.models.encoders.unimodal import Unimodal
from mmlego.runs.settings import EfficiencySettings
from mmlego.studies.checks import timing
from mmlego.studies.checks.costs import random_samples

SETTINGS = EfficiencySettings(
    n_samples=8, table_widths=[20, 3], bag_width=6, tokens=3, batch_size=4, repeats=2
)


def job(model):
    samples = random_samples(SETTINGS).select(["table2"])
    return {("own", ""): (Unimodal("table2", model), samples)}


def test_the_first_epoch_is_not_timed_and_nothing_is_validated(monkeypatch):
    seen = []
    real = timing.fit

    def spy(model, train, val, *args, **options):
        seen.append((len(train), val))
        return real(model, train, val, *args, **options)

    monkeypatch.setattr(timing, "fit", spy)
    trained = timing.train_in_turn(job(nn.Linear(3, 4)), SETTINGS)["own", ""]
    assert seen == [(SETTINGS.batch_size, None), *[(8, None)] * (1 + SETTINGS.repeats)]
    assert len(trained.seconds) == SETTINGS.repeats
    assert trained.parameters == 16


def test_models_take_turns(monkeypatch):
    seen = []
    real = timing.fit
    monkeypatch.setattr(
        timing, "fit", lambda model, *a, **o: (seen.append(id(model)), real(model, *a, **o))[1]
    )
    jobs = job(nn.Linear(3, 4)) | {("other", ""): job(nn.Linear(3, 4))["own", ""]}
    timing.train_in_turn(jobs, SETTINGS)
    first, second = (id(model) for model, _ in jobs.values())
    assert seen == [first, second] * (2 + SETTINGS.repeats)


def test_peak_holds_weights_gradients_and_state_of_the_optimizer():
    model = nn.Sequential(nn.Linear(3, 50_000), nn.Linear(50_000, 4))
    weights = 4 * sum(p.numel() for p in model.parameters())
    peak = timing.train_in_turn(job(model), SETTINGS)["own", ""].peak_bytes
    assert 4 * weights <= peak < 8 * weights


def test_spread_is_the_slowest_over_the_fastest_epoch():
    assert timing.Training((2.0, 1.0, 3.0), 1, 1).slowdown == 3.0


def test_threads_are_given_back():
    before = torch.get_num_threads()
    with limited_threads(before + 1):
        assert torch.get_num_threads() == before + 1
    assert torch.get_num_threads() == before


def test_what_compiled_code_writes_is_dropped_for_a_while_only(capfd):
    with timing.silent_stderr():
        os.write(2, b"noise\n")
    os.write(2, b"said\n")
    assert capfd.readouterr().err == "said\n"
