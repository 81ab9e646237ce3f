"""MIMIC-IV: made-up tables and notes of its form, and the open demo."""

from __future__ import annotations

import gzip

import numpy as np
import pandas as pd
import pytest
import yaml

from mmlego.data import load_card, load_cohort, load_splits, make_fold, make_splits
from mmlego.data.cards.availability import check
from mmlego.data.cohorts.leakage import tells_outcome
from mmlego.data.sources.records.mimic4 import index_admissions
from mmlego.data.sources.records.mimic4_labs import LABS
from mmlego.data.sources.records.mimic4_text import clean_note, code_items, dotted
from mmlego.errors import DataError, DownloadError

N = 30
SODIUM = next(iter(LABS))
OTHER = 51003  # not in the list
FILES = {
    "patients": "patients",
    "admissions": "admissions",
    "diagnoses": "diagnoses_icd",
    "labs": "labevents",
    "notes": "discharge",
}


def day(n, hour=12):
    return pd.Timestamp("2150-01-01") + pd.Timedelta(days=n, hours=hour)


def admission(patient, number, start, end, died=False):
    return {
        "subject_id": patient,
        "hadm_id": 10 * patient + number,
        "admittime": start,
        "dischtime": end,
        "deathtime": end if died else pd.NaT,
        "hospital_expire_flag": int(died),
    }


def tables():
    """Two admissions per patient; every third patient dies 30 days after the second."""
    ids = np.arange(100, 100 + N)
    patients = pd.DataFrame({"subject_id": ids, "dod": pd.NaT})
    patients.loc[::3, "dod"] = day(142, 0)
    stays = [(1, 10, 20), (2, 100, 112)]
    rows = [admission(p, k, day(a), day(b)) for p in ids for k, a, b in stays]
    codes = [
        {"subject_id": p, "hadm_id": 10 * p + k, "icd_code": code, "icd_version": version}
        for p in ids
        for k, code, version in [(1, "0389", 9), (2, "I509", 10), (2, "Z66", 10)]
    ]
    labs = [
        {"subject_id": p, "hadm_id": np.nan, "itemid": i, "charttime": day(d), "valuenum": v}
        for p in ids
        for d, i, v in [(101, SODIUM, p), (103, SODIUM, p + 4.0), (90, SODIUM, 1), (113, SODIUM, 2)]
    ]
    labs += [{"subject_id": 100, "itemid": OTHER, "charttime": day(105), "valuenum": 7.0}]
    labs += [{"subject_id": 100, "itemid": SODIUM, "charttime": day(110), "valuenum": np.nan}]
    notes = [
        {"hadm_id": 10 * p + k, "note_seq": 5, "text": f"Admission {k}.\nThe patient expired."}
        for p in ids
        for k in (1, 2)
    ]
    return {
        "patients": patients,
        "admissions": pd.DataFrame(rows),
        "diagnoses_icd": pd.DataFrame(codes),
        "labevents": pd.DataFrame(labs),
        "discharge": pd.DataFrame(notes).assign(subject_id=1, note_type="DS"),
    }


@pytest.fixture
def own(tmp_path, root):
    """Write tables of the form of MIMIC-IV; returns what gives the path of their card."""

    def write(**replaced):
        for name, frame in (tables() | replaced).items():
            path = tmp_path / f"{name}.csv.gz"
            # A time stamp in the file would make equal tables differ.
            form = {"method": "gzip", "mtime": 0}
            frame.sample(frac=1, random_state=1).to_csv(path, index=False, compression=form)
        card = yaml.safe_load((root / "data/mimic4.yaml").read_text()) | {"name": "ward"}
        for key, name in FILES.items():
            card["sources"][key] = {"path": f"{name}.csv.gz"}
        path = tmp_path / "ward.yaml"
        path.write_text(yaml.safe_dump(card, sort_keys=False))
        return path

    return write


