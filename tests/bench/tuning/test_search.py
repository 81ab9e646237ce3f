"""The search of hyper-parameters: judged by validation parts only, resumable, and honest."""

from __future__ import annotations

import math
from dataclasses import replace

import optuna
import pandas as pd
import pytest
import torch
import yaml

from mmlego.bench import training
from mmlego.bench.fold_bench import Bench
from mmlego.bench.settings import TuningSettings
from mmlego.bench.store.fits import FitStore
from mmlego.bench.tuning import search as tuning
from mmlego.bench.tuning.search import FinishedSearch, Search, search, sentence, tasks
from mmlego.bench.tuning.space import given_values, light_values, readable
from mmlego.bench.tuning.values import GIVEN, TunedValues, load_values, tuned_path
from mmlego.errors import RunError, SettingsError, TrainingError
from mmlego.methods.method import EITHER
from mmlego.methods.names import LEGO_FUSE
from mmlego.methods.registry import METHODS, networks
from mmlego.studies.search.run import write_chosen

SNN = "snn on table"


@pytest.fixture
def settings(tiny):
    """Make settings of the notebook `tuning`: one epoch, two trials."""

    def make(*methods, **changes):
        return tiny(
            TuningSettings, **({"epochs": 1, "trials": 2, "methods": list(methods)} | changes)
        )

    return make


@pytest.fixture
def storage(tmp_path):
    return tmp_path / "studies" / "toy.db"


def _numbers(study):
    return study.trials.drop(columns="state").to_dict("records")


# --- what is searched


def test_encoders_come_before_blocks_and_fusion_last(folds):
    whole = [name for name in networks() if not METHODS[name].opt_in]
    alone = [name for name in whole if METHODS[name].kind == EITHER]
    assert [task.name for task in tasks(folds()[0])] == [
        SNN,
        "abmil on bag",
        "lego_block on bag",
        "lego_block on table",
        *sorted(whole + [f"{name} on {role}" for name in alone for role in ("bag", "table")]),
        LEGO_FUSE,
    ]


def test_what_stands_for_a_role(folds):
    found = {task.name: task.names for task in tasks(folds()[0])}
    assert found[SNN] == ("tabular",)
    assert found["healnet"] == ("tabular", "img")


def test_tables_alone_are_fused_apart(toy):
    from mmlego.data.folds.fold import make_fold
    from mmlego.data.folds.splits import make_splits
    from mmlego.data.folds.tabular import with_tabular

    cohort = toy().select(["clin", "rna"])
    fold = with_tabular(make_fold(cohort, make_splits(cohort, repeats=1)[0]))
    found = {task.name: task.names for task in tasks(fold, ["snn", "healnet"])}
    assert found == {SNN: ("tabular",), "healnet": ("clin", "rna")}


def test_unknown_method(folds, settings, storage):
    with pytest.raises(SettingsError, match="got \\['nn'\\]"):
        search(folds(), settings("nn"), storage)


# --- what is chosen


def test_the_first_trial_is_the_given_settings(folds, settings, storage, tmp_path):
    """Its loss is that of a run without a search, but for penalties next to nothing."""
    chosen = settings("snn")
    both = folds(2)
    (study,) = search(both, chosen, storage)
    first = study.trials.iloc[0]
    for name, value in given_values("snn", chosen).items():
        assert first[name] == value, name
    benches = [Bench(fold, chosen, FitStore(tmp_path / "fits")) for fold in both]
    losses = [bench.encoder("tabular").outcome.facts["best_val_loss"] for bench in benches]
    assert study.given == first["value"] == pytest.approx(sum(losses) / 2, abs=1e-4)


def test_the_second_trial_hardly_regularizes(folds, settings, storage):
    chosen = settings("snn")
    (study,) = search(folds(), chosen, storage)
    for name, value in light_values("snn", chosen).items():
        assert study.trials.iloc[1][name] == value, name


def test_the_best_trial_is_chosen(folds, settings, storage):
    (study,) = search(folds(), settings("snn", trials=4), storage)
    values = study.trials.set_index("number")["value"]
    assert values.nunique() == 4
    best = study.trials.loc[study.trials["value"].idxmin()]
    assert study.loss == values.min() <= study.given == values[0]
    assert study.values["learning_rate"] == best["learning_rate"]
    assert study.values["widths"] == readable("snn", {"widths": best["widths"]})["widths"]
    assert set(study.importances) == set(study.trials.columns) - {"number", "value", "state"}


