import json
from pathlib import Path

import pytest
import torch
from torch import nn

from mmlego.errors import SettingsError, ShapeError
from mmlego.models.baselines import weight_merging
from mmlego.models.baselines.weight_merging import (
    dare,
    slerp_states,
    soup,
    spherical_soup,
    task_arithmetic,
    ties,
)

FILE = Path(__file__).parents[2] / "reference" / "mmlego.json"


@pytest.fixture(scope="module")
def case():
    return json.loads(FILE.read_text())["model_merging"]


def _state(values):
    """Six entries as two tensors, so that joint trimming differs from trimming each."""
    values = torch.tensor(values, dtype=torch.float64)
    return {"w": values[:4].view(2, 2), "b": values[4:]}


def _flat(state):
    return torch.cat([state["w"].flatten(), state["b"]])


@pytest.fixture
def base(case):
    return _state(case["base"])


@pytest.fixture
def states(case):
    return [_state(case["model1"]), _state(case["model2"])]


def _is(state, expected):
    torch.testing.assert_close(
        _flat(state), torch.tensor(expected, dtype=torch.float64), atol=1e-6, rtol=0
    )


def test_soup(case, states):
    _is(soup(states), case["soup"])
    weighted = soup(states, [3.0, 1.0])
    torch.testing.assert_close(_flat(weighted), 0.75 * _flat(states[0]) + 0.25 * _flat(states[1]))


def test_task_arithmetic(case, base, states):
    _is(task_arithmetic(base, states, 0.4), case["task_arithmetic_lambda_0.4"])


def test_ties(case, base, states):
    expected = case["ties_keep_0.5_lambda_1"]
    _is(ties(base, states, keep=0.5, scale=1.0), expected["merged"])
    for state, trimmed in zip(states, expected["trimmed"], strict=True):
        found = weight_merging._trim(_flat(state) - _flat(base), 0.5)
        torch.testing.assert_close(found, torch.tensor(trimmed, dtype=torch.float64))


def test_dare_with_a_given_mask(case, base, states, monkeypatch):
    expected = case["dare_p_0.5_given_keep_mask"]
    mask = torch.tensor(expected["keep_mask"], dtype=torch.bool)
    monkeypatch.setattr(weight_merging, "_survivors", lambda *arguments: mask)
    _is(dare(base, states, drop=0.5, scale=0.5), expected["merged_lambda_0.5"])


def test_dare_before_ties(base, states):
    """Without dropping, DARE is the method that follows it."""
    _is(dare(base, states, drop=0.0, then="ties"), _flat(ties(base, states)).tolist())
    plain = _flat(task_arithmetic(base, states)).tolist()
    _is(dare(base, states, drop=0.0), plain)


def test_dare_keeps_the_mean_and_depends_on_its_seed():
    base, state = {"w": torch.zeros(40_000)}, {"w": torch.ones(40_000)}
    merged = dare(base, [state], drop=0.9, seed=3, scale=1.0)["w"]
    assert merged.mean() == pytest.approx(1.0, abs=0.05)
    assert merged.unique().tolist() == pytest.approx([0.0, 10.0])
    assert torch.equal(merged, dare(base, [state], drop=0.9, seed=3, scale=1.0)["w"])
    assert not torch.equal(merged, dare(base, [state], drop=0.9, seed=4, scale=1.0)["w"])


def test_each_state_drops_its_own_entries():
    base, state = {"w": torch.zeros(1000)}, {"w": torch.ones(1000)}
    merged = dare(base, [state, state], drop=0.5, scale=1.0)["w"]
    assert set(merged.tolist()) == {0.0, 2.0, 4.0}


def test_opposite_entries_of_equal_size_keep_the_base():
    base = {"w": torch.tensor([1.0, 1.0])}
    states = [{"w": torch.tensor([3.0, 2.0])}, {"w": torch.tensor([-1.0, 2.0])}]
    assert ties(base, states, keep=1.0)["w"].tolist() == [1.0, 2.0]


def test_signs_are_elected_after_trimming():
    """Two small changes that were trimmed away do not outvote a large one."""
    base = {"w": torch.zeros(2)}
    states = [{"w": torch.tensor([1.0, 0.0])}, *([{"w": torch.tensor([-0.6, 5.0])}] * 2)]
    assert ties(base, states, keep=0.5)["w"].tolist() == [1.0, 5.0]


