from __future__ import annotations

import json
import shlex
import shutil
from dataclasses import replace

import numpy as np
import pytest

from mmlego.bench import fusing, training
from mmlego.bench.training import BLOCK_VARIANTS
from mmlego.errors import DownloadError, RunError, SettingsError
from mmlego.runs import session as sessions
from mmlego.runs.notebooks import cast_parameter
from mmlego.runs.records.record import read_record
from mmlego.runs.records.results import load_metrics
from mmlego.runs.runner import settings_for
from mmlego.runs.session import command_of, open_session, remake_command
from mmlego.runs.settings import BenchmarkSettings, MergeSettings, SignalSettings, UnimodalSettings
from mmlego.studies.lego.run import train_unimodal


@pytest.fixture
def merging(trained, new_session, tmp_path):
    """A session of `merge` on a copy of the results of a finished `unimodal`."""
    results = tmp_path / "results"
    shutil.copytree(trained.session.results, results)

    def make(cohort=None, **changes):
        return new_session(MergeSettings, results, cohort or trained.session.cohort, **changes)

    return make


def _record_path(session, record):
    return session.results / "runs" / record["run_id"] / "record.json"


def test_opening_takes_the_parameters_of_a_namespace(tmp_path):
    names = SignalSettings().model_dump() | {"results": str(tmp_path), "np": object()}
    session = open_session("signal_interference", names)
    assert session.settings == SignalSettings(results=str(tmp_path))
    assert session.results == tmp_path


def test_unknown_notebook():
    with pytest.raises(SettingsError, match="unknown notebook 'merg'; did you mean 'merge'"):
        open_session("merg", {})


def test_a_notebook_without_a_cohort_has_none():
    session = open_session("signal_interference", SignalSettings().model_dump())
    with pytest.raises(SettingsError, match="has no cohort"):
        _ = session.cohort


def test_every_modality_is_trained_in_every_variant(trained):
    names = {"clin", "rna", "img", "tabular"}
    assert len(trained.benches) == 2
    rows = [(o.repeat, o.method, o.arm, o.modality_key) for o in trained.session.outcomes]
    assert len(set(rows)) == len(rows) == 2 * len(names) * (1 + len(BLOCK_VARIANTS))
    assert {arm for _, method, arm, _ in rows if method == "lego_block"} == set(BLOCK_VARIANTS)
    joined = trained.benches[0].encoder("tabular").outcome
    assert joined.modalities == ("clin", "rna")


def test_no_two_fits_share_a_key(trained):
    keys = [o.key for o in trained.session.outcomes]
    assert len(set(keys)) == len(keys) == 32


@pytest.fixture
def genes(toy):
    """The toy cohort with names of genes."""
    cohort = toy()
    features = tuple(f"{gene}_rnaseq" for gene in ("TP53", "ABL1", "MYC", "KIT", "FOS"))
    rna = replace(cohort.modalities["rna"], features=features)
    return replace(cohort, modalities=cohort.modalities | {"rna": rna})


def test_groups_of_genes_are_added_where_the_settings_name_a_table(new_session, genes, tmp_path):
    table = tmp_path / "groups.csv"
    table.write_text("Kinases,Factors\nABL1,MYC\nKIT,TP53\n,FOS\n")
    session = new_session(BenchmarkSettings, tmp_path, genes, pathways=str(table))
    assert len(session.folds) == 2
    for fold in session.folds:
        assert fold.names == ("clin", "rna", "img", "tabular", "pathway_kinases", "pathway_factors")
        assert fold.widths["pathway_factors"] == 3
        assert fold.members("pathway_kinases") == ("rna",)
    plain = new_session(BenchmarkSettings, tmp_path, genes)
    assert plain.folds[0].names == ("clin", "rna", "img", "tabular")


def test_table_of_groups_that_is_nowhere(new_session, genes, tmp_path):
    session = new_session(BenchmarkSettings, tmp_path, genes, pathways="no/such.csv")
    with pytest.raises(DownloadError, match="groups of genes: expected a file 'no/such.csv'"):
        _ = session.folds


def test_finish_writes_record_and_table(trained):
    record = read_record(trained.record["run_id"], trained.session.results)
    assert json.loads(_record_path(trained.session, trained.record).read_text()) == trained.record
    assert record["data"]["metric"] == "c_index"
    assert record["data"]["tables"] == ["clin", "rna"]
    assert record["data"]["fingerprint"] == trained.session.cohort.fingerprint()
    assert record["protocol"] == "published"
    table = load_metrics(trained.session.results)
    assert set(table["cohort"]) == {"toy"}
    assert set(table["protocol"]) == {"published"}
    assert len(table) == sum(len(o["metrics"]) for o in record["outcomes"])


def _all(benches, variant="wrapped"):
    return [
        model
        for bench in benches
        for name in bench.fold.names
        for model in (bench.encoder(name), bench.block(name, variant))
    ]


def test_finished_blocks_are_found_and_are_the_same(merging, trained, monkeypatch):
    """The same settings but for what does not decide a block: grid, and which block is merged."""
    monkeypatch.setattr(training, "fit", None)
    found = merging(grid="other", block_variant="frozen").benches(train_missing=False)
    for first, second in zip(_all(trained.benches), _all(found), strict=True):
        assert first.key == second.key
        assert first.outcome.metrics == second.outcome.metrics
        assert first.model.state_dict().keys() == second.model.state_dict().keys()


