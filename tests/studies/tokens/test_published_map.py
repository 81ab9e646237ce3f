"""What the published map of replaced tokens allows, against enumeration and known facts."""

from __future__ import annotations

from itertools import product

import numpy as np
import pandas as pd
import pytest

from mmlego.errors import DataError
from mmlego.studies.tokens.counts import can_be_given, feasible_counts, importance_needed
from mmlego.studies.tokens.origins import PAIRS, RULES, limits, possible, ways
from mmlego.studies.tokens.published_map import (
    COUNTS,
    DONORS,
    digitised,
    evidence_sentences,
    evidence_table,
    importance_against,
    summary,
)


def as_set(counts):
    return set(map(tuple, np.asarray(counts).tolist()))


def on_a_grid(rule, tokens, modalities, fine=60):
    """Counts of a rule for importances on a fine grid of the simplex."""
    whole = np.indices((fine + 1,) * modalities).reshape(modalities, -1).T
    s = whole[whole.sum(axis=1) == fine]
    small = 1e-9
    literal = np.floor(s * tokens / fine + small)
    inverse = np.floor(tokens * (fine - s) / fine / (modalities - 1) + small)
    return as_set({"literal": literal, "inverse": inverse, "retain": tokens - literal}[rule])


@pytest.mark.parametrize("rule", ["literal", "inverse", "retain"])
@pytest.mark.parametrize(("tokens", "modalities"), [(4, 3), (5, 3), (6, 2), (6, 3)])
def test_one_pass_is_what_importances_give(rule, tokens, modalities):
    reached = feasible_counts(rule, tokens, modalities)
    assert as_set(reached) == on_a_grid(rule, tokens, modalities)
    assert len(as_set(reached)) == len(reached)


def test_one_pass_of_the_published_size():
    literal, inverse = feasible_counts("literal"), feasible_counts("inverse")
    assert set(literal.sum(axis=1)) == set(inverse.sum(axis=1)) == {30, 31, 32}
    assert inverse.max() == 16
    assert (16, 14, 0) not in as_set(inverse)  # the total is right, but no importance gives it
    assert {(16, 15, 0), (10, 10, 10), (16, 0, 16)} <= as_set(inverse)
    assert {(31, 0, 0), (32, 0, 0)} <= as_set(literal)
    assert set(feasible_counts("retain").sum(axis=1)) == {64, 65, 66}
    assert set(feasible_counts("positionwise").sum(axis=1)) == {31}


@pytest.mark.parametrize("rule", ["literal", "inverse", "retain"])
@pytest.mark.parametrize("modalities", [2, 3])
def test_two_passes_overlap_in_every_way(rule, modalities):
    tokens = 4
    once = feasible_counts(rule, tokens, modalities)
    wanted = set()
    for a, b in product(once, once):
        low, high = np.maximum(a, b), np.minimum(tokens, a + b)
        wanted |= set(product(*(range(i, j + 1) for i, j in zip(low, high, strict=True))))
    assert as_set(feasible_counts(rule, tokens, modalities, passes=2)) == wanted


def test_two_positionwise_passes_by_enumeration():
    tokens, wanted = 4, set()
    passes = [
        loser[:spared] + (None,) + loser[spared:]
        for spared in range(tokens) for loser in product(range(3), repeat=tokens - 1)
    ]  # fmt: skip
    for first, second in product(passes, passes):
        wanted.add(tuple(
            sum(m in pair for pair in zip(first, second, strict=True)) for m in range(3)
        ))  # fmt: skip
    assert as_set(feasible_counts("positionwise", tokens, passes=2)) == wanted


def test_bad_counts():
    with pytest.raises(DataError, match="expected a rule"):
        feasible_counts("swap")
    with pytest.raises(DataError, match="2 or 3 modalities"):
        feasible_counts("literal", modalities=4)
    with pytest.raises(DataError, match="from 0 to 32"):
        can_be_given([[33, 0, 0]], "literal")
    with pytest.raises(DataError, match="whole numbers"):
        can_be_given([[0.5, 0, 31]], "literal")


def test_the_published_map():
    facts = summary()
    assert [round(facts[f"mean_{name}"], 1) for name in ("code", "lab", "note")] == [
        18.6, 11.3, 9.3,
    ]  # fmt: skip
    assert (facts["n"], facts["lowest_total"], facts["highest_total"]) == (100, 31, 61)
    assert round(facts["mean_total"], 1) == 39.2
    assert facts["one_pass"] == 32
    assert (facts["all_but_one"], facts["all_but_one_code"], facts["all_but_one_lab"]) == (
        20,
        19,
        1,
    )
    assert (facts["highest_count"], facts["n_highest_count"]) == (31, 47)
    order = [(("code", "lab", "note")[donor], ("code", "lab", "note")[to]) for donor, to in PAIRS]
    assert list(DONORS) == [f"{donor}_to_{to}" for donor, to in order]


