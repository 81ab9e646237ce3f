from __future__ import annotations

import pytest
import torch

from mmlego.errors import ModalityError, SettingsError
from mmlego.models.baselines.mcat import MCAT, TokenPool

WIDTHS = {"rna": 5, "img": 4, "mut": 3}
KINDS = {"rna": "tabular", "img": "bag", "mut": "tabular"}
SMALL = {"width": 16, "heads": 2, "ff_dim": 24, "attn_dim": 8}
ROWS = 4


@pytest.fixture(autouse=True)
def _seeded():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        yield


@pytest.fixture
def model():
    return MCAT(WIDTHS, 3, kinds=KINDS, **SMALL).eval()


@pytest.fixture
def inputs():
    return {
        "rna": torch.randn(ROWS, 5),
        "img": torch.randn(ROWS, 6, 4),
        "mut": torch.randn(ROWS, 3),
    }


def without(model, table):
    """The same weights in a model that has never heard of one of the tables."""
    rest = {name: width for name, width in WIDTHS.items() if name != table}
    smaller = MCAT(rest, 3, kinds=KINDS, **SMALL).eval()
    smaller.load_state_dict(
        {k: v for k, v in model.state_dict().items() if not k.startswith(f"tokens.{table}.")}
    )
    return smaller


def test_the_published_sizes():
    model = MCAT(WIDTHS, 4, kinds=KINDS)
    assert [tuple(p.shape) for p in model.tokens["rna"].parameters() if p.ndim == 2] == [
        (256, 5),
        (256, 256),
    ]
    assert (model.co_attention.num_heads, model.co_attention.embed_dim) == (1, 256)
    for pool in (model.asked, model.asking):
        assert [layer.self_attn.num_heads for layer in pool.transformer] == [8, 8]
        assert [layer.linear1.out_features for layer in pool.transformer] == [512, 512]
        assert not any(layer.norm_first for layer in pool.transformer)
    assert [p.shape[1] for p in model.classify.parameters() if p.ndim == 2] == [512, 256]


def test_logits_follow_the_published_steps(model, inputs):
    tokens = torch.stack([model.tokens[name](inputs[name]) for name in ("rna", "mut")], dim=1)
    memory = torch.relu(model.instances[0](inputs["img"]))
    weights, biases = (
        p.chunk(3) for p in (model.co_attention.in_proj_weight, model.co_attention.in_proj_bias)
    )
    q, k, v = (
        x @ w.T + b for x, w, b in zip((tokens, memory, memory), weights, biases, strict=True)
    )
    scores = (q @ k.transpose(1, 2) / 16**0.5).softmax(dim=2)  # over instances
    answers = model.co_attention.out_proj(scores @ v)
    valid = torch.ones(ROWS, 2, dtype=torch.bool)
    both = torch.cat([model.asked(answers, valid), model.asking(tokens, valid)], dim=1)
    hidden = torch.relu(model.classify[3](torch.relu(model.classify[0](both))))
    torch.testing.assert_close(model(inputs), model.head(hidden))


def test_tokens_attend_to_tokens_of_their_own_sample():
    pool = TokenPool(**SMALL, dropout=0.0).eval()
    tokens, valid = torch.randn(3, 4, 16), torch.ones(3, 4, dtype=torch.bool)
    other = tokens.clone()
    other[1, 2] += 1.0
    changed = (pool(tokens, valid) - pool(other, valid)).abs().amax(dim=1) > 1e-6
    assert changed.tolist() == [False, True, False]
    # Pooling is over tokens, whose order has no meaning.
    torch.testing.assert_close(pool(tokens.flip(1), valid), pool(tokens, valid))


@pytest.mark.parametrize("table", ["rna", "mut"])
def test_an_absent_table_leaves_the_model_without_it(model, inputs, table):
    present = {table: torch.zeros(ROWS, dtype=torch.bool)}
    rest = {name: x for name, x in inputs.items() if name != table}
    torch.testing.assert_close(model(inputs, present), without(model, table)(rest))


def test_without_any_table_one_learned_token_asks(model, inputs):
    bag = {"img": inputs["img"]}
    torch.testing.assert_close(model(bag), without(model, "mut")(bag))
    before = model(bag)
    with torch.no_grad():
        model.no_table.add_(torch.randn(16))
    assert ((model(bag) - before).abs().amax(dim=1) > 1e-5).all()
    partly = {"rna": inputs["rna"], **bag}
    kept = model(partly)
    with torch.no_grad():
        model.no_table.add_(torch.randn(16))
    torch.testing.assert_close(model(partly), kept)


def test_without_the_bag_the_tables_alone_decide(model, inputs):
    tables = {name: inputs[name] for name in ("rna", "mut")}
    assert (model.no_bag == 0).all()
    model(tables).square().sum().backward()
    assert model.no_bag.grad.abs().sum() > 0
    unread = [*model.instances.parameters(), *model.co_attention.parameters()]
    assert all(p.grad is None for p in [*unread, *model.asked.parameters()])
    assert all(p.grad is not None for p in model.asking.parameters())


def test_the_shortcut_that_attention_takes_without_gradients_changes_nothing(model, inputs):
    present = {"rna": torch.tensor([True, False, False, True]), "mut": torch.ones(4).bool()}
    present["mut"][2] = present["mut"][3] = False
    with torch.no_grad():
        short = model(inputs, present)
    torch.testing.assert_close(short, model(inputs, present))


def test_the_order_of_instances_has_no_meaning(model, inputs):
    shuffled = inputs | {"img": inputs["img"][:, torch.randperm(6)]}
    torch.testing.assert_close(model(shuffled), model(inputs))


def test_one_table_and_a_series_are_enough(inputs):
    model = MCAT({"a": 5, "s": 4}, 2, kinds={"a": "tabular", "s": "series"}, **SMALL)
    assert model({"a": inputs["rna"], "s": inputs["img"]}).shape == (ROWS, 2)


@pytest.mark.parametrize(
    "kinds",
    [
        None,
        {"rna": "bag", "img": "bag", "mut": "tabular"},
        {"rna": "series", "img": "bag", "mut": "series"},
    ],
)
def test_refuses_other_modalities(kinds):
    with pytest.raises(ModalityError, match="one table or more and exactly one bag or series"):
        MCAT(WIDTHS, 2, kinds=kinds)


def test_refuses_a_bag_alone_and_heads_that_do_not_divide():
    with pytest.raises(ModalityError, match=r"tables \[\] and bags \['img'\]"):
        MCAT({"img": 4}, 2, kinds={"img": "bag"})
    with pytest.raises(SettingsError, match="heads that divide width 16, got 3"):
        MCAT(WIDTHS, 2, kinds=KINDS, **(SMALL | {"heads": 3}))
    with pytest.raises(SettingsError, match="activation"):
        MCAT(WIDTHS, 2, kinds=KINDS, activation="relu")
