from __future__ import annotations

import pytest
import torch

from mmlego.errors import ModalityError, SettingsError
from mmlego.models.baselines.late_fusion import LateFusion
from mmlego.models.encoders import ABMILEncoder, SNNEncoder

WIDTHS = {"rna": 5, "img": 4}
KINDS = {"rna": "tabular", "img": "bag"}
HERE = torch.tensor([True, False, True, True])


@pytest.fixture(autouse=True)
def _seeded():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        yield


@pytest.fixture
def inputs():
    return {"rna": torch.randn(4, 5), "img": torch.randn(4, 3, 4)}


def make(**options):
    return LateFusion(WIDTHS, 3, kinds=KINDS, width=12, **options).eval()


def encodings(model, inputs):
    """Encodings of all modalities, the vector of absence where rna is not HERE."""
    rna = model.encoders["rna"](inputs["rna"])
    return torch.where(HERE[:, None], rna, model.absent["rna"]), model.encoders["img"](
        inputs["img"]
    )


def test_the_published_sizes():
    model = LateFusion(WIDTHS | {"vitals": 2}, 4, kinds=KINDS | {"vitals": "series"})
    assert isinstance(model.encoders["rna"], SNNEncoder)
    assert isinstance(model.encoders["vitals"], ABMILEncoder)
    assert {e.out_dim for e in model.encoders.values()} == {256}
    assert model.head.in_features == 3 * 256
    hidden = LateFusion(WIDTHS, 4, kinds=KINDS, hidden=True)
    shapes = [tuple(p.shape) for p in hidden.fuse.parameters() if p.ndim == 2]
    assert shapes == [(256, 512), (256, 256)]
    product = LateFusion(WIDTHS, 4, kinds=KINDS, fusion="bilinear")
    shapes = [tuple(p.shape) for p in product.fuse.parameters() if p.ndim == 2]
    assert shapes == [(32, 256)] * 2 + [(32, 512)] * 2 + [(32, 32)] * 2 + [(256, 1089), (256, 256)]


def test_concat_is_one_linear_layer_on_the_encodings(inputs):
    model = make()
    both = torch.cat(encodings(model, inputs), dim=1)
    expected = both @ model.head.weight.T + model.head.bias
    torch.testing.assert_close(model(inputs, {"rna": HERE}), expected)


def test_bilinear_is_the_gated_kronecker_product(inputs):
    model = make(fusion="bilinear")
    with torch.no_grad():
        model.absent["rna"].normal_()
    encoded, fuse = encodings(model, inputs), model.fuse
    reduced = []
    for k in range(2):
        h = torch.relu(fuse.reduce[k][0](encoded[k]))
        z = torch.sigmoid(fuse.gate[k][0](torch.cat(encoded, dim=1)))
        o = torch.relu(fuse.out[k][0](z * h))
        reduced.append(torch.cat([o, torch.ones(4, 1)], dim=1))
    product = torch.stack([torch.kron(a, b) for a, b in zip(*reduced, strict=True)])
    last = torch.relu(fuse.after[1][3](torch.relu(fuse.after[1][0](product))))
    torch.testing.assert_close(model(inputs, {"rna": HERE}), model.head(last))


@pytest.mark.parametrize(
    ("options", "additive"),
    [({}, True), ({"hidden": True}, False), ({"fusion": "bilinear"}, False)],
)
def test_a_single_linear_layer_only_adds_modalities_up(inputs, options, additive):
    model = make(**options).double()
    first = {name: x.double() for name, x in inputs.items()}
    second = {name: x.double().flip(0) * 3 for name, x in inputs.items()}
    mixed = [{"rna": a["rna"], "img": b["img"]} for a in (first, second) for b in (first, second)]
    interaction = sum(s * model(x) for s, x in zip((1, -1, -1, 1), mixed, strict=True))
    assert (interaction.abs().max() < 1e-12) == additive


@pytest.mark.parametrize("options", [{}, {"hidden": True}, {"fusion": "bilinear"}])
def test_the_vector_of_an_absent_modality_starts_at_zero_and_is_learned(inputs, options):
    model = make(**options)
    assert all((v == 0).all() for v in model.absent.values())
    model(inputs, {"rna": HERE}).square().sum().backward()
    assert model.absent["rna"].grad.abs().sum() > 0
    assert model.absent["img"].grad.abs().sum() == 0
    before = model(inputs, {"rna": HERE})
    with torch.no_grad():
        model.absent["rna"] += 1.0
    changed = (model(inputs, {"rna": HERE}) != before).any(dim=1)
    assert changed.tolist() == [False, True, False, False]


def test_refuses_numbers_of_modalities_that_do_not_fit():
    with pytest.raises(SettingsError, match="two modalities or more.*SNN or ABMIL"):
        LateFusion({"rna": 5}, 2)
    three = WIDTHS | {"mut": 3}
    with pytest.raises(SettingsError, match="'bilinear'.*with_tabular"):
        LateFusion(three, 2, fusion="bilinear")
    assert LateFusion(three, 2)({"mut": torch.randn(2, 3)}).shape == (2, 2)


def test_refuses_options_that_do_not_fit():
    with pytest.raises(SettingsError, match="hidden=False"):
        LateFusion(WIDTHS, 2, fusion="bilinear", hidden=True)
    with pytest.raises(SettingsError, match="fusion.*'sum'"):
        LateFusion(WIDTHS, 2, fusion="sum")
    with pytest.raises(SettingsError, match="dropout"):
        LateFusion(WIDTHS, 2, dropout=1.0)
    with pytest.raises(SettingsError, match=r"kinds\['img'\]"):
        LateFusion(WIDTHS, 2, kinds={"rna": "tabular"})
    with pytest.raises(ModalityError, match="without dots"):
        LateFusion({"a.b": 2, "c": 3}, 2)
