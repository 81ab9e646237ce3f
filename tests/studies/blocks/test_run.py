"""The block ablations: arms, shared fits, the imaginary part, the odd target, and the page."""

from __future__ import annotations

from dataclasses import fields

import numpy as np
import pandas as pd
import pytest
import torch

from mmlego.bench.fold_bench import Bench
from mmlego.bench.inputs import headline_inputs
from mmlego.bench.store.fits import FitStore
from mmlego.errors import ModalityError, SettingsError
from mmlego.lego.profiles import PROFILES, Knobs, resolve
from mmlego.runs.settings import BlockAblationSettings
from mmlego.studies.blocks import odd_target, page
from mmlego.studies.blocks import run as block_ablations
from mmlego.studies.blocks.configurations import (
    ABLATIONS,
    DEFAULT,
    ONE_START,
    UNSCALED,
    arms,
    fewest_options,
    train_block,
)
from mmlego.studies.blocks.run import RESIDUE, SHIFT, name_of, run_all, run_arm

SMALL = {"depth": 2, "epochs": 1, "depths": [1, 2], "latents": ["2x4"], "tune_epochs": 1}
KNOBS = {knob.name for knob in fields(Knobs)}


@pytest.fixture
def settings(tiny):
    def make(**changes):
        return tiny(BlockAblationSettings, **(SMALL | changes))

    return make


@pytest.fixture
def bench(fold, settings, tmp_path):
    return Bench(fold, settings(), FitStore(tmp_path))


@pytest.fixture(scope="module")
def ran(tmp_path_factory, new_session, toy):
    """A session that ran A1 and A9 on the first fold."""
    folder = tmp_path_factory.mktemp("ablations")
    session = new_session(BlockAblationSettings, folder, toy(), **SMALL, ablations=["A1", "A9"])
    session.folds = session.folds[:1]
    session.add(run_all(session.folds, session.settings, session.store))
    return session


@pytest.fixture
def told(new_session, toy, tmp_path, outcome):
    """A session with made-up outcomes: values of each level of A5, repeat by repeat."""

    def make(values, **changes):
        session = new_session(
            BlockAblationSettings, tmp_path, toy(), **SMALL, ablations=["A5"], **changes
        )
        for (method, level, *mode), numbers in values.items():
            for repeat, value in enumerate(numbers, start=1):
                session.add(
                    outcome(
                        method,
                        "".join(mode),
                        condition=f"A5: {level}",
                        facts={"ablation": "A5", "level": level},
                        repeat=repeat,
                        metrics={"c_index": float(value)},
                    )
                )
        return session

    return make


def _arm(settings, ablation, level):
    return next(arm for arm in arms(settings) if (arm.factor, arm.name) == (ablation, level))


# --- arms


@pytest.mark.parametrize("profile", PROFILES)
def test_every_arm_differs_from_its_reference_in_what_it_names(settings, profile):
    found = arms(settings(profile=profile))
    assert len({name_of(arm) for arm in found}) == len(found)
    assert {arm.factor for arm in found} == set(ABLATIONS)
    options = {
        name_of(arm): (fewest_options(profile, arm.options), arm.name == ONE_START) for arm in found
    }
    for arm in found:
        own, other = options[name_of(arm)], options[f"{arm.factor}: {arm.reference}"]
        assert (own == other) == (arm.name == arm.reference), arm


@pytest.mark.parametrize("profile", PROFILES)
def test_fewest_options_make_the_same_block(settings, profile):
    for arm in arms(settings(profile=profile)):
        asked = {k: v for k, v in arm.options.items() if k in KNOBS}
        short = fewest_options(profile, arm.options)
        given = {k: v for k, v in short.items() if k in KNOBS}
        assert resolve(short["profile"], **given) == resolve(
            arm.options.get("profile", profile), **asked
        )
        rest = set(arm.options) - KNOBS - {"profile"}
        assert {k: short[k] for k in rest} == {k: arm.options[k] for k in rest}


def test_a_knob_that_makes_another_profile_is_that_profile():
    assert fewest_options("paper", {"context": "hartley", "depth": 3}) == {
        "profile": "lossless",
        "depth": 3,
    }