def test_one_admission_per_patient_with_its_inputs(own):
    cohort = load_cohort(own())
    assert cohort.names == ("lab", "note", "code")
    assert cohort.ids.tolist() == [str(i) for i in range(100, 100 + N)]
    assert cohort.target.label.tolist() == [int(i % 3 == 0) for i in range(N)]
    sodium = cohort.modalities["lab"].values[:, 0]
    assert sodium.tolist() == list(range(104, 104 + N))
    assert np.isnan(cohort.modalities["lab"].values[:, 1:]).all()
    assert cohort.modalities["lab"].features[0] == "Sodium"
    assert set(cohort.modalities["note"].values) == {"Admission 2."}
    assert set(cohort.modalities["code"].values) == {"ICD10 I50.9\nICD9 038.9"}


@pytest.mark.parametrize(("lab", "expected"), [("first", 100), ("last", 104), ("mean", 102)])
def test_the_value_that_counts_can_be_chosen(own, lab, expected):
    values = load_cohort(own(), lab=lab, modalities=["lab"]).modalities["lab"].values
    assert values[0, 0] == expected
    with pytest.raises(DataError, match="lab: expected one of first, last, mean, got 'worst'"):
        load_cohort(own(), lab="worst")


def index_of(dod, *admissions):
    patients = pd.DataFrame({"subject_id": [1], "dod": [dod]}).astype({"dod": "datetime64[ns]"})
    table = pd.DataFrame(admissions)
    return index_admissions(table.assign(deathtime=pd.to_datetime(table["deathtime"])), patients)


@pytest.mark.parametrize(("after", "died"), [(0, 1), (1, 1), (365, 1), (366, 0), (None, 0)])
def test_death_counts_for_a_year_from_the_day_of_discharge(after, died):
    dod = pd.NaT if after is None else day(20 + after, 0)
    found = index_of(dod, admission(1, 1, day(1), day(5)), admission(1, 2, day(10), day(20, 23)))
    assert found["hadm_id"].tolist() == [12]
    assert found["died"].tolist() == [died]


def test_the_last_admission_that_was_left_alive_counts():
    first, second = admission(1, 1, day(1), day(5)), admission(1, 2, day(9), day(20), died=True)
    found = index_of(day(20, 0), first, second)
    assert found[["hadm_id", "died"]].to_numpy().tolist() == [[11, 1]]
    assert index_of(day(20, 0), second).empty
    # a discharge after the day of death, as of an organ donor
    late = admission(1, 3, day(20), day(22))
    assert index_of(day(20, 0), first, late)["hadm_id"].tolist() == [11]


def test_admissions_without_a_patient_are_refused(own):
    fewer = tables()["patients"].iloc[1:]
    with pytest.raises(DataError, match="to belong to a patient, got 2 that do not"):
        load_cohort(own(patients=fewer))


def test_codes_are_those_up_to_the_index_admission(own):
    made = tables()
    late = admission(100, 3, day(200), day(210), died=True)
    made["admissions"] = pd.concat([made["admissions"], pd.DataFrame([late])])
    made["patients"].loc[0, "dod"] = day(210, 0)
    code = {"subject_id": 100, "hadm_id": 1003, "icd_code": "R570", "icd_version": 10}
    made["diagnoses_icd"] = pd.concat([made["diagnoses_icd"], pd.DataFrame([code])])
    cohort = load_cohort(own(**made), modalities=["code"])
    assert cohort.target.label[0] == 1
    assert cohort.modalities["code"].values[0] == "ICD10 I50.9\nICD9 038.9"


def test_patients_whose_only_codes_tell_the_outcome_are_left_out(own):
    made = tables()
    codes = made["diagnoses_icd"]
    told = (codes["subject_id"] == 101) & (codes["icd_code"] != "Z66")
    assert "101" not in load_cohort(own(diagnoses_icd=codes[~told])).ids


@pytest.mark.parametrize(
    ("code", "version", "expected"),
    [
        ("I509", 10, "I50.9"),
        ("Z66", 10, "Z66"),
        ("0389", 9, "038.9"),
        ("V667", 9, "V66.7"),
        ("E8859", 9, "E885.9"),
        ("E1122", 10, "E11.22"),
    ],
)
def test_codes_get_their_point(code, version, expected):
    assert dotted(code, version) == expected