def test_importance_that_two_literal_passes_need():
    counts = np.array([[31, 0, 0], [20, 20, 20], [10, 10, 10], [32, 32, 0], [32, 32, 32]])
    needed = importance_needed(counts)
    # 30 of 31 must be replaced in one pass; 20 in two of 10; never 96
    np.testing.assert_allclose(needed, [30 / 32, 1 / 3, 1 / 3, 0.5, np.nan])


def test_importance_needed_by_enumeration():
    tokens = 4
    once = feasible_counts("literal", tokens)
    counts = feasible_counts("literal", tokens, passes=2)
    wanted = [
        min(
            max(a.max(), b.max()) for a in once for b in once
            if (np.maximum(a, b) <= each).all() and (np.minimum(tokens, a + b) >= each).all()
        ) / tokens for each in counts
    ]  # fmt: skip
    np.testing.assert_allclose(importance_needed(counts, tokens=tokens), np.maximum(wanted, 1 / 3))


def test_ways_of_one_position():
    once = ways(1, "origin")
    assert once == ways(1, "last donor")
    assert (((0,),), (1, 1, 2)) in once
    assert (((0, 1),), (1, 0, 2)) in once  # highest and runner-up swap
    assert (((0, 1, 2),), (1, 0, 0)) in once
    assert (((0, 1, 2),), (1, 2, 0)) not in once  # in a cycle nobody has the highest score
    back = [seen for history, seen in ways(2, "origin") if history == ((0, 1), (0, 1))]
    assert (0, 1, 2) in back  # swapped there and back
    assert (0, 1, 2) not in [s for h, s in ways(2, "last donor") if h == ((0, 1), (0, 1))]
    assert {history for history, _ in ways(1, "origin", one_loser=True)} == {
        ((),), ((0,),), ((1,),), ((2,),),
    }  # fmt: skip


def _simulated(rule, passes, shown, tokens, rng):
    """Donors of one instance by running a rule on random scores, written independently."""
    state = np.repeat(np.arange(3)[:, None], tokens, axis=1)
    last = state.copy()
    for _ in range(passes):
        scores = rng.gamma(rng.uniform(0.2, 3, (3, 1)), size=(3, tokens))
        s = scores.mean(axis=1) / scores.mean(axis=1).sum()
        count = {"literal": np.floor(s * tokens), "inverse": np.floor(tokens * (1 - s) / 2),
                 "retain": tokens - np.floor(s * tokens)}.get(rule)  # fmt: skip
        before = state.copy()
        spared = scores.sum(axis=0).argmax()
        for m in range(3):
            rank = scores[m].argsort().argsort()
            for n in range(tokens):
                lost = n != spared and scores[:, n].argmin() == m
                if lost if count is None else rank[n] < count[m]:
                    donor = max((i for i in range(3) if i != m), key=lambda i, n=n: scores[i, n])
                    state[m, n], last[m, n] = before[donor, n], donor
    seen = last if shown == "last donor" else state
    return [int((seen[to] == donor).sum()) for donor, to in PAIRS]


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize(("passes", "shown"), [(1, "origin"), (2, "origin"), (2, "last donor")])
def test_what_a_rule_does_is_never_ruled_out(rule, passes, shown):
    rng = np.random.default_rng(0)
    donors = [_simulated(rule, passes, shown, 8, rng) for _ in range(6)]
    assert possible(np.array(donors), rule, passes=passes, shown=shown, tokens=8).all()


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("tokens", [4, 5, 8, 9])
def test_limits_leave_the_feasible_counts(rule, tokens):
    counts = np.indices((tokens + 1,) * 3).reshape(3, -1).T
    kept = np.ones(len(counts), dtype=bool)
    for some, low, high in limits(rule, tokens):
        total = counts[:, list(some)].sum(axis=1)
        kept &= (low <= total) & (total <= high)
    assert as_set(counts[kept]) == as_set(feasible_counts(rule, tokens))


