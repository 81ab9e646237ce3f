"""How much the gates of trained models let through of each feature."""

from __future__ import annotations

from collections.abc import Iterable

import pandas as pd

from mmlego.bench.store.fits import FitStore
from mmlego.bench.store.tables import one_table
from mmlego.bench.trained import TrainedModel
from mmlego.studies.dynamics.run import BOTH, FEATURE, explain_part

GATED = (BOTH, FEATURE)
COLUMNS = ["modality", "feature", "repeat", "gate"]


def rankings(runs: Iterable[TrainedModel], store: FitStore) -> pd.DataFrame:
    """Mean gate of every feature over the test samples that have it: how much is let through.

    Args:
        runs: Trained arms.
        store: What knows tables of earlier runs.

    Returns:
        modality, feature, repeat, gate; of arms without a gate, images left out, no row.
    """
    frames = [trained.measured(store, rankings, _means) for trained in runs if trained.arm in GATED]
    return one_table(frames, COLUMNS)


def _means(trained: TrainedModel) -> pd.DataFrame:
    """The rows of one model; none where all gates are those of images."""
    frames = [
        pd.DataFrame(
            {
                "modality": name,
                "feature": trained.fold.features[name],
                "repeat": trained.fold.repeat,
                "gate": gate[trained.test.present[name]].double().mean(dim=0).numpy(),
            }
        )
        for name, gate in explain_part(trained.model, trained.test).gates.items()
        if trained.fold.kinds[name] != "image"
    ]
    return one_table(frames, COLUMNS)
