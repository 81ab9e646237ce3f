from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from mmlego.errors import DataError, SettingsError
from mmlego.models.token_models import MUSE
from mmlego.models.token_models.muse import (
    GraphLayer,
    agreement_loss,
    drop_edges,
    known_labels,
    likeness_loss,
)

LABEL = {"label": torch.tensor([0, 1, 0, 2])}


@pytest.fixture
def still(make):
    """Without dropout, so that training and evaluation compute the same."""
    return lambda **options: make(MUSE, dropout=0.0, **options)


def views(rows, width=6):
    return [F.normalize(torch.randn(rows, width), dim=-1) for _ in range(2)]


def test_messages_are_averaged_along_edges():
    layer, edges = GraphLayer(3), torch.randn(2, 3, 3)
    nodes, senders = torch.randn(2, 3), torch.randn(3, 3)
    here = torch.tensor([[True, False, True], [False, True, False]])
    found = layer(nodes, senders.expand_as(edges), edges, here, dim=1)
    for row, members in enumerate(([0, 2], [1])):
        heard = [torch.relu(layer.message(torch.cat([senders[m], edges[row, m]]))) for m in members]
        mean = torch.stack(heard).mean(dim=0)
        expected = torch.relu(layer.update(torch.cat([mean, nodes[row]])))
        torch.testing.assert_close(found[row], expected)


def test_one_training_pass_makes_forward_repeat_what_the_batch_said(still, inputs, present):
    published, inductive = still(inductive=False), still()
    missing = inductive.load_state_dict(published.state_dict(), strict=False).missing_keys
    assert missing == ["states", "batches"]
    expected, _ = inductive.train().forward_with_auxiliary(inputs, present, None, LABEL)
    torch.testing.assert_close(published(inputs, present), expected)
    torch.testing.assert_close(inductive.eval()(inputs, present), expected)


def test_as_published_a_prediction_depends_on_the_batch(still, inputs, present):
    for inductive in (True, False):
        model = still(inductive=inductive)
        model.train().forward_with_auxiliary(inputs, present, None, LABEL)
        together = model.eval()(inputs)[:2]
        apart = model({name: x[:2] for name, x in inputs.items()})
        assert torch.allclose(together, apart, atol=1e-6) == inductive


def test_states_are_running_averages_of_the_batches_with_that_modality(still, inputs):
    model = still(layers=3).train()
    heard = []
    model.graph.register_forward_hook(lambda *call: heard.append(call[2][1].detach()))
    for count in range(1, 13):
        batch = {name: torch.randn_like(x) for name, x in inputs.items()}
        if count > 2:
            del batch["code"]
        before = model.states.clone()
        model.forward_with_auxiliary(batch, target=LABEL)
        said = heard[0]
        heard.clear()
        rate = max(1 / count, 0.1)
        torch.testing.assert_close(
            model.states[:, :2], before[:, :2] + rate * (said - before)[:, :2]
        )
        if count > 2:
            assert torch.equal(model.states[:, 2], before[:, 2])
    assert model.batches.tolist() == [12, 12, 2]


def test_only_the_pass_of_training_moves_states(still, inputs):
    model = still()
    for mode in (True, False):
        model.train(mode)(inputs)
    logits, terms = model.forward_with_auxiliary(inputs, target=LABEL)
    assert terms == {}
    assert torch.equal(logits, model(inputs))
    assert not model.states.any()
    model.train().forward_with_auxiliary(inputs, target=LABEL)
    assert model.states.any()


def test_the_second_view_lacks_edges_as_described():
    here = torch.zeros(4000, 5, dtype=torch.bool)
    here[:, :4] = True
    kept = drop_edges(here)
    assert not kept[:, 4].any()
    shares = torch.bincount(kept.sum(dim=1), minlength=5) / 4000
    expected = torch.tensor([0, 1 / 6, 1 / 6, 1 / 6, 1 / 2])
    torch.testing.assert_close(shares, expected, rtol=0, atol=0.03)
    each = kept[:, :4].double().mean(dim=0)
    torch.testing.assert_close(each, torch.full((4,), 0.75).double(), rtol=0, atol=0.03)
    single = torch.eye(5, dtype=torch.bool)
    assert torch.equal(drop_edges(single), single)