def test_a_page_is_drawn_again_from_its_record_alone(merging, trained, monkeypatch):
    """Neither weights nor training: merges, ensembles and tuned stacks come from the record."""
    names = ["clin", "img"]

    def outcomes(session):
        found = []
        for bench in session.benches():
            models = [bench.merge(names), bench.ensemble(names), bench.best_block(names)]
            found += [model.outcome for model in (*models, bench.fuse(names))]
        return found

    session = merging()
    session.add(outcomes(session))
    session.finish()
    shutil.rmtree(session.results / "artifacts")
    monkeypatch.setattr(training, "fit", None)
    monkeypatch.setattr(fusing, "fit", None)
    again = outcomes(merging())
    assert not (session.results / "artifacts").exists()
    for one, two in zip(session.outcomes, again, strict=True):
        assert (one.key, one.metrics, one.labels) == (two.key, two.metrics, two.labels)
        assert one.facts == two.facts
        for name, values in one.prediction.items():
            np.testing.assert_array_equal(two.prediction[name], values)
        assert str(list(one.history)) == str(two.history)


def test_forced_runs_take_nothing_that_is_recorded_or_stored(merging, monkeypatch):
    monkeypatch.setattr(training, "fit", None)
    (bench, _) = merging(force=True).benches()
    with pytest.raises(TypeError):
        _ = bench.encoder("clin")


def test_missing_blocks_name_the_command_that_makes_them(merging):
    session = merging(seed=7)
    with pytest.raises(RunError, match="no stored fit with these settings") as caught:
        _all(session.benches(train_missing=False))
    command = str(caught.value).split("make it with: ")[1]
    words = command.split()
    assert words[:3] == ["mmlego", "run", "unimodal"]
    assert words[-2:] == ["--results", session.settings.results]
    given = dict(word.split("=", 1) for word in words if "=" in word)
    assert settings_for("unimodal", given).block_signature() == session.settings.block_signature()


def test_blocks_of_other_code_or_data_are_missing(merging, toy, monkeypatch):
    with pytest.raises(RunError, match="no stored fit"):
        _all(merging(cohort=toy(n=55)).benches(train_missing=False))
    monkeypatch.setattr(training, "code_digest", lambda *modules: "1" * 12)
    with pytest.raises(RunError, match="no stored fit"):
        _all(merging().benches(train_missing=False))


@pytest.mark.parametrize("damage", ["alter", "cut", "delete", "delete all"])
def test_damaged_weights_name_the_command(merging, trained, damage):
    session = merging()
    folder = session.store.folder / trained.benches[0].encoder("clin").key
    weights = folder / "tensors.safetensors"
    data = bytearray(weights.read_bytes())
    if damage == "alter":
        data[-5] ^= 255
        weights.write_bytes(data)
    elif damage == "cut":
        weights.write_bytes(data[:-100])
    elif damage == "delete":
        weights.unlink()
    else:
        shutil.rmtree(folder)
    bench = session.benches(train_missing=False)[0]
    assert bench.encoder("clin").outcome.metrics  # the record has it still
    with pytest.raises(RunError, match=r"make it with: mmlego run unimodal "):
        _ = bench.encoder("clin").model


def test_training_what_is_missing_needs_no_run(new_session, trained, tmp_path):
    session = new_session(
        MergeSettings, tmp_path, trained.session.cohort, repeats=1, epochs=1, modalities=[]
    )
    (bench,) = session.benches(train_missing=True)
    assert bench.merge(["clin", "rna"]).outcome.n_test == len(bench.fold.test)


def test_commands_give_what_differs_from_the_defaults_and_quote_it():
    values = UnimodalSettings(cohort="my data/x.yaml", modalities=["a", "b"], epochs=3).identity()
    assert command_of("unimodal", values) == (
        "mmlego run unimodal -p 'cohort=my data/x.yaml' -p 'modalities=[a,b]' -p epochs=3"
    )
    assert command_of("unimodal", UnimodalSettings().identity()) == "mmlego run unimodal"


def test_command_keeps_entries_with_commas_whole():
    arms = ["literal", "complete, literal", "std, inverse"]
    command = command_of("amc", {"arms": arms, "rivals": []})
    found = dict(word.split("=", 1) for word in shlex.split(command) if "=" in word)
    assert cast_parameter("arms", found["arms"], []) == arms
    assert cast_parameter("rivals", found["rivals"], ["x"]) == []


def test_command_of_a_record_makes_the_same_run(trained):
    words = shlex.split(remake_command(trained.record))
    given = dict(word.split("=", 1) for word in words if "=" in word)
    assert settings_for("unimodal", given).run_id == trained.record["run_id"]


def test_the_page_ends_with_its_provenance(trained):
    colophon = sessions.Colophon(trained.record)
    assert repr(colophon) == "Colophon()", "the record would be stored in the page once more"
    text = colophon._repr_markdown_()
    for fact in ("run_id", "code", "revision", "finished"):
        assert trained.record[fact] in text
    assert str(trained.session.results) not in text
    assert "torch" in text


def test_log_has_one_line_per_fit(new_session, trained, tmp_path):
    said = []
    session = new_session(
        UnimodalSettings, tmp_path, trained.session.cohort.select(["clin"]), repeats=1
    )
    train_unimodal(session.benches(log=said.append))
    assert len(said) == 4
    assert all("c_index" in line and "best epoch" in line for line in said)
