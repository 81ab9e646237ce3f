"""AMC over its data sets, on made-up records."""

from __future__ import annotations

import numpy as np
import pytest

from mmlego.bench.inputs import SEPARATE
from mmlego.bench.outcome import VALIDATION
from mmlego.errors import RunError
from mmlego.methods.registry import METHODS
from mmlego.studies.amc.published import published_amc
from mmlego.studies.amc.run import ALONE as ONE
from mmlego.studies.amc.run import title_of
from mmlego.studies.answer import amc_page, main_table_page
from mmlego.studies.answer.amc import ALONE, WHOLE, alone_table, load_studies, rule_table, summaries

CHOSEN = title_of(ONE, chosen_by=VALIDATION)
LITERAL, INVERSE = title_of("literal"), title_of("inverse")
MUSE, MULT = METHODS["muse"].title, METHODS["mult"].title
NAMES = ("alpha", "beta", "gamma", "delta", "epsilon", "zeta")
LEVELS = {
    ("amc", "literal", "img+rna"): 0.60,
    ("amc", "inverse", "img+rna"): 0.65,
    ("amc", "std, literal", "img+rna"): 0.99,
    ("amc", ONE, "img"): 0.62,
    ("amc", ONE, "rna"): 0.55,
    ("amc", ONE, "img+rna", VALIDATION): 0.61,
    ("muse", "", "img+rna"): 0.58,
    ("mult", "", "img+rna"): 0.70,
}


@pytest.fixture
def write(tmp_path, made_up_run):
    """Write the record of one run; values by (method, arm, modalities, chosen by)."""

    def run(cohort, levels=LEVELS, noise=(0.01, -0.01), notebook="amc", **changes):
        metric = changes.pop("metric", "c_index")
        outcomes = [
            {
                "method": method,
                "arm": arm,
                "inputs": "" if method == "amc" else SEPARATE,
                "chosen_by": "".join(chosen),
                "modalities": names,
                "repeat": repeat,
                "n_train": 70,
                "n_test": 15,
                "metrics": {metric: level + step},
                "facts": {},
            }
            for (method, arm, names, *chosen), level in levels.items()
            for repeat, step in enumerate(noise, start=1)
        ]
        values = {"grid": "amc", "split_unit": "patient", "repeats": len(noise)}
        values |= {"tokens": 8, "width": 16, "epochs": 5} | changes
        record = {
            "run_id": "-".join(
                (notebook, cohort, str(len(outcomes)), values["grid"], values["split_unit"])
            ),
            "notebook": notebook,
            "finished": "2026-01-01",
            "parameters": values,
            "data": {"name": cohort, "metric": metric, "task": "survival", "capped_from": None},
        }
        made_up_run(tmp_path, record, outcomes)
        return tmp_path

    return run


def test_the_run_with_the_most_repeats_by_patient_counts(write):
    write("alpha")
    write("alpha", noise=(0.0, 0.0, 0.0))
    write("alpha", noise=(0.0,) * 4, split_unit="row")
    write("alpha", noise=(0.0,) * 5, grid="manual")
    write("synthetic")
    (study,) = load_studies(write("beta", notebook="amc_ablations"))
    assert (study.name, study.repeats) == ("alpha", 3)
    assert study.ratio == pytest.approx(15 / 70)


def test_without_a_run_the_error_says_what_to_do(write):
    with pytest.raises(RunError, match=r"expected a run of 'amc'.*experiments/full.yaml"):
        load_studies(write("synthetic"))


def test_other_configurations_stay_out_and_single_modalities_apart(write):
    (study,) = load_studies(write("alpha"))
    groups = study.rows.groupby("group")["label"].agg(set)
    assert groups[WHOLE] == {LITERAL, INVERSE, MUSE, MULT, CHOSEN}
    assert groups[ALONE] == {"AMC on img alone", "AMC on rna alone"}


def test_summary_has_published_values_of_both_rules_and_rivals(write):
    write("tcga-luad")
    table = summaries(load_studies(write("alpha"))).set_index(["task", "label"])
    known = published_amc("tcga-luad")
    known = known[known["metric"] == "c_index"].set_index(["method", "arm"])["published"]
    for label, key in ((LITERAL, ("amc", "literal")), (MUSE, ("muse", ""))):
        assert table.loc[("tcga-luad", label), "published"] == known[key]
        assert np.isnan(table.loc[("alpha", label), "published"])
    assert np.isnan(table.loc[("tcga-luad", CHOSEN), "published"])
    assert not table["comparable"].any()
    assert table.loc[("alpha", LITERAL), "mean"] == pytest.approx(0.60)
    assert table.loc[("alpha", LITERAL), "n"] == 2


def test_tables_of_modalities_and_rules(write):
    studies = load_studies(write("alpha"))
    alone = alone_table(studies).set_index("label")
    assert list(alone.index) == ["img", "rna", "all, literal", "all, inverse"]
    assert alone["whole"].tolist() == [False, False, True, True]
    assert alone.loc["img", "mean"] == pytest.approx(0.62)
    rules = rule_table(studies).set_index("rule")["mean"]
    assert rules.to_dict() == pytest.approx({"literal": 0.60, "inverse": 0.65})


def test_a_data_set_with_one_rule_has_no_pair(write):
    one = {key: value for key, value in LEVELS.items() if key[1] != "inverse"}
    studies = load_studies(write("alpha", levels=one))
    assert rule_table(studies).empty
    assert amc_page.rule_figure(studies) is None
    assert amc_page.across(studies, INVERSE, LITERAL) is None
    assert amc_page.rules_text(studies, write("alpha")) == "No data set has both rules."