def test_what_a_profile_has_already_is_no_arm(settings):
    levels = {arm.name for arm in arms(settings(profile="official", ablations=["A8", "A9"]))}
    assert {"FFT over both axes", "one set of weights"} <= levels
    assert not {"FFT over tokens only", "weights of each pass", "context real"} & levels


def test_the_settings_of_the_run_are_among_the_levels(settings):
    found = arms(settings(depth=3, ablations=["A5", "A6"]))
    assert [arm.name for arm in found] == ["depth 1", "depth 2", "depth 3", "4x8", "2x4"]
    assert {arm.reference for arm in found} == {"depth 3", "4x8"}


@pytest.mark.parametrize(
    ("name", "value"),
    [("ablations", ["A2"]), ("depths", [0]), ("latents", ["8"]), ("latents", ["0x4"])],
)
def test_settings_refuse_what_is_no_arm(settings, name, value):
    with pytest.raises(SettingsError, match=f"parameter '{name}"):
        settings(**{name: value})


# --- training


def test_one_start_is_one_latent_and_head_and_nothing_else(fold, settings, tmp_path):
    chosen = settings(learning_rate=1e-12, l1=0.0, ablations=["A9"])
    bench = Bench(fold, chosen, FitStore(tmp_path))
    states = {
        (level, name): train_block(bench, name, _arm(chosen, "A9", level)).model.model.state_dict()
        for level in (DEFAULT, ONE_START)
        for name in ("clin", "rna")
    }
    for key in ("latent", "head.linear.weight", "head.linear.bias"):
        one = [states[ONE_START, name][key] for name in ("clin", "rna")]
        own = [states[DEFAULT, name][key] for name in ("clin", "rna")]
        assert torch.allclose(*one, atol=1e-6)
        assert not torch.allclose(*own, atol=1e-3)
    query = "attention.0.to_query.weight"
    assert torch.allclose(states[ONE_START, "clin"][query], states[DEFAULT, "clin"][query])
    assert not torch.allclose(states[ONE_START, "clin"][query], states[ONE_START, "rna"][query])


def test_arms_that_coincide_share_their_fits(bench):
    same = [("A5", "depth 2"), ("profiles", "paper"), ("A1", "paper, tracked")]
    keys = {
        train_block(bench, "clin", _arm(bench.settings, *name)).key
        for name in [*same, ("A8", DEFAULT), ("A9", DEFAULT)]
    }
    assert len(keys) == 1


def test_an_arm_gives_merge_single_blocks_and_fusions(bench):
    arm = _arm(bench.settings, "A5", "depth 1")
    found = run_arm(bench, arm)
    assert [(o.method, o.arm) for o in found] == [
        *[("lego_block", "")] * 3,
        ("lego_merge", ""),
        ("lego_fuse", "stack"),
        ("lego_fuse", "weave"),
    ]
    assert {o.condition for o in found} == {"A5: depth 1"}
    assert {o.tune_epochs for o in found[4:]} == {1}
    assert all(o.facts["reference"] == "depth 2" for o in found)
    assert not any(o.headline for o in found)
    blocks = {name: train_block(bench, name, arm) for name in bench.fold.names}
    assert all(block.model.model.depth == 1 for block in blocks.values())
    again = bench.merge(bench.fold.names, blocks=blocks).outcome
    assert np.array_equal(again.prediction["risk"], found[3].prediction["risk"])
    assert found[4].n_train < found[3].n_train


def test_the_default_arm_is_the_blocks_of_the_other_notebooks(trained, fold, tiny, tmp_path):
    settings = tiny(BlockAblationSettings)
    bench = Bench(fold, settings, FitStore(tmp_path))
    found = train_block(bench, "clin", _arm(settings, "A8", DEFAULT))
    assert found.key == trained.benches[0].block("clin").key


def test_tables_are_joined_where_there_is_something_else(ran, fold):
    assert set(headline_inputs(ran.folds[0])[1]) == {"img", "tabular"}
    assert headline_inputs(fold)[1] == ("clin", "img", "rna")
    alone = [o.modalities for o in ran.outcomes if o.method == "lego_block"]
    assert set(alone) == {("img",), ("clin", "rna")}
    assert {o.modalities for o in ran.outcomes if o.method == "lego_merge"} == {
        ("clin", "img", "rna")
    }


