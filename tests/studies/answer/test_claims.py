"""The claims of the paper, each held against made-up results."""

from __future__ import annotations

import numpy as np
import pytest

from mmlego.bench.inputs import JOINED
from mmlego.bench.outcome import VALIDATION
from mmlego.learning.statistics import pairing
from mmlego.methods.registry import METHODS
from mmlego.reporting.standings import BEST_TITLE
from mmlego.studies.answer import claims
from mmlego.studies.answer.claims import CLAIMS, FUSE, MERGE, Claim, compared
from mmlego.studies.answer.main_table import load_tasks

ALL = "clin+img+rna"
ROWS = {
    MERGE: ("lego_merge", JOINED, ALL),
    FUSE: ("lego_fuse", JOINED, ALL),
    BEST_TITLE: ("lego_block", JOINED, ALL, VALIDATION),
    "HEALNet": ("healnet", JOINED, ALL),
    METHODS["coxnet"].title: ("coxnet", JOINED, ALL),
    "clin": ("coxnet", "", "clin"),
}
ONLY = (Claim("Merging is better", MERGE, BEST_TITLE),)


@pytest.fixture
def tasks(results):
    """Load tasks of values by name and label."""

    def make(**values):
        for name, found in values.items():
            results.benchmark({ROWS[label]: v for label, v in found.items()}, name)
        return load_tasks(results.folder)

    return make


@pytest.mark.parametrize(
    ("shift", "repeats", "verdict"),
    [
        (0.1, 5, "holds"),
        (-0.1, 5, "opposite"),
        (0.0, 5, "cannot be told"),
        (0.1, 4, "too few repeats"),
        (-0.1, 1, "too few repeats"),
    ],
)
def test_verdicts(tasks, noise, shift, repeats, verdict):
    values = {MERGE: 0.7 + shift + noise[:repeats], BEST_TITLE: 0.7 + noise[::-1][:repeats]}
    (row,) = compared(tasks(one=values), ONLY).to_dict("records")
    assert row["verdict"] == verdict
    assert (row["task"], row["repeats"]) == ("one", repeats)
    expected = np.mean(values[MERGE] - values[BEST_TITLE])
    assert row["difference"] == pytest.approx(expected)


def test_p_values_are_corrected_over_the_whole_table(tasks, noise):
    one = {MERGE: 0.71 + noise, BEST_TITLE: 0.7 + noise[::-1], FUSE: 0.72 - noise}
    two = {MERGE: 0.72 + noise, BEST_TITLE: 0.7 + noise[::-1]}
    found = tasks(one=one, two=two)
    table = compared(found)
    assert len(table) == 4  # three claims on the first task, one on the second
    raw = {
        (claim.text, task.name): pairing.compare(task.rows, claim.first, claim.rival).p_value
        for claim in CLAIMS
        for task in found
        if {claim.first, claim.rival} <= set(task.rows["label"])
    }
    corrected, least = {}, 0.0
    for place, key in enumerate(sorted(raw, key=raw.get)):
        least = max(least, min(1.0, raw[key] * (4 - place)))
        corrected[key] = least
    for row in table.to_dict("records"):
        assert row["p"] == pytest.approx(corrected[row["claim"], row["task"]])


def test_claims_are_about_rows_of_the_table():
    known = {method.title for method in METHODS.values()} | {BEST_TITLE}
    assert {name for claim in CLAIMS for name in (claim.first, claim.rival)} <= known


def test_no_claim_can_be_checked(tasks, noise):
    table = compared(tasks(one={MERGE: 0.7 + noise}))
    assert table.empty
    assert claims.sentences(table) == "No claim can be checked yet."
    assert claims.readable(table).empty


def test_sentences_count_tasks(tasks, noise):
    best = 0.7 + noise[::-1]
    found = tasks(
        one={MERGE: 0.8 + noise, BEST_TITLE: best},
        two={MERGE: 0.6 + noise, BEST_TITLE: best},
        three={MERGE: 0.9 + noise, BEST_TITLE: best},
        four={MERGE: 0.71 + noise[:2], BEST_TITLE: best[:2]},
    )
    text = claims.sentences(compared(found, ONLY))
    assert text.count("* **") == 1
    assert "points that way on 3 of 4 tasks" in text
    assert "it holds on 2, the opposite on 1, and 0 cannot be told" in text


def test_the_table_as_text(tasks, noise):
    found = tasks(
        one={MERGE: 0.8 + noise, BEST_TITLE: 0.7 - noise},
        two={MERGE: [0.8], BEST_TITLE: [0.7]},
    )
    table = claims.readable(compared(found, ONLY)).set_index("task")
    assert table.loc["one", "difference"] == "+0.100"
    assert " to " in table.loc["one", "95 % interval"]
    assert (table.loc["two", ["95 % interval", "p (Holm)"]] == "").all()


def test_networks_against_the_best_reference(tasks, noise):
    cox = METHODS["coxnet"].title
    found = tasks(
        one={MERGE: 0.7 + noise, "HEALNet": 0.6 + noise, cox: 0.65 + noise, "clin": 0.68 + noise},
        two={MERGE: 0.7 + noise},
    )
    (line,) = claims.classical_sentence(found).splitlines()
    assert line == (
        f"* `one`: best reference {cox} {0.65 + noise.mean():.3f}, best network or merge {MERGE} "
        f"{0.7 + noise.mean():.3f} (1 of 2 above the reference); clinical variables alone, "
        f"{cox} {0.68 + noise.mean():.3f}."
    )
