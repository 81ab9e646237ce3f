from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from mmlego.errors import SettingsError
from mmlego.models.token_models import MAGGate
from mmlego.models.token_models.maggate import ScalarGates, VectorGates, shift_length

HERE = {name: torch.ones(1, 1, 1, dtype=torch.bool) for name in ("1", "2")}


def formula(rows, columns, scale, shift):
    """sin(a (k + 1) + b) in the order of the rows."""
    k = torch.arange(1, rows * columns + 1, dtype=torch.float64)
    return torch.sin(scale * k + shift).view(rows, columns)


@pytest.fixture
def case(reference):
    return reference["baseline_fusions_small"]


@pytest.fixture
def vectors(case):
    """Main vector and the two others of the reference case, as (1, 1, 2)."""
    main, *others = (torch.tensor(x, dtype=torch.float64)[None] for x in case["inputs"]["X"])
    return main, dict(zip(HERE, others, strict=True))


@pytest.fixture
def gates():
    """The gates of the reference case, which has no biases."""
    gates = VectorGates(2, list(HERE), dropout=0.0).double()
    with torch.no_grad():
        for m, name in enumerate(HERE, start=1):
            gates.gate[name].weight.copy_(0.5 * formula(2, 4, 0.7, 0.1 * m))
            gates.move[name].weight.copy_(0.5 * formula(2, 2, 0.6, 0.2 * m))
            gates.gate[name].bias.zero_()
            gates.move[name].bias.zero_()
    return gates


def test_original_gates_as_in_the_reference(case, vectors, gates):
    main, others = vectors
    shift = gates.displacement(main, others, HERE)
    alpha = shift_length(main, shift, 1.0)
    found = {
        "mag_displacement": shift[0],
        "mag_alpha": alpha[0],
        "mag_pre_norm": (main + alpha * shift)[0],
        "mag_layernorm": gates(main, others, HERE)[0],
    }
    for name, value in found.items():
        expected = torch.tensor(case["expected"][name], dtype=torch.float64)
        torch.testing.assert_close(value, expected, rtol=0, atol=case["tolerance"])


def test_a_shift_is_no_longer_than_beta_times_what_it_shifts():
    main, shift = torch.tensor([[3.0, 4.0]]), torch.tensor([[60.0, 80.0]])
    assert (shift_length(main, shift, 2.0) * shift).norm() == pytest.approx(10.0, rel=1e-6)
    assert shift_length(main, shift / 100, 2.0) == 1.0
    assert shift_length(main, torch.zeros(1, 2), 0.0) == 1.0


def test_each_token_and_sample_has_norms_of_its_own():
    main, shift = torch.randn(3, 4, 5), 9 * torch.randn(3, 4, 5)
    together = shift_length(main, shift, 0.5)
    assert together.shape == (3, 4, 1)
    torch.testing.assert_close(together[1, 2], shift_length(main[1, 2], shift[1, 2], 0.5))


def test_scalar_gates_shift_one_after_the_other():
    gates, main = ScalarGates(4, ["1", "2"], dropout=0.0), torch.randn(3, 1, 4)
    others = {name: torch.randn(3, 1, 4) for name in ("1", "2")}
    expected = main
    for name, x in others.items():
        weight = torch.sigmoid(gates.gate[name](torch.cat([expected, x], dim=-1)))
        shift = (weight * x) @ gates.move[name].weight.T + gates.move[name].bias
        length = gates.beta[name].abs() * expected.norm(dim=-1) / (shift.norm(dim=-1) + 1e-6)
        moved = expected + length.clamp(max=1.0)[..., None] * shift
        expected = F.layer_norm(moved, (4,))
    here = {name: torch.ones(3, 1, 1, dtype=torch.bool) for name in others}
    torch.testing.assert_close(gates(main, others, here), expected)


def test_the_length_of_a_shift_is_learned_from_below_zero_too():
    gates, main = ScalarGates(4, ["1"], dropout=0.0), torch.randn(3, 1, 4)
    with torch.no_grad():
        gates.beta["1"].fill_(-0.01)
    here = {"1": torch.ones(3, 1, 1, dtype=torch.bool)}
    gates(main, {"1": torch.randn(3, 1, 4)}, here).pow(3).sum().backward()
    assert gates.beta["1"].grad.abs() > 1e-4


@pytest.mark.parametrize("variant", ["fusemoe", "original"])
def test_an_absent_modality_shifts_nothing(make, inputs, present, variant):
    model = make(MAGGate, variant=variant)
    before = model(inputs, present)
    with torch.no_grad():
        model.front.tokenizers["note"].absent += 1.0
    assert torch.equal(model(inputs, present), before)


@pytest.mark.parametrize("variant", ["fusemoe", "original"])
def test_learned_tokens_stand_in_for_an_absent_main_modality(make, inputs, present, variant):
    model = make(MAGGate, variant=variant)
    before = model(inputs, present)
    with torch.no_grad():
        model.front.tokenizers["lab"].absent += torch.randn(4, 16)
    changed = (model(inputs, present) - before).abs().amax(dim=1) > 1e-6
    assert changed.tolist() == [False, True, False, False]


@pytest.mark.parametrize("variant", ["fusemoe", "original"])
def test_the_main_modality_is_the_first_or_the_one_that_is_named(make, variant):
    assert make(MAGGate, variant=variant).main == "lab"
    model = make(MAGGate, variant=variant, main="note")
    assert list(model.gates.move) == ["lab", "code"]
    with pytest.raises(SettingsError, match="MAGGate: main: expected one of.*'age'"):
        make(MAGGate, main="age")
    with pytest.raises(SettingsError, match="variant.*'vector'"):
        make(MAGGate, variant="vector")
    with pytest.raises(SettingsError, match="dropout"):
        make(MAGGate, gate_dropout=1.0)


def test_variants_shift_mean_tokens_or_every_token(make, inputs):
    model = make(MAGGate)
    seen = []
    model.gates.register_forward_pre_hook(lambda _, args: seen.append(args[0]))
    model(inputs)
    tokens = model.front.read(inputs).tokens
    torch.testing.assert_close(seen[0], tokens[:, 0].mean(dim=1, keepdim=True))
    original = make(MAGGate, variant="original")
    original.gates.register_forward_pre_hook(lambda _, args: seen.append(args[0]))
    original(inputs)
    torch.testing.assert_close(seen[1], original.front.read(inputs).tokens[:, 0])


@pytest.mark.parametrize("variant", ["fusemoe", "original"])
def test_a_single_modality_is_a_residual_head_on_its_mean_token(make, inputs, variant):
    model = make(MAGGate, modalities=1, variant=variant)
    inputs = {"lab": inputs["lab"]}
    mean = model.front.read(inputs).tokens[:, 0].mean(dim=1)
    torch.testing.assert_close(model(inputs), model.head(mean))
