"""LegoMerge, merged latents and heads: identities, missing modalities, bad input."""

from __future__ import annotations

import copy

import pytest
import torch

from mmlego.errors import ModalityError, SettingsError, ShapeError
from mmlego.lego import LegoFuse, LegoMerge
from mmlego.lego.head import apply_head

HEADS = ("slerp", "linear", "ot")
MODELS = {
    "merge": LegoMerge,
    "static": lambda blocks: LegoMerge(blocks, head_mode="static"),
    "ot": lambda blocks: LegoMerge(blocks, heads="ot"),
    "circular": lambda blocks: LegoMerge(blocks, latents="geometric", phase="circular"),
    "stack": LegoFuse,
    "weave": lambda blocks: LegoFuse(blocks, mode="weave"),
    "raw": lambda blocks: LegoFuse(blocks, transition="raw_real"),
}
PRESENT = {
    "table": torch.tensor([True, False, True, False]),
    "bag": torch.tensor([True, True, False, False]),
    "series": torch.tensor([True, True, False, True]),
}


@pytest.mark.parametrize("heads", HEADS)
def test_merge_of_one_block_is_the_block(heads, trio):
    blocks, inputs = trio
    merged = LegoMerge({"bag": blocks["bag"]}, heads=heads).eval()
    torch.testing.assert_close(merged({"bag": inputs["bag"]}), blocks["bag"](inputs["bag"]))


@pytest.mark.parametrize("heads", ["slerp", "linear"])
def test_order_of_blocks_does_not_matter(heads, trio):
    blocks, inputs = trio
    backwards = {name: blocks[name] for name in reversed(blocks)}
    options = {"heads": heads, "weights": {"table": 1, "bag": 2, "series": 3}}
    one, two = (LegoMerge(b, **options).eval()(inputs, PRESENT) for b in (blocks, backwards))
    torch.testing.assert_close(one, two)


@pytest.mark.parametrize("model", MODELS)
def test_every_modality_is_used(model, trio):
    blocks, inputs = trio
    built = MODELS[model](blocks).eval()
    logits = built(inputs)
    for name, x in inputs.items():
        other = built({**inputs, name: x + torch.randn_like(x)})
        assert float((other - logits).abs().max().detach()) > 1e-4, name


@pytest.mark.parametrize("model", MODELS)
def test_samples_do_not_see_each_other_or_absent_rows(model, trio):
    blocks, inputs = trio
    built = MODELS[model](blocks).eval()
    masks = {"bag": torch.ones(4, 6, dtype=torch.bool)}
    masks["bag"][0, 3:] = False
    logits = built(inputs, PRESENT, masks)
    spoiled = {name: x.clone() for name, x in inputs.items()}
    for name, x in spoiled.items():
        x[~PRESENT[name]] = float("nan")
    spoiled["bag"][0, 3:] = float("inf")
    for x in spoiled.values():
        x.requires_grad_()
    again = built(spoiled, PRESENT, masks)
    torch.testing.assert_close(again, logits, rtol=0, atol=1e-12)
    again.square().sum().backward()
    tensors = [*spoiled.values(), *built.parameters()]
    assert all(t.grad is None or bool(torch.isfinite(t.grad).all()) for t in tensors)
    for i in range(4):
        row = slice(i, i + 1)
        has = [name for name in inputs if bool(PRESENT[name][i])]
        alone = built(
            {name: inputs[name][row] for name in has},
            None,
            {"bag": masks["bag"][row]} if "bag" in has else None,
        )
        torch.testing.assert_close(alone, logits[row])


def test_one_modality_gives_the_logits_of_its_block(trio):
    blocks, inputs = trio
    for heads in HEADS:
        merged = LegoMerge(blocks, heads=heads, weights={"table": 1, "bag": 3, "series": 0}).eval()
        for name, block in blocks.items():
            expected = block(inputs[name])
            torch.testing.assert_close(merged({name: inputs[name]}), expected)
        logits = merged(inputs, PRESENT)
        torch.testing.assert_close(logits[2:3], blocks["table"](inputs["table"][2:3]))
        torch.testing.assert_close(logits[3:4], blocks["series"](inputs["series"][3:4]))


