from __future__ import annotations

import json

import pandas as pd
import pytest

from mmlego.methods.names import HEALNET, LEGO_FUSE, LEGO_MERGE
from mmlego.runs.records.record import plain
from mmlego.runs.settings import EfficiencySettings
from mmlego.studies.checks import efficiency
from mmlego.studies.checks.costs import Cost
from mmlego.studies.checks.scaling import FACTORS
from mmlego.studies.checks.timing import Training

SETTINGS = EfficiencySettings(
    bag_width=5,
    tokens=3,
    latent_channels=2,
    latent_dim=8,
    repeats=1,
    token_counts=[2, 4, 8],
    modality_counts=[2, 3, 4],
    latent_dims=[8, 16, 32],
    scaling_batch=2,
)


def cost(method, parts, joint, joint_epochs):
    trained = {f"m{index}": Training((s,), 10, 2**20) for index, s in enumerate(parts)}
    whole = Training((joint,), 20, 3 * 2**20) if joint else None
    return Cost(method, trained, whole, joint_epochs, 10 if parts else 0, 0.001, 0.01, 30)


@pytest.fixture
def costs():
    rows = [
        cost("lego_merge", (1.0, 2.0), None, 0),
        cost("lego_fuse", (1.0, 2.0), 4.0, 2),
        cost("healnet", (), 2.5, 10),
        cost("mcat", (), 5.0, 10),
    ]
    return {row.method: row for row in rows}


@pytest.fixture(scope="module")
def counted():
    return efficiency.scaling_table(SETTINGS, count=True)


def test_table_is_sorted_by_total_and_counts_the_blocks(costs):
    table = efficiency.cost_table(costs).set_index("method")
    assert list(table.index) == [HEALNET, LEGO_MERGE, LEGO_FUSE, "mcat"]
    assert table["total, s"].to_dict() == {
        HEALNET: 25.0,
        LEGO_MERGE: 30.0,
        LEGO_FUSE: 38.0,
        "mcat": 50.0,
    }
    assert table.loc["lego_merge", "whole, s per epoch"] == "–"
    assert table.loc["healnet", "parts, s per epoch"] == "–"
    assert table.loc["lego_fuse", "peak, MiB"] == 3.0


def test_scaling_covers_all_factors_with_labels(counted):
    assert set(counted["factor"]) == set(FACTORS)
    labels = counted.drop_duplicates("method").set_index("method")["label"]
    assert labels["lego_merge"] == "LegoMerge"
    sizes = counted[counted["method"] == "healnet"].groupby("factor")["x"].apply(list)
    assert sizes["latent_dim"] == [8, 16, 32]
    assert sizes["modalities"] == [2, 3, 4]


def test_lines_carry_the_labels_of_the_figure(counted):
    laws = efficiency.fits(counted)
    lines = efficiency.lines(laws, "latent_dim")
    assert set(lines) == set(counted.loc[counted["factor"] == "latent_dim", "label"])
    assert lines["HEALNet"] is laws["healnet", "latent_dim"]


def test_sentences_follow_the_numbers(costs):
    x = [1, 2, 4, 8]
    table = pd.DataFrame(
        [
            {"method": m, "factor": f, "x": s, "value": float(s) ** (2 if f == "latent_dim" else 1)}
            for m in ("lego_merge", "healnet")
            for f in FACTORS
            for s in x
        ]
    )
    laws = efficiency.fits(table)
    text = efficiency.conclusion(costs, laws, laws)
    assert "take 30 s to train" in text
    assert "adds 8 s" in text
    assert "less than 1 of 2 methods that are trained as a whole (MCAT)" in text
    assert "HEALNet is the cheapest of all (25 s)" in text
    lines = {line.split(",")[0]: line for line in text.splitlines()}
    assert "at most linear" in lines["* Tokens per modality"]
    assert "more than the linear growth" in lines["* Width of the latent"]
    assert "LegoMerge 2.00" in lines["* Width of the latent"]


def test_a_busy_machine_is_told_of(costs):
    assert "The machine was quiet" in efficiency._about_noise(costs)
    costs["mcat"] = Cost("mcat", {}, Training((1.0, 3.0), 1, 1), 10, 0, 0.0, 0.0, 1)
    assert "epochs of MCAT differ by a factor of 3.0" in efficiency._about_noise(costs)


def test_fit_table_has_time_and_operations_side_by_side(counted):
    laws = efficiency.fits(counted)
    table = efficiency.fit_table(laws, laws)
    assert len(table) == len(laws)
    assert (table["exponent of time"] == table["exponent of operations"]).all()


def test_record_is_plain_and_says_how_many_threads(costs, counted):
    laws = efficiency.fits(counted)
    saved = json.loads(json.dumps(plain(efficiency.record(costs, counted, laws, laws, SETTINGS))))
    assert saved["threads"] == 1
    assert [row["total_seconds"] for row in saved["costs"]] == [30.0, 38.0, 25.0, 50.0]
    assert {row["measure"] for row in saved["exponents"]} == {"seconds", "operations"}
    assert len(saved["scaling"]) == len(counted)


def test_description_names_sizes_and_threads():
    text = efficiency.describe(SETTINGS)
    assert "tables of 1406, 5 features and a bag of 3 tokens of 5" in text
    assert "1 thread(s)" in text