def _other_test(fold):
    """The same fold with other labels and values in its test part."""
    generator = torch.Generator().manual_seed(1)
    rows = torch.randperm(len(fold.test), generator=generator)
    target = {name: values[rows] for name, values in fold.test.target.items()}
    values = fold.test.values | {
        name: torch.randn(fold.test.values[name].shape, generator=generator)
        for name in ("clin", "rna", "tabular")
    }
    assert not torch.equal(target["time"], fold.test.target["time"])
    return replace(fold, test=replace(fold.test, target=target, values=values))


def _other_val(fold):
    rows = torch.randperm(len(fold.val), generator=torch.Generator().manual_seed(1))
    target = {name: values[rows] for name, values in fold.val.target.items()}
    return replace(fold, val=replace(fold.val, target=target))


def test_only_the_validation_part_decides(folds, settings, tmp_path):
    chosen = settings("snn", "late_concat", "lego_fuse")
    found = {
        name: search([change(fold) for fold in folds()], chosen, tmp_path / f"{name}.db")
        for name, change in (("as is", lambda f: f), ("test", _other_test), ("val", _other_val))
    }
    assert len(found["as is"]) == 3
    for one, two, three in zip(*found.values(), strict=True):
        assert one.values == two.values, one.task.name
        pd.testing.assert_frame_equal(one.trials, two.trials)
        assert (one.trials["value"] != three.trials["value"]).all(), one.task.name


def test_fusion_is_searched_on_the_blocks_that_were_chosen(folds, settings, storage, monkeypatch):
    seen = {}

    def spy(fold, given, store, chosen):
        seen[tuple(chosen.studies)] = chosen
        return Bench(fold, given, store, chosen)

    monkeypatch.setattr(tuning, "Bench", spy)
    studies = search(folds(), settings("snn", "lego_block", "lego_fuse"), storage)
    last = seen[tuple(study.task.name for study in studies)]
    for study in studies[:-1]:
        assert last.studies[study.task.name]["values"] == study.values


def test_a_stack_is_judged_after_its_last_epoch(folds, settings, tmp_path):
    (fold,) = folds()
    task = Search("lego_fuse", "all", ("tabular", "img"))
    losses = [
        tuning._val_loss(
            task,
            Bench(
                fold,
                settings(),
                FitStore(tmp_path),
                TunedValues({"lego_fuse": {"values": {"learning_rate": rate}}}),
            ),
        )
        for rate in (1e-9, 1e-2)
    ]
    assert losses[0] != pytest.approx(losses[1], abs=1e-4)


# --- cut short, failed, and done again


def test_a_finished_search_is_not_made_again(folds, settings, storage, monkeypatch):
    first = search(folds(), settings("snn"), storage)

    def never(*args, **options):
        raise AssertionError("trained again")

    monkeypatch.setattr(training, "fit", never)
    (again,) = search(folds(), settings("snn"), storage)
    assert _numbers(again) == _numbers(first[0])
    assert again.values == first[0].values


def test_a_search_goes_on_where_it_stopped(folds, settings, storage):
    (first,) = search(folds(), settings("snn"), storage)
    (more,) = search(folds(), settings("snn", trials=3), storage)
    assert len(more.trials) == 3
    assert _numbers(more)[:2] == _numbers(first)
    assert more.given == first.given


def test_other_settings_or_code_are_another_search(folds, settings, storage, monkeypatch):
    search(folds(), settings("snn"), storage)
    search(folds(), settings("snn", depth=2), storage)
    monkeypatch.setattr(tuning, "code_digest", lambda *modules: "other")
    search(folds(), settings("snn"), storage)
    summaries = optuna.get_all_study_summaries(f"sqlite:///{storage}")
    assert [summary.n_trials for summary in summaries] == [2, 2, 2]


@pytest.fixture
def failing(monkeypatch):
    """Let the training of chosen calls fail, counted from 0."""

    def fail(which):
        count = iter(range(100))

        def sometimes(*args, _fit=training.fit, **options):
            if next(count) in which:
                raise TrainingError("epoch 1: expected a finite loss, got NaN")
            return _fit(*args, **options)

        monkeypatch.setattr(training, "fit", sometimes)

    return fail


