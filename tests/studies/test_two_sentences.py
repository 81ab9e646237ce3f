"""The answer of every page: exactly two sentences, with the numbers of the run in them."""

from __future__ import annotations

import re
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from mmlego.bench.configurations import Configuration
from mmlego.bench.outcome import VALIDATION
from mmlego.errors import SettingsError
from mmlego.methods.method import ESTIMATOR
from mmlego.methods.names import ENSEMBLE, LATE_CONCAT, LEGO_MERGE
from mmlego.methods.registry import METHODS
from mmlego.runs.settings import BenchmarkSettings, PropertiesSettings, SignalSettings
from mmlego.studies.amc import page as amc_page
from mmlego.studies.answer import amc_page as amc_overview
from mmlego.studies.answer import main_table, main_table_page, protocol_page
from mmlego.studies.benchmark import page as benchmark_page
from mmlego.studies.benchmark.run import run_all
from mmlego.studies.blocks import page as blocks_page
from mmlego.studies.checks import efficiency, interference, properties, requirements
from mmlego.studies.checks.requirements import METHODS as CHECKED
from mmlego.studies.checks.requirements import NO, REQUIREMENTS, YES, Check
from mmlego.studies.dynamics import confidence_page, image_page
from mmlego.studies.dynamics import page as dynamics_page
from mmlego.studies.lego import page as lego_page
from mmlego.studies.lego import run as lego
from mmlego.studies.robustness import disjoint_page
from mmlego.studies.robustness import page as robustness_page
from mmlego.studies.robustness.run import AFTER, ALL, BEFORE, ONE, Findings
from mmlego.studies.tokens import page as tokens_page
from mmlego.studies.weights import page as weights_page
from mmlego.studies.weights.run import BlockMerges


def two(text):
    """The two sentences of an answer."""
    found = re.split(r"(?<=[.])(?:\*\*)?\s+", text.strip())
    assert len(found) == 2, found
    return found


@pytest.fixture
def rows(outcome, noise):
    """Five repeats around a value."""

    def make(method, value, arm="", **changes):
        facts = changes.pop("facts", {})
        return [
            outcome(
                method,
                arm,
                repeat=repeat,
                metrics={"c_index": value + shift, "macro_f1": value + shift},
                facts=facts,
                **changes,
            )
            for repeat, shift in enumerate(noise, start=1)
        ]

    return make


@pytest.fixture
def session():
    def make(outcomes, unit="patient"):
        fold = SimpleNamespace(train=range(70), test=range(15))
        return SimpleNamespace(
            outcomes=outcomes,
            folds=[fold],
            cohort=SimpleNamespace(name="toy", task="survival"),
            settings=SimpleNamespace(split_unit=unit, parts=[]),
        )

    return make


def test_unimodal(trained):
    first, second = two(lego_page.unimodal_answer(trained.session))
    assert first.startswith("Chosen by validation loss, **")
    assert "on average over 4 inputs" in second, "three modalities, and all tables as one"


def test_merge_and_fuse(trained):
    benches = trained.benches
    merged = lego.merge_subsets(benches, "wrapped") + lego.merge_rivals(benches, "wrapped")
    rivals = lego.headline_rows(benches, merged, "wrapped")
    first, second = two(lego_page.merge_answer(trained.session, rivals))
    assert "for **LegoMerge**" in first
    assert "for Ensemble" in first
    assert second.startswith("LegoMerge against LegoBlock (best by validation):")
    tuned = lego.tuning(benches, "wrapped", [0, 2])
    rivals = lego.fuse_rivals(benches, tuned, "wrapped")
    first, _ = two(lego_page.fuse_answer(trained.session, rivals))
    assert "for **LegoFuse (stack, 2 epochs)**" in first


@pytest.fixture(scope="module")
def benched(new_session, toy, tmp_path_factory):
    classical = next(name for name, method in METHODS.items() if method.kind == ESTIMATOR)
    methods = [LEGO_MERGE, ENSEMBLE, LATE_CONCAT, classical]
    session = new_session(
        BenchmarkSettings, tmp_path_factory.mktemp("b"), toy(), epochs=1, methods=methods
    )
    session.add(run_all(session.folds, session.settings, session.store))
    return session


