"""The summary, on made-up results whose answer is known."""

from __future__ import annotations

import numpy as np

from mmlego.studies.answer import contrasts, summary_page
from mmlego.studies.answer.contrasts import BEST, ENSEMBLE, FUSE, MERGE


def test_counts_of_better_and_worse(answered):
    lines = summary_page.answer(answered)
    assert lines[0] == (
        f"**{MERGE} against {BEST}**: better in 1, worse in 1, not to be told apart in 0 of 2 "
        "cohorts; the average difference is +0.000."
    )
    assert lines[1].startswith(f"**{MERGE} against {ENSEMBLE}**: better in 0, worse in 0")
    table = summary_page.paired_table(answered).set_index(["cohort", "comparison"])["verdict"]
    assert table["one", f"{MERGE} minus {BEST}"] == f"{MERGE} is better"
    assert table["two", f"{MERGE} minus {BEST}"] == f"{BEST} is better"
    assert table["one", f"{MERGE} minus {ENSEMBLE}"] == "cannot be told apart"


def test_too_few_repeats_are_never_called_better(results):
    """Three repeats that happen to agree give a tiny p-value and prove nothing."""
    results.facts()
    results.add(MERGE, [0.8, 0.801, 0.799])
    results.add(BEST, [0.6, 0.6, 0.6])
    found = results.load()
    assert contrasts.contrasts(found)[0][1].p_value < 0.001
    assert "better in 0, worse in 0" in summary_page.answer(found)[0]
    assert "too few" in summary_page.paired_table(found)["verdict"][0]


def test_published_numbers_stand_beside_their_rows_only(results, noise):
    results.facts(published={"dataset": "TCGA-BLCA", "tables": ["clin"]})
    results.add(MERGE, 0.7 + noise)
    results.add(BEST, 0.7 + noise)
    results.add("lego_fuse", 0.7 + noise, arm="weave", tune_epochs=2)
    results.add(FUSE, 0.7 + noise)
    results.add("snn", 0.65 + noise, modalities="clin")
    table = summary_page.headline_table(results.load()).set_index("model")
    assert table.loc[MERGE, "published"] == "0.701 ± 0.021"
    assert table.loc["SNN, clin", "published"] == "0.689 ± 0.012"
    assert table.loc[FUSE, "published"] == "0.734 ± 0.032"
    assert table.loc["LegoFuse (weave, 2 epochs)", "published"] == ""
    assert table.loc[BEST, "published"] == ""
    assert set(table["grid"]) == {"paper"}
    assert table.loc[MERGE, "comparable"].startswith("no: ")
    assert table.loc[MERGE, "result"] == f"0.700 ± {np.std(noise, ddof=1):.3f} (n=5)"


def test_leakage_is_row_minus_patient(results):
    results.facts()
    results.add(MERGE, [0.6, 0.7])
    results.add(MERGE, [0.8, 0.9], unit="row")
    results.add(BEST, [0.6, 0.7])
    found = results.load()
    table = summary_page.leakage_table(found)
    assert table[["model", "by patient", "by row", "difference"]].to_numpy().tolist() == [
        [MERGE, "0.650 ± 0.071", "0.850 ± 0.071", "+0.200"]
    ]
    assert "+0.200" in summary_page.leakage_text(found)


def test_no_row_level_splits(answered):
    assert summary_page.leakage_text(answered) == "No run used row-level splits yet."
    assert len(summary_page.leakage_table(answered)) == 1


def test_scope_says_where_numbers_come_from(results):
    results.facts(capped_from=1000)
    results.add(MERGE, [0.6, 0.7])
    text = summary_page.scope(results.load())
    assert "`toy`, splits by patient: 2 repeats" in text
    assert "capped from 1000" in text
    assert "grid `paper`" in text


def test_cap_of_another_grid_is_not_reported(results):
    results.facts(grid="paper")
    results.facts(grid="zz-capped", capped_from=1000)
    results.add(MERGE, [0.6, 0.7])
    assert "capped" not in summary_page.scope(results.load())


def test_figure_of_differences(answered):
    figure = summary_page.difference_figure(answered)
    text = " ".join(label.get_text() for ax in figure.axes for label in ax.get_yticklabels())
    assert f"one: {MERGE}" in text
    assert f"two: {ENSEMBLE}" in text