def test_a_trial_that_fails_is_passed_over(folds, settings, storage, failing):
    failing({1})
    (study,) = search(folds(), settings("snn", trials=3), storage)
    assert study.trials["state"].tolist() == ["COMPLETE", "PRUNED", "COMPLETE"]
    assert math.isnan(study.trials["value"][1])
    assert study.loss == study.trials["value"].min()


def test_given_settings_that_fail_have_no_loss(folds, settings, storage, failing, project):
    failing({0})
    studies = search(folds(), settings("snn"), storage)
    assert math.isnan(studies[0].given)
    path = write_chosen("toy", studies, settings())
    assert yaml.safe_load(path.read_text())["studies"][SNN]["validation_loss_given"] is None


def test_a_search_that_fails_altogether(folds, settings, storage, failing):
    failing(set(range(9)))
    with pytest.raises(RunError, match=f"search '{SNN}': expected a trial that ends.* none of 2"):
        search(folds(), settings("snn"), storage)


def test_hopeless_trials_end_after_the_first_fold(folds, settings, storage, monkeypatch):
    """From the third trial on, one that is worse than the median of those before."""
    losses = iter([1.0, 1.0, 1.1, 1.1, 9.0, 0.5, 0.5])
    monkeypatch.setattr(tuning, "_val_loss", lambda *given: next(losses))
    (study,) = search(folds(2), settings("snn", trials=4), storage)
    assert study.trials["state"].tolist() == ["COMPLETE", "COMPLETE", "PRUNED", "COMPLETE"]
    assert (study.given, study.loss) == (1.0, 0.5)
    assert next(losses, "no more") == "no more"


# --- what is written


def test_a_later_search_keeps_what_others_found(folds, settings, storage, project):
    first, second = settings("snn"), settings("late_concat", trials=3)
    write_chosen("toy", search(folds(), first, storage), first)
    earlier = yaml.safe_load(tuned_path("toy").read_text())
    tuned_path("toy").write_text(f"# noted by hand\n{tuned_path('toy').read_text()}")
    write_chosen("toy", search(folds(), second, storage), second)
    found = yaml.safe_load(tuned_path("toy").read_text())
    assert set(found["studies"]) == {SNN, "late_concat"}
    assert found["studies"][SNN] == earlier["studies"][SNN]
    assert found["settings"] == earlier["settings"], "the settings of the first search"
    assert tuned_path("toy").read_text().startswith("# noted by hand\n# Chosen on validation")
    (later,) = found["later"]
    assert later["studies"] == ["late_concat"]
    assert later["settings"]["trials"] == 3
    write_chosen("toy", search(folds(), first, storage), first)
    assert set(yaml.safe_load(tuned_path("toy").read_text())["studies"]) == {SNN, "late_concat"}


def test_what_is_chosen_reads_back(folds, settings, storage, project):
    chosen = settings("snn", "lego_block", trials=2)
    studies = search(folds(), chosen, storage)
    path = write_chosen("toy", studies, chosen)
    assert path == tuned_path("toy")
    assert path.is_relative_to(project.folder)
    found = load_values("tuned", "toy")
    for study in studies:
        values = found.of(study.task.method, study.task.role)
        read = dict(values.fit) | dict(values.options)
        assert read.keys() == study.values.keys()
        for name, value in study.values.items():
            assert read[name] == pytest.approx(value, rel=1e-6)
    assert found.of("healnet", "all") == GIVEN
    about = yaml.safe_load(path.read_text())
    assert (about["cohort"], about["repeats"]) == ("toy", 2)
    assert about["settings"] == chosen.identity()
    assert about["versions"]["optuna"] == optuna.__version__
    assert [study["trials"] for study in about["studies"].values()] == [2, 2, 2]


def test_log_has_a_line_per_search(folds, settings, storage):
    said = []
    (study,) = search(folds(), settings("snn"), storage, log=said.append)
    assert said == [sentence(study)]
    assert said[0].startswith(f"{SNN}: 2 trials, validation loss {study.given:.4f} as given")


def test_a_sentence_shortens_numbers():
    task = Search("snn", "table", ("clin",))
    study = FinishedSearch(
        task, pd.DataFrame({"number": [0]}), {"l1": 0.00012345, "widths": [8]}, 1, 2, {}
    )
    assert sentence(study).endswith("1.0000 with l1 0.00012, widths [8]")
