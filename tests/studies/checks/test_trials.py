from __future__ import annotations

import pytest
import torch

from mmlego.runs.settings import RequirementsSettings
from mmlego.studies.checks.contenders import CONTENDERS
from mmlego.studies.checks.trials import Score, Trial, trials

SETTINGS = RequirementsSettings(n_train=40, n_test=60, width=5, tokens=3, epochs=1, hidden=8)


@pytest.fixture
def trial():
    return Trial(SETTINGS, 1)


def shares(samples):
    return {name: float(flag.float().mean()) for name, flag in samples.present.items()}


def test_conditions_are_what_they_say(trial):
    assert shares(trial.train_samples("complete")) == {"table": 1.0, "series": 1.0}
    assert shares(trial.train_samples("imbalanced")) == {"table": 1.0, "series": 0.25}
    disjoint = trial.train_samples("disjoint")
    assert shares(disjoint) == {"table": 0.5, "series": 0.5}
    assert not disjoint.has(how="all").any()
    assert disjoint.has(how="any").all()
    absent = disjoint.values["series"][~disjoint.present["series"]]
    assert not absent.any()


def test_either_modality_alone_is_above_chance_and_both_are_better():
    trial = Trial(RequirementsSettings(n_train=300, n_test=600, epochs=15, hidden=16), 1)
    both = trial.whole(CONTENDERS["late_concat"], "complete")
    alone = [trial.auc(both, absent=name) for name in ("table", "series")]
    assert min(alone) > 0.65
    assert trial.auc(both) > max(alone) + 0.05


def test_test_samples_are_others_than_those_of_training(trial):
    assert not torch.isin(trial.test.values["table"], trial.complete.values["table"]).any()
    assert trial.test.target["label"].float().mean() == pytest.approx(0.5, abs=0.02)


def test_parts_see_only_their_own_samples(trial, monkeypatch):
    seen = []
    monkeypatch.setattr(trial, "fit", lambda model, samples, **_: seen.append(samples))
    trial.parts(CONTENDERS["lego_merge"], "disjoint")
    assert [part.names for part in seen] == [("table",), ("series",)]
    assert not set(seen[0].ids) & set(seen[1].ids)


def test_parts_are_trained_once_for_all_methods_that_share_them(trial):
    merge = trial.parts(CONTENDERS["lego_merge"], "complete")
    assert trial.parts(CONTENDERS["lego_fuse"], "complete") is merge
    assert trial.parts(CONTENDERS["ensemble"], "complete") is not merge


@pytest.mark.parametrize(
    ("method", "epochs"), [("lego_merge", []), ("lego_fuse", [2]), ("healnet", [1])]
)
def test_joint_training_is_none_or_tuning_or_all(trial, monkeypatch, method, epochs):
    contender = CONTENDERS[method]
    if contender.part:
        trial.parts(contender, "complete")
    seen = []
    monkeypatch.setattr(trial, "fit", lambda *_, epochs=None: seen.append(epochs))
    trial.whole(contender, "complete")
    assert seen == epochs


def test_a_draw_is_repeated_by_its_seed():
    first, again, other = Trial(SETTINGS, 1), Trial(SETTINGS, 1), Trial(SETTINGS, 2)
    table = first.complete.values["table"]
    assert torch.equal(table, again.complete.values["table"])
    assert not torch.equal(table, other.complete.values["table"])
    merge = CONTENDERS["lego_merge"]
    scores = [t.auc(t.whole(merge, "complete")) for t in (first, again)]
    assert scores[0] == scores[1]
    assert len(trials(SETTINGS)) == SETTINGS.repeats


def test_a_score_is_above_chance_with_its_whole_interval():
    # t quantile 4.303 for three values: 0.7 +- 4.303 * 0.05 / sqrt(3)
    score = Score((0.65, 0.7, 0.75))
    assert score.half_width == pytest.approx(0.1242, abs=1e-4)
    assert str(score) == "0.70 [0.58, 0.82]"
    assert score.above_chance
    assert not Score((0.45, 0.7, 0.95)).above_chance
    assert not Score((0.2, 0.2, 0.2)).above_chance
