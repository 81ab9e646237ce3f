"""Networks that were never trained, as trained models of a fold."""

from __future__ import annotations

import pytest

from mmlego.bench.store.fits import FitStore
from mmlego.bench.trained import Labels, TrainedModel
from mmlego.models.encoders.unimodal import Unimodal


@pytest.fixture
def store(tmp_path):
    return FitStore(tmp_path / "fits")


@pytest.fixture
def as_trained(outcome):
    """Make trained models of networks by modality, with a validation loss each if given."""

    def make(fold, networks, losses=None):
        return {
            name: TrainedModel(
                fold,
                Labels("lego_block", (name,)),
                f"key of {name}",
                lambda name=name, network=network: (None, Unimodal(name, network).eval()),
                outcome(facts={"best_val_loss": (losses or {}).get(name, 1.0)}),
            )
            for name, network in networks.items()
        }

    return make