def test_benchmark(benched):
    first, second = two(benchmark_page.answer(benched))
    assert first.startswith("Of 4 models of several modalities, **")
    assert "the best reference without a network, Cox (elastic net)" in second


def test_the_network_that_the_benchmark_works_through(benched):
    bench = benched.benches()[0]
    example = benchmark_page.example(benched, bench)
    assert example.method == "late_concat", "trained as a whole"
    assert example.key in {o.key for o in benched.outcomes}
    kept = list(benched.outcomes)
    try:
        benched.outcomes[:] = [o for o in kept if o.method == "coxnet"]
        assert benchmark_page.example(benched, bench) is None
    finally:
        benched.outcomes[:] = kept


def test_dynamics(session, rows):
    outcomes = [
        *rows("mm_dynamics", 0.66, "both"),
        *rows("mm_dynamics", 0.71, "none"),
        *rows("mm_dynamics", 0.99, "oracle_tcp"),
    ]
    first, second = two(dynamics_page.answer(session(outcomes)))
    assert "for **both (MM dynamics)**" in first
    assert "true confidence" not in first, "what needs the label is no result"
    assert second.startswith("both (MM dynamics) loses to none by 0.050")
    _, second = two(dynamics_page.answer(session(outcomes, "official")))
    assert "on one test part" in second


def test_the_model_that_dynamics_works_through():
    def model(arm, method="mm_dynamics", **options):
        made = Configuration(arm, arm, method, options)
        return SimpleNamespace(arm=arm, method=method, configuration=made)

    oracle, static = model("oracle_tcp", weighting="oracle"), model("static", "mm_static")
    both, none = model("both"), model("none", variant="none")
    assert dynamics_page.example([static, oracle, none, both]) is both
    assert dynamics_page.example([static, oracle, none]) is none
    with pytest.raises(SettingsError, match="add it to 'arms'"):
        dynamics_page.example([static, oracle])


def test_confidence(session):
    errors = pd.DataFrame({"arm": ["both"] * 2, "above_0.1": [0.4, 0.6], "spearman": [0.1, 0.3]})
    first, second = two(confidence_page.answer(session([]), errors, pd.DataFrame()))
    assert "50% of the test samples, with a rank correlation with the truth of 0.20" in first
    assert "nothing to choose" in second
    trusted = pd.DataFrame(
        {"arm": "both", "repeat": range(1, 6), "right": 0.6, "constant": [0.5, 0.4, 0.5, 0.4, 0.5]}
    )
    _, second = two(confidence_page.answer(session([]), errors, trusted))
    assert second.startswith("Predicted confidence carries information")


def test_amc(session, rows):
    outcomes = [
        *rows("amc", 0.62, "literal"),
        *rows("amc", 0.60, "inverse"),
        *rows("amc", 0.99, "complete, literal"),
        *rows("amc", 0.58, "alone", chosen_by=VALIDATION),
        *rows("muse", 0.65, inputs="separate"),
    ]
    first, second = two(amc_page.answer(session(outcomes)))
    assert "for **AMC, literal**, 0.580" in first
    assert "and 0.650 ± 0.008 for MUSE." in first, "other training samples are no further way"
    assert second.startswith("AMC, literal beats AMC, best modality alone by 0.040")
    first, second = two(amc_page.ablation_answer(session(outcomes[:10])))
    assert "for **AMC, inverse**" in first
    assert "AMC, literal" in second
    models = [SimpleNamespace(arm=arm) for arm in ("inverse", "literal")]
    assert amc_page.example(models) is models[1]