@pytest.mark.parametrize(
    ("code", "version"), [("V667", 9), ("V4986", 9), ("Z515", 10), ("Z66", 10)]
)
def test_codes_that_announce_a_death_are_left_out(code, version):
    admissions = pd.DataFrame([admission(1, 1, day(1), day(5))])
    rows = [(1, 11, code, version), (1, 11, "4019", 9)]
    diagnoses = pd.DataFrame(rows, columns=["subject_id", "hadm_id", "icd_code", "icd_version"])
    assert code_items(diagnoses, admissions, admissions).tolist() == ["ICD9 401.9"]


NOTE = """Name:  ___   Unit No:   ___

Brief Hospital Course:
Mr. ___ was admitted with pneumonia. He is DNR/DNI. His family discussed comfort
care at length; antibiotics were given. Prognosis is poor.
# CODE STATUS: Full
Dead space ventilation was normal.

Medications on Admission:
1. Aspirin 81 mg daily
2. Lisinopril 10 mg daily

He was seen by the palliative
care team and asked about end of
life wishes

Discharge Disposition:

Hospice with services
at home

Facility:
___

Discharge Condition:
Mental Status: Confused - sometimes.
"""


def test_notes_lose_what_tells_the_outcome_and_keep_the_rest():
    cleaned = clean_note(NOTE)
    assert not tells_outcome(cleaned)
    for gone in ("DNR", "Prognosis", "CODE STATUS", "palliative", "wishes", "Disposition"):
        assert gone.lower() not in cleaned.lower()
    assert "at home" not in cleaned
    for kept in ("admitted with pneumonia.", "1. Aspirin 81 mg daily", "Dead space", "Confused"):
        assert kept in cleaned


def test_words_on_two_lines_are_seen():
    assert clean_note("He chose comfort\nmeasures.\n\nStable.") == "Stable."


@pytest.mark.parametrize("place", ["Home", "Expired", "Extended Care", "Hospice"])
def test_where_a_patient_went_leaves_no_trace(place):
    text = f"Stable.\nDischarge Disposition:\n{place}\n \nFacility:\n___"
    assert clean_note(text) == clean_note(text.replace(place, "Home With Service"))


def test_no_word_of_an_outcome_reaches_the_features(own):
    notes = tables()["discharge"]
    notes["text"] = [f"{NOTE}\nPneumonia and fever, day {10 + i % 7}." for i in range(len(notes))]
    cohort = load_cohort(own(discharge=notes))
    assert cohort.present["note"].all()
    for text in (*cohort.modalities["note"].values, *cohort.modalities["code"].values):
        assert not tells_outcome(text)
    fold = make_fold(cohort, make_splits(cohort, repeats=1)[0])
    assert fold.kinds == {"lab": "tabular", "note": "tabular", "code": "tabular"}
    assert not any(tells_outcome(feature) for feature in fold.features["code"])


def test_several_notes_are_joined_and_a_patient_without_one_lacks_them(own):
    notes = tables()["discharge"].query("hadm_id != 1012")
    more = notes[notes["hadm_id"] == 1002].assign(note_seq=9, text="Addendum.")
    cohort = load_cohort(own(discharge=pd.concat([more, notes])))
    assert cohort.modalities["note"].values[0] == "Admission 2.\nAddendum."
    assert np.flatnonzero(~cohort.present["note"]).tolist() == [1]


def test_without_notes_the_others_load_and_the_message_says_so(own):
    path = own()
    (path.parent / "discharge.csv.gz").unlink()
    with pytest.raises(DownloadError, match=r"discharge.csv.gz'.*leave out note with modalities"):
        load_cohort(path)
    assert load_cohort(path, modalities=["lab", "code"]).names == ("lab", "code")