@pytest.mark.parametrize("model", MODELS)
def test_forward_changes_nothing_and_can_be_copied(model, trio):
    blocks, inputs = trio
    built = MODELS[model](blocks).eval()
    state, given = copy.deepcopy(built.state_dict()), {k: v.clone() for k, v in inputs.items()}
    present = {name: flags.clone() for name, flags in PRESENT.items()}
    logits = built(inputs, present)
    assert torch.equal(built(inputs, present), logits)
    for before, after in ((given, inputs), (PRESENT, present), (state, built.state_dict())):
        assert list(before) == list(after)
        assert all(torch.equal(before[key], after[key]) for key in before)
    assert torch.equal(copy.deepcopy(built)(inputs, present), logits)


def test_blocks_trained_apart_merge_and_extend(trio, small):
    blocks, inputs = trio
    first = LegoMerge({name: blocks[name] for name in ("table", "bag")}).eval()
    before = copy.deepcopy(first.state_dict())
    merged = first.add("series", blocks["series"])
    assert merged.blocks["table"] is blocks["table"]
    assert all(torch.equal(merged.state_dict()[key], value) for key, value in before.items())
    direct = LegoMerge(blocks).eval()
    assert torch.equal(merged.eval()(inputs), direct(inputs))
    assert first.names == ("table", "bag")
    with pytest.raises(ModalityError, match="already"):
        merged.add("bag", blocks["bag"])


@pytest.mark.parametrize("kind", ["weights", "head_weights"])
def test_a_weighted_merge_is_told_what_a_new_block_weighs(kind, trio):
    blocks, inputs = trio
    two = {name: blocks[name] for name in ("table", "bag")}
    merged = LegoMerge(two, **{kind: {"table": 1, "bag": 3}}).eval()
    with pytest.raises(SettingsError, match="weights of its own"):
        merged.add("series", blocks["series"])
    weights = {"table": 1, "bag": 3, "series": 2}
    found = merged.add("series", blocks["series"], weights=weights).eval()
    assert torch.equal(found(inputs), LegoMerge(blocks, weights=weights).eval()(inputs))


def test_equal_weights_are_no_weights(trio):
    blocks, inputs = trio
    two = {name: blocks[name] for name in ("table", "bag")}
    found = LegoMerge(two, weights={"table": 2, "bag": 2}).eval().add("series", blocks["series"])
    assert torch.equal(found.eval()(inputs), LegoMerge(blocks).eval()(inputs))


@pytest.mark.parametrize("name", ["table", "bag", "series"])
@pytest.mark.parametrize("heads", ["slerp", "linear"])
def test_weight_of_one_head_alone_gives_that_head(name, heads, trio):
    blocks, inputs = trio
    one = {other: float(other == name) for other in blocks}
    merged = LegoMerge(blocks, heads=heads, head_mode="static", head_weights=one).eval()
    latent = LegoMerge(blocks).eval().encode(inputs)
    assert torch.equal(merged.encode(inputs), latent)
    torch.testing.assert_close(merged(inputs), apply_head(blocks[name].head.tensors(), latent))


def test_heads_weigh_as_latents_do_unless_told(trio):
    blocks, inputs = trio
    weights = {"table": 1, "bag": 2, "series": 3}
    plain = LegoMerge(blocks, weights=weights).eval()
    told = LegoMerge(blocks, weights=weights, head_weights=weights).eval()
    other = LegoMerge(blocks, weights=weights, head_weights=dict.fromkeys(blocks, 1)).eval()
    assert plain.head_weights == plain.weights
    assert torch.equal(plain(inputs), told(inputs))
    assert not torch.allclose(plain(inputs), other(inputs))


def test_merged_head_follows_its_blocks(trio):
    blocks, inputs = trio
    merged = LegoMerge(blocks).eval()
    before = merged(inputs).detach()
    merged(inputs).square().sum().backward()
    assert all(p.grad is not None for p in blocks["bag"].head.parameters())
    with torch.no_grad():
        blocks["bag"].head.linear.bias += 1
    assert not torch.allclose(merged(inputs), before)


