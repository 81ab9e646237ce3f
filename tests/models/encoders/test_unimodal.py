from __future__ import annotations

import pytest
import torch

from mmlego.errors import ModalityError, ShapeError
from mmlego.models.encoders import ABMIL, SNN, ConcatTabular, Unimodal, check_batch

WIDTHS = {"rna": 4, "cnv": 3, "mut": 2}


@pytest.fixture
def concat():
    return ConcatTabular(["rna", "cnv"], WIDTHS, SNN(7, 2)).eval()


@pytest.fixture
def tables():
    return {"rna": torch.randn(3, 4), "cnv": torch.randn(3, 3)}


def test_unimodal_reads_its_modality_only(tables):
    model = SNN(4, 2).eval()
    torch.testing.assert_close(Unimodal("rna", model)(tables), model(tables["rna"]))


def test_unimodal_hands_on_the_mask():
    model, x = ABMIL(5, 2).eval(), torch.randn(2, 4, 5)
    mask = torch.arange(4).expand(2, 4) < 2
    logits = Unimodal("img", model)({"img": x}, masks={"img": mask})
    torch.testing.assert_close(logits, model(x[:, :2]))


def test_unimodal_refuses_samples_without_it(tables):
    model = Unimodal("rna", SNN(4, 2))
    with pytest.raises(ModalityError, match=r"'rna'.*rows \[1\].*where_present"):
        model(tables, present={"rna": torch.tensor([True, False, True])})
    with pytest.raises(ModalityError, match="'rna'"):
        model({"cnv": tables["cnv"]})


def test_unimodal_refuses_padding_that_its_model_cannot_see():
    class Mean(torch.nn.Module):
        def forward(self, x):
            return x.mean(dim=1)

    model, x = Unimodal("img", Mean()), torch.randn(2, 3, 5)
    assert model({"img": x}, masks={"img": torch.ones(2, 3).bool()}).shape == (2, 5)
    with pytest.raises(ModalityError, match="takes a mask"):
        model({"img": x}, masks={"img": torch.arange(3).expand(2, 3) < 2})


def test_concat_sorts_names(concat, tables):
    expected = concat.model(torch.cat([tables["cnv"], tables["rna"]], dim=1))
    torch.testing.assert_close(concat(tables), expected)
    torch.testing.assert_close(concat(dict(reversed(tables.items()))), expected)


@pytest.mark.parametrize("garbage", [7.0, float("nan")])
def test_concat_fills_absent_rows_with_zeros(concat, tables, garbage):
    present = {"rna": torch.tensor([True, False, True])}
    tables["rna"][1] = garbage
    filled = torch.cat([tables["cnv"], tables["rna"]], dim=1)
    filled[1, 3:] = 0.0
    torch.testing.assert_close(concat(tables, present), concat.model(filled))


def test_concat_reads_an_omitted_table_as_absent(concat, tables):
    absent = {"rna": torch.zeros(3, dtype=torch.bool)}
    torch.testing.assert_close(concat({"cnv": tables["cnv"]}), concat(tables, absent))


def test_concat_refuses_a_sample_without_tables(concat, tables):
    flag = torch.tensor([True, True, False])
    with pytest.raises(ModalityError, match=r"rows \[2\]"):
        concat(tables, {"rna": flag, "cnv": flag})
    with pytest.raises(ModalityError, match="no modality"):
        concat({})


def test_concat_refuses_unknown_names_and_widths(concat, tables):
    with pytest.raises(ModalityError, match="'mut'"):
        concat(tables | {"mut": torch.zeros(3, 2)})
    with pytest.raises(ShapeError, match="'rna'"):
        concat(tables | {"rna": torch.zeros(3, 5)})
    with pytest.raises(ModalityError, match="distinct"):
        ConcatTabular(["rna", "rna"], WIDTHS, SNN(8, 2))
    with pytest.raises(ModalityError, match="distinct"):
        ConcatTabular(["clin"], WIDTHS, SNN(8, 2))


def test_check_batch_refuses_uneven_batches_and_odd_flags(tables):
    with pytest.raises(ShapeError, match="one batch size"):
        check_batch("model", ["rna", "cnv"], tables | {"cnv": torch.zeros(2, 3)})
    with pytest.raises(ShapeError, match=r"present\['rna'\]"):
        check_batch("model", ["rna", "cnv"], tables, {"rna": torch.ones(3)})