def test_the_first_view_has_all_edges_and_the_second_lacks_some(still, present):
    model, many = still().train(), 64
    inputs = {name: torch.randn(many, width) for name, width in model.front.widths.items()}
    flags = {name: flag.repeat(many // 4) for name, flag in present.items()}
    given = []
    model.graph.register_forward_pre_hook(lambda _, arguments: given.append(arguments[1]))
    label = {"label": torch.arange(many) % 3}
    model.forward_with_auxiliary(inputs, flags, target=label)
    first, second = given
    assert torch.equal(first[:, 0], flags["lab"])
    assert not (second & ~first).any()
    assert 0 < int((second.sum(dim=1) < first.sum(dim=1)).sum()) < many


def test_views_agree_where_each_finds_its_own():
    first, second = views(5)
    table = first @ second.T / 0.07
    ways = [-(t.diagonal() - t.logsumexp(dim=1)).mean() for t in (table, table.T)]
    torch.testing.assert_close(agreement_loss(first, second, 0.07), sum(ways) / 2)
    assert agreement_loss(torch.eye(4), torch.eye(4), 0.07) < 1e-4


def test_likeness_is_that_of_all_pairs_in_and_between_views():
    first, second = views(5)
    label = torch.tensor([0, 1, 0, 2, 1])
    same = (label[:, None] == label[None]).float()
    within, between, back = (
        F.binary_cross_entropy_with_logits(a @ b.T / 0.07, same)
        for a, b in ((first, first), (first, second), (second, first))
    )
    expected = (2 * within + between + back) / 4
    torch.testing.assert_close(likeness_loss(first, second, label, 0.07), expected)
    assert likeness_loss(first[:1], second[:1], label[:1], 0.07) == 0


def test_censored_samples_are_without_label(still, inputs):
    target = {
        "time_bin": torch.tensor([0, 1, 0, 1]),
        "event": torch.tensor([True, True, True, False]),
        "time": torch.ones(4),
    }
    label, known = known_labels(target)
    assert torch.equal(label[known], torch.tensor([0, 1, 0]))

    def term(**changes):
        torch.manual_seed(3)
        model = still().train()
        return model.forward_with_auxiliary(inputs, target=target | changes)[1]["supervised"]

    before = term()
    assert torch.equal(term(time_bin=torch.tensor([0, 1, 0, 0])), before)
    assert not torch.equal(term(time_bin=torch.tensor([0, 0, 0, 1])), before)
    nobody = term(event=torch.zeros(4, dtype=torch.bool))
    assert nobody == 0
    nobody.backward()


def test_terms_have_weights_and_need_labels_unless_these_are_zero(make, inputs):
    model = make(MUSE).train()
    logits, terms = model.forward_with_auxiliary(inputs, target=LABEL)
    assert set(terms) == {"unsupervised", "supervised"}
    (F.cross_entropy(logits, LABEL["label"]) + sum(terms.values())).backward()
    assert model.project.weight.grad.abs().sum() > 0
    for target in (None, {}, {"event": torch.ones(4, dtype=torch.bool)}):
        with pytest.raises(DataError, match="MUSE: expected a target"):
            model.forward_with_auxiliary(inputs, target=target)
    alone = make(MUSE, supervised_weight=0.0).train()
    assert set(alone.forward_with_auxiliary(inputs)[1]) == {"unsupervised"}
    neither = make(MUSE, supervised_weight=0.0, unsupervised_weight=0.0).train()
    assert neither.forward_with_auxiliary(inputs)[1] == {}


def test_one_round_of_messages_and_one_modality_are_enough(make, inputs):
    model = make(MUSE, modalities=1, layers=1)
    single = {"lab": inputs["lab"]}
    assert model(single).shape == (4, 3)
    logits, _ = model.train().forward_with_auxiliary(single, target=LABEL)
    assert torch.isfinite(logits).all()


@pytest.mark.parametrize("wrong", [{"temperature": 0.0}, {"inductive": "no"}, {"layers": 0}])
def test_refuses_options_out_of_range(make, wrong):
    (name,) = wrong
    with pytest.raises(SettingsError, match=f"MUSE: .*{name}"):
        make(MUSE, **wrong)


def agreeing_signs(rows):
    signs = torch.randint(0, 2, (2, rows)) * 2.0 - 1.0
    lab, note = 0.3 * torch.randn(rows, 5), 0.3 * torch.randn(rows, 7)
    lab[:, 0] += signs[0]
    note[:, 0] += signs[1]
    return {"lab": lab, "note": note}, (signs[0] == signs[1]).long()


def test_learns_in_batches_what_only_both_modalities_tell(make):
    model = make(MUSE, modalities=2, n_outputs=2, own_layers=0).train()
    inputs, label = agreeing_signs(256)
    adam = torch.optim.Adam(model.parameters(), lr=3e-3)
    for _ in range(60):
        for rows in torch.randperm(256).split(64):
            batch = {name: x[rows] for name, x in inputs.items()}
            target = {"label": label[rows]}
            logits, terms = model.forward_with_auxiliary(batch, target=target)
            adam.zero_grad()
            (F.cross_entropy(logits, label[rows]) + sum(terms.values())).backward()
            adam.step()
    inputs, label = agreeing_signs(256)
    with torch.no_grad():
        right = model.eval()(inputs).argmax(dim=1) == label
    assert right.double().mean() > 0.9
