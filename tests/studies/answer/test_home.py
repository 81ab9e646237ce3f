"""The answer on the first page, from made-up results."""

from __future__ import annotations

import numpy as np
import pytest

from mmlego.bench.inputs import JOINED
from mmlego.bench.outcome import VALIDATION
from mmlego.reporting.standings import BEST_TITLE
from mmlego.studies.answer import home
from mmlego.studies.answer.claims import CLASSICAL, FUSE, MERGE
from mmlego.studies.answer.main_table import load_tasks

ALL = "clin+img+rna"
ROWS = {
    MERGE: ("lego_merge", JOINED, ALL),
    FUSE: ("lego_fuse", JOINED, ALL),
    BEST_TITLE: ("lego_block", JOINED, ALL, VALIDATION),
    "HEALNet": ("healnet", JOINED, ALL),
    "Cox (elastic net)": ("coxnet", JOINED, ALL),
    "clin": ("coxnet", "", "clin"),
}


@pytest.fixture
def tasks(results):
    def make(**values):
        for name, found in values.items():
            results.benchmark({ROWS[label]: v for label, v in found.items()}, name)
        return load_tasks(results.folder)

    return make


def test_best_row_is_that_with_the_highest_mean_of_those_asked_for(tasks, noise):
    (task,) = tasks(one={MERGE: 0.7 + noise, FUSE: 0.6 + noise, "Cox (elastic net)": 0.8 + noise})
    assert home.best_of(task, (MERGE, FUSE))[0] == MERGE
    assert home.best_of(task, CLASSICAL)[:2] == (
        "Cox (elastic net)",
        pytest.approx(0.8 + noise.mean()),
    )
    assert home.best_of(task, ("MCAT",)) is None


def test_headline_counts_winners_and_what_beats_a_regression(tasks, noise):
    weak, strong = 0.6 + noise, 0.9 + noise[::-1]
    found = tasks(
        one={MERGE: strong, FUSE: weak, "Cox (elastic net)": weak[::-1]},
        two={MERGE: weak, FUSE: strong, "Cox (elastic net)": 0.95 + noise},
        three={MERGE: weak, FUSE: strong, "Cox (elastic net)": weak},
    )
    text = home.headline(found)
    assert "over 3 real data sets" in text
    assert f"{FUSE} (2), {MERGE} (1)" in text
    assert "on 2 of 3" in text


def test_one_winner_everywhere_is_said_so(tasks, noise):
    found = tasks(one={MERGE: 0.9 + noise, FUSE: 0.6 + noise})
    assert home.headline(found).startswith(f"{MERGE} has the highest mean on all 1 real")


def test_table_leaves_out_what_did_not_run(tasks, noise):
    (row,) = home.answer_table(tasks(one={MERGE: 0.7 + noise})).to_dict("records")
    assert row["LegoMerge"].startswith(f"{0.7 + noise.mean():.3f} ±")
    assert row["LegoFuse"] == row["best reference"] == ""
    assert row["repeats"] == len(noise)


def test_how_sure_names_the_smallest_and_the_largest_half_width(tasks, noise):
    found = tasks(
        one={MERGE: 0.7 + noise, FUSE: 0.7 + noise[::-1]},
        two={MERGE: 0.7 + 3 * noise, FUSE: 0.7 + 3 * noise[::-1]},
    )
    text = home.how_sure(found)
    assert text.index("`one`") < text.index("`two`")
    assert "`" not in home.how_sure(found[:1])
    assert home.how_sure([]) == "With one repeat, nothing says how large chance is."


def test_reference_pair_is_paired_by_repeat(tasks, noise):
    (task,) = tasks(one={MERGE: 0.7 + noise, "Cox (elastic net)": 0.65 + noise})
    pair = home.reference_pair(task)
    assert pair.mean == pytest.approx(0.05)
    assert np.isclose(pair.upper, pair.lower)
    assert pair.decided


def test_clinical_variables_alone_are_held_against_every_fusion(tasks, noise):
    found = tasks(
        one={MERGE: 0.7 + noise, FUSE: 0.6 + noise, "clin": 0.65 + noise},
        two={MERGE: 0.7 + noise, FUSE: 0.6 + noise, "clin": 0.75 + noise},
    )
    text = home.clinical_sentence(found)
    assert "on 1 of 2 data sets (`two`)" in text
    assert home.clinical_sentence(found[:1]).endswith("on 0 of 1 data sets.")
    (row,) = home.answer_table(found[1:]).to_dict("records")
    assert row["clinical alone"].startswith("Cox (elastic net) 0.7")
