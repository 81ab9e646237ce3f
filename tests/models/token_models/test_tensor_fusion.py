from __future__ import annotations

import pytest
import torch

from mmlego.errors import SettingsError
from mmlego.models.token_models import TensorFusion
from mmlego.models.token_models.tensor_fusion import default_factor_width, outer_product


def test_outer_product_as_in_the_reference(reference):
    case = reference["baseline_fusions_small"]
    features = [torch.tensor(x, dtype=torch.float64) for x in case["inputs"]["X"]]
    expected = torch.tensor(case["expected"]["tensor_fusion"], dtype=torch.float64)
    torch.testing.assert_close(outer_product(features), expected, rtol=0, atol=case["tolerance"])


def test_the_product_stays_small_with_many_modalities():
    assert [default_factor_width(m) for m in range(1, 8)] == [16, 16, 16, 8, 4, 3, 2]
    assert default_factor_width(40) == 1


def test_sizes(make):
    model = make(TensorFusion)
    shapes = [tuple(p.shape) for p in model.layers.parameters() if p.ndim == 2]
    assert shapes == [(128, 17**3), (128, 128)]
    small = make(TensorFusion, modalities=2, factor_width=5, hidden=7)
    assert small.layers[0].weight.shape == (7, 36)
    with pytest.raises(SettingsError, match="factor_width"):
        make(TensorFusion, factor_width=0)


def test_logits_are_two_relu_layers_on_the_product_of_mean_tokens(make, inputs):
    model = make(TensorFusion, modalities=2, factor_width=3)
    inputs = {name: inputs[name] for name in ("lab", "note")}
    pooled = model.front.read(inputs).tokens.mean(dim=2)
    one, two = (
        torch.cat([torch.ones(4, 1), torch.relu(model.reduce[name](pooled[:, m]))], dim=1)
        for m, name in enumerate(inputs)
    )
    product = torch.stack([torch.kron(a, b) for a, b in zip(one, two, strict=True)])
    first, second = model.layers[0], model.layers[3]
    expected = model.head(torch.relu(second(torch.relu(first(product)))))
    torch.testing.assert_close(model(inputs), expected)


def test_of_an_absent_modality_only_the_one_is_left(make, inputs, present):
    model = make(TensorFusion)
    before = model(inputs, present)
    seen = []
    model.layers.register_forward_pre_hook(lambda _, args: seen.append(args[0]))
    with torch.no_grad():
        for tokenizer in model.front.tokenizers.values():
            tokenizer.absent += 1.0
    assert torch.equal(model(inputs, present), before)
    table = seen[0].view(4, 17, 17, 17)
    assert (table[1, 1:] == 0).all()
    assert (table[2, :, 1:] == 0).all()
    assert (table[:, 0, 0, 0] == 1).all()
    assert table[0, 1:, 1:, 1:].abs().sum() > 0
