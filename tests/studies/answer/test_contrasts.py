"""Which results count as evidence, and how they are compared, on made-up results."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from mmlego.errors import RunError
from mmlego.learning.statistics.pairing import Paired
from mmlego.learning.statistics.resampling import corrected_resampled_ttest
from mmlego.studies.answer import contrasts
from mmlego.studies.answer.contrasts import BEST, ENSEMBLE, FUSE, MERGE


def test_no_results_say_how_to_get_some(tmp_path):
    with pytest.raises(RunError, match="mmlego run --grid"):
        contrasts.load_from(tmp_path)


def test_the_grid_with_the_most_repeats_is_taken(results):
    results.facts()
    results.add(MERGE, [0.9] * 3, grid="quick")
    results.add(MERGE, [0.6] * 5, grid="paper")
    found = results.load()
    assert set(found.rows["grid"]) == {"paper"}
    assert len(found.rows) == 5


def test_runs_outside_any_grid_are_left_out(results):
    results.facts(grid="quick")
    results.add(MERGE, [0.9] * 9, grid="manual")
    results.add(MERGE, [0.6] * 2, grid="quick")
    assert set(results.load().rows["grid"]) == {"quick"}


def test_only_runs_outside_any_grid_are_no_results(results):
    results.facts()
    results.add(MERGE, [0.9] * 9, grid="manual")
    with pytest.raises(RunError, match="no results of any grid"):
        results.load()


def test_split_units_are_chosen_for_separately(results):
    results.facts()
    results.facts(grid="rows")
    results.add(MERGE, [0.6] * 5, grid="paper")
    results.add(MERGE, [0.7] * 3, grid="rows", unit="row")
    found = results.load()
    assert found.rows.groupby("split_unit")["grid"].first().to_dict() == {
        "patient": "paper",
        "row": "rows",
    }
    assert set(found.patients()["split_unit"]) == {"patient"}


def test_rows_by_role_and_label(results):
    results.facts(tables=["clin", "rna"])
    everything = {"modalities": "clin+img+rna"}
    results.add(MERGE, [0.6], **everything)
    results.add(MERGE, [0.6], modalities="clin+img")  # a pair is not the merge of all
    results.add("snn", [0.6], modalities="clin+rna")
    results.add("snn", [0.6], modalities="clin")
    results.add("abmil", [0.6], modalities="img")
    results.add(MERGE, [0.6], metric="auc_td", **everything)
    results.add(MERGE, [0.6], arm="operator: sum", **everything)
    rows = results.load().rows
    assert dict(zip(rows["label"], rows["role"], strict=True)) == {
        MERGE: "multimodal",
        "SNN, all tables": "tabular",
        "SNN, clin": "part",
        "ABMIL, img": "other",
    }


def test_undefined_values_are_left_out(results):
    results.facts()
    results.add(MERGE, [0.6, np.nan, 0.7])
    assert results.load().rows["repeat"].tolist() == [1, 3]


def test_nothing_but_undefined_values_is_an_error(results):
    results.facts()
    results.add(MERGE, [np.nan])
    with pytest.raises(RunError, match="summary"):
        results.load()


def test_contrasts_and_their_test(answered, noise):
    found = {
        (cohort, pair.first, pair.second): pair for cohort, pair in contrasts.contrasts(answered)
    }
    assert set(found) == {
        (cohort, MERGE, rival) for cohort in ("one", "two") for rival in (BEST, ENSEMBLE)
    }
    pair = found["one", MERGE, BEST]
    expected = corrected_resampled_ttest(0.1 + noise - noise[::-1], 70, 15)
    assert pair.mean == pytest.approx(expected.mean)
    assert pair.p_value == pytest.approx(expected.p_value)


def test_holm_by_hand(answered):
    raw = [pair.p_value for _, pair in contrasts.contrasts(answered)]
    order = np.argsort(raw)
    expected = np.empty(4)
    expected[order] = np.minimum(np.maximum.accumulate(np.sort(raw) * [4, 3, 2, 1]), 1)
    assert contrasts.adjusted(contrasts.contrasts(answered)) == pytest.approx(expected)


def test_single_repeats_have_no_adjusted_p_value_and_do_not_count(results, noise):
    results.facts("one")
    results.facts("two")
    results.add(MERGE, [0.7], "one")
    results.add(BEST, [0.6], "one")
    results.add(MERGE, 0.8 + noise, "two")
    results.add(BEST, 0.7 + noise[::-1], "two")
    found = results.load()
    first, second = contrasts.adjusted(contrasts.contrasts(found))
    assert np.isnan(first)
    assert second == pytest.approx(contrasts.contrasts(found)[1][1].p_value)


def test_of_equal_repeats_the_grid_with_more_patients_is_taken(results):
    """A capped grid is the lesser evidence, however late its name comes."""
    for grid, size in (("a-full", 700), ("z-capped", 70)):
        results.facts(grid=grid)
        results.add(MERGE, [0.6] * 3, grid=grid, n_train=size)
    assert set(results.load().rows["grid"]) == {"a-full"}


def test_repeats_count_before_patients(results):
    for grid, repeats, size in (("few", 2, 700), ("many", 3, 70)):
        results.facts(grid=grid)
        results.add(MERGE, [0.6] * repeats, grid=grid, n_train=size)
    assert set(results.load().rows["grid"]) == {"many"}


def test_merge_of_tables_alone_is_not_multimodal(results):
    """The published multimodal models saw an image, so their numbers do not belong beside it."""
    results.facts(tables=["clin", "rna"])
    for label in (MERGE, FUSE, BEST):
        results.add(label, [0.6], modalities="clin+rna")
    assert set(results.load().rows["role"]) == {"tabular"}


@pytest.mark.parametrize("cohort", contrasts.GENERATED)
def test_made_up_cohorts_are_shown_but_are_no_evidence(results, noise, cohort):
    for name in (cohort, "real"):
        results.facts(name)
        results.add(MERGE, 0.8 + noise, name)
        results.add(BEST, 0.7 + noise[::-1], name)
    found = results.load()
    assert set(found.patients()["cohort"]) == {cohort, "real"}
    assert {name for name, _ in contrasts.contrasts(found)} == {"real"}
    assert set(contrasts.real_rows(found)["cohort"]) == {"real"}


def test_facts_are_those_of_the_grid_that_is_shown(results):
    results.facts(grid="paper", n=200)
    results.facts(grid="zz-capped", n=90)
    results.add(MERGE, [0.6] * 2, grid="paper")
    found = results.load()
    assert contrasts.facts_of(found.cohorts, found.rows)["n"] == 200


@pytest.mark.parametrize(
    ("n", "mean", "p", "verdict"),
    [
        (5, 0.1, 0.04, "wins"),
        (5, -0.1, 0.04, "loses"),
        (5, 0.1, 0.06, ""),
        (5, -0.1, 0.06, ""),
        (4, 0.1, 0.001, ""),
        (1, 0.1, float("nan"), ""),
    ],
)
def test_verdicts(n, mean, p, verdict):
    """The corrected p-value decides, not the one of the pair."""
    pair = Paired("a", "b", n, mean, mean - 0.05, mean + 0.05, 1e-9)
    assert contrasts.decided(pair, p) is bool(verdict)
    assert contrasts.wins(pair, p) is (verdict == "wins")
    assert contrasts.loses(pair, p) is (verdict == "loses")


def test_p_values_go_with_their_comparisons(answered):
    rows = contrasts.contrasts(answered)
    found = contrasts.with_p(rows)
    assert [(name, pair) for name, pair, _ in found] == rows
    assert [p for _, _, p in found] == contrasts.adjusted(rows)
    assert contrasts.with_p([]) == []


def test_a_session_s_folder_is_read(results):
    from types import SimpleNamespace

    results.facts()
    results.add(MERGE, [0.6] * 2)
    expected = results.load()
    found = contrasts.load(SimpleNamespace(results=results.folder))
    pd.testing.assert_frame_equal(found.rows, expected.rows)
