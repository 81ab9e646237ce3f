"""AMC over its data sets, on made-up records."""

from __future__ import annotations

import json

import numpy as np
import pytest

from mmlego.errors import RunError
from mmlego.experiments import amc_overview, leaguepage
from mmlego.experiments.amc import title_of
from mmlego.experiments.amc_published import published_amc
from mmlego.experiments.amc_studies import (
    ALONE,
    BEST_ALONE,
    WHOLE,
    alone_table,
    load_studies,
    rule_table,
    summaries,
)
from mmlego.experiments.methods import METHODS

LITERAL, INVERSE = title_of("literal"), title_of("inverse")
MUSE, MULT = METHODS["muse"].title, METHODS["mult"].title
NAMES = ("alpha", "beta", "gamma", "delta", "epsilon", "zeta")
LEVELS = {
    ("amc", "literal", "img+rna"): 0.60,
    ("amc", "inverse", "img+rna"): 0.65,
    ("amc", "std, literal", "img+rna"): 0.99,
    ("amc", "only img", "img"): 0.62,
    ("amc", "only rna", "rna"): 0.55,
    ("muse", "modalities apart", "img+rna"): 0.58,
    ("mult", "modalities apart", "img+rna"): 0.70,
}


@pytest.fixture
def write(tmp_path):
    """Write the record of one run; values by (method, variant, modalities), one per repeat."""
    (tmp_path / "runs").mkdir()

    def run(cohort, levels=LEVELS, noise=(0.01, -0.01), notebook="amc", **changes):
        metric = changes.pop("metric", "c_index")
        outcomes = [
            {
                "method": method,
                "variant": variant,
                "modalities": names,
                "repeat": repeat,
                "n_train": 70,
                "n_test": 15,
                "metrics": {metric: level + step},
                # The weaker modality has the lower validation loss in the second repeat.
                "facts": {"best_val_loss": abs(repeat - 1 - (names == "rna"))},
            }
            for (method, variant, names), level in levels.items()
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
            "outcomes": outcomes,
        }
        (tmp_path / "runs" / f"{record['run_id']}.json").write_text(json.dumps(record))
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
    with pytest.raises(RunError, match=r"expected a run of 'amc'.*experiments/amc.yaml"):
        load_studies(write("synthetic"))


def test_other_configurations_stay_out_and_single_modalities_apart(write):
    (study,) = load_studies(write("alpha"))
    groups = study.rows.groupby("group")["label"].agg(set)
    assert groups[WHOLE] == {LITERAL, INVERSE, MUSE, MULT, BEST_ALONE}
    assert groups[ALONE] == {"AMC on img alone", "AMC on rna alone"}


def test_the_best_modality_is_picked_by_validation_loss_alone(write):
    (study,) = load_studies(write("alpha"))
    best = study.rows[study.rows["label"] == BEST_ALONE].set_index("repeat")
    assert best["modalities"].to_dict() == {1: "img", 2: "rna"}
    assert best["value"].to_dict() == pytest.approx({1: 0.63, 2: 0.54})


def test_summary_has_published_values_of_both_rules_and_rivals(write):
    write("tcga-luad")
    table = summaries(load_studies(write("alpha"))).set_index(["task", "label"])
    known = published_amc("tcga-luad")
    known = known[known["metric"] == "c_index"].set_index(["method", "variant"])["published"]
    for label, key in ((LITERAL, ("amc", "literal")), (MUSE, ("muse", ""))):
        assert table.loc[("tcga-luad", label), "published"] == known[key]
        assert np.isnan(table.loc[("alpha", label), "published"])
    assert np.isnan(table.loc[("tcga-luad", BEST_ALONE), "published"])
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
    assert amc_overview.rule_figure(studies) is None
    assert amc_overview.across(studies, INVERSE, LITERAL) is None
    assert amc_overview.rules_text(studies, write("alpha")) == "No data set has both rules."


def test_six_data_sets_can_tell_and_five_cannot(write):
    for name in NAMES[:-1]:
        folder = write(name)
    five = amc_overview.rivals_table(load_studies(folder))
    assert (five[f"{LITERAL}, p (Holm)"] == "").all()
    assert "So few data sets cannot tell" in amc_overview.rules_text(load_studies(folder), folder)
    studies = load_studies(write(NAMES[-1]))
    rows = amc_overview.rivals_table(studies).set_index("rival")
    # Six comparisons, each with 2 / 64.
    assert rows.loc[MULT, f"{LITERAL}, p (Holm)"] == f"{6 * 2 / 64:.2g}"
    assert rows.loc[MULT, f"{LITERAL}, mean difference"] == "-0.100"
    assert rows.loc[MUSE, f"{INVERSE}, higher on"] == 6
    text = amc_overview.rules_text(studies, folder)
    assert "+0.050 on average over 6 data sets" in text
    assert text.endswith("**The evidence supports the inverse rule.**")


def test_rules_that_differ_by_chance_support_neither(write):
    for index, name in enumerate(NAMES):
        sign = 1 if index % 2 else -1
        levels = LEVELS | {("amc", "inverse", "img+rna"): 0.60 + sign * 0.01 * (index + 1)}
        folder = write(name, levels=levels)
    text = amc_overview.rules_text(load_studies(folder), folder)
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
    write("beta", levels=levels, notebook="amc_ablations", grid="manual")
    gaps = amc_overview.ablation_gaps(folder).set_index("configuration")
    assert gaps["gap"].to_dict() == pytest.approx({"": 0.03, "std": -0.01})
    assert set(gaps["task"]) == {"alpha"}
    text = amc_overview.rules_text(load_studies(folder), folder)
    assert "+0.010 on average over 2 configurations, and positive in 1" in text


def test_sentences_and_figures(write):
    write("alpha")
    strong = LEVELS | {("amc", "only rna", "rna"): 0.64}
    studies = load_studies(write("beta", levels=strong, metric="macro_auc"))
    text = amc_overview.modalities_text(studies)
    assert "`alpha`: best alone is img (0.620); all modalities are above it under inverse" in text
    assert "`beta`: best alone is rna (0.640)" in text
    said = amc_overview.conclusion(studies)
    assert f"{INVERSE} has the highest mean on 0 of 2 data sets: number 2 of 5 on `alpha`" in said
    assert f"highest means are those of {MULT} on `alpha`, {MULT} on `beta`." in said
    assert "`beta` (img, rna): Macro one-vs-rest AUC, 2 repeats" in amc_overview.scope(studies)
    assert amc_overview.modalities_figure(studies) is not None
    assert amc_overview.rule_figure(studies) is not None
    table = summaries(studies)
    assert leaguepage.ranks_record(table)[0]["label"] == MULT
    assert "AMC on img alone" not in leaguepage.ranked(table, WHOLE)