@pytest.mark.parametrize("model", ["merge", "stack", "weave"])
def test_bad_inputs_of_models(model, trio):
    blocks, inputs = trio
    built = MODELS[model](blocks).eval()
    absent = dict.fromkeys(inputs, torch.tensor([True, True, True, False]))
    nothing = torch.zeros(4, 6, dtype=torch.bool)
    cases = [
        (({**inputs, "text": inputs["table"]},), ModalityError, "text"),
        ((inputs, {"tabel": PRESENT["table"]}), ModalityError, "tabel"),
        ((inputs, None, {"bags": nothing}), ModalityError, "bags"),
        (({},), ModalityError, "at least one"),
        ((list(inputs.values()),), ModalityError, "mapping"),
        ((inputs, absent), ModalityError, r"\[3\]"),
        (({"bag": inputs["bag"]}, None, {"bag": nothing}), ModalityError, "no modality"),
        (({"bag": inputs["bag"]}, {"table": PRESENT["table"]}), ModalityError, "not among"),
        (({**inputs, "bag": inputs["bag"][:2]},), ShapeError, "batch size"),
        (({**inputs, "bag": inputs["bag"][..., :3]},), ShapeError, "'bag'.*enc_dim=3"),
        (({**inputs, "bag": inputs["bag"] / 0},), ShapeError, "'bag'.*finite"),
        ((inputs, {"bag": torch.ones(4)}), ShapeError, "bool"),
        ((inputs, {"bag": torch.ones(3).bool()}), ShapeError, "b=4"),
        ((inputs, None, {"bag": torch.ones(4, 5).bool()}), ShapeError, "'bag'.*mask"),
    ]
    for arguments, error, match in cases:
        with pytest.raises(error, match=match):
            built(*arguments)


def test_empty_bag_counts_as_missing(trio):
    blocks, inputs = trio
    mask = torch.ones(4, 6, dtype=torch.bool)
    mask[1] = False
    for model in MODELS.values():
        built = model(blocks).eval()
        flags = {"bag": torch.tensor([True, False, True, True])}
        torch.testing.assert_close(built(inputs, None, {"bag": mask}), built(inputs, flags))


@pytest.mark.parametrize("build", [LegoMerge, LegoFuse])
def test_blocks_that_do_not_fit(build, small):
    one = small(5, outputs=("a", "b", "c"))
    for other, match in (
        (small(5, n_outputs=2), "n_outputs"),
        (small(5, latent_dim=8), "latent shape"),
        (small(5, outputs=("b", "a", "c")), "bin edges"),
        (small(5, frequency_domain=False), "frequency_domain"),
        (small(5, fft_axes="1d"), "fft_axes"),
    ):
        with pytest.raises(ShapeError, match=match):
            build({"one": one, "two": other})
    for bad in ({}, [one], {"one": torch.nn.Linear(2, 2)}, {"a.b": one}):
        with pytest.raises(ModalityError):
            build(bad)


@pytest.mark.parametrize(
    ("build", "options"),
    [
        (LegoMerge, {"heads": "slepr"}),
        (LegoMerge, {"latents": "harmonics"}),
        (LegoMerge, {"phase": "linear"}),
        (LegoMerge, {"head_mode": "dynamic"}),
        (LegoMerge, {"weights": {"a": 1}}),
        (LegoMerge, {"weights": {"a": -1, "b": 2}}),
        (LegoMerge, {"weights": [1, 1]}),
        (LegoMerge, {"head_weights": {"a": 1}}),
        (LegoMerge, {"head_weights": {"a": 0, "b": 0}}),
        (LegoFuse, {"mode": "stacked"}),
        (LegoFuse, {"heads": "ot"}),
        (LegoFuse, {"transition": "real"}),
        (LegoFuse, {"mode": "weave", "transition": "raw_real"}),
        (LegoFuse, {"order": ["a"]}),
        (LegoFuse, {"order": ["a", "a"]}),
        (LegoFuse, {"weights": {"a": 1, "c": 2}}),
    ],
)
def test_bad_options_of_models(build, options, small):
    blocks = {"a": small(5), "b": small(4)}
    with pytest.raises(SettingsError):
        build(blocks, **options)
    with pytest.raises(TypeError):
        build(blocks, head_methd="slerp")