def test_values_are_kept_in_the_cache_for_these_very_stays(own, tmp_path, monkeypatch):
    monkeypatch.setenv("MMLEGO_CACHE", str(tmp_path / "cache"))
    first = load_cohort(own(), modalities=["lab"])
    assert len(list((tmp_path / "cache/prepared").iterdir())) == 1
    monkeypatch.setattr("mmlego.data.sources.records.mimic4_labs._taken", None)
    again = load_cohort(own(), modalities=["lab"])
    assert again.fingerprint() == first.fingerprint()
    monkeypatch.undo()
    monkeypatch.setenv("MMLEGO_CACHE", str(tmp_path / "cache"))
    assert load_cohort(own(), modalities=["lab"], lab="first").modalities["lab"].values[0, 0] == 100
    longer = tables()["admissions"].replace({day(112): day(114)})
    assert (
        load_cohort(own(admissions=longer), modalities=["lab"]).modalities["lab"].values[0, 0] == 2
    )


@pytest.mark.parametrize("name", FILES.values())
def test_truncated_tables_are_named(own, name):
    path = own()
    file = path.parent / f"{name}.csv.gz"
    file.write_bytes(file.read_bytes()[:-20])
    with pytest.raises(DownloadError, match=rf"{name}\.csv\.gz': expected a CSV table"):
        load_cohort(path)


@pytest.mark.parametrize(
    ("name", "column"),
    [
        ("patients", "dod"),
        ("admissions", "deathtime"),
        ("diagnoses_icd", "icd_version"),
        ("labevents", "valuenum"),
        ("discharge", "text"),
    ],
)
def test_columns_of_the_form_are_required(own, name, column):
    with pytest.raises(DataError, match=column):
        load_cohort(own(**{name: tables()[name].drop(columns=column)}))


def test_dates_must_be_dates(own):
    with pytest.raises(DataError, match="expected dates in the columns dod"):
        load_cohort(own(patients=tables()["patients"].assign(dod="yes")))


def test_the_list_of_measurements_has_the_names_of_the_published_items(mirror):
    with gzip.open(mirror / "mimic4_demo/d_labitems.csv.gz") as file:
        items = pd.read_csv(file).set_index("itemid")
    assert items.loc[list(LABS), "label"].tolist() == list(LABS.values())
    assert (items.loc[list(LABS), "fluid"] == "Blood").all()


def test_the_demo_has_the_known_counts(mirror):
    assert check("mimic4-demo")
    cohort = load_cohort("mimic4-demo")
    assert np.bincount(cohort.target.label).tolist() == [72, 23]
    assert {name: int(here.sum()) for name, here in cohort.present.items()} == {
        "lab": 91,
        "code": 95,
    }
    codes = "\n".join(cohort.modalities["code"].values)
    assert not tells_outcome(codes)
    split = make_splits(cohort, repeats=1)[0]
    for stored, made in zip(load_splits(cohort, 25), make_splits(cohort, repeats=25), strict=True):
        assert stored.source == "mimic4-demo.csv"
        assert (stored.test == made.test).all()
    assert make_fold(cohort, split).widths["lab"] == 40


def test_the_demo_takes_made_up_notes(mirror, tmp_path, root):
    """The whole card with the demo's tables; MIMIC-IV-Note has no demo."""
    admissions = pd.read_csv(mirror / "mimic4_demo/admissions.csv.gz")
    notes = admissions[["subject_id", "hadm_id"]].assign(note_seq=1, text=NOTE)
    notes.to_csv(tmp_path / "discharge.csv.gz", index=False)
    card = yaml.safe_load((root / "data/mimic4.yaml").read_text()) | {"name": "ward"}
    for key, name in FILES.items():
        card["sources"][key] = {"path": f"mimic4_demo/{name}.csv.gz"}
    card["sources"]["notes"] = {"path": "discharge.csv.gz"}
    path = tmp_path / "ward.yaml"
    path.write_text(yaml.safe_dump(card, sort_keys=False))
    cohort = load_cohort(path)
    assert cohort.n == 95
    assert cohort.present["note"].all()
    assert cohort.names == ("lab", "note", "code")


def test_every_gated_file_says_where_it_comes_from_and_goes():
    for source in load_card("mimic4").sources.values():
        assert source.gated
        assert source.path.startswith("mimic4/")
        assert "https://physionet.org/content/mimic" in source.obtain
