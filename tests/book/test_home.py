from __future__ import annotations

import pytest

from mmlego.book.home import answer_page
from mmlego.studies.answer.contrasts import BEST, MERGE


@pytest.fixture
def answers(results):
    """A folder of results: five repeats of the merge and the best block."""
    results.facts("toy")
    for label, base in ((MERGE, 0.7), (BEST, 0.6)):
        results.add(label, [base + repeat / 100 for repeat in range(1, 6)], "toy")
    results.write()
    return results.folder


def test_without_results_it_says_so_and_names_no_folder_of_the_machine(tmp_path):
    text = answer_page(tmp_path / "results", tmp_path / "generated")
    assert "There are no results yet" in text
    assert str(tmp_path) not in text


def test_answer_figure_and_table(answers, tmp_path):
    text = answer_page(answers, tmp_path / "generated")
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


def test_the_same_results_give_the_same_page(answers, tmp_path):
    first = answer_page(answers, tmp_path / "a"), (tmp_path / "a" / "answer.svg").read_bytes()
    second = answer_page(answers, tmp_path / "b"), (tmp_path / "b" / "answer.svg").read_bytes()
    assert first[0] == second[0]