def test_six_data_sets_can_tell_and_five_cannot(write):
    for name in NAMES[:-1]:
        folder = write(name)
    five = amc_page.rivals_table(load_studies(folder))
    assert (five[f"{LITERAL}, p (Holm)"] == "").all()
    assert "So few data sets cannot tell" in amc_page.rules_text(load_studies(folder), folder)
    studies = load_studies(write(NAMES[-1]))
    rows = amc_page.rivals_table(studies).set_index("rival")
    # Six comparisons, each with 2 / 64.
    assert rows.loc[MULT, f"{LITERAL}, p (Holm)"] == f"{6 * 2 / 64:.2g}"
    assert rows.loc[MULT, f"{LITERAL}, mean difference"] == "-0.100"
    assert rows.loc[MUSE, f"{INVERSE}, higher on"] == "6 of 6"
    text = amc_page.rules_text(studies, folder)
    assert "+0.050 on average over 6 data sets" in text
    assert text.endswith("**The evidence supports the inverse rule.**")


def test_one_noisy_data_set_does_not_turn_the_verdict(write):
    gaps = [0.175, *(-0.005 - 0.001 * index for index in range(11))]
    for index, gap in enumerate(gaps):
        levels = LEVELS | {("amc", "inverse", "img+rna"): 0.60 + gap}
        folder = write(f"cohort{index}", levels=levels)
    text = amc_page.rules_text(load_studies(folder), folder)
    assert "is +0.00" in text
    assert text.endswith("**The evidence supports the literal rule.**")


def test_rules_that_differ_by_chance_support_neither(write):
    for index, name in enumerate(NAMES):
        sign = 1 if index % 2 else -1
        levels = LEVELS | {("amc", "inverse", "img+rna"): 0.60 + sign * 0.01 * (index + 1)}
        folder = write(name, levels=levels)
    text = amc_page.rules_text(load_studies(folder), folder)
    assert "cannot tell the two apart" in text
    assert text.endswith("supports neither reading above the other.**")


def test_gaps_of_ablations(write):
    levels = {
        ("amc", "literal", "img+rna"): 0.60,
        ("amc", "inverse", "img+rna"): 0.63,
        ("amc", "std, literal", "img+rna"): 0.60,
        ("amc", "std, inverse", "img+rna"): 0.59,
        ("amc", "max, inverse", "img+rna"): 0.90,
    }
    write("alpha")
    folder = write("alpha", levels=levels, notebook="amc_ablations")
    write("alpha", levels=LEVELS, notebook="amc_ablations", noise=(0.0,))
    write("beta", levels=levels, notebook="amc_ablations", grid="manual")
    gaps = amc_page.ablation_gaps(folder).set_index("configuration")
    assert gaps["gap"].to_dict() == pytest.approx({"": 0.03, "std": -0.01})
    assert set(gaps["task"]) == {"alpha"}
    text = amc_page.rules_text(load_studies(folder), folder)
    assert "+0.010 in Concordance index on average over 2 configurations, and positive in 1" in text


def test_equal_importance_is_no_evidence_on_the_rules(write):
    pair = {("amc", f"equal, {rule}", "img+rna"): 0.6 for rule in ("literal", "inverse")}
    folder = write("alpha", levels=pair, notebook="amc_ablations")
    assert amc_page.ablation_gaps(folder).empty


def test_shared_patients_count_once(write):
    write("physionet2012-mortality")
    write("physionet2012-survival6", noise=(0.0, 0.0, 0.0))
    assert [s.name for s in load_studies(write("beta"))] == ["beta", "physionet2012-survival6"]


def test_runs_without_a_value_or_a_shared_repeat(write):
    write("alpha", levels=dict.fromkeys(LEVELS, float("nan")))
    folder = write("beta", levels={("muse", "", "img+rna"): 0.5})
    studies = load_studies(folder)
    assert [study.name for study in studies] == ["beta"]
    assert alone_table(studies).empty
    assert amc_page.modalities_figure(studies) is None
    assert amc_page.modalities_text(studies) == "No modality was trained alone."
    assert amc_page.across(studies, LITERAL, MUSE) is None
    assert amc_page.conclusion(studies).startswith("* The highest means are")


def test_rules_that_are_the_same_everywhere(write):
    levels = LEVELS | {("amc", "inverse", "img+rna"): 0.60}
    for name in NAMES:
        folder = write(name, levels=levels)
    text = amc_page.rules_text(load_studies(folder), folder)
    assert "inverse is higher on 0" in text
    assert text.endswith("supports neither reading above the other.**")


def test_sentences_and_figures(write):
    write("alpha")
    strong = LEVELS | {("amc", ONE, "rna"): 0.64}
    studies = load_studies(write("beta", levels=strong, metric="macro_auc"))
    text = amc_page.modalities_text(studies)
    assert "`alpha`: best alone is img (0.620 on those who have it); chosen by validation" in text
    assert "tested on everybody 0.610, which all modalities exceed under inverse." in text
    assert "`beta`: best alone is rna (0.640" in text
    said = amc_page.conclusion(studies)
    assert f"{INVERSE} has the highest mean on 0 of 2 data sets: number 2 of 5 on `alpha`" in said
    assert f"highest means are those of {MULT} on `alpha`, {MULT} on `beta`." in said
    assert "`beta` (img, rna): Macro one-vs-rest AUC, 2 repeats" in amc_page.scope(studies)
    assert amc_page.modalities_figure(studies) is not None
    assert amc_page.rule_figure(studies).axes[0].get_xlim()[1] < 1.05
    assert amc_page.metrics_of(studies) == "C-index or macro AUC"
    assert amc_page.metrics_of(studies[:1]) == "C-index"
    table = summaries(studies)
    assert main_table_page.ranks_record(table)[0]["label"] == MULT
    assert "AMC on img alone" not in main_table_page.ranked(table, WHOLE)
