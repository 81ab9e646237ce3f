from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from mmlego.errors import ModalityError, SettingsError, ShapeError
from mmlego.models.layers.positions import Tokenizer, fourier_features, relative_positions

REFERENCE = Path(__file__).parents[2] / "reference" / "mmlego.json"
KINDS = {"rna": "tabular", "img": "bag"}


@pytest.fixture
def tokenizer():
    return Tokenizer("model", {"rna": 3, "img": 2}, KINDS, bands=2, max_freq=2.0)


def read(tokenizer, inputs, present=None, masks=None):
    return tokenizer.read(inputs, present, masks, torch.float32)


@pytest.mark.parametrize(
    ("case", "low", "max_freq"),
    [
        ("max_freq_10_range_-1_1", -1.0, 10.0),
        ("max_freq_2_range_0_1_official_mmlego_healnet", 0.0, 2.0),
    ],
)
def test_features_match_the_reference(case, low, max_freq):
    cases = json.loads(REFERENCE.read_text())["fourier_positions"]
    positions = torch.linspace(low, 1.0, cases["n"], dtype=torch.float64)
    features = fourier_features(positions, cases["bands"], max_freq)
    expected = torch.tensor(cases[case], dtype=torch.float64)
    torch.testing.assert_close(features, expected, atol=1e-6, rtol=0)


def test_frequencies_are_spread_evenly_from_one_to_half_the_highest():
    t = torch.tensor(0.3)
    features = fourier_features(t, bands=3, max_freq=6.0)
    angles = torch.pi * 0.3 * torch.tensor([1.0, 2.0, 3.0])
    torch.testing.assert_close(features, torch.cat([angles.sin(), angles.cos(), t[None]]))


def test_positions_run_from_minus_one_to_one():
    valid = torch.ones(2, 5, dtype=torch.bool)
    expected = torch.linspace(-1, 1, 5).expand(2, 5)
    torch.testing.assert_close(relative_positions(valid), expected)


def test_padding_moves_no_token_wherever_it_is():
    valid = torch.tensor([[1, 1, 1, 0, 0], [0, 1, 0, 1, 1], [1, 1, 1, 1, 1]]).bool()
    positions = relative_positions(valid)
    three = torch.linspace(-1, 1, 3)
    torch.testing.assert_close(positions[0, :3], three)
    torch.testing.assert_close(positions[1, [1, 3, 4]], three)
    assert torch.isfinite(positions).all()


def test_a_single_token_and_none_have_finite_positions():
    valid = torch.tensor([[True, False], [False, False]])
    assert relative_positions(valid)[0, 0] == -1.0
    assert torch.isfinite(relative_positions(valid)).all()


def test_only_bags_carry_positions(tokenizer):
    inputs = {"img": torch.randn(2, 3, 2), "rna": torch.randn(2, 3)}
    tokens = read(tokenizer, inputs)
    assert list(tokens) == ["rna", "img"]
    assert torch.equal(tokens["rna"].values, inputs["rna"][:, None])
    assert torch.equal(tokens["img"].values[..., :2], inputs["img"])
    expected = fourier_features(torch.linspace(-1, 1, 3), 2, 2.0).expand(2, 3, 5)
    torch.testing.assert_close(tokens["img"].values[..., 2:], expected)
    assert tokenizer.widths == {"rna": 3, "img": 7}


def test_absent_and_padded_values_are_zeros(tokenizer):
    inputs = {"rna": torch.ones(2, 3), "img": torch.ones(2, 3, 2)}
    inputs["rna"][1] = float("nan")
    inputs["img"][0, 2] = float("inf")
    present = {"rna": torch.tensor([True, False])}
    masks = {"img": torch.tensor([[True, True, False], [True, True, True]])}
    tokens = read(tokenizer, inputs, present, masks)
    assert tokens["rna"].valid.tolist() == [[True], [False]]
    assert tokens["img"].valid.tolist() == masks["img"].tolist()
    assert tokens["rna"].values[1].tolist() == [[0.0, 0.0, 0.0]]
    assert tokens["img"].values[0, 2, :2].tolist() == [0.0, 0.0]


def test_a_modality_that_nobody_has_is_left_out(tokenizer):
    inputs = {"rna": torch.ones(2, 3), "img": torch.ones(2, 3, 2)}
    nobody = torch.zeros(2, 3, dtype=torch.bool)
    assert list(read(tokenizer, inputs, masks={"img": nobody})) == ["rna"]


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_refuses_values_that_are_not_finite(tokenizer, value):
    img = torch.ones(2, 3, 2)
    img[1, 1, 0] = value
    with pytest.raises(ShapeError, match="modality 'img'.*finite"):
        read(tokenizer, {"img": img})


def test_refuses_masks_of_tables_and_of_strangers(tokenizer):
    with pytest.raises(ShapeError, match="modality 'rna'.*no mask"):
        read(tokenizer, {"rna": torch.ones(2, 3)}, masks={"rna": torch.ones(2, 1).bool()})
    with pytest.raises(ModalityError, match="'clin'"):
        read(tokenizer, {"rna": torch.ones(2, 3)}, masks={"clin": torch.ones(2, 1).bool()})


@pytest.mark.parametrize(
    ("widths", "kinds", "options", "error", "message"),
    [
        ({}, None, {}, ModalityError, "by modality name"),
        ({"a.b": 2}, None, {}, ModalityError, "without dots"),
        ({"a": 0}, None, {}, SettingsError, r"widths\['a'\]"),
        ({"a": 2}, {"b": "bag"}, {}, SettingsError, r"kinds\['a'\]"),
        ({"a": 2}, {"a": "image"}, {}, SettingsError, "'image'"),
        ({"a": 2}, None, {"bands": 0}, SettingsError, "bands"),
        ({"a": 2}, None, {"max_freq": 0.0}, SettingsError, "max_freq"),
    ],
)
def test_refuses_modalities_it_cannot_read(widths, kinds, options, error, message):
    with pytest.raises(error, match=message):
        Tokenizer("model", widths, kinds, **{"bands": 2, "max_freq": 2.0, **options})