def test_slerp_cases():
    for case in json.loads(FILE.read_text())["slerp"]["cases"]:
        pair = [{"w": torch.tensor(case[key], dtype=torch.float64)} for key in ("a", "b")]
        if case["mu"] == 0.5 and case["name"] == "antiparallel":
            with pytest.warns(UserWarning, match="cancel"):
                merged = slerp_states(*pair, case["mu"])
        else:
            merged = slerp_states(*pair, case["mu"])
        expected = torch.tensor(case["result"], dtype=torch.float64)
        torch.testing.assert_close(merged["w"], expected, atol=1e-6, rtol=0)


def test_slerp_is_tensor_by_tensor_and_the_spherical_soup_of_two(states):
    merged = slerp_states(*states)
    one = slerp_states(*({"b": state["b"]} for state in states))
    assert torch.equal(merged["b"], one["b"])
    _is(spherical_soup(states), _flat(merged).tolist())
    assert not torch.allclose(_flat(merged), _flat(soup(states)))


METHODS = {
    "soup": lambda base, states: soup(states),
    "task_arithmetic": task_arithmetic,
    "ties": ties,
    "dare": dare,
    "slerp": lambda base, states: slerp_states(*states),
    "spherical": lambda base, states: spherical_soup(states),
}


def _network(seed):
    torch.manual_seed(seed)
    network = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 2))
    network[1].num_batches_tracked += seed
    return network.state_dict()


@pytest.mark.parametrize("method", METHODS)
def test_networks_keep_types_order_and_what_is_no_weight(method):
    states = [_network(seed) for seed in (1, 2, 3)]
    before = [{name: value.clone() for name, value in state.items()} for state in states]
    merged = METHODS[method](states[0], states[1:])
    assert list(merged) == list(states[0])
    assert all(merged[name].dtype == states[0][name].dtype for name in merged)
    like = 1 if method in ("task_arithmetic", "ties", "dare") else 2
    assert merged["1.num_batches_tracked"] == like
    assert not torch.equal(merged["0.weight"], states[1]["0.weight"])
    nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 2)).load_state_dict(merged)
    merged["0.weight"].zero_()
    merged["1.num_batches_tracked"].zero_()
    for state, old in zip(states, before, strict=True):
        assert all(torch.equal(state[name], old[name]) for name in old)


@pytest.mark.parametrize("method", METHODS)
def test_models_that_do_not_fit_are_refused(base, states, method):
    other = states[0] | {"b": torch.zeros(3, dtype=torch.float64)}
    with pytest.raises(ShapeError, match=r"'b': \(2,\) and \(3,\); merge models of one topology"):
        METHODS[method](base, [states[1], other])
    extra = states[0] | {"c": torch.zeros(1)}
    with pytest.raises(ShapeError, match="'c': absent and"):
        METHODS[method](base, [states[1], extra])
    broken = {name: value * torch.nan for name, value in states[0].items()}
    with pytest.raises(ShapeError, match="NaN"):
        METHODS[method](base, [states[1], broken])


@pytest.mark.parametrize("method", [soup, spherical_soup])
def test_nothing_to_merge_and_bad_weights(states, method):
    with pytest.raises(SettingsError, match="got none; pass trained weights"):
        method([])
    with pytest.raises(SettingsError, match="weights"):
        method(states, [1.0, -1.0])


def test_bad_options(base, states):
    for call in (task_arithmetic, ties, dare):
        with pytest.raises(SettingsError, match="got none; pass trained weights"):
            call(base, [])
        with pytest.raises(SettingsError, match="scale"):
            call(base, states, scale=float("inf"))
    for keep in (0.0, 1.1, float("nan")):
        with pytest.raises(SettingsError, match="keep"):
            ties(base, states, keep=keep)
    for drop in (-0.1, 1.0):
        with pytest.raises(SettingsError, match="drop"):
            dare(base, states, drop=drop)
    with pytest.raises(SettingsError, match="then"):
        dare(base, states, then="soup")
    with pytest.raises(SettingsError, match="weight"):
        slerp_states(*states, weight=1.5)