def test_one_modality_is_too_few(new_session, toy, tmp_path):
    cohort = toy()
    cohort.modalities.pop("img")
    cohort.modalities.pop("rna")
    session = new_session(BlockAblationSettings, tmp_path, cohort)
    with pytest.raises(ModalityError, match="two modalities or more in toy"):
        run_all(session.folds, session.settings, session.store)


# --- the imaginary part


@pytest.mark.parametrize("axes", ["1d", "2d"])
def test_residue_is_what_is_no_multiple(axes):
    generator = torch.Generator().manual_seed(1)
    start, noise = torch.randn(2, 1, 4, 6, generator=generator)
    scale = torch.tensor([0.5, 2.0])[:, None, None]
    columns = torch.arange(1.0, 7.0)
    assert block_ablations._residue(scale * start, start, axes) < 1e-6
    by_column = block_ablations._residue(scale * start * columns, start, axes)
    assert (by_column < 1e-6) == (axes == "1d")
    mixed = torch.cat((start, start + noise))
    assert block_ablations._residue(mixed, start, axes) > 0.1
    assert block_ablations._residue(0 * start, 0 * start, axes) == 0.0


def test_the_imaginary_part_never_sees_the_data(ran):
    facts = {
        o.condition: o.facts
        for o in ran.outcomes
        if o.method == "lego_block" and RESIDUE in o.facts
    }
    assert set(facts) == {
        f"A1: {group}, tracked" for group in ("paper", "official", "real state", UNSCALED)
    }
    assert max(one[RESIDUE] for one in facts.values()) < 1e-4
    assert facts[f"A1: {UNSCALED}, tracked"][SHIFT] < 1e-5
    assert min(f[SHIFT] for name, f in facts.items() if UNSCALED not in name) > 1e-5


def test_without_normalization_tracking_changes_the_merge_only(ran):
    table = page.imaginary_table(ran).set_index("blocks")
    assert table.loc[UNSCALED, "retrained"] < 1e-5
    assert table.loc["paper", "retrained"] > 1e-5
    merges = {o.condition: o.prediction["risk"] for o in ran.outcomes if o.method == "lego_merge"}
    gap = merges[f"A1: {UNSCALED}, tracked"] - merges[f"A1: {UNSCALED}, not tracked"]
    assert np.abs(gap).max() > 1e-4
    text = page.imaginary(ran)
    assert "never sees the data" in text
    assert "the same model" in text


# --- the odd target


def test_labels_depend_on_one_part_of_the_data_only():
    reverse = -np.arange(odd_target.WIDTH)
    for target, sign in ((odd_target.ODD, -1.0), (odd_target.EVEN, 1.0)):
        train, _ = odd_target.draw_samples(target, seed=3)
        x, label = train.values["table"].numpy(), train.target["label"].numpy()
        part = (x + sign * x[:, reverse]) / 2
        weights, *_ = np.linalg.lstsq(part, 2.0 * label - 1, rcond=None)
        assert np.mean((part @ weights > 0) == label) > 0.95
        other = x - part
        weights, *_ = np.linalg.lstsq(other, 2.0 * label - 1, rcond=None)
        assert np.mean((other @ weights > 0) == label) < 0.65


def test_the_real_part_is_blind_to_the_odd_part():
    odd = odd_target.draw_samples(odd_target.ODD, seed=1)
    even = odd_target.draw_samples(odd_target.EVEN, seed=1)
    assert odd_target.trained_auc("paper", *odd, seed=1) < 0.6
    assert odd_target.trained_auc("paper", *even, seed=1) > 0.95
    for reader in set(odd_target.READERS) - {"paper"}:
        assert odd_target.trained_auc(reader, *odd, seed=1) > 0.95


def test_the_conclusion_names_who_is_blind(monkeypatch):
    known = {"paper": 0.51, "lossless": 0.99}
    monkeypatch.setattr(odd_target, "READERS", {name: {} for name in known})
    monkeypatch.setattr(
        odd_target,
        "trained_auc",
        lambda reader, train, test, seed: known[reader],
    )
    table = odd_target.scores(1, draws=1).assign(
        value=lambda t: t["value"].where(t["target"] == odd_target.ODD, 0.98)
    )
    text = page.odd_conclusion(table)
    assert "but not to the even one: paper; the worst of the others has 0.990" in text
    assert page.odd_bars(table).axes


