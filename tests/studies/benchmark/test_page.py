"""The page of the notebook `benchmark`, from a small run."""

from __future__ import annotations

import pytest
import yaml

from mmlego.bench.tuning.values import tuned_path
from mmlego.methods.names import ENSEMBLE, LATE_CONCAT, LEGO_BLOCK, LEGO_MERGE, SNN
from mmlego.methods.registry import METHODS
from mmlego.reporting import sentences, standings
from mmlego.reporting.standings import BEST_TITLE
from mmlego.runs.settings import BenchmarkSettings
from mmlego.studies.benchmark import page
from mmlego.studies.benchmark.run import run_all

MERGE = METHODS["lego_merge"].title
RAN = [SNN, LEGO_BLOCK, LEGO_MERGE, ENSEMBLE, LATE_CONCAT, "coxnet"]


def _ran(new_session, results, cohort, **changes):
    session = new_session(BenchmarkSettings, results, cohort, epochs=1, **changes)
    session.add(run_all(session.folds, session.settings, session.store))
    return session


@pytest.fixture(scope="module")
def benched(new_session, toy, tmp_path_factory):
    """A few methods on two repeats, tables joined and modalities apart."""
    changes = {"methods": RAN, "inputs": ["joined", "separate"]}
    return _ran(new_session, tmp_path_factory.mktemp("benched"), toy(), **changes)


@pytest.fixture(scope="module")
def alone(new_session, toy, tmp_path_factory):
    """A single table, which nothing can be fused with."""
    cohort = toy(task="classification").select(["clin"])
    return _ran(new_session, tmp_path_factory.mktemp("alone"), cohort, methods=["snn"], repeats=1)


def test_sets_of_inputs_as_a_list(benched, alone):
    assert page.input_sets(benched).splitlines() == [
        "* **tables joined**: `tabular`, `img`",
        "* **modalities apart**: `clin`, `img`, `rna`",
    ]
    assert page.input_sets(alone) == "* only single modalities"


def test_given_hyperparameters_in_words(benched):
    text = sentences.hyperparameters(benched)
    assert "learning rate 0.003, L1 0.0002, batches of 64, blocks of depth 1" in text


def test_searched_hyperparameters_with_their_losses(new_session, toy, project):
    session = new_session(
        BenchmarkSettings, project.results, toy(), hyperparameters="tuned", methods=["snn"]
    )
    study = {
        "values": {"learning_rate": 0.01234, "widths": [8, 8]},
        "validation_loss": 0.5,
        "validation_loss_given": 0.625,
        "trials": 5,
    }
    other = study | {"validation_loss_given": None, "trials": 8}
    tuned_path("toy").parent.mkdir()
    tuned_path("toy").write_text(yaml.safe_dump({"studies": {"a": study, "b": other}}))
    lines = sentences.hyperparameters(session).splitlines()
    assert "with 5 to 8 trials for every network" in lines[0]
    assert lines[-2:] == [
        "* a: validation loss 0.500 (0.625 as given), learning_rate 0.012, widths [8, 8]",
        "* b: validation loss 0.500, learning_rate 0.012, widths [8, 8]",
    ]


def test_rows_are_those_of_the_main_set(benched):
    rows = page.rows(benched)
    many = rows[rows["group"] == "multimodal"]
    assert set(many["label"]) == {
        MERGE, BEST_TITLE, "Ensemble", METHODS["late_concat"].title, METHODS["coxnet"].title,
    }  # fmt: skip
    assert (many.groupby("label").size() == 2).all()


def test_curves_are_those_of_networks_of_several_modalities(benched, alone):
    assert set(page.curves(benched).iloc[:, 0]) == {METHODS["late_concat"].title}
    assert not page.curves(alone).empty


@pytest.mark.parametrize(
    ("which", "labels"),
    [
        ("multimodal", {MERGE, BEST_TITLE, "Ensemble", METHODS["late_concat"].title}),
        (
            "others",
            {
                f"{name}, modalities apart"
                for name in (MERGE, BEST_TITLE, "Ensemble", METHODS["late_concat"].title)
            },
        ),
        (
            "classical",
            {
                f"{METHODS['coxnet'].title}, {what}"
                for what in ("tables joined", "modalities apart", "tabular", "img", "clin", "rna")
            },
        ),
    ],
)
def test_every_row_is_in_one_figure(benched, monkeypatch, which, labels):
    drawn = []
    monkeypatch.setattr(page.figures, "forest_plot", lambda table, **how: drawn.append(table))
    page.forest(benched, which)
    (table,) = drawn
    assert set(table["label"]) == labels
    assert not table.duplicated(["label", "repeat"]).any()


def test_figures_are_drawn_or_left_out(benched, alone):
    for which in ("multimodal", "others", "unimodal", "classical"):
        assert page.forest(benched, which) is not None
    assert page.forest(alone, "unimodal") is not None
    for which in ("multimodal", "others", "classical"):
        assert page.forest(alone, which) is None


def test_conclusions(benched, alone):
    text = page.conclusion(benched)
    assert "The highest mean concordance index of several modalities is" in text
    assert f"Against {MERGE}" in text
    assert "Against LegoFuse" not in text, "it did not run"
    assert page.conclusion(alone) == "No method of several modalities ran."
    assert page.classical_conclusion(alone).startswith("Nothing to compare")


def test_networks_are_counted_against_the_best_reference(benched):
    rows = page.rows(benched)
    many = rows[rows["group"] == "multimodal"].groupby("label")["value"].mean()
    reference = many.pop(METHODS["coxnet"].title)
    text = page.classical_conclusion(benched)
    assert f"{METHODS['coxnet'].title} ({reference:.3f})" in text
    assert f"{int((many > reference).sum())} of 4 networks and merges" in text


def test_verdicts_and_all_numbers(benched):
    assert set(standings.verdict_table(page.rows(benched))["method"]) == {
        BEST_TITLE, "Ensemble", METHODS["late_concat"].title, METHODS["coxnet"].title,
    }  # fmt: skip
    table = page.standing_table(benched)
    assert (table["repeats"] == 2).all()
    assert (table["result"] == table["first five"]).all()
    assert (table[["published", "difference", "comparable"]] == "").all().all()
    assert table["result"].str.fullmatch(r"\d\.\d{3} ± \d\.\d{3}").all()
