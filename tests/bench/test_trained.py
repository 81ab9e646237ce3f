"""A trained model is asked for as the kind of network that it is."""

from __future__ import annotations

import pandas as pd
import pytest
from torch import nn

from mmlego.bench.configurations import Configuration
from mmlego.bench.merging import bare, bare_blocks
from mmlego.bench.store.fits import FitStore
from mmlego.bench.trained import as_kind
from mmlego.errors import RunError
from mmlego.lego.block import LegoBlock
from mmlego.methods.names import LEGO_BLOCK
from mmlego.models.encoders.unimodal import Unimodal


@pytest.fixture
def models(as_trained, folds):
    return as_trained(folds()[0], {"table": LegoBlock(3, 2), "bag": nn.Linear(3, 2)})


def test_a_network_comes_as_its_kind(models):
    trained = models["table"]
    assert trained.network(Unimodal) is trained.model
    assert trained.inner(LegoBlock) is trained.model.model
    assert bare(models) == {name: one.model.model for name, one in models.items()}


def test_another_kind_is_refused(models):
    with pytest.raises(RunError, match="expected a LegoBlock, got Linear"):
        bare_blocks(models)
    with pytest.raises(RunError, match="expected a LegoBlock, got Unimodal"):
        models["table"].network(LegoBlock)
    with pytest.raises(RunError, match="expected a Linear, got NoneType"):
        as_kind(None, nn.Linear)


def test_a_configuration_is_there_only_where_several_are_compared(models):
    trained = models["table"]
    with pytest.raises(RunError, match="got a model that was trained by itself"):
        _ = trained.chosen_configuration
    trained.configuration = Configuration("deep", "deeper", LEGO_BLOCK)
    assert trained.chosen_configuration.title == "deeper"


def test_what_was_measured_is_taken_from_a_record(models, tmp_path):
    asked = []

    def measure(trained):
        asked.append(trained.key)
        return pd.DataFrame({"n": [1]})

    first = FitStore(tmp_path)
    found = models["table"].measured(first, as_kind, measure, part="test")
    again = FitStore(tmp_path, recall_table=first.tables.get)
    assert models["table"].measured(again, as_kind, measure, part="test").equals(found)
    assert asked == ["key of table"]
    models["table"].measured(again, as_kind, measure, part="val")
    models["bag"].measured(again, as_kind, measure, part="test")
    assert asked == ["key of table", "key of table", "key of bag"]