def test_robustness(session, rows):
    at = {
        "missing": [
            *rows("lego_merge", 0.6, facts={"rate": 0.5}),
            *rows("lego_merge", 0.7, facts={"rate": 0.0}),
            *rows("ensemble", 0.5, facts={"rate": 0.5}),
            *rows("healnet", 0.55, facts={"rate": 0.5}),
        ]
    }
    first, second = two(robustness_page.answer(session([]), Findings(**at)))
    assert "where modalities are withheld at a rate of 0.5 is 0.600" in first
    assert second.startswith("LegoMerge beats Ensemble by 0.100")
    few = {"share": 0.1}
    scarce = [*rows("lego_merge", 0.6, facts=few), *rows("ensemble", 0.5, facts=few)]
    first, _ = two(robustness_page.answer(session([]), Findings(imbalance=scarce)))
    assert "at a share of 0.1" in first
    values = {ONE: 0.6, ALL: 0.7}
    bags = [o for k, v in values.items() for o in rows("lego_merge", v, facts={"condition": k})]
    first, second = two(robustness_page.answer(session([]), Findings(cardinality=bags)))
    assert second.startswith("one instance loses to all instances by 0.100")
    values = {AFTER: 0.7, BEFORE: 0.6}
    later = [o for k, v in values.items() for o in rows("lego_merge", v, facts={"step": k})]
    _, second = two(robustness_page.answer(session([]), Findings(extension=later)))
    assert "beats before adding by 0.100" in second
    two(robustness_page.answer(session([]), Findings()))


def test_the_merge_with_one_modality_only(rows):
    missing = rows("lego_merge", 0.6, facts={"only": "clin"})
    assert robustness_page.only_one(Findings(missing=missing), "clin", 2) is missing[1]
    assert robustness_page.only_one(Findings(missing=missing), "img", 2) is None


def test_disjoint(session, rows):
    outcomes = [
        *rows("lego_merge", 0.6, facts={"overlap": 0.0}),
        *rows("ensemble", 0.5, facts={"overlap": 0.0}),
        *rows("lego_merge", 0.9, facts={"overlap": 1.0}),
    ]
    first, second = two(disjoint_page.answer(session([]), outcomes))
    assert "at overlap 0 is 0.600" in first
    assert second.startswith("LegoMerge beats Ensemble by 0.100")
    assert disjoint_page.merged_at(outcomes, 1.0, 3) is outcomes[12]


def test_weights(rows):
    def merges(value):
        together = [*rows("lego_merge", 0.7), *rows("weight_merging", value, "soup")]
        return BlockMerges(together, [], [])

    first, second = two(weights_page.answer(merges(0.5), merges(0.8), "c_index"))
    assert first.startswith("Where blocks started apart, 1 of 1 ways")
    assert "had a common start, 0 of 1 ways" in second


def test_blocks(session, monkeypatch):
    pair = SimpleNamespace(n=5, mean=0.1, decided=True, p_value=0.01)
    arm = Configuration("depth 2", "depth 2", "lego_block", factor="A5", reference="depth 1")
    monkeypatch.setattr(blocks_page, "comparisons", lambda _: [(blocks_page.MERGE, arm, pair)])
    first, second = two(blocks_page.answer(session([])))
    assert "A5, depth 2 (+0.100, p = 0.01)" in first
    assert second == "The largest difference is that of 'depth 2' to 'depth 1' (A5): +0.100."
    monkeypatch.setattr(blocks_page, "comparisons", lambda _: [])
    two(blocks_page.answer(session([])))


def test_main_table():
    table = pd.DataFrame(
        {"task": task, "label": label, "method": label, "group": "multimodal", "mean": value}
        for task in ("one", "two")
        for label, value in (("healnet", 0.7), ("mcat", 0.6), ("late_concat", 0.5))
    )
    first, second = two(main_table_page.answer(table))
    assert "**healnet** has the best average rank of 3 ways" in first
    assert second == "The best one can be told from 0 of the 2 others."
    first, second = two(main_table_page.answer(table[table["task"] == "one"]))
    assert first == "**healnet** has the highest mean on 1 of 1 data set."
    assert "too few" in second
    two(main_table_page.answer(table.assign(group="tables")))
    assert main_table.rank_table(table)["value"].max() == 0.7


def test_protocol():
    splits = pd.DataFrame(
        {"cohort": "one", "label": "SNN", "unit": ["patient", "row"], "mean": [0.6, 0.65]}
    )
    scores = pd.DataFrame(
        {"cohort": "one", "label": "SNN", "score": ["auc", "auc_hard"], "mean": [0.8, 0.5]}
    )
    scores["score"] = scores["score"].replace("auc_hard", protocol_page._HARD)
    first, second = two(protocol_page.answer(splits, scores))
    assert "add +0.050 to the concordance index" in first
    assert "costs 0.300 of the area" in second
    two(protocol_page.answer(splits.iloc[:0], scores.iloc[:0]))