def test_a_cycle_of_donors_takes_two_passes():
    """The highest score of a position takes from the runner-up, and all others from the highest."""
    cycle = [[int(donor == (to + 1) % 3) for donor, to in PAIRS]]
    assert not possible(cycle, "literal", tokens=1).any()
    assert not possible(cycle, "retain", tokens=1).any()  # replaces two or three of one token
    assert possible(cycle, "retain", passes=2, tokens=1).all()


def test_bad_donors():
    with pytest.raises(DataError, match="whole numbers"):
        possible(np.zeros((2, 3)), "literal")
    with pytest.raises(DataError, match="expected a rule"):
        possible(np.zeros((2, 6)), "literal", passes=3)


@pytest.fixture(scope="module")
def table():
    return evidence_table(digitised().iloc[[0, 7, 16, 46]])


def test_readings_on_four_instances(table):
    """(30, 2, 6), (1, 31, 0), (31, 0, 0) and (0, 31, 0)."""
    found = table.set_index(["rule", "passes", "shown"])
    assert found.loc[("literal", 1, "either"), "explained"] == 3
    assert found.loc[("literal", 1, "either"), "fails"] == "total outside 30 to 32 (1)"
    assert found.loc[("inverse", 1, "either"), "explained"] == 0
    assert found.loc[("inverse", 1, "either"), "fails"] == (
        "total outside 30 to 32 (1); a modality outside 0 to 16 (3)"
    )
    assert found.loc[("inverse", 2, "last donor"), "fails"] == "combination of counts (4)"
    assert found.loc[("retain", 2, "last donor"), "fails"] == "total outside 64 to 96 (4)"
    assert found.loc[("positionwise", 1, "either"), "explained"] == 2
    # a token that comes back is not seen by origin, so that every rule can replace 31
    assert (found.xs("origin", level="shown")["explained"] == 4).all()
    assert found.loc[("literal", 2, "last donor"), "share"] == 1
    assert found.loc[("literal", 1, "either"), "allowed"] == 1585 / 33**3


def test_counts_of_all_instances():
    counts = digitised()[list(COUNTS)].to_numpy()
    known = {"literal": [32, 100], "inverse": [0, 36], "retain": [0, 0], "positionwise": [21, 100]}
    for rule, numbers in known.items():
        assert [can_be_given(counts, rule, passes=each).sum() for each in (1, 2)] == numbers


def test_sentences_hold_the_numbers(table):
    text = evidence_sentences(table)
    assert "18.6 (code), 11.3 (lab), 9.3 (note)" in text
    assert (
        "A single replacement leaves 3 (literal), 0 (inverse), 0 (retain), 2 (positionwise)" in text
    )
    assert "does not decide between literal, inverse, retain, positionwise" in text
    only = evidence_sentences(table[table["passes"] == 1])
    assert "decide" not in only


def test_importance_against_unimodal_scores():
    counts = pd.DataFrame({
        "modality": ["a", "a", "b", "b", "c", "c"], "importance": [0.4, 0.6, 0.3, 0.3, 0.1, 0.3],
        "replaced": [1, 3, 4, 4, 5, 7],
    })  # fmt: skip
    found = importance_against({"c": 0.5, "a": 0.6, "b": 0.9}, counts).set_index(
        ["first", "second"]
    )
    assert (found["n"] == 3).all()
    assert found.loc[("importance", "replaced"), "spearman"] == pytest.approx(-1)
    means = np.array([0.5, 0.3, 0.2])
    assert found.loc[("importance", "unimodal"), "spearman"] == pytest.approx(0.5)
    assert found.loc[("importance", "unimodal"), "pearson"] == pytest.approx(
        np.corrcoef(means, [0.6, 0.9, 0.5])[0, 1]
    )
    equal = importance_against({"a": 1, "b": 2, "c": 3}, counts.assign(importance=1 / 3))
    assert equal.loc[:1, "pearson"].isna().all()
    assert equal.loc[2, "pearson"] > 0


def test_bad_correlations():
    counts = pd.DataFrame({"modality": list("abc"), "importance": 0.3, "replaced": 1})
    with pytest.raises(DataError, match="three modalities or more"):
        importance_against({"a": 1, "b": 2}, counts.iloc[:2])
    with pytest.raises(DataError, match="the same three"):
        importance_against({"a": 1, "b": 2, "d": 2}, counts)
    with pytest.raises(DataError, match="missing"):
        importance_against({"a": 1, "b": 2, "c": 2}, counts[["modality", "replaced"]])
    with pytest.raises(DataError, match="finite"):
        importance_against({"a": 1, "b": np.nan, "c": 2}, counts)
