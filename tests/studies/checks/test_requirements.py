from __future__ import annotations

import json

import pytest
import torch
from torch import nn

from mmlego.errors import ModalityError
from mmlego.runs.records.record import plain
from mmlego.runs.settings import RequirementsSettings
from mmlego.studies.checks import requirements
from mmlego.studies.checks.contenders import CONTENDERS
from mmlego.studies.checks.requirements import METHODS, NO, REQUIREMENTS, YES, Check
from mmlego.studies.checks.scaling import fit_power_law
from mmlego.studies.checks.trials import Trial

SETTINGS = RequirementsSettings(
    n_train=32,
    n_test=40,
    width=5,
    tokens=2,
    epochs=1,
    repeats=2,
    hidden=8,
    token_counts=[4, 8, 16],
    modality_counts=[2, 3, 4],
)


@pytest.fixture(scope="module")
def checks():
    return requirements.check_all(SETTINGS)


@pytest.fixture
def trial():
    return Trial(SETTINGS, 1)


def test_every_requirement_is_checked_on_every_method(checks):
    assert [(c.method, c.requirement) for c in checks] == [
        (method, requirement) for method in METHODS for requirement in REQUIREMENTS
    ]
    assert all(c.evidence for c in checks)
    assert {c.verdict for c in checks} <= {"yes", "with masks", "no"}


def test_errors_are_evidence(checks):
    found = {c.method: c for c in checks if c.requirement == "architecture"}
    assert found["perceiver"].verdict == NO
    assert "raised TypeError" in found["perceiver"].evidence
    assert "raised ShapeError" in found["weight_merging"].evidence
    assert "raised" not in found["lego_merge"].evidence


def test_learnt_methods_pass_and_guessing_does_not():
    settings = RequirementsSettings(n_train=256, epochs=10, repeats=3, hidden=16)
    tasks = requirements.trials(settings)
    ensemble, late = CONTENDERS["ensemble"], CONTENDERS["late_concat"]
    assert requirements._training(ensemble, tasks)[0] == YES
    assert requirements._training(late, tasks)[0] == NO
    assert requirements._disjoint(ensemble, tasks)[0] == YES
    assert requirements._disjoint(late, tasks)[0] == "with masks"
    assert requirements._missing(late, tasks)[0] == YES


class Leaky(nn.Module):
    """A model that reads what is marked as absent."""

    def forward(self, inputs, present=None, masks=None):
        """Sum everything."""
        total = sum(x.flatten(1).sum(1) for x in inputs.values())
        return torch.stack([total, -total], dim=1)


def test_a_model_that_reads_absent_values_is_found_out(trial):
    assert requirements.content_effect(Leaky(), trial) == float("inf")
    whole = trial.untrained_whole(CONTENDERS["healnet"], "complete")
    assert requirements.content_effect(whole, trial) == 0.0


def test_only_errors_of_a_method_are_answers():
    def refuse(contender):
        raise ModalityError("needs a bag; pass one")

    assert requirements._run(refuse, METHODS["mcat"]) == (
        NO,
        "raised ModalityError: needs a bag",
        {},
    )
    with pytest.raises(ZeroDivisionError):
        requirements._run(lambda contender: 1 / 0, METHODS["mcat"])


def test_growth_above_linear_fails(checks):
    x = [2, 4, 8, 16]
    laws = {
        ("healnet", "tokens"): fit_power_law(x, [5.0 * s for s in x]),
        ("healnet", "modalities"): fit_power_law(x, [s**1.2 for s in x]),
    }
    verdict, evidence, numbers = requirements._scaling(METHODS["healnet"], laws)
    assert verdict == NO
    assert "1.20 at the end" in evidence
    assert numbers["last_tokens"] == pytest.approx(1.0)
    laws["healnet", "modalities"] = laws["healnet", "tokens"]
    assert requirements._scaling(METHODS["healnet"], laws)[0] == YES


def test_tables_are_in_the_order_of_methods_and_requirements(checks):
    table = requirements.verdict_table(checks)
    assert list(table.columns) == ["method", *REQUIREMENTS.values()]
    assert list(table["method"]) == list(METHODS)
    one = requirements.evidence_table(checks, "missing")
    assert list(one["method"]) == list(METHODS)


def test_sentences_follow_the_verdicts():
    made = [
        Check(r, m, YES if m in ("lego_merge", "ensemble") else NO, "e")
        for m in METHODS
        for r in REQUIREMENTS
    ]
    text = requirements.conclusion(made)
    assert "No end-to-end training: yes: LegoMerge, Ensemble; no: LegoFuse" in text
    assert "LegoMerge 5, Ensemble 5, LegoFuse 0" in text
    assert "Ensemble meets as many" in text
    alone = [c if c.method != "ensemble" else Check(c.requirement, c.method, NO, "e") for c in made]
    assert "meets as many" not in requirements.conclusion(alone)


def test_record_is_plain(checks):
    saved = json.loads(json.dumps(plain(requirements.record(checks))))
    assert len(saved) == len(checks)
    assert set(saved[0]) == {"requirement", "method", "verdict", "evidence", "numbers"}


def test_description_says_what_passing_means():
    text = requirements.describe(SETTINGS)
    assert "2 draws" in text
    assert "not known here" in text
