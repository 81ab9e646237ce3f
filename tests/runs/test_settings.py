from __future__ import annotations

import hashlib
import json

import pytest

from mmlego.bench.settings import IGNORED_AT_DEFAULT, unknown_name
from mmlego.errors import SettingsError
from mmlego.runs.settings import FuseSettings, MergeSettings, SignalSettings, UnimodalSettings


def test_unknown_parameter_is_refused_with_the_nearest_name():
    with pytest.raises(SettingsError, match="unknown parameter 'repeat'; did you mean 'repeats'"):
        UnimodalSettings.from_values({"repeat": 3})


def test_far_off_names_list_the_choices():
    assert "choose from ['grid', 'n']" in unknown_name("x", "zzzz", ["n", "grid"])


@pytest.mark.parametrize(
    ("values", "field"),
    [
        ({"repeats": "3"}, "repeats"),
        ({"repeats": 0}, "repeats"),
        ({"repeats": 26}, "repeats"),
        ({"epochs": 1.0}, "epochs"),
        ({"epochs": True}, "epochs"),
        ({"learning_rate": 0.0}, "learning_rate"),
        ({"learning_rate": float("nan")}, "learning_rate"),
        ({"learning_rate": float("inf")}, "learning_rate"),
        ({"l1": float("inf")}, "l1"),
        ({"l1": float("nan")}, "l1"),
        ({"split_unit": "slide"}, "split_unit"),
        ({"profile": "fast"}, "profile"),
        ({"device": "gpu"}, "device"),
        ({"modalities": "rna"}, "modalities"),
        ({"modalities": [1]}, "modalities.0"),
        ({"grid": "My Grid"}, "grid"),
        ({"grid": ""}, "grid"),
    ],
)
def test_wrong_values_name_the_field(values, field):
    with pytest.raises(SettingsError, match=f"parameter '{field}'"):
        UnimodalSettings.from_values(values)


def test_from_namespace_takes_fields_only():
    names = UnimodalSettings().model_dump() | {"In": [], "_": 1, "pandas": object()}
    assert UnimodalSettings.from_namespace(names) == UnimodalSettings()


def test_from_namespace_without_a_parameter():
    names = UnimodalSettings().model_dump()
    del names["seed"]
    with pytest.raises(SettingsError, match=r"missing \['seed'\]; run its parameters cell"):
        UnimodalSettings.from_namespace(names)


def test_settings_cannot_be_changed():
    with pytest.raises(ValueError, match="frozen"):
        SignalSettings().n = 3


def test_where_results_go_is_not_part_of_a_run():
    assert SignalSettings().run_id == SignalSettings(results="elsewhere").run_id
    assert MergeSettings().run_id == MergeSettings(train_missing_blocks=False).run_id


@pytest.mark.parametrize(
    "change", [{"seed": 2}, {"grid": "quick"}, {"cohort": "wdbc"}, {"l1": 0.1}]
)
def test_what_decides_a_run_is_part_of_its_id(change):
    assert UnimodalSettings().run_id != UnimodalSettings(**change).run_id


@pytest.mark.parametrize(
    ("kind", "run_id"),
    [
        (UnimodalSettings, "unimodal-transbig-90a226d3"),
        (MergeSettings, "merge-transbig-b6ad7d74"),
        (FuseSettings, "fuse-transbig-2f518778"),
    ],
)
def test_a_run_keeps_its_id_when_settings_are_added(kind, run_id):
    """Else finished runs would be made again, and their records would belong to none."""
    assert kind().run_id == run_id


def test_settings_that_came_later_count_where_they_differ():
    for name in IGNORED_AT_DEFAULT:
        assert name not in UnimodalSettings().identity()
    later = UnimodalSettings(output_bias="base_rate")
    assert later.identity()["output_bias"] == "base_rate"
    assert later.run_id != UnimodalSettings().run_id
    assert later.block_signature() != UnimodalSettings().block_signature()


def test_run_ids_are_the_same_in_every_process():
    """They are a checksum of notebook and values, which no hash seed of Python enters."""
    settings = FuseSettings(seed=3)
    text = json.dumps(["fuse", settings.identity()], sort_keys=True)
    assert settings.run_id == f"fuse-transbig-{hashlib.sha256(text.encode()).hexdigest()[:8]}"


def test_run_id_of_a_card_of_ones_own_is_fit_for_a_file():
    run_id = UnimodalSettings(cohort="/some/where/My Card.yaml").run_id
    assert "/" not in run_id
    assert run_id.startswith("unimodal-my")


def test_two_cards_of_one_name_are_two_runs():
    assert UnimodalSettings(cohort="a/x.yaml").run_id != UnimodalSettings(cohort="b/x.yaml").run_id


def test_notebooks_share_blocks_exactly_if_their_signatures_agree():
    merge = MergeSettings(cohort="wdbc", grid="a", block_variant="frozen")
    same = UnimodalSettings(cohort="wdbc", grid="b", results="x")
    other = UnimodalSettings(cohort="wdbc", epochs=3)
    assert merge.block_signature() == same.block_signature()
    assert merge.block_signature() != other.block_signature()
