"""Losses, gradients, options and explanations of the model of tables, bags and series."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from mmlego.errors import ModalityError, SettingsError
from mmlego.learning import cox_loss, survival_nll
from mmlego.models.dynamics import VARIANTS, MMDynamics, MMStatic
from mmlego.models.dynamics.confidence import true_confidence

WIDTHS = {"rna": 5, "img": 4}
KINDS = {"rna": "tabular", "img": "bag"}
HERE = torch.tensor([True, False, True, True])
LABEL = {"label": torch.tensor([0, 2, 1, 1])}
SURVIVAL = {
    "time_bin": torch.tensor([0, 2, 1, 1]),
    "time": torch.tensor([1.0, 9.0, 4.0, 3.0]),
    "event": torch.tensor([True, True, False, True]),
}
NOBODY = torch.zeros(4, dtype=torch.bool)
HAS_GATE, HAS_CONFIDENCE = ("both", "feature"), ("both", "modality")


def cross_entropy(logits, target):
    return F.cross_entropy(logits, target["label"])


def hazards(logits, target):
    return survival_nll(logits, target["time_bin"], target["event"])


def cox(logits, target):
    return cox_loss(logits[:, 0], target["time"], target["event"])


@pytest.fixture
def inputs():
    return {"rna": torch.randn(4, 5), "img": torch.randn(4, 3, 4)}


def make(n_outputs=3, **options):
    return MMDynamics(WIDTHS, n_outputs, kinds=KINDS, **({"hidden": 12} | options)).eval()


def terms_of(model, inputs, present=None, target=LABEL, loss=cross_entropy):
    return model.forward_with_auxiliary(inputs, present, None, target, loss)[1]


def gradient(term, *modules):
    """Sum of absolute gradients; 0 where a parameter took no part."""
    parameters = [p for module in modules for p in module.parameters()]
    found = torch.autograd.grad(term, parameters, allow_unused=True, retain_graph=True)
    return sum(float(g.abs().sum()) for g in found if g is not None)


def test_affine_maps_start_from_xavier_normal_weights_and_zero_biases():
    model = MMDynamics({"rna": 200}, 4, hidden=300)
    layers = (model.branches["rna"].gate[0], model.branches["rna"].encoder)
    for layer in (*layers, model.head, model.classifiers["rna"], model.regressors["rna"]):
        assert not layer.bias.any()
        expected = (2 / (layer.in_features + layer.out_features)) ** 0.5
        weight = layer.weight.detach()
        assert float(weight.std()) == pytest.approx(expected, rel=0.15)
        kurtosis = (weight / weight.std()).pow(4).mean()
        assert kurtosis > 2.2  # 3 of a normal, 1.8 of a uniform distribution


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_variant_has_the_parts_it_uses(variant):
    model = MMDynamics(WIDTHS, 3, kinds=KINDS, variant=variant, hidden={"rna": 7, "img": 6})
    count = sum(p.numel() for p in model.parameters())
    encoders, head = (5 + 1) * 7 + (4 + 1) * 6, (7 + 6 + 1) * 3
    gates = (5 + 1) * 5 + (4 + 1) * 4
    heads = (7 + 1) * (3 + 1) + (6 + 1) * (3 + 1)
    expected = encoders + head + gates * (variant in HAS_GATE) + heads * (variant in HAS_CONFIDENCE)
    assert count == expected


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_variant_has_the_terms_and_explanations_of_its_parts(variant, inputs):
    model = make(variant=variant)
    gate, confidence = variant in HAS_GATE, variant in HAS_CONFIDENCE
    expected = ["features"] * gate + ["confidence", "unimodal"] * confidence
    assert list(terms_of(model, inputs)) == expected
    shown = model.explain(inputs)
    assert list(shown.gates) == list(WIDTHS) * gate
    assert list(shown.unimodal) == list(shown.confidence) == list(WIDTHS) * confidence
    torch.testing.assert_close(shown.logits, model(inputs))
    assert not shown.logits.requires_grad


def test_terms_act_on_what_they_are_about(inputs):
    model = make()
    terms = terms_of(model, inputs)
    gates = [branch.gate for branch in model.branches.values()]
    encoders = [branch.encoder for branch in model.branches.values()]
    assert gradient(terms["features"], *gates) > 0
    assert gradient(terms["features"], *encoders, model.head, model.regressors) == 0
    assert gradient(terms["unimodal"], model.classifiers, *encoders, *gates) > 0
    assert gradient(terms["unimodal"], model.head, model.regressors) == 0
    assert gradient(terms["confidence"], model.regressors, *encoders) > 0
    assert gradient(terms["confidence"], model.head) == 0
    assert gradient(model(inputs).sum(), model.classifiers) == 0


@pytest.mark.parametrize("detached", [False, True])
def test_the_error_of_a_confidence_moves_the_classifier_unless_detached(detached, inputs):
    model = make(detach_tcp=detached)
    terms = terms_of(model, inputs)
    assert (gradient(terms["confidence"], model.classifiers) == 0) == detached
    assert gradient(terms["confidence"], model.regressors) > 0
    torch.testing.assert_close(terms["confidence"], terms_of_twin(model, inputs)["confidence"])


def terms_of_twin(model, inputs):
    twin = make(detach_tcp=not model.detach_tcp)
    twin.load_state_dict(model.state_dict())
    return terms_of(twin, inputs)


def test_all_readers_share_one_dropped_out_encoding(inputs):
    """With half of the units dropped, confidence and classifier must see the same half."""
    model = make(hidden=40, variant="modality").train()
    model.regressors["img"].weight.data.zero_()
    with torch.no_grad():
        for layer in (model.regressors["rna"], model.classifiers["rna"]):
            layer.weight.fill_(1.0)
        model.head.weight.fill_(1.0)
    seen = []
    for layer in (model.regressors["rna"], model.classifiers["rna"], model.head):
        layer.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    model.forward_with_auxiliary(inputs, None, None, LABEL, cross_entropy)
    by_width = {x.shape[1]: [y for y in seen if y.shape[1] == x.shape[1]] for x in seen}
    first, second = by_width[40]
    assert torch.equal(first, second)
    kept = by_width[80][0][:, :40] != 0
    assert torch.equal(kept, (first != 0) & (first.sum(dim=1, keepdim=True) != 0))
    active = model.explain(inputs).hidden["rna"] != 0
    assert 0.3 < (first != 0).sum() / active.sum() < 0.7


@pytest.mark.parametrize("final", [0.0, 2.5])
def test_loss_weights_act_once_each(final, inputs):
    weights = {"final": final, "feature": 3.0, "modality": 0.25}
    model, plain = make(loss_weights=weights), make()
    plain.load_state_dict(model.state_dict())
    terms, ones = terms_of(model, inputs), terms_of(plain, inputs)
    assert list(ones) == ["features", "confidence", "unimodal"]
    torch.testing.assert_close(terms["features"], 3.0 * ones["features"])
    torch.testing.assert_close(terms["confidence"], 0.25 * ones["confidence"])
    torch.testing.assert_close(terms["unimodal"], 0.25 * ones["unimodal"])
    loss = cross_entropy(model(inputs), LABEL)
    # The published code would give final ** 2 with two modalities.
    torch.testing.assert_close(loss + terms["final"], final * loss)


def test_a_sigmoid_bounds_confidences(inputs):
    model, bounded = make(), make(tcp_activation="sigmoid")
    bounded.load_state_dict(model.state_dict())
    for name, raw in model.explain(inputs).confidence.items():
        torch.testing.assert_close(bounded.explain(inputs).confidence[name], raw.sigmoid())
    assert not torch.allclose(bounded(inputs), model(inputs))


def test_absent_samples_take_no_part_in_auxiliary_losses(inputs):
    model = make()
    rows = {name: x[HERE] for name, x in inputs.items()}
    some = terms_of(model, inputs, {"rna": HERE})
    alone = terms_of(model, {"rna": rows["rna"]}, target={"label": LABEL["label"][HERE]})
    image = terms_of(model, {"img": inputs["img"]})
    for name, value in some.items():
        torch.testing.assert_close(value, alone[name] + image[name])


def test_a_modality_that_nobody_has_adds_nothing(inputs):
    model = make()
    terms = terms_of(model, inputs, {"img": NOBODY})
    sum(terms.values()).backward()
    assert all(p.grad is None or not p.grad.any() for p in model.branches["img"].parameters())
    assert any(p.grad is not None and p.grad.any() for p in model.branches["rna"].parameters())


def test_a_bag_of_one_instance_is_a_table(inputs):
    table = MMDynamics({"img": 4}, 3, hidden=12)
    for kind in ("bag", "series"):
        bag = MMDynamics({"img": 4}, 3, kinds={"img": kind}, hidden=12)
        bag.load_state_dict(table.state_dict())
        rows = inputs["img"][:, 0]
        torch.testing.assert_close(bag.eval()({"img": rows[:, None]}), table.eval()({"img": rows}))
        ours, theirs = (terms_of(m, {"img": x}) for m, x in ((bag, rows[:, None]), (table, rows)))
        for name in theirs:
            torch.testing.assert_close(ours[name], theirs[name])
        assert bag.explain({"img": rows[:, None]}).gates["img"].shape == (4, 1, 4)


def test_padding_takes_no_part_in_losses_and_has_no_gate(inputs):
    model = make()
    bags = torch.cat([inputs["img"], torch.full((4, 2, 4), float("nan"))], dim=1)
    masks = {"img": torch.arange(5).expand(4, -1) < 3}
    padded = inputs | {"img": bags}
    terms = model.forward_with_auxiliary(padded, None, masks, LABEL, cross_entropy)[1]
    for name, value in terms_of(model, inputs).items():
        torch.testing.assert_close(terms[name], value)
    gate = model.explain(padded, masks=masks).gates["img"]
    assert gate[:, 3:].isnan().all()
    torch.testing.assert_close(gate[:, :3], model.explain(inputs).gates["img"])


def test_every_sample_counts_the_same_in_the_gate_loss_whatever_its_bag():
    model = MMDynamics({"img": 4}, 3, kinds={"img": "bag"}, hidden=6).eval()
    bags = torch.randn(2, 5, 4)
    masks = {"img": torch.tensor([[True] * 5, [True] + [False] * 4])}
    label = {"label": torch.tensor([0, 1])}
    both = model.forward_with_auxiliary({"img": bags}, None, masks, label, cross_entropy)[1]
    gates = model.explain({"img": bags}, masks=masks).gates["img"]
    expected = (gates[0].mean() + gates[1, 0].mean()) / 2
    torch.testing.assert_close(both["features"], expected)


def test_explanations_have_neither_dropout_nor_a_mode(inputs):
    model = make().train()
    first, second = model.explain(inputs), model.explain(inputs)
    assert model.training
    assert torch.equal(first.logits, second.logits)
    assert torch.equal(first.logits, model.eval()(inputs))
    assert not torch.equal(model.train()(inputs), model(inputs))


def test_hazards_as_targets(inputs):
    model = make(n_outputs=4)
    terms = terms_of(model, inputs, {"rna": HERE}, SURVIVAL, hazards)
    shown = model.explain(inputs, {"rna": HERE})
    error = loss = 0.0
    for name, here in (("rna", HERE), ("img", ~NOBODY)):
        logits, target = shown.unimodal[name][here], {k: v[here] for k, v in SURVIVAL.items()}
        nll = torch.stack(
            [
                hazards(row[None], {k: v[i, None] for k, v in target.items()})
                for i, row in enumerate(logits)
            ]
        )
        error += (shown.confidence[name][here] - (-nll).exp()).square().mean()
        loss += nll.mean()
    torch.testing.assert_close(terms["confidence"], error)
    torch.testing.assert_close(terms["unimodal"], loss)


def test_confidences_can_be_trained_on_events_only(inputs):
    model = make(n_outputs=4, tcp_events_only=True)
    terms = terms_of(model, inputs, None, SURVIVAL, hazards)
    shown, event = model.explain(inputs), SURVIVAL["event"]
    error = sum(
        (shown.confidence[n] - true_confidence(shown.unimodal[n], SURVIVAL))[event].square().mean()
        for n in WIDTHS
    )
    torch.testing.assert_close(terms["confidence"], error)
    everybody = terms_of(make(n_outputs=4), inputs, None, SURVIVAL, hazards)
    assert list(everybody) == list(terms)
    censored = SURVIVAL | {"event": NOBODY}
    assert terms_of(model, inputs, None, censored, hazards)["confidence"] == 0


def test_risks_as_targets_skip_who_cannot_be_compared(inputs):
    model = make(n_outputs=1)
    target = SURVIVAL | {"event": torch.tensor([False, True, False, True])}
    share = true_confidence(model.explain(inputs).unimodal["rna"], target)
    # Sample 0 left before any event, so no pair contains it.
    assert share.isnan().tolist() == [True, False, False, False]
    terms = terms_of(model, inputs, None, target, cox)
    assert all(torch.isfinite(term) for term in terms.values())
    assert gradient(terms["confidence"], model.classifiers) == 0
    shown = model.explain(inputs)
    error = sum(
        (shown.confidence[n] - true_confidence(shown.unimodal[n], target))[1:].square().mean()
        for n in WIDTHS
    )
    torch.testing.assert_close(terms["confidence"], error)
    nobody = SURVIVAL | {"event": NOBODY}
    assert terms_of(model, inputs, None, nobody, cox)["confidence"] == 0


def test_an_oracle_weighs_by_the_truth(inputs):
    model, plain = make(weighting="oracle"), make()
    plain.load_state_dict(model.state_dict())
    shown = model.explain(inputs, target=LABEL)
    weights = {n: true_confidence(o, LABEL)[:, None] for n, o in shown.unimodal.items()}
    fused = torch.cat([weights[n] * h for n, h in shown.hidden.items()], dim=1)
    torch.testing.assert_close(shown.logits, model.head(fused).detach())
    torch.testing.assert_close(shown.confidence["rna"], plain.explain(inputs).confidence["rna"])
    logits, terms = model.forward_with_auxiliary(inputs, None, None, LABEL, cross_entropy)
    torch.testing.assert_close(logits, model.head(fused))
    assert gradient(logits.sum(), model.classifiers, model.regressors) == 0
    assert gradient(terms["confidence"], model.regressors) > 0
    with pytest.raises(SettingsError, match=r"explain\(.*target="):
        model(inputs)
    with pytest.raises(SettingsError, match="target.*None"):
        model.explain(inputs)


def test_a_target_does_not_leak_into_what_is_predicted(inputs):
    model = make()
    torch.testing.assert_close(model.explain(inputs, target=LABEL).logits, model(inputs))


@pytest.mark.parametrize("variant", VARIANTS)
def test_learns_what_two_modalities_tell_in_sum(variant):
    """The label is the sign of a sum with one part in each modality."""

    def sample(rows, seed):
        generator = torch.Generator().manual_seed(seed)
        table = torch.randn(rows, 5, generator=generator)
        bag = torch.randn(rows, 1, 4, generator=generator).expand(-1, 3, -1)
        return {"rna": table, "img": bag}, {"label": (table[:, 0] + bag[:, 0, 0] > 0).long()}

    model = make(n_outputs=2, variant=variant, hidden=32, dropout=0.1).train()
    inputs, target = sample(256, 0)
    adam = torch.optim.Adam(model.parameters(), lr=1e-2)
    start = None
    for _ in range(100):
        logits, terms = model.forward_with_auxiliary(inputs, None, None, target, cross_entropy)
        adam.zero_grad()
        total = cross_entropy(logits, target) + sum(terms.values())
        start = start or float(total.detach())
        total.backward()
        adam.step()
    assert float(total.detach()) < 0.7 * start
    inputs, target = sample(512, 1)
    model.eval()
    with torch.no_grad():
        right = {
            "both": model(inputs).argmax(dim=1) == target["label"],
            "table": model({"rna": inputs["rna"]}).argmax(dim=1) == target["label"],
        }
    assert right["both"].float().mean() > 0.9 > 0.85 > right["table"].float().mean()


def test_a_single_modality_works(inputs):
    model = MMDynamics({"rna": 5}, 3, hidden=6).eval()
    assert model({"rna": inputs["rna"]}).shape == (4, 3)
    assert terms_of(model, {"rna": inputs["rna"]})["confidence"] > 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"variant": "all"}, "variant.*'all'"),
        ({"tcp_activation": "tanh"}, "tcp_activation.*'tanh'"),
        ({"weighting": "true"}, "weighting.*'true'"),
        ({"weighting": "oracle", "variant": "feature"}, "oracle.*'feature'"),
        ({"weighting": "oracle", "n_outputs": 1}, "two outputs.*oracle"),
        ({"loss_weights": {"gate": 1.0}}, r"loss_weights.*\['gate'\]"),
        ({"loss_weights": {"final": -1.0}}, r"loss_weights\['final'\].*-1"),
        ({"missing_fill": "mean"}, "missing_fill.*'mean'"),
        ({"means": {"rna": [0.0]}}, "modality 'rna'.*5 finite means.*1 numbers"),
        ({"means": {"rna": [float("nan")] * 5}}, "5 finite means"),
        ({"hidden": {"rna": 3}}, r"hidden.*\['img'\]"),
        ({"hidden": 0}, "hidden of 'rna'.*0"),
        ({"dropout": 1.0}, "dropout"),
        ({"n_outputs": 0}, "n_outputs"),
        ({"image_size": 60}, "multiple of 16.*60"),
        ({"patch": 2}, "patch of 8 or 4.*2"),
    ],
)
def test_refuses_options_that_do_not_fit(options, message):
    with pytest.raises(SettingsError, match=f"MMDynamics.*{message}"):
        make(**options)


@pytest.mark.parametrize("owner", [MMDynamics, MMStatic])
def test_refuses_unknown_names_and_empty_modalities(owner):
    for options in ({"hidden": {"rna": 3, "img": 3, "ct": 3}}, {"means": {"ct": [0.0]}}):
        with pytest.raises(ModalityError, match="'ct'"):
            owner(WIDTHS, 3, **options)
    with pytest.raises(SettingsError, match=r"widths\['rna'\].*1 or more, got 0"):
        owner({"rna": 0}, 3)
    with pytest.raises(SettingsError, match=r"kinds\['img'\].*'volume'"):
        owner(WIDTHS, 3, kinds=KINDS | {"img": "volume"})


def test_refuses_targets_that_do_not_fit(inputs):
    with pytest.raises(SettingsError, match="event for tcp_events_only"):
        terms_of(make(tcp_events_only=True), inputs)
    with pytest.raises(SettingsError, match="expected a target with label"):
        terms_of(make(), inputs, target={"value": torch.randn(4)}, loss=lambda o, _: o.sum())
