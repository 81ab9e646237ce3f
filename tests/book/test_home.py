from __future__ import annotations

import pandas as pd
import pytest

from mmlego.bench.outcome import VALIDATION
from mmlego.book.home import answer_page
from mmlego.runs.results import COLUMNS, TABLE
from mmlego.studies.answer.contrasts import BEST, MERGE


@pytest.fixture
def results(tmp_path, made_up_run):
    """Five repeats of the merge and the best block."""
    rows = [
        dict.fromkeys(COLUMNS, "")
        | {
            "cohort": "toy",
            "method": method,
            "tune_epochs": None,
            "chosen_by": chosen_by,
            "modalities": "clin+img",
            "split_unit": "patient",
            "metric": "c_index",
            "grid": "paper",
            "n_train": 70,
            "n_test": 15,
            "seconds": 1.0,
            "device": "cpu",
            "run_id": "x",
            "repeat": repeat,
            "value": base + repeat / 100,
        }
        for method, chosen_by, base in (
            ("lego_merge", "", 0.7),
            ("lego_block", VALIDATION, 0.6),
        )
        for repeat in range(1, 6)
    ]
    frame = pd.DataFrame(rows).astype({"tune_epochs": "Int64"})
    frame.to_parquet(tmp_path / TABLE, index=False)
    record = {
        "run_id": "x",
        "parameters": {"grid": "paper", "cohort": "toy", "split_unit": "patient"},
        "data": {"name": "toy", "metric": "c_index", "tables": ["clin"], "published": {}},
    }
    made_up_run(tmp_path, record)
    return tmp_path


def test_without_results_it_says_so_and_names_no_folder_of_the_machine(tmp_path):
    text = answer_page(tmp_path / "results", tmp_path / "generated")
    assert "There are no results yet" in text
    assert str(tmp_path) not in text


def test_answer_figure_and_table(results, tmp_path):
    text = answer_page(results, tmp_path / "generated")
    assert text.startswith('<div class="mml-answer">\n\nOn 1 real cohort, ')
    assert f"better than the best single block for {MERGE} on `toy`" in text
    assert f"* **{MERGE} against {BEST}**: better in 1, worse in 0" in text
    assert "generated/answer.svg" in text
    assert (tmp_path / "generated" / "answer.svg").read_text().startswith("<?xml")
    rows = [line for line in text.splitlines() if line.startswith("|")]
    assert len({line.count("|") for line in rows}) == 1
    assert len(rows) == 3
    assert f"{MERGE}: 0.730 ± " in rows[2]
    assert "paper" in rows[2]


def test_the_same_results_give_the_same_page(results, tmp_path):
    first = answer_page(results, tmp_path / "a"), (tmp_path / "a" / "answer.svg").read_bytes()
    second = answer_page(results, tmp_path / "b"), (tmp_path / "b" / "answer.svg").read_bytes()
    assert first[0] == second[0]