def test_the_odd_target_is_recorded(settings, tmp_path, monkeypatch):
    measured = []
    table = pd.DataFrame({"label": ["paper"], "target": [odd_target.ODD], "repeat": [1]})
    monkeypatch.setattr(odd_target, "scores", lambda seed: measured.append(seed) or table)
    store = FitStore(tmp_path)
    block_ablations.odd_targets(settings(seed=3), store)
    recorded = FitStore(tmp_path, recall_table=store.tables.get)
    assert block_ablations.odd_targets(settings(seed=3), recorded).equals(table)
    block_ablations.odd_targets(settings(seed=4), recorded)
    assert measured == [3, 4]


# --- the page


def test_single_blocks_are_averaged_over_modalities(ran):
    table = page.arm_table(ran)
    part = table[(table["model"] == page.ALONE) & (table["level"] == "paper, tracked")]
    values = [
        o.metrics["c_index"]
        for o in ran.outcomes
        if (o.method, o.condition) == ("lego_block", "A1: paper, tracked")
    ]
    assert len(values) == 2
    assert part["value"].tolist() == pytest.approx([np.mean(values)])


def test_differences_are_to_the_reference_of_the_group(ran):
    values = {o.condition: o.metrics["c_index"] for o in ran.outcomes if o.method == "lego_merge"}
    found = [row for row in page.comparisons(ran) if row[0] == page.MERGE]
    assert len(found) == 8
    for _, arm, pair in found:
        reference = f"{arm.factor}: {arm.reference}"
        assert pair.mean == pytest.approx(values[name_of(arm)] - values[reference])


def test_every_figure_and_table_of_what_ran(ran):
    for ablation in ("A1", "A9"):
        assert page.bars(ran, ablation).axes
        table = page.difference_table(ran, ablation)
        assert len(table) == page.arm_table(ran).query("ablation == @ablation").shape[0]
    assert page.tracking_change(ran).axes
    assert page.change(ran, "A9").axes
    assert list(page.imaginary_page(ran)["blocks"])[0] == "paper"


def test_what_did_not_run_is_said_to_be_absent(told):
    session = told({("lego_merge", level): [0.6] for level in ("depth 1", "depth 2")})
    assert page.bars(session, "A1") is None
    assert page.change(session, "A8") is None
    assert page.tracking_change(session) is None
    assert page.profile_forest(session) is None
    absent = page.ABSENT
    assert page.difference_table(session, "A1").iloc[0, 0] == absent
    assert page.imaginary_page(session).iloc[0, 0] == absent
    assert page.imaginary(session) == absent


def test_depths_of_every_model_are_drawn(told, noise):
    values = {
        (method, level): 0.6 + noise
        for level in ("depth 1", "depth 2")
        for method in ("lego_merge", "lego_block")
    }
    values |= {
        ("lego_fuse", level, mode): 0.6 + noise
        for level in ("depth 1", "depth 2")
        for mode in ("stack", "weave")
    }
    figure = page.depth_curves(told(values, repeats=5))
    labels = [text.get_text() for text in figure.axes[0].get_legend().get_texts()]
    assert labels == ["LegoMerge", page.ALONE, "LegoFuse (stack)", "LegoFuse (weave)"]


def test_the_conclusion_names_what_is_beyond_chance(told, noise):
    base = 0.6 + noise
    clear = told(
        {("lego_merge", "depth 1"): base[::-1] + 0.2, ("lego_merge", "depth 2"): base}, repeats=5
    )
    text = page.conclusion(clear)
    assert "Of 1 change of LegoMerge" in text
    assert "A5, depth 1 (+0.200" in text
    even = told({("lego_merge", "depth 1"): base[::-1], ("lego_merge", "depth 2"): base}, repeats=5)
    assert "after Holm's correction: none" in page.conclusion(even)


def test_two_repeats_decide_nothing(told):
    session = told({("lego_merge", "depth 1"): [0.9, 0.9], ("lego_merge", "depth 2"): [0.6, 0.6]})
    text = page.conclusion(session)
    assert "With 2 repeats, too few, none of 1 change" in text
    assert "beyond" not in text
