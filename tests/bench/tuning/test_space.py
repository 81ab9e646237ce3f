"""What is searched, and that the first trial is what runs use without a search."""

from __future__ import annotations

import inspect

import optuna
import pytest

from mmlego.bench.settings import TuningSettings
from mmlego.bench.training import build_block, build_encoder
from mmlego.bench.tuning import space
from mmlego.bench.tuning.space import given_values, light_values, readable, suggest
from mmlego.bench.tuning.values import FIT_NAMES, split_values
from mmlego.methods.encoders import encoder_for
from mmlego.methods.method import AS_A_WHOLE, FUSED
from mmlego.methods.names import CONVNET, LEGO_BLOCK, LEGO_FUSE, SNN
from mmlego.methods.registry import METHODS
from mmlego.models.amc import AMC, AMCOptions

SEARCHED = [name for name, method in METHODS.items() if method.trained in (AS_A_WHOLE, FUSED)]


def _drawn(method, seed=1):
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=seed))
    return suggest(study.ask(), method)


def _build(method, fold, options):
    own = {encoder_for(fold.kinds[name]): name for name in ("clin", "img")}
    if method in own:
        return build_encoder(fold, own[method], **options)
    if method == LEGO_BLOCK:
        settings = TuningSettings(latent_channels=4, latent_dim=8)
        return build_block(fold, "clin", settings, encoder=None, variant="scratch", **options)
    widths = {name: fold.widths[name] for name in ("tabular", "img")}
    kinds = {name: fold.kinds[name] for name in widths}
    return METHODS[method].build(widths, fold.n_outputs, kinds=kinds, **options)


@pytest.mark.parametrize("method", [m for m in SEARCHED if m not in (CONVNET, LEGO_FUSE)])
def test_models_take_what_is_drawn(folds, method):
    """Both ends of every choice among sizes come up over a few draws."""
    for seed in range(3):
        _build(method, folds()[0], split_values(_drawn(method, seed)).options)


@pytest.mark.parametrize("method", SEARCHED)
def test_draws_are_within_the_ranges(method):
    for seed in range(5):
        found = _drawn(method, seed)
        for name in FIT_NAMES:
            low, high = space._RANGES[name]
            assert low <= found[name] <= high
        rates = [value for name, value in found.items() if name.endswith("dropout")]
        assert all(0 <= rate <= 0.6 for rate in rates)


@pytest.mark.parametrize("values", [given_values, light_values])
@pytest.mark.parametrize("method", SEARCHED)
def test_the_first_trials_can_be_drawn(method, values):
    """Optuna leaves out what it does not know, and refuses what is outside a range."""
    given = values(method, TuningSettings(depth=2))
    trial = optuna.trial.FixedTrial(given)
    assert suggest(trial, method) == readable(method, given)
    assert trial.params == given


def defaults_of(build):
    """Defaults of a model, also those that it passes on to its base or to its options."""
    model = getattr(build, "func", build)
    signatures = [inspect.signature(model), *map(inspect.signature, getattr(model, "__mro__", ()))]
    if model is AMC:
        signatures.append(inspect.signature(AMCOptions))
    found = {}
    for signature in signatures:
        for name, parameter in signature.parameters.items():
            found.setdefault(name, parameter.default)
    return found


@pytest.mark.parametrize("method", SEARCHED)
def test_the_given_options_are_the_defaults_of_the_model(method):
    """Else the first trial is not what a run without a search trains."""
    known = defaults_of(METHODS[method].build)
    options = split_values(readable(method, given_values(method, TuningSettings()))).options
    for name, value in options.items():
        default = known[name]
        assert (list(default) if name == "widths" else default) == value, name


def test_given_values_come_from_the_settings():
    found = given_values(LEGO_BLOCK, TuningSettings(learning_rate=0.002, l1=0.0, depth=2))
    assert found["learning_rate"] == 0.002
    assert found["l1"] == space._RANGES["l1"][0], "zero has no logarithm"
    assert found["depth"] == 2
    assert given_values(LEGO_BLOCK, TuningSettings(depth=3))["depth"] == 4


@pytest.mark.parametrize("method", SEARCHED)
def test_light_values_differ_from_the_given_ones_in_regularization_alone(method):
    given, light = (values(method, TuningSettings()) for values in (given_values, light_values))
    changed = {name for name in given if given[name] != light[name]}
    assert changed <= {"learning_rate", "l1"} | {n for n in given if n.endswith("dropout")}
    assert all(value == 0 for name, value in light.items() if name.endswith("dropout"))
    assert light["l1"] < given["l1"]


def test_layers_are_written_as_text_and_read_as_widths():
    assert readable(SNN, {"widths": "64x2", "dropout": 0.1}) == {
        "widths": [64, 64],
        "dropout": 0.1,
    }
