from __future__ import annotations

import gzip
import shutil
import time

import numpy as np
import pandas as pd
import pytest
import yaml

from mmlego.data import load_cohort
from mmlego.data.cards.availability import check
from mmlego.data.cohorts import cache
from mmlego.data.sources.records.physionet import survival_class
from mmlego.data.sources.records.physionet_arrays import CHANNELS, STATIC, stay_arrays
from mmlego.data.sources.records.physionet_raw import prepare_physionet, read_record
from mmlego.errors import DataError

FIRST = 132539


def long_table(rows):
    return pd.DataFrame(rows, columns=["RecordID", "minute", "Parameter", "Value"])


def series(rows, channel):
    return stay_arrays(long_table(rows))["series"][0, :, list(CHANNELS).index(channel)]


def test_hours_are_averaged_and_carried_forward():
    rows = [(1, 5, "HR", 80), (1, 59, "HR", 90), (1, 185, "HR", 70), (1, 24 * 60, "HR", 150)]
    hours = series(rows, "HR")
    assert hours[:5].tolist() == [85, 85, 85, 70, 70]
    assert hours[-1] == 70  # the second day is not seen


def test_hours_before_the_first_value_stay_unknown():
    hours = series([(1, 130, "K", 4.0)], "K")
    assert np.isnan(hours[:2]).all()
    assert (hours[2:] == 4.0).all()


def test_urine_is_summed():
    assert series([(1, 1, "Urine", 30), (1, 40, "Urine", 50)], "Urine")[0] == 80


def test_cuff_pressure_only_fills_hours_without_an_invasive_one():
    rows = [(1, 1, "NISysABP", 100), (1, 61, "SysABP", 130), (1, 62, "NISysABP", 90)]
    assert series(rows, "SysABP")[:3].tolist() == [100, 130, 130]


def test_oxygenation_uses_the_last_known_oxygen_fraction():
    rows = [(1, 1, "FiO2", 0.5), (1, 125, "PaO2", 90), (1, 190, "FiO2", 1.0)]
    hours = series(rows, "PaO2/FiO2")
    assert np.isnan(hours[:2]).all()
    assert hours[2:5].tolist() == [180, 180, 180]
    assert np.isnan(series([(1, 1, "PaO2", 90)], "PaO2/FiO2")).all()


def test_recording_errors_are_removed():
    assert np.isnan(series([(1, 1, "Temp", -17.8), (1, 2, "HR", 80)], "Temp")).all()
    rows = [(1, 0, "Height", -1), (1, 0, "Age", 54), (1, 0, "Gender", -1), (1, 60, "Weight", 70)]
    static = stay_arrays(long_table(rows))["static"][0]
    assert static[STATIC.index("Age")] == 54
    assert np.isnan(static[[STATIC.index(v) for v in ("Height", "Gender", "Weight")]]).all()


def test_stays_do_not_mix():
    rows = [(7, 1, "HR", 80), (3, 61, "HR", 60), (7, 61, "HR", 82)]
    arrays = stay_arrays(long_table(rows))
    assert arrays["record"].tolist() == [3, 7]
    assert np.isnan(arrays["series"][0, 0, 0])
    assert arrays["series"][:, 1, 0].tolist() == [60, 82]


def test_survival_classes_are_the_first_horizon():
    days = [-1, -23, 0, 1, 2, 3, 4, 7, 8, 365, 366]
    assert survival_class(days).tolist() == [0, 0, 1, 1, 2, 3, 4, 4, 5, 5, 0]


def test_real_stays_have_the_known_counts_and_load_in_time(mirror):
    start = time.monotonic()
    cohort = load_cohort("physionet2012-mortality")
    assert time.monotonic() - start < 15
    assert cohort.n == 12000
    assert np.bincount(cohort.target.label).tolist() == [10293, 1707]
    assert cohort.modalities["series"].values.shape == (12000, 24, 12)
    assert cohort.modalities["static"].features == STATIC
    assert check("physionet2012-survival6")
    labels = load_cohort("physionet2012-survival6").target.label
    assert np.bincount(labels).tolist() == [8795, 91, 204, 151, 473, 2286]


def test_no_outcome_is_an_input():
    features = {*STATIC, *CHANNELS}
    assert not features & {"Survival", "SAPS-I", "SOFA", "Length_of_stay", "In-hospital_death"}


