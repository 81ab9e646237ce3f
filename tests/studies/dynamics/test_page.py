"""Tables and sentences of the notebooks on MM dynamics, on made-up outcomes."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from mmlego.bench.inputs import SEPARATE
from mmlego.studies.dynamics import confidence_page, confidences, heatmaps, image_page, page
from mmlego.studies.dynamics.published import published_dynamics
from mmlego.studies.dynamics.run import ARMS, BOTH, FEATURE, MODALITY, NONE, ORACLE

NAMES = ("clin", "rna")


def _session(
    outcomes,
    *,
    cohort="toy",
    classes=("a", "b", "c"),
    unit="patient",
    kinds=None,
    task="classification",
):
    parts = SimpleNamespace(train=range(70), test=range(15))
    fold = SimpleNamespace(
        **vars(parts),
        cohort=cohort,
        names=tuple(kinds or NAMES),
        joined={},
        kinds=kinds or dict.fromkeys(NAMES, "tabular"),
        scalers=dict.fromkeys(kinds or NAMES, SimpleNamespace(scaling="none")),
    )
    return SimpleNamespace(
        outcomes=outcomes,
        folds=[fold],
        cohort=SimpleNamespace(
            name=cohort,
            task=task,
            capped_from=None,
            target=SimpleNamespace(classes=classes),
        ),
        settings=SimpleNamespace(split_unit=unit, repeats=5),
    )


@pytest.fixture
def arm(outcome, noise):
    """Five repeats of one arm or rival around a value, on every metric."""

    def make(name, value, method="mm_dynamics", names=NAMES, condition="", inputs="", **facts):
        metrics = (*page.CLASS_METRICS, "auc", "f1")
        return [
            outcome(
                method,
                name,
                condition=condition,
                inputs=inputs,
                modalities=names,
                repeat=repeat,
                metrics=dict.fromkeys(metrics, value + shift),
                facts=facts,
                n_train=70,
            )
            for repeat, shift in enumerate(noise, start=1)
        ]

    return make


@pytest.fixture
def ablations(arm):
    values = {FEATURE: 0.73, NONE: 0.71, MODALITY: 0.65, BOTH: 0.66}
    return [o for name, value in values.items() for o in arm(name, value)]


def test_the_published_order_is_found_or_not(ablations, arm):
    text = page.conclusion(_session(ablations))
    assert "the means here have the same order. Features only 0.730, none 0.710" in text
    better = [o for o in ablations if o.arm != BOTH] + arm(BOTH, 0.9)
    assert "are not so ordered" in page.conclusion(_session(better))


def test_the_bound_never_wins(ablations, arm):
    text = page.conclusion(_session([*ablations, *arm(ORACLE, 0.99)]))
    assert f"**{ARMS[FEATURE].title}** (0.730)" in text
    assert "number 3 of 4" in text
    assert "it reaches 0.990: what better confidences could give, not a result" in text
    assert page.title_of(ORACLE) not in text


def test_published_values_stand_below_the_rows_that_they_belong_to(ablations, arm):
    rivals = arm("", 0.8, method="knn", inputs=SEPARATE)
    table = page.metric_table(_session([*ablations, *rivals], cohort="citeseq"))
    rows = table.set_index("model")
    both = ARMS[BOTH].title
    (published,) = [name for name in rows.index if name.startswith(f"{both}, published")]
    assert "not comparable: other cells" in published
    assert rows.loc[published, "Macro F1"] == "0.667 ± 0.027"
    assert rows.loc[both, "Macro F1"].startswith("0.660 ±")
    (knn,) = [name for name in rows.index if name.startswith("Nearest neighbors, published")]
    assert rows.loc[knn, "Weighted F1"] == "0.946 ± 0.018"
    assert not any("published" in name for name in page.metric_table(_session(ablations))
                   ["model"])  # fmt: skip


def test_what_was_published_on_which_data():
    inputs = ("mrna", "meth", "mirna")
    rosmap = published_dynamics("rosmap", "official_full", modalities=inputs).set_index("metric")
    assert rosmap["published"].to_dict() == pytest.approx(
        {"accuracy": 0.839623, "f1": 0.844037, "auc": 0.899822}
    )
    assert rosmap["comparable"].all()
    for other in (
        published_dynamics("rosmap", "patient", modalities=inputs),
        published_dynamics("rosmap", "official", modalities=inputs),
        published_dynamics("rosmap", "official_full", modalities=("mrna",)),
        published_dynamics("rosmap", "official_full", modalities=inputs, whole=False),
    ):
        assert not other["comparable"].any()
    tables, images = ("prot", "rna"), ("prot", "rna", "img")
    cells = published_dynamics("citeseq-hspc", "donor", modalities=tables)
    assert cells["comparable"].all()
    with_images = published_dynamics("citeseq-hspc", "donor", modalities=images)
    assert not with_images["comparable"].any(), "the published table is that of two modalities"
    found = published_dynamics("citeseq-hspc", "donor", modalities=images, images=True)
    assert found["comparable"].all()
    assert not published_dynamics("citeseq", "patient")["comparable"].any()
    none = cells[(cells["arm"] == "none") & (cells["metric"] == "macro_f1")]
    assert none["published"].item() == pytest.approx(0.7155)
    images = published_dynamics("ham10000", "patient", images=True)
    gray = images[(images["arm"] == "both, gray") & (images["metric"] == "macro_f1")]
    assert gray["published"].item() == pytest.approx(0.6469)
    assert published_dynamics("transbig", "patient").empty


def test_where_all_repeats_share_a_test_part_nothing_is_said_about_other_patients(ablations):
    text = page.conclusion(_session(ablations, unit="official_full"))
    assert "over 5 seeds on one test part" in text
    assert "interval" not in text
    assert "interval" in page.conclusion(_session(ablations))


def test_nothing_was_published_on_survival(ablations):
    session = _session(ablations, task="survival")
    for outcome in ablations:
        outcome.metrics["c_index"] = outcome.metrics["macro_f1"]
    assert "replication" not in page.conclusion(session)


def test_what_is_missing_leaves_no_figure(arm):
    session = _session(arm(BOTH, 0.6))
    assert page.ablation_differences(session) is None
    assert page.rivals_forest(session) is None
    assert "0.600" in page.conclusion(session)


def test_forests_and_bars_have_all_rows(ablations, arm):
    session = _session([*ablations, *arm("modalities apart", 0.8, method="logistic")])
    figure = page.rivals_forest(session)
    labels = [text.get_text() for text in figure.axes[0].get_yticklabels()]
    assert set(labels) == {ARMS[BOTH].title, ARMS[NONE].title, "Logistic regression"}
    labels = [t.get_text() for t in page.ablation_bars(session).axes[0].get_yticklabels()]
    assert labels == [ARMS[name].title for name in page.ABLATIONS]


# --- confidences


def test_gains_compare_none_predicted_and_true(arm):
    outcomes = [*arm(NONE, 0.7), *arm(BOTH, 0.65), *arm(ORACLE, 0.95)]
    text = confidence_page.gains(_session(outcomes))
    assert f"{ARMS[BOTH].title} minus {ARMS[NONE].title}: -0.050" in text
    assert f"{page.title_of(ORACLE)} minus {ARMS[BOTH].title}: +0.300" in text
    assert "not part of this run" in confidence_page.gains(_session(arm(NONE, 0.7)))


def test_the_checkpoint_stands_beside_its_own_division_alone():
    table = confidence_page.checkpoint_table(_session([], cohort="rosmap", unit="official_full"))
    row = table.set_index("statistic").loc["mean absolute error"]
    assert row.to_dict() == {"mrna": 0.108, "meth": 0.216, "mirna": 0.147}
    assert confidence_page.checkpoint_table(_session([], cohort="rosmap")).empty


def test_a_sample_that_lacks_a_modality_is_no_choice():
    rows = [("x", "a", 0.9, 0.8), ("x", "b", 0.1, 0.2), ("y", "a", 0.5, 0.5)]
    table = pd.DataFrame(rows, columns=["id", "modality", "predicted", "true"])
    found = confidences.trust(table.assign(arm=BOTH, repeat=1), {(BOTH, 1): "a"})
    assert found["n"].item() == 1


# --- images


def test_labels_of_image_runs_say_what_is_seen(arm):
    image = "pixels"
    (both, *_), (alone, *_) = arm(BOTH, 0.7, names=("clin", image)), arm(BOTH, 0.6, names=(image,))
    (gray, *_) = arm(BOTH, 0.5, names=("clin", image), condition="pixels gray", fill="grey")
    (plain, *_) = arm("", 0.5, method="convnet", names=(image,))
    title = ARMS[BOTH].title
    assert image_page.label_of(both, image) == title
    assert image_page.label_of(alone, image) == f"{title}, image only"
    assert image_page.label_of(gray, image) == f"{title}, pixels gray"
    assert image_page.label_of(plain, image) == "ConvNet"


def test_replacing_images_is_compared_with_the_same_model(arm):
    names, kinds = ("clin", "pixels"), {"clin": "tabular", "pixels": "image"}
    outcomes = [
        *arm(BOTH, 0.85, names=names),
        *arm(BOTH, 0.8, names=names, condition="pixels real", fill="real", withheld="pixels"),
        *arm(BOTH, 0.6, names=names, condition="pixels gray", fill="grey", withheld="pixels"),
        *arm(NONE, 0.7, names=names),
    ]
    session = _session(outcomes, classes=("a", "b"), kinds=kinds)
    text = image_page.masked_text(session)
    title = ARMS[BOTH].title
    assert f"{title}, pixels gray minus {title}, pixels real: -0.200" in text
    assert len(image_page.table(session)) == 4
    assert "**both (MM dynamics)** (0.850)" in image_page.conclusion(session, "words")


def test_the_published_image_runs_are_shown_as_not_comparable():
    table = image_page.published_table(_session([], cohort="ham10000"))
    rows = table.set_index("model")
    assert rows.loc["MM static", "Macro F1"] == "0.810 ± 0.023"
    assert rows["comparable"].str.startswith("no: another task").all()


def test_an_even_map_is_called_dead():
    ids, images = np.array(["x", "y"]), np.full((2, 3, 16, 16), 0.5)
    dead = heatmaps.Heat("dead", 1, ids, images, np.full((2, 16, 16), 0.4))
    alive = heatmaps.Heat("alive", 1, ids, images, np.random.default_rng(0).random((2, 16, 16)))
    lines = heatmaps.spread_text([dead, alive]).splitlines()
    assert "born dead" in lines[0]
    assert "born dead" not in lines[1]
