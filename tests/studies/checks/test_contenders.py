from __future__ import annotations

import pytest
import torch

from mmlego.errors import ShapeError
from mmlego.figures.style import title
from mmlego.lego import LegoBlock
from mmlego.methods.making import Sizes
from mmlego.methods.names import WEIGHT_MERGING
from mmlego.methods.registry import METHODS
from mmlego.studies.checks.contenders import CONTENDERS, MERGES_OF_WEIGHTS

SIZES = Sizes(
    widths={"table": 5, "bag": 6},
    kinds={"table": "tabular", "bag": "bag"},
    n_outputs=3,
    latent_channels=2,
    latent_dim=8,
    depth=1,
    hidden=8,
)
MERGE = MERGES_OF_WEIGHTS[WEIGHT_MERGING]
INPUTS = {"table": torch.randn(4, 5), "bag": torch.randn(4, 3, 6)}


@pytest.fixture(params=[*CONTENDERS.values()], ids=list(CONTENDERS))
def contender(request):
    return request.param


def test_every_contender_gives_logits(contender):
    whole = contender.whole(SIZES, contender.parts(SIZES)).eval()
    assert whole(INPUTS).shape == (4, 3)


@pytest.mark.parametrize("method", [name for name, c in CONTENDERS.items() if not c.has_latent])
def test_hidden_width_makes_a_model_without_a_latent_smaller(method):
    contender = CONTENDERS[method]
    default = Sizes(**(vars(SIZES) | {"hidden": None}))
    small, large = (
        sum(p.numel() for p in contender.whole(sizes, contender.parts(sizes)).parameters())
        for sizes in (SIZES, default)
    )
    assert small < large / 2


def test_parts_and_joint_training_go_together(contender):
    assert (contender.part is None) == (contender.joint == "all")
    assert (contender.part is None) == (contender.making.assemble is None)
    assert (contender.part is None) == (contender.wrap is None)
    assert title(contender.method) == METHODS[contender.method].title


def test_every_merge_and_every_network_that_can_be_made_small_is_a_contender():
    put_together = {n for n, m in METHODS.items() if m.several and not m.network}
    assert put_together <= set(CONTENDERS)
    assert {n for n, m in METHODS.items() if m.network and m.making} <= set(CONTENDERS)


def test_merged_weights_are_the_mean_and_read_both_modalities():
    sizes = Sizes(**(vars(SIZES) | {"widths": {"table": 6, "bag": 6}}))
    parts = MERGE.parts(sizes)
    whole = MERGE.whole(sizes, parts)
    (shared,) = {id(model): model for model in whole.models.values()}.values()
    assert isinstance(shared, LegoBlock)
    mean = (parts["table"].latent + parts["bag"].latent) / 2
    torch.testing.assert_close(shared.latent, mean)
    inputs = {"table": torch.randn(2, 6), "bag": torch.randn(2, 3, 6)}
    alone = whole({"table": inputs["table"]})
    assert not torch.allclose(whole(inputs), alone)


def test_weights_of_different_shape_cannot_be_merged():
    with pytest.raises(ShapeError, match="differ"):
        MERGE.whole(SIZES, MERGE.parts(SIZES))