@pytest.fixture
def official(tmp_path):
    """Two stays in the official text format."""
    folder = tmp_path / "official"
    (folder / "set-a").mkdir(parents=True)
    for record in (1, 2):
        lines = ["Time,Parameter,Value", f"00:00,RecordID,{record}", "00:00,Age,54", "01:37,HR,60"]
        (folder / "set-a" / f"{record}.txt").write_text("\n".join(lines))
    header = "RecordID,SAPS-I,SOFA,Length_of_stay,Survival,In-hospital_death"
    (folder / "Outcomes-a.txt").write_text(f"{header}\n1,6,1,5,-1,0\n2,16,8,8,2,1\n")
    return folder


def test_preparation_writes_the_long_form(official, tmp_path):
    lines = []
    long, outcomes = prepare_physionet(official, tmp_path / "out", log=lines.append)
    assert lines == ["set a: 2 stays, 4 measurements"]
    assert gzip.decompress(long.read_bytes()).decode().splitlines()[:3] == [
        "set,RecordID,minute,Parameter,Value",
        "a,1,0,Age,54.0",
        "a,1,97,HR,60.0",
    ]
    assert outcomes.read_text().splitlines()[1] == "1,a,6,1,5,-1,0"


def test_preparation_of_the_sample_equals_the_prepared_tables(mirror, tmp_path):
    folder = mirror / "physionet2012"
    long, outcomes = prepare_physionet(folder / "raw_sample", tmp_path)
    text = gzip.decompress(long.read_bytes())
    assert len(text.splitlines()) == 8520
    with gzip.open(folder / "p12_long.csv.gz", "rb") as whole:
        assert whole.read(len(text)) == text
    sample = outcomes.read_text().splitlines()
    assert (folder / "p12_outcomes.csv").read_text().splitlines()[: len(sample)] == sample
    assert read_record(folder / f"raw_sample/set-a/{FIRST}.txt")["RecordID"].unique() == [FIRST]


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda f: (f / "set-a/2.txt").write_text("Time,Param"), "expected the lines Time"),
        (lambda f: (f / "set-a/2.txt").write_text(""), "expected the lines Time"),
        (lambda f: (f / "set-a/2.txt").unlink(), "expected the outcomes of the 1 stays"),
        (lambda f: (f / "Outcomes-a.txt").unlink(), "expected a table with RecordID"),
        (lambda f: shutil.rmtree(f / "set-a"), "expected folders set-a, set-b, set-c"),
        (lambda f: [p.unlink() for p in (f / "set-a").iterdir()], "one .txt file per stay"),
    ],
)
def test_damaged_official_files_write_nothing(official, tmp_path, damage, message):
    damage(official)
    with pytest.raises(DataError, match=message):
        prepare_physionet(official, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_an_unwritable_place_is_named(official, tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(DataError, match="expected a writable place"):
        prepare_physionet(official, tmp_path / "file")


@pytest.fixture
def own_stays(official, tmp_path, root):
    """A card for the two stays, without checksums."""
    card = yaml.safe_load((root / "data/physionet2012-mortality.yaml").read_text())
    long, outcomes = prepare_physionet(official, tmp_path)
    card["sources"] = {"series": {"path": long.name}, "outcomes": {"path": outcomes.name}}
    card["name"], card["expected"] = "stays", None
    path = tmp_path / "stays.yaml"
    path.write_text(yaml.safe_dump(card))
    return path


def test_prepared_arrays_are_cached_and_used(own_stays, tmp_path, monkeypatch):
    monkeypatch.setenv("MMLEGO_CACHE", str(tmp_path / "cache"))
    first = load_cohort(own_stays)
    stored = list((tmp_path / "cache/prepared").iterdir())
    assert len(stored) == 1
    monkeypatch.setattr("mmlego.data.sources.records.physionet.stay_arrays", None)
    assert load_cohort(own_stays).fingerprint() == first.fingerprint()
    assert first.target.label.tolist() == [0, 1]


def test_loading_goes_on_without_a_cache(own_stays, tmp_path, monkeypatch):
    monkeypatch.setenv("MMLEGO_CACHE", str(own_stays))  # a file, so no folder can be made there
    monkeypatch.setattr(cache, "_warned", set())
    with pytest.warns(UserWarning, match="going on without"):
        assert load_cohort(own_stays).n == 2


def test_unknown_outcomes_and_unlike_tables_are_refused(own_stays):
    with pytest.raises(DataError, match="outcome: expected one of mortality, survival6"):
        load_cohort(own_stays, outcome="death")
    table = own_stays.parent / "p12_outcomes.csv"
    table.write_text("\n".join(table.read_text().splitlines()[:2]))
    with pytest.raises(DataError, match="expected the same stays in both files, got 2 and 1"):
        load_cohort(own_stays)