def test_amc_over_data_sets(monkeypatch):
    labels = {"AMC, literal": (0.6, 0.7), "AMC, inverse": (0.5, 0.6), "MUSE": (0.7, 0.5)}
    table = pd.DataFrame(
        {"task": task, "label": label, "group": amc_overview.WHOLE, "mean": values[place]}
        for label, values in labels.items()
        for place, task in enumerate(("one", "two"))
    )
    monkeypatch.setattr(amc_overview, "summaries", lambda _: table)
    monkeypatch.setattr(amc_overview, "across", lambda *_: None)
    first, second = two(amc_overview.answer([None, None]))
    assert first.endswith("the highest mean is that of AMC, literal on 1 and AMC, inverse on 0.")
    assert second == "No data set has both rules."


def test_tokens(monkeypatch):
    shares = pd.DataFrame(
        {
            "modality": ["img", "rna"] * 2,
            "importance": [0.52, 0.48, 0.7, 0.3],
            "replaced": [3, 2, 5, 2],
        }
    )
    monkeypatch.setattr(tokens_page, "table", lambda *_: shares)
    model = SimpleNamespace(options=SimpleNamespace(tokens=8))
    one = [SimpleNamespace(trained=SimpleNamespace(network=lambda _: model))]
    first, second = two(tokens_page.answer({"literal": one, "inverse": one}, {}))
    assert "img 0.610, rna 0.390, where an equal share is 0.500 and 50% of all cases" in first
    assert "Of 8 tokens" in second
    assert "AMC, literal img 4.0, rna 2.0; AMC, inverse img 4.0" in second
    monkeypatch.setattr(tokens_page, "table", lambda *_: shares.iloc[:0])
    two(tokens_page.answer({"literal": one}, {}))


def test_images(session, rows, monkeypatch):
    monkeypatch.setattr(image_page, "image_of", lambda _: "img")
    outcomes = [
        *rows("mm_dynamics", 0.6, "both", modalities=("clin", "img")),
        *rows("mm_dynamics", 0.9, "both", modalities=("clin", "img"), facts={"fill": "gray"}),
        *rows("mm_dynamics", 0.5, "both", modalities=("clin",)),
    ]
    first, second = two(image_page.answer(session(outcomes)))
    assert "is 0.600" in first
    assert "trained without images by 0.100" in second


def test_efficiency():
    def cost(parts, seconds):
        return SimpleNamespace(parts=parts, total_seconds=seconds)

    costs = {"lego_merge": cost({"m": 1}, 3.0), "a": cost({}, 2.0), "b": cost({}, 4.0)}
    laws = {("a", "tokens"): SimpleNamespace(last=1.5), ("b", "tokens"): SimpleNamespace(last=0.9)}
    first, second = two(efficiency.answer(costs, laws))
    assert first.endswith("takes 3 s, less than 1 of 2 methods that are trained as a whole.")
    assert "in 1 of 2 pairs" in second


def test_requirements():
    met = {"lego_merge": YES, "ensemble": YES}
    made = [Check(r, m, met.get(m, NO), "e") for m in CHECKED for r in REQUIREMENTS]
    first, second = two(requirements.answer(made))
    assert first == "Of 5 requirements, LegoMerge meets 5 and LegoFuse meets 0."
    assert second == "As many as the better of these, or more, meets Ensemble."


def test_properties():
    settings = PropertiesSettings(latent_channels=3, latent_dim=6, draws=2, pairs=6)
    moved = properties.distances(settings)
    first, second = two(properties.answer(properties.measure_all(settings), moved))
    assert re.match(r"\d+ of \d+ statements hold", first)
    assert "every distance by 1.000 to 1.000" in second


def test_interference():
    cases = interference.cases(SignalSettings(n=200, draws=2))
    first, second = two(interference.answer(cases))
    assert f"of {len(cases)} experiments (additive inverse" in first
    assert np.isclose(float(re.search(r"(\d+)%", second)[1]), 100, atol=1)
