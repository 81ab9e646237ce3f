from __future__ import annotations

import pytest
import torch

from mmlego.bench.training import build_encoder
from mmlego.errors import SettingsError
from mmlego.studies.weights.merges import MERGES, merge_states


def test_every_method_merges_to_something_else(fold):
    torch.manual_seed(1)
    base, first, second = (build_encoder(fold, "rna").state_dict() for _ in range(3))
    merged = {method: merge_states(method, base, [first, second], 1) for method in MERGES}
    weights = torch.stack([state["encoder.layers.0.weight"].flatten() for state in merged.values()])
    assert torch.cdist(weights, weights).fill_diagonal_(1.0).min() > 1e-3
    with pytest.raises(SettingsError, match="got 'mean'"):
        merge_states("mean", base, [first, second], 1)
