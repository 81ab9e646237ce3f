from __future__ import annotations

import pytest
import torch

from mmlego.errors import ModalityError, SettingsError, ShapeError
from mmlego.models.baselines import Ensemble
from mmlego.models.encoders import ABMIL, SNN, Unimodal


@pytest.fixture
def models():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return {"img": ABMIL(5, 3).eval(), "rna": SNN(4, 3).eval(), "mut": SNN(2, 3).eval()}


@pytest.fixture
def inputs():
    rng = torch.Generator().manual_seed(1)
    return {
        "img": torch.randn(4, 6, 5, generator=rng),
        "rna": torch.randn(4, 4, generator=rng),
        "mut": torch.randn(4, 2, generator=rng),
    }


@pytest.fixture
def logits(models, inputs):
    return torch.stack([models[name](x) for name, x in inputs.items()])  # (m, b, k)


def test_averages_logits(models, inputs, logits):
    torch.testing.assert_close(Ensemble(models)(inputs), logits.mean(dim=0))


def test_averages_probabilities(models, inputs, logits):
    result = Ensemble(models, average="probabilities")(inputs)
    torch.testing.assert_close(result.exp(), logits.softmax(dim=2).mean(dim=0))


def test_averages_hazards(models, inputs, logits):
    result = Ensemble(models, average="hazards")(inputs)
    torch.testing.assert_close(result.sigmoid(), logits.sigmoid().mean(dim=0))


def test_certain_hazards_stay_finite(inputs):
    class Sure(torch.nn.Module):
        def forward(self, x):
            return torch.full((len(x), 3), 200.0)

    result = Ensemble({"rna": Sure(), "mut": Sure()}, average="hazards")(
        {"rna": inputs["rna"], "mut": inputs["mut"]}
    )
    torch.testing.assert_close(result, torch.full((4, 3), 200.0))


@pytest.mark.parametrize("average", ["logits", "probabilities", "hazards"])
def test_a_sample_with_one_modality_gets_that_model(models, inputs, logits, average):
    present = {name: torch.ones(4, dtype=torch.bool) for name in inputs}
    present["img"][2] = present["mut"][2] = False
    inputs["img"][2] = inputs["mut"][2] = float("nan")
    result = Ensemble(models, average=average)(inputs, present)
    own = logits[1, 2].log_softmax(dim=0) if average == "probabilities" else logits[1, 2]
    torch.testing.assert_close(result[2], own)
    assert torch.isfinite(result).all()


@pytest.mark.parametrize("average", ["logits", "probabilities", "hazards"])
def test_omitting_a_modality_equals_masking_it_and_batch_mates_do_not_matter(
    models, inputs, average
):
    model = Ensemble(models, average=average)
    absent = {"img": torch.zeros(4, dtype=torch.bool)}
    rest = {name: inputs[name] for name in ("rna", "mut")}
    torch.testing.assert_close(model(rest), model(inputs, absent))
    alone = model({name: x[1:2] for name, x in inputs.items()})
    torch.testing.assert_close(model(inputs)[1:2], alone)


def test_masks_reach_the_model_and_wrapped_models_are_unwrapped(models, inputs):
    mask = {"img": torch.arange(6).expand(4, 6) < 3}
    short = inputs | {"img": inputs["img"][:, :3]}
    wrapped = Ensemble({name: Unimodal(name, m) for name, m in models.items()})
    torch.testing.assert_close(wrapped(inputs, masks=mask), Ensemble(models)(short))


def test_refuses_what_it_cannot_average(models, inputs):
    with pytest.raises(SettingsError, match="average"):
        Ensemble(models, average="votes")
    with pytest.raises(ModalityError, match="by modality name"):
        Ensemble({})
    with pytest.raises(ModalityError, match="'clin'"):
        Ensemble(models)({"clin": inputs["rna"]})
    flags = {name: torch.tensor([True, True, True, False]) for name in inputs}
    with pytest.raises(ModalityError, match=r"rows \[3\]"):
        Ensemble(models)(inputs, flags)
    with pytest.raises(ShapeError, match="numbers of outputs"):
        Ensemble(models | {"rna": SNN(4, 2)})(inputs)
