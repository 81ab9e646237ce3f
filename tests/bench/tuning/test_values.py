from __future__ import annotations

import dataclasses
import inspect
from dataclasses import fields

import pytest
import yaml

from mmlego.bench.tuning.values import (
    FIT_NAMES,
    GIVEN,
    TunedValues,
    load_values,
    split_values,
    study_name,
    tuned_path,
)
from mmlego.errors import RunError
from mmlego.learning.settings import FitSettings
from mmlego.methods.registry import METHODS
from mmlego.models.amc.options import AMCOptions

VALUES = {"learning_rate": 0.01, "l1": 1e-5, "weight_decay": 1e-6, "dropout": 0.3, "widths": [8, 8]}


def _write(project, text, cohort="toy"):
    path = tuned_path(cohort)
    assert path.is_relative_to(project.folder)
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    return path


def test_values_of_training_and_of_the_model_are_told_apart():
    found = split_values(VALUES)
    assert found.fit == {"learning_rate": 0.01, "l1": 1e-5, "weight_decay": 1e-6}
    assert found.options == {"dropout": 0.3, "widths": [8, 8]}
    assert set(FIT_NAMES) <= {field.name for field in fields(FitSettings)}


def test_a_search_is_named_after_method_and_role():
    assert study_name("snn", "table") == "snn on table"
    assert study_name("healnet", "all") == "healnet"


def test_what_was_not_searched_stays_as_given():
    chosen = TunedValues({"snn on table": {"values": VALUES}})
    assert chosen.of("snn", "table").options["widths"] == [8, 8]
    assert chosen.of("snn", "bag") == chosen.of("perceiver", "all") == GIVEN
    assert not GIVEN.fit
    assert not GIVEN.options


def test_given_settings_need_no_file(project):
    assert load_values("given", "toy").of("snn", "table") == GIVEN


def test_file_of_a_cohort_is_read(project):
    _write(project, yaml.safe_dump({"studies": {"perceiver on bag": {"values": VALUES}}}))
    assert load_values("tuned", "toy").of("perceiver", "bag") == split_values(VALUES)


def test_cohort_without_a_file_names_the_remedy(project):
    with pytest.raises(RunError, match="'toy'.*mmlego tune toy, or run with hyperparameters=given"):
        load_values("tuned", "toy")


@pytest.mark.parametrize("text", ["studies: [", "cohort: toy", "- 1", ""])
def test_damaged_file_names_itself(project, text):
    path = _write(project, text)
    with pytest.raises(RunError, match=rf"{path} cannot be read"):
        load_values("tuned", "toy")


def _options(method):
    build = METHODS[method].build
    # AMC checks its many options in a class of their own.
    own = {field.name for field in dataclasses.fields(AMCOptions)} if method == "amc" else set()
    model = getattr(build, "func", build)
    # Networks pass what they do not take themselves on to their bases.
    for part in getattr(model, "__mro__", (model,)):
        own |= set(inspect.signature(part).parameters)
    return own


def test_committed_files_hold_what_methods_take(repository):
    paths = sorted((repository / "experiments" / "tuned").glob("*.yaml"))
    assert paths
    for path in paths:
        found = yaml.safe_load(path.read_text(encoding="utf-8"))
        assert found["cohort"] == path.stem
        for name, study in found["studies"].items():
            method, _, role = name.partition(" on ")
            assert role in ("", "table", "bag", "image"), name
            unknown = set(study["values"]) - set(FIT_NAMES) - _options(method)
            assert not unknown, f"{path.name}: {name}"
            assert study["validation_loss"] <= study["validation_loss_given"], name
