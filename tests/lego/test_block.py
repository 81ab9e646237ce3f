"""LegoBlock: equal paths, masks, independence of batch-mates, freezing, and what it can learn."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from mmlego.errors import MMLegoError, ModalityError, SettingsError, ShapeError
from mmlego.lego import LegoBlock, LegoMerge
from mmlego.lego.dropout import dropout
from mmlego.lego.profiles import PROFILES, Knobs

OPTIONS = [
    {},
    {"profile": "official"},
    {"profile": "lossless"},
    {"context": "spatial"},
    {"context": "concat", "share_weights": False},
    {"spatial_state": "real"},
    {"normalise": False, "track_imaginary": False},
    {"frequency_domain": False},
    {"fft_axes": "1d", "track_imaginary": False},
]


def draw(*shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=generator, dtype=torch.float64)


@pytest.mark.parametrize("options", OPTIONS)
def test_frequency_path_equals_literal_path(options, small):
    block = small(5, depth=3, **options)
    x, state = draw(3, 4, 5), torch.complex(draw(3, 4, 6, seed=1), draw(3, 4, 6, seed=2))
    for given in (None, state, state.real):
        fast, literal = (block.encode(x, state=given, literal=v) for v in (False, True))
        torch.testing.assert_close(fast, literal, rtol=0, atol=1e-12)
        gradients = []
        for z in (fast, literal):
            block.zero_grad()
            (z.real.sin() + z.imag.cos()).sum().backward()
            gradients.append([p.grad.clone() for p in block.attention.parameters()])
        for a, b in zip(*gradients, strict=True):
            torch.testing.assert_close(a, b, rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize("width", [2, 3, 7])
@pytest.mark.parametrize("tokens", [1, 2, 5])
def test_rearranged_attention_equals_the_plain_one(tokens, width, small):
    # width < dim_head=3 folds the projections, a single token skips queries and keys.
    attention = small(width).attention[0].train()
    latent, context = draw(2, 4, 6), draw(2, tokens, width, seed=1)
    plain = attention._remember_plain(attention.norm_context(context), None)
    expected = attention(latent, plain)
    update = attention(latent, attention.remember(context)).expand_as(latent)
    torch.testing.assert_close(update, expected)
    torch.testing.assert_close(attention.eval()(latent, plain), expected)


def test_single_token_attention_dropout_drops_head_and_channel(small):
    block = small(7, attn_dropout=0.5)
    attention = block.attention[0].train()
    latent, memory = draw(200, 4, 6), attention.remember(draw(200, 1, 7, seed=1))
    torch.manual_seed(0)
    update = attention(latent, memory) - attention.project.bias
    first, second = memory.values.unbind(1)
    combinations = torch.stack([0 * first, 2 * first, 2 * second, 2 * first + 2 * second], 1)
    distance = (update[:, :, None] - combinations[:, None]).abs().amax(-1).detach()
    assert float(distance.amin(-1).max()) < 1e-3
    share = torch.bincount(distance.argmin(-1).flatten(), minlength=4) / distance[..., 0].numel()
    assert float((share - 0.25).abs().max()) < 0.05
    choice = distance.argmin(-1)  # drawn anew for every channel and every sample
    assert float((choice[:, :1] == choice[:, 1:]).double().mean()) == pytest.approx(0.25, abs=0.06)
    assert float((choice[:1] == choice[1:]).double().mean()) == pytest.approx(0.25, abs=0.06)


def test_dropout_keeps_the_mean_and_the_rate():
    torch.manual_seed(0)
    x = torch.ones(400, 1001)
    out = dropout(x, 0.36, True)
    dropped = (out == 0).float()
    assert float(dropped.mean()) == pytest.approx(0.36, abs=0.004)
    assert float(out.mean()) == pytest.approx(1.0, abs=0.004)
    for lane in range(4):
        assert float(dropped.flatten()[lane::4].mean()) == pytest.approx(0.36, abs=0.008)
    assert dropout(x, 0.36, False) is x
    assert bool(torch.isfinite(dropout(x, 0.9999999, True)).all())
    assert dropout(x.bfloat16(), 0.5, True).dtype == torch.bfloat16


@pytest.mark.parametrize("options", OPTIONS)
def test_padding_and_batch_mates_do_not_matter(options, small):
    block = small(5, **options)
    x, mask = draw(3, 6, 5), torch.ones(3, 6, dtype=torch.bool)
    mask[0, 4:] = False
    mask[1, [0, 2]] = False
    garbage = torch.where(mask[..., None], x, float("nan")).requires_grad_()
    logits = block(garbage, mask)
    logits.sum().backward()
    assert bool(torch.isfinite(garbage.grad).all())
    for i in range(3):
        torch.testing.assert_close(logits[i : i + 1], block(x[i : i + 1, mask[i]]))
    torch.testing.assert_close(block(x)[1:2], block(x[1:2]))


def test_forward_changes_nothing_and_repeats(small):
    block, x = small(5), draw(3, 4, 5)
    mask = torch.tensor([[True] * 4, [True, True, False, False], [True] * 4])
    before, given = copy.deepcopy(block.state_dict()), (x.clone(), mask.clone())
    first = block(x, mask)
    assert torch.equal(block(x, mask), first)
    assert torch.equal(x, given[0])
    assert torch.equal(mask, given[1])
    assert list(before) == list(block.state_dict())
    for key, value in block.state_dict().items():
        assert torch.equal(value, before[key])
    assert torch.equal(copy.deepcopy(block)(x, mask), first)


@pytest.mark.parametrize("options", OPTIONS)
def test_gradient_reaches_every_parameter(options, small):
    block = small(5, **options).train()
    block(draw(3, 4, 5)).square().sum().backward()
    for name, parameter in block.named_parameters():
        assert parameter.grad is not None, name
        assert bool((parameter.grad != 0).any()), name


def test_single_token_leaves_zero_gradients_not_none(small):
    block = small(5).train()
    block(draw(3, 5)).square().sum().backward()
    assert torch.equal(block.attention[0].to_query.weight.grad, torch.zeros(6, 6).double())
    assert all(p.grad is not None for p in block.parameters())


def test_imaginary_part_never_sees_the_data(small):
    block = small(5, normalise=False, depth=3)
    start = torch.fft.fft2(block.latent).imag
    torch.testing.assert_close(block.encode(draw(1, 4, 5)).imag[0], start)
    scaled = small(5, depth=3).encode(draw(2, 4, 5)).imag
    ratio = scaled[0] / scaled[1]
    kept = start.abs() > 1e-6
    torch.testing.assert_close(ratio[kept], ratio[kept][:1].expand(int(kept.sum())))


@pytest.mark.parametrize("profile", PROFILES)
def test_profiles_and_configuration(profile, small):
    block = small(5, profile=profile, name="x", outputs=("a", "b", "c"))
    again = LegoBlock(**block.config())
    assert again.config() == block.config()
    assert block.knobs == PROFILES[profile]
    assert small(5, profile=profile, temperature=2.0).knobs.temperature == 2.0


def test_knobs_differ_as_documented():
    assert PROFILES["paper"] == Knobs()
    official = PROFILES["official"]
    assert (official.fft_axes, official.temperature, official.share_weights) == ("1d", 0.5, False)
    assert official.leaky_projection
    assert PROFILES["lossless"].context == "hartley"


class Pool(nn.Module):
    """Mean over valid tokens, then a linear layer and dropout; counts its calls."""

    takes_mask = True

    def __init__(self):
        super().__init__()
        self.linear, self.drop, self.calls = nn.Linear(5, 7), nn.Dropout(0.5), 0

    def forward(self, x, mask=None):
        self.calls += 1
        weights = torch.ones(x.shape[:2]).to(x) if mask is None else mask.to(x)
        return self.drop(self.linear((x * weights[..., None]).sum(1) / weights.sum(1)[:, None]))


def test_encoder_runs_once_and_sees_the_mask(small):
    block = small(7, encoder=Pool())
    x, mask = draw(2, 4, 5), torch.tensor([[True] * 4, [True, True, False, False]])
    logits = block(x, mask)
    assert block.encoder.calls == 1
    torch.testing.assert_close(block(x[1:, :2]), logits[1:])


def test_token_encoder_keeps_the_mask(small):
    block = small(7, encoder=nn.Linear(5, 7))
    x, mask = draw(2, 4, 5), torch.tensor([[True] * 4, [True, True, False, False]])
    torch.testing.assert_close(block(x[1:, :2]), block(x, mask)[1:])


@pytest.mark.parametrize("freeze", ["none", "encoder", "all"])
def test_freeze(freeze, small):
    block = small(7, encoder=Pool(), freeze=freeze).train()
    assert block.encoder.training == (freeze == "none")
    assert block.attention.training == (freeze != "all")
    logits = block(draw(3, 4, 5))
    trained = {n.split(".")[0] for n, p in block.named_parameters() if p.requires_grad}
    assert ("encoder" in trained) == (freeze == "none")
    assert ("attention" in trained) == (freeze != "all") == logits.requires_grad
    if freeze != "all":
        logits.sum().backward()
        assert (block.encoder.linear.weight.grad is not None) == (freeze == "none")


class Wrong(nn.Module):
    def forward(self, x):
        return x.mean(1)


BAD_INPUTS = {
    "width": (lambda b: b(draw(2, 4, 6)), ShapeError, "enc_dim=6"),
    "axes": (lambda b: b(draw(2, 3, 4, 5)), ShapeError, "expected"),
    "empty": (lambda b: b(draw(0, 5)), ShapeError, "b >= 1"),
    "list": (lambda b: b([1.0]), ShapeError, "list"),
    "integers": (lambda b: b(torch.ones(2, 5).long()), ShapeError, "float"),
    "nan": (lambda b: b(draw(2, 5) * float("nan")), ShapeError, "finite"),
    "infinity": (lambda b: b(draw(2, 5) / 0), ShapeError, "finite"),
    "mask type": (lambda b: b(draw(2, 4, 5), torch.ones(2, 4)), ShapeError, "bool"),
    "mask shape": (lambda b: b(draw(2, 4, 5), torch.ones(2, 3).bool()), ShapeError, r"\(2, 4\)"),
    "mask of a table": (lambda b: b(draw(2, 5), torch.ones(2, 5).bool()), ShapeError, "mask"),
    "empty bag": (
        lambda b: b(draw(2, 4, 5), torch.eye(2, 4).bool() * 0 > 0),
        ModalityError,
        "valid",
    ),
    "state": (lambda b: b.encode(draw(2, 5), state=draw(3, 4, 6)), ShapeError, "state"),
}


@pytest.mark.parametrize("case", BAD_INPUTS)
def test_bad_inputs(case, small):
    call, error, match = BAD_INPUTS[case]
    with pytest.raises(error, match=match):
        call(small(5))


def test_messages_name_the_modality_once(small):
    block = small(5, name="image")
    with pytest.raises(ShapeError, match=r"^modality 'image': input"):
        block(draw(2, 6))
    with pytest.raises(ShapeError, match=r"^modality 'image': input"):
        LegoMerge({"picture": block})({"picture": draw(2, 6)})


def test_bad_encoders(small):
    with pytest.raises(ShapeError, match="enc_dim=8"):
        small(7, encoder=nn.Linear(5, 8))(draw(2, 5))
    pooled = small(5, encoder=Wrong())
    pooled(draw(2, 4, 5), torch.ones(2, 4, dtype=torch.bool))
    with pytest.raises(ShapeError, match="takes_mask"):
        pooled(draw(2, 4, 5), torch.tensor([[True] * 4, [True, False, False, False]]))


@pytest.mark.parametrize(
    "options",
    [
        {"profile": "papr"},
        {"context": "imaginary"},
        {"fft_axes": "3d"},
        {"spatial_state": "none"},
        {"freeze": True},
        {"freeze": "encoder"},
        {"depth": 0},
        {"heads": 2.0},
        {"attn_dropout": 1.0},
        {"temperature": 0.0},
        {"normalise": "yes"},
        {"encoder": lambda x: x},
        {"outputs": ("a", "b")},
        {"outputs": ("a", "a", "b")},
    ],
)
def test_bad_options(options, small):
    with pytest.raises(SettingsError):
        small(5, **options)


def test_unknown_arguments_are_not_swallowed(small):
    with pytest.raises(TypeError):
        small(5, weight_sharing=True)
    assert issubclass(SettingsError, MMLegoError)


def test_autocast_stays_close_and_trains(small):
    block = small(5).float().train()
    x = draw(3, 4, 5).float()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        logits = block(x)
    logits.float().sum().backward()
    torch.testing.assert_close(logits.float(), block(x), rtol=0.1, atol=0.1)
    assert all(bool(torch.isfinite(p.grad).all()) for p in block.parameters())


def area_under_curve(scores, labels):
    order = scores[labels][:, None] > scores[~labels][None]
    return float(order.float().mean())


@pytest.mark.parametrize(("profile", "low", "high"), [("lossless", 0.9, 1.0), ("paper", 0.4, 0.6)])
def test_odd_labels_are_learnable_only_without_loss(profile, low, high):
    # The label depends on h_j - h_(E-j) alone, which Re F(h) does not contain.
    torch.manual_seed(0)
    h = torch.randn(900, 16)
    odd = h - h.roll(-1, 1).flip(1)
    labels = odd[:, 1:8] @ torch.linspace(1, -1, 7).sign() > 0
    block = LegoBlock(
        16,
        1,
        latent_channels=4,
        latent_dim=16,
        depth=1,
        heads=2,
        dim_head=8,
        attn_dropout=0.0,
        ff_dropout=0.0,
        profile=profile,
    )
    optimizer = torch.optim.Adam(block.parameters(), lr=0.005)
    for _ in range(60):
        loss = nn.functional.binary_cross_entropy_with_logits(
            block(h[:600])[:, 0], labels[:600].float()
        )
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    with torch.no_grad():
        auc = area_under_curve(block.eval()(h[600:])[:, 0], labels[600:])
    assert low <= auc <= high
