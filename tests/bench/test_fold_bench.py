"""Every method on one fold: who takes part, and that each model is trained once, as it should."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from mmlego.bench import fold_bench, fusing, training
from mmlego.bench.estimators import classical_methods
from mmlego.bench.fold_bench import (
    Bench,
    benches,
    can_be_trained,
    methods_for,
)
from mmlego.bench.inputs import PATHWAYS
from mmlego.bench.merging import ensemble, merge
from mmlego.bench.store.fits import FitStore
from mmlego.bench.trained import Labels, TrainedModel
from mmlego.bench.training import train_block, train_encoder
from mmlego.bench.tuning.values import TunedValues
from mmlego.data.folds.joining import join_columns
from mmlego.errors import RunError, SettingsError
from mmlego.learning.objectives import objective_for
from mmlego.learning.output_bias import output_layers, start_at_base_rate
from mmlego.learning.predict import predict_logits
from mmlego.methods.method import ESTIMATOR
from mmlego.methods.names import (
    AMC,
    ENSEMBLE,
    HEALNET,
    LATE_CONCAT,
    LEGO_BLOCK,
    LEGO_FUSE,
    LEGO_MERGE,
)
from mmlego.methods.registry import METHODS, networks, unimodal_methods
from mmlego.runs.settings import BenchmarkSettings
from mmlego.studies.benchmark.run import bench_fold, run_all

JOINED = ("tabular", "img")
SEPARATE = ("clin", "img", "rna")
SURVIVAL = set(classical_methods("survival"))
WHOLE = {n for n in networks() if not METHODS[n].requires and not METHODS[n].opt_in}
ASKED = {n for n, m in METHODS.items() if m.kind == ESTIMATOR and m.opt_in}
PUT_TOGETHER = {LEGO_MERGE, LEGO_FUSE, ENSEMBLE}
BLOCKS = {LEGO_BLOCK} | PUT_TOGETHER


@pytest.fixture
def settings(tiny):
    """Make settings of the notebook `benchmark`, a single epoch."""

    def make(**changes):
        return tiny(BenchmarkSettings, **({"epochs": 1} | changes))

    return make


@pytest.fixture
def bench(folds, settings, store):
    return Bench(folds()[0], settings(), store)


@pytest.fixture
def fits(monkeypatch):
    """What is trained: (model, settings) of every call of ``fit``."""
    seen = []
    for module in (training, fusing):

        def spy(model, *args, _fit=module.fit, **options):
            seen.append((model, options["settings"]))
            return _fit(model, *args, **options)

        monkeypatch.setattr(module, "fit", spy)
    return seen


def _methods(outcomes):
    return [outcome.method for outcome in outcomes]


# --- who takes part


def _fold(task="survival", scaling="standard", **kinds):
    scalers = dict.fromkeys(kinds, SimpleNamespace(scaling=scaling))
    return SimpleNamespace(task=task, kinds=kinds, cohort="toy", scalers=scalers)


TABLE, BAG, SERIES, IMAGE = ("tabular", "bag", "series", "image")
ENCODERS = set(unimodal_methods())


@pytest.mark.parametrize(
    ("kinds", "takes_part", "stays_out"),
    [
        ([TABLE], ENCODERS | {"perceiver", "multimodn"}, {HEALNET, LEGO_MERGE, LATE_CONCAT}),
        ([TABLE, BAG], WHOLE | BLOCKS | {"mcat", "late_bilinear"}, set()),
        ([TABLE, SERIES], {"mcat", "late_bilinear"}, set()),
        ([TABLE, TABLE], WHOLE | BLOCKS | {"late_bilinear"}, {"mcat"}),
        ([TABLE, TABLE, BAG], WHOLE | BLOCKS | {"mcat"}, {"late_bilinear"}),
        ([TABLE, BAG, SERIES], WHOLE, {"mcat", "late_bilinear"}),
        ([BAG, SERIES], WHOLE | {"late_bilinear"}, {"mcat"}),
        ([IMAGE], {"convnet", "lego_block"}, SURVIVAL | WHOLE | {"snn", "abmil"}),
        (
            [TABLE, IMAGE],
            PUT_TOGETHER | {AMC},
            SURVIVAL | (WHOLE - {"amc"}) | {"mcat"},
        ),
    ],
)
def test_methods_suit_what_they_can_take(kinds, takes_part, stays_out):
    fold = _fold(**{f"m{place}": kind for place, kind in enumerate(kinds)})
    found = set(methods_for(fold, list(fold.kinds)))
    assert takes_part <= found
    assert not stays_out & found
    assert "weight_merging" not in found


def test_references_belong_to_their_task():
    references = {n for n, method in METHODS.items() if method.kind == ESTIMATOR}
    for task, expected in (
        ("survival", SURVIVAL),
        ("classification", {"logistic", "boosting"} | ASKED),
    ):
        fold = _fold(task, m=TABLE)
        assert {
            name for name in references if can_be_trained(METHODS[name], fold, ["m"])
        } == expected


def test_some_references_run_only_where_they_are_named():
    fold = _fold("classification", m=TABLE)
    assert not ASKED & set(methods_for(fold, ["m"]))
    assert methods_for(fold, ["m"], ["knn", "svm"]) == ["knn", "svm"]


def test_some_methods_take_images_only_with_their_own_colors():
    kinds = {"a": TABLE, "b": IMAGE}
    found = [set(methods_for(_fold(scaling=s, **kinds), ["a", "b"])) for s in ("none", "standard")]
    assert found[0] - found[1] == {"mm_dynamics", "mm_static"}
    assert "lego_merge" in found[1]


def test_wanted_methods_in_the_order_of_the_registry():
    fold = _fold(a=TABLE, b=BAG)
    assert methods_for(fold, ["a", "b"], ["healnet", "mcat"]) == ["mcat", "healnet"]
    with pytest.raises(SettingsError, match=r"methods: expected names of .*, got \['helnet'\]"):
        methods_for(fold, ["a"], ["helnet"])


@pytest.fixture
def quick_references(monkeypatch, outcome):
    """Classical references that cost nothing, for where only their rows matter."""

    def make(fold, method, names, settings, store, *, inputs):
        members = {member for name in names for member in fold.members(name)}
        known = outcome(method, inputs=inputs, modalities=tuple(sorted(members)))
        return TrainedModel(fold, Labels(method, tuple(names)), f"{method} {names}", None, known)

    monkeypatch.setattr(fold_bench, "train_estimator", make)


@pytest.mark.usefixtures("quick_references")
def test_every_method_that_suits_has_its_rows_and_no_other(folds, settings, store):
    found = run_all(folds(), settings(), store)
    rows = [(o.method, o.arm, o.inputs, o.modality_key) for o in found]
    tables, everything = "clin+rna", "clin+img+rna"
    expected = []
    for encoder, name in (("snn", tables), ("abmil", "img")):
        expected += [(method, "", "", name) for method in (encoder, "perceiver", "multimodn")]
        expected += [(LEGO_BLOCK, "wrapped", "", name)]
    expected += [
        (method, "", "", name) for name in (tables, "img", "clin", "rna") for method in SURVIVAL
    ]
    for inputs, names, more in (
        ("joined", everything, {"late_bilinear", "mcat"}),
        ("separate", everything, {"mcat"}),
        ("tables", tables, {"late_bilinear"}),
    ):
        expected += [(LEGO_BLOCK, "", inputs, names)]  # the best by validation
        several = PUT_TOGETHER | WHOLE | SURVIVAL | more
        arms = {LEGO_FUSE: "stack"}
        expected += [(method, arms.get(method, ""), inputs, names) for method in several]
    assert sorted(rows) == sorted(expected)
    assert all(np.isfinite(o.metrics["c_index"]) for o in found)


def test_wanted_sets_and_methods_alone(folds, settings, store):
    chosen = settings(inputs=["tables"], methods=["lego_merge", "coxnet"])
    found = run_all(folds(), chosen, store)
    many = [o for o in found if o.inputs == "tables"]
    assert _methods(many) == [LEGO_BLOCK, LEGO_MERGE, "coxnet"]
    rest = [o for o in found if not o.inputs]
    assert {(o.method, len(o.modalities) > 1) for o in rest} <= {
        ("coxnet", True),
        ("coxnet", False),
    }
    assert len(many) + len(rest) == len(found)


def test_groups_of_genes_are_a_set_of_their_own(folds, settings, store):
    fold = join_columns(folds()[0], "pathway_a", {"rna": [0, 2]})
    fold = join_columns(fold, "pathway_b", {"rna": [1], "clin": [0]})
    found = bench_fold(Bench(fold, settings(), store), [PATHWAYS], ["mcat"])
    assert [(o.inputs, o.modality_key) for o in found] == [(PATHWAYS, "clin+img+rna")]


# --- each model once


def test_each_model_is_trained_once(bench, fits):
    for names in (JOINED, SEPARATE):
        for _ in range(2):
            combined = bench.ensemble(names), bench.merge(names), bench.best_block(names)
            assert all(np.isfinite(model.outcome.metrics["c_index"]) for model in combined)
        list(bench.unimodal(names[0], ["snn", "lego_block"]))
    models = [model.modality for model, _ in fits]
    assert sorted(models) == sorted(2 * ["tabular", "img", "clin", "rna"])


def test_another_bench_finds_everything_in_the_store(bench, fits, settings):
    wanted = [LEGO_MERGE, LEGO_FUSE, HEALNET, "coxnet"]
    first = bench_fold(bench, ["joined"], wanted)
    trained = len(fits)
    again = bench_fold(Bench(bench.fold, settings(), bench.store), ["joined"], wanted)
    assert len(fits) == trained == 6  # two encoders, two blocks, the stack, and HEALNet
    for one, two in zip(first, again, strict=True):
        assert (one.key, one.metrics) == (two.key, two.metrics)


def test_fits_are_logged_once(folds, settings, store):
    said = []
    for bench in benches(folds(2), settings(), store, said.append):
        for _ in range(2):
            _ = bench.ensemble(JOINED).outcome, bench.merge(JOINED).outcome
    assert len(said) == 8
    assert sum(line.startswith("repeat 2 ") for line in said) == 4


# --- whose models are put together


def test_blocks_and_encoders_of_the_same_fold_are_put_together(folds, settings, store):
    """Trained here once more, by hand, for each fold; a read-only store has the very same fits."""
    both = folds(2)
    wanted = ["lego_merge", "ensemble"]
    found = run_all(both, settings(inputs=["joined"], methods=wanted), store)
    kept = FitStore(store.folder, read_only=True)
    for fold in both:
        encoders = {name: train_encoder(fold, name, settings(), kept) for name in JOINED}
        blocks = {
            name: train_block(fold, name, "wrapped", settings(), kept, encoder=encoders[name])
            for name in JOINED
        }
        expected = {
            LEGO_MERGE: merge(fold, blocks, JOINED, kept).outcome,
            ENSEMBLE: ensemble(fold, encoders, JOINED, kept).outcome,
        }
        for method, outcome in expected.items():
            (row,) = [o for o in found if o.repeat == fold.repeat and o.method == method]
            assert row.ids.tolist() == outcome.ids.tolist()
            np.testing.assert_array_equal(row.prediction["risk"], outcome.prediction["risk"])


def test_fusion_starts_from_the_blocks_of_the_bench(bench, fits, monkeypatch):
    seen = {}

    def spy(fold, blocks, names, *args, **options):
        seen.update(fold=fold, blocks=blocks, **options)
        return tune(fold, blocks, names, *args, **options)

    tune = fusing.tune
    monkeypatch.setattr(fusing, "tune", spy)
    found = bench.fuse(JOINED, inputs="joined").outcome
    assert seen["fold"] is bench.fold
    for name in JOINED:
        assert seen["blocks"][name] is bench.block(name)
    assert (found.arm, found.inputs, found.tune_epochs) == ("stack", "joined", 2)
    assert found.facts["order"] == list(JOINED)
    how = fits[-1][1]
    assert (how.epochs, how.patience, how.output_bias) == (2, None, "as_built")


def test_blocks_of_another_store_may_be_required(folds, settings, store):
    """As in the notebooks that merge what another notebook trained; what tunes them may train."""
    fold = folds()[0]
    blocks = store.for_reading("make it with: x")
    bench = Bench(fold, settings(), store, block_store=blocks)
    with pytest.raises(RunError, match="no stored fit with these settings.*; make it with: x"):
        bench.fuse(JOINED)
    _ = Bench(fold, settings(), store).merge(JOINED).outcome
    assert np.isfinite(bench.fuse(JOINED).outcome.metrics["c_index"])


def test_an_outcome_of_another_condition_is_logged_so(bench, store):
    said = []
    bench.log = said.append
    assert bench.on(bench.fold, "fewer").encoder("img").outcome.condition == ""
    assert [outcome.condition for outcome in said] == ["fewer"]


def test_tuning_of_a_stack_takes_the_epochs_of_the_settings(folds, settings, store, fits):
    Bench(folds()[0], settings(tune_epochs=1), store).fuse(JOINED)
    assert fits[-1][1].epochs == 1


def test_best_block_is_that_with_the_lowest_validation_loss(bench):
    losses = {name: bench.block(name).outcome.facts["best_val_loss"] for name in JOINED}
    found = bench.best_block(JOINED, inputs="joined").outcome
    assert found.facts["first"] == min(losses, key=losses.get)
    assert (found.chosen_by, found.inputs) == ("validation", "joined")


# --- whose hyper-parameters


def _chosen(**studies):
    names = {name.replace("__", " on "): {"values": values} for name, values in studies.items()}
    return TunedValues(names)


def test_chosen_values_reach_model_and_training(folds, settings, store, fits):
    chosen = _chosen(
        snn__table={"learning_rate": 0.011, "dropout": 0.125, "widths": [8, 6]},
        lego_block__table={"l1": 1e-6, "depth": 2, "attn_dropout": 0.05},
        abmil__bag={"weight_decay": 0.004, "embed_dim": 16},
        perceiver={"learning_rate": 0.012, "depth": 2, "self_layers": 0},
        perceiver__bag={"learning_rate": 0.013},
        lego_fuse={"learning_rate": 0.014},
    )
    bench = Bench(folds()[0], settings(), store, chosen)
    bench.fuse(JOINED)
    bench.whole("perceiver", JOINED)
    bench.whole("perceiver", ["img"])
    (snn, snn_fit), (block, block_fit), (abmil, abmil_fit), (other, other_fit) = fits[:4]
    assert (snn_fit.learning_rate, snn_fit.l1) == (0.011, settings().l1)
    layers = [m for m in snn.modules() if isinstance(m, torch.nn.Linear)]
    assert [layer.out_features for layer in layers[:2]] == [8, 6]
    assert {m.p for m in snn.modules() if isinstance(m, torch.nn.AlphaDropout)} == {0.125}
    config = block.model.config()
    assert (config["depth"], config["attn_dropout"], config["latent_channels"]) == (2, 0.05, 4)
    assert (block_fit.l1, block_fit.learning_rate) == (1e-6, settings().learning_rate)
    assert abmil.model.encoder.embed[0].out_features == 16
    assert abmil_fit.weight_decay == 0.004
    assert other.model.config()["depth"] == 1, "the block of the bag was not searched"
    assert other_fit.learning_rate == settings().learning_rate
    fused, joined, single = (how for _, how in fits[4:])
    assert (fused.learning_rate, fused.epochs) == (0.014, 2)
    assert (joined.learning_rate, single.learning_rate) == (0.012, 0.013)
    assert other_fit.weight_decay == joined.weight_decay == 0.0


def test_another_choice_is_another_fit(folds, settings, store):
    fold = folds()[0]
    keys = {
        Bench(fold, settings(), store, values).whole(LATE_CONCAT, JOINED).key
        for values in (
            TunedValues(),
            _chosen(late_concat={"learning_rate": 0.01}),
            _chosen(late_concat={"dropout": 0.5}),
        )
    }
    assert len(keys) == 3


def test_code_of_a_model_is_part_of_its_key(bench, monkeypatch):
    key = bench.whole("multimodn", ["img"]).key
    digest = training.code_digest
    build = METHODS["multimodn"].build
    monkeypatch.setattr(
        training,
        "code_digest",
        lambda *code: "other" if build in code else digest(*code),
    )
    assert bench.whole("multimodn", ["img"]).key != key


def test_options_of_the_caller_win(folds, settings, store, fits):
    values = _chosen(late_concat={"dropout": 0.5})
    Bench(folds()[0], settings(), store, values).whole(
        LATE_CONCAT, JOINED, options={"dropout": 0.25}
    )
    rates = {m.p for m in fits[0][0].modules() if isinstance(m, torch.nn.AlphaDropout)}
    assert rates == {0.25}


def test_chosen_values_are_read_for_the_cohort_of_the_folds(folds, settings, store, monkeypatch):
    chosen = _chosen(snn__table={"learning_rate": 0.01})
    asked = []
    monkeypatch.setattr(fold_bench, "load_values", lambda *names: asked.append(names) or chosen)
    (found,) = benches(folds(), settings(hyperparameters="tuned"), store)
    assert asked == [("tuned", "toy")]
    assert found.values is chosen


# --- the base rate


@pytest.mark.parametrize("method", networks())
def test_a_model_without_weights_in_its_output_predicts_the_base_rate(folds, method):
    """So every output layer was found, and none that is not."""
    fold = folds()[0]
    widths = {name: fold.widths[name] for name in JOINED}
    kinds = {name: fold.kinds[name] for name in JOINED}
    model = METHODS[method].build(widths, fold.n_outputs, kinds=kinds).eval()
    objective = objective_for(fold)
    start_at_base_rate(model, fold.train, objective)
    layers = output_layers(model, fold.n_outputs)
    for layer in layers:
        torch.nn.init.zeros_(layer.weight)
    test = fold.test.select(sorted(JOINED)).where_present(sorted(JOINED))
    logits = predict_logits(model, test, device="cpu")
    expected = layers[0].bias.detach().expand_as(logits)
    torch.testing.assert_close(logits, expected)


def test_runs_may_start_at_the_base_rate(folds, settings, store, fits):
    bench = Bench(folds()[0], settings(output_bias="base_rate"), store)
    bench.fuse(JOINED)
    bench.whole(HEALNET, JOINED)
    starts = [how.output_bias for _, how in fits]
    assert starts == 4 * ["base_rate"] + ["as_built", "base_rate"], "a merged head is kept"