def test_unimodal_results_alone_still_make_a_page(results):
    results.facts()
    results.add("snn", [0.6, 0.7], modalities="clin")
    found = results.load()
    assert contrasts.contrasts(found) == []
    assert summary_page.paired_table(found)["comparison"].tolist() == ["no multimodal results yet"]
    assert summary_page.difference_figure(found) is None
    assert "no multimodal results yet" in summary_page.conclusion(found)


def test_results_under_row_splits_alone_still_make_a_page(results):
    results.facts()
    results.add(MERGE, [0.6, 0.7], unit="row")
    found = results.load()
    assert summary_page.headline_table(found).empty
    assert "nan" not in summary_page.conclusion(found)


def test_conclusion_says_how_many_repeats(answered):
    text = summary_page.conclusion(answered)
    assert "5 repeats were run" in text or "Between 5 and 5 repeats" in text
    assert all(line.startswith("* ") for line in text.splitlines())


def test_a_number_for_fewer_tables_is_not_comparable(results):
    results.facts(published={"dataset": "TCGA-BLCA", "tables": ["clin", "rna"]})
    results.add("snn", [0.6, 0.7], modalities="clin")
    table = summary_page.headline_table(results.load())
    assert table["comparable"].tolist() == ["no: the published models also saw rna"]


def test_merge_without_image_has_no_published_number(results):
    results.facts(published={"dataset": "TCGA-UCEC", "tables": ["clin"]}, tables=["clin", "mut"])
    results.add(MERGE, [0.6, 0.7], modalities="clin+mut")
    results.add("snn", [0.6, 0.7], modalities="clin+mut")
    table = summary_page.headline_table(results.load()).set_index("model")
    assert table.loc[MERGE, ["published", "comparable"]].tolist() == ["", ""]
    assert table.loc["SNN, all tables", "published"]


def test_headline_counts_cohorts_and_names_winners(answered):
    text = summary_page.headline(answered)
    assert text.startswith("On 2 real cohorts, ")
    assert f"better than the best single block for {MERGE} on `one`, and worse for " in text
    assert f"worse for {MERGE} on `two`. " in text
    assert "between -0.100 and +0.100" in text
    pair = contrasts.contrasts(answered)[0][1]
    assert f"reaches {pair.upper - pair.mean:.2f} to either side" in text


def test_headline_without_a_winner(results, noise):
    results.facts()
    results.add(MERGE, 0.7 + noise)
    results.add(BEST, 0.7 + noise[::-1])
    text = summary_page.headline(results.load())
    assert text.startswith("On 1 real cohort, neither merging nor fusing blocks can be told apart")


def test_one_repeat_shows_no_interval_and_no_spread(results):
    results.facts()
    results.add(MERGE, [0.7])
    results.add(BEST, [0.6])
    found = results.load()
    assert "+0.100" in summary_page.headline(found)
    assert summary_page.best_table(found)["highest mean of all"].tolist() == [f"{MERGE}: 0.700"]
    assert summary_page.headline_table(found)["result"].tolist() == ["0.700 (n=1)", "0.600 (n=1)"]
    for text in (summary_page.conclusion(found), summary_page.best_table(found).to_string()):
        assert "nan" not in text


def test_made_up_cohorts_are_in_the_tables_but_not_in_the_answer(results, noise):
    results.facts("synthetic")
    results.add(MERGE, 0.9 + noise, "synthetic")
    results.add(BEST, 0.6 + noise[::-1], "synthetic")
    found = results.load()
    assert summary_page.best_table(found)["cohort"].tolist() == ["synthetic"]
    assert summary_page.difference_figure(found) is None
    assert summary_page.conclusion(found).count("no multimodal results yet") == 1


def test_best_table_has_each_way_of_combining_and_the_best_of_all(answered, noise):
    table = summary_page.best_table(answered).set_index("cohort")
    assert table.loc["one", [BEST, MERGE, ENSEMBLE, FUSE]].tolist() == [
        "0.700",
        "0.800",
        "0.800",
        "",
    ]
    top = table.loc["two", "highest mean of all"]
    assert top == f"{BEST}: 0.700 ± {np.std(noise, ddof=1):.3f}"
    assert table["repeats"].tolist() == [5, 5]
    assert set(table["grid"]) == {"paper"}
