from __future__ import annotations

import pytest
import torch

from mmlego.errors import ModalityError, SettingsError, ShapeError
from mmlego.models.contract import Part, check_kinds, read_batch, spread

WIDTHS = {"rna": 2, "img": 3}
KINDS = {"rna": "tabular", "img": "bag"}
NAN = float("nan")


@pytest.fixture
def inputs():
    return {"img": torch.ones(3, 4, 3), "rna": torch.ones(3, 2)}


def read(inputs, **options):
    return read_batch("model", WIDTHS, KINDS, inputs, **options)


def test_parts_come_in_the_order_of_the_widths(inputs):
    parts = read(inputs)
    assert list(parts) == ["rna", "img"]
    assert parts["rna"].mask is None
    assert parts["img"].mask.all()


def test_what_is_absent_or_padding_becomes_zero(inputs):
    inputs["rna"][1], inputs["img"][0], inputs["img"][2, 1:] = NAN, NAN, NAN
    mask = torch.ones(3, 4, dtype=torch.bool)
    mask[2, 1:] = False
    present = {
        "rna": torch.tensor([True, False, True]),
        "img": torch.tensor([False, True, True]),
    }
    parts = read(inputs, present=present, masks={"img": mask})
    assert parts["rna"].values.sum(dim=1).tolist() == [2.0, 0.0, 2.0]
    assert parts["img"].values.sum(dim=(1, 2)).tolist() == [0.0, 12.0, 3.0]
    assert parts["img"].mask.sum(dim=1).tolist() == [0, 4, 1]


def test_a_modality_that_nobody_has_has_no_values(inputs):
    nobody = {"img": torch.zeros(3, dtype=torch.bool)}
    assert read(inputs, present=nobody)["img"].values is None
    left_out = read({"rna": inputs["rna"]})["img"]
    assert left_out.values is None
    assert left_out.here.tolist() == [False] * 3


def test_only_samples_that_are_here_are_encoded():
    here = torch.tensor([True, False, True])
    values = torch.arange(6.0).view(3, 2)
    seen = []

    def encoder(x):
        seen.append(len(x))
        return x + 1

    fill = torch.tensor([7.0, 8.0])
    encoded = Part(values, here).encode(encoder, fill)
    assert encoded.tolist() == [[1.0, 2.0], [7.0, 8.0], [5.0, 6.0]]
    assert Part(None, here).encode(encoder, fill).tolist() == [[7.0, 8.0]] * 3
    assert seen == [2]


def test_the_stand_in_takes_part_in_the_graph_even_if_all_are_here():
    fill = torch.zeros(2, requires_grad=True)
    spread(torch.ones(2, 2), torch.ones(2, dtype=torch.bool), fill).sum().backward()
    assert fill.grad.tolist() == [0.0, 0.0]


@pytest.mark.parametrize("name", WIDTHS)
@pytest.mark.parametrize("value", [NAN, float("inf")])
def test_refuses_values_that_are_not_finite_where_they_count(inputs, name, value):
    inputs[name][1] = value
    with pytest.raises(ShapeError, match=f"modality '{name}': expected finite values"):
        read(inputs)


def test_refuses_masks_of_tables_and_of_unknown_modalities(inputs):
    mask = torch.ones(3, 4, dtype=torch.bool)
    with pytest.raises(ShapeError, match="modality 'rna': expected no mask of a table"):
        read(inputs, masks={"rna": mask})
    with pytest.raises(ModalityError, match="model: masks: unknown modalities"):
        read(inputs, masks={"ct": mask})


def test_images_are_for_owners_that_say_so():
    kinds = {"rna": "tabular", "img": "image"}
    with pytest.raises(SettingsError, match=r"kinds\['img'\].*got 'image'"):
        check_kinds("model", WIDTHS, kinds)
    assert check_kinds("model", WIDTHS, kinds, ("tabular", "image")) == kinds


def test_absent_images_become_zero_and_have_no_mask():
    images = torch.ones(2, 3, 4, 5)
    images[1] = NAN
    present = {"img": torch.tensor([True, False])}
    given = {"rna": torch.ones(2, 2), "img": images}
    kinds = KINDS | {"img": "image"}
    part = read_batch("model", WIDTHS, kinds, given, present)["img"]
    assert part.values.sum(dim=(1, 2, 3)).tolist() == [60.0, 0.0]
    assert part.mask is None
    with pytest.raises(ShapeError, match="modality 'img': expected finite"):
        read_batch("model", WIDTHS, kinds, given)
    with pytest.raises(ShapeError, match="modality 'img': expected no mask of an image"):
        read_batch("model", WIDTHS, kinds, given, present, {"img": torch.ones(2, 4).bool()})
    with pytest.raises(ShapeError, match=r"modality 'img': expected \(b, 3, h, w\)"):
        read_batch("model", WIDTHS, kinds, given | {"img": images[:, :2]}, present)


def test_refuses_a_sample_of_which_only_an_empty_bag_is_left(inputs):
    present = {"rna": torch.tensor([True, False, True])}
    mask = torch.ones(3, 4, dtype=torch.bool)
    mask[:2] = False
    with pytest.raises(ModalityError, match=r"rows \[1\]"):
        read(inputs, present=present, masks={"img": mask})


def test_kinds_are_those_of_the_widths_and_tables_by_default():
    assert check_kinds("model", WIDTHS, KINDS | {"ct": "image"}) == KINDS
    assert check_kinds("model", WIDTHS, None) == dict.fromkeys(WIDTHS, "tabular")
    with pytest.raises(SettingsError, match=r"kinds\['img'\]"):
        check_kinds("model", WIDTHS, {"rna": "tabular"})
    with pytest.raises(SettingsError, match=r"widths\['rna'\]"):
        check_kinds("model", {"rna": 0}, None)


def test_absent_volumes_become_zero_and_are_for_owners_that_say_so():
    volumes = torch.ones(2, 1, 3, 4, 5)
    volumes[1] = NAN
    present = {"img": torch.tensor([True, False])}
    given = {"rna": torch.ones(2, 2), "img": volumes}
    widths, kinds = {"rna": 2, "img": 1}, {"rna": "tabular", "img": "volume"}
    part = read_batch("model", widths, kinds, given, present)["img"]
    assert part.values.shape == volumes.shape
    assert part.values.sum(dim=(1, 2, 3, 4)).tolist() == [60.0, 0.0]
    assert part.mask is None
    with pytest.raises(SettingsError, match=r"kinds\['img'\].*got 'volume'"):
        check_kinds("model", widths, kinds)
    assert check_kinds("model", widths, kinds, ("tabular", "volume")) == kinds
    with pytest.raises(ShapeError, match="modality 'img': expected finite"):
        read_batch("model", widths, kinds, given)
    with pytest.raises(ShapeError, match="modality 'img': expected no mask of a volume"):
        read_batch("model", widths, kinds, given, present, {"img": torch.ones(2, 4).bool()})
    for wrong in (volumes[:, :, 0], volumes.expand(-1, 2, -1, -1, -1)):
        with pytest.raises(ShapeError, match=r"modality 'img': expected \(b, 1, d, h, w\)"):
            read_batch("model", widths, kinds, given | {"img": wrong}, present)
