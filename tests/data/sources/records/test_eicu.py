"""The eICU demo: one stay per patient, and nothing that was written after the first day."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import yaml

from mmlego.data import load_card, load_cohort, load_splits, make_fold
from mmlego.data.cards.availability import check
from mmlego.data.sources.records.eicu import (
    FIRST_DAY,
    LAB,
    STAY,
    code_items,
    first_stays,
    note_lines,
)
from mmlego.errors import DataError, DownloadError

PATIENTS = pd.DataFrame(
    {
        STAY: [7, 3, 4, 5, 6, 8],
        "patienthealthsystemstayid": [70, 31, 30, 30, 60, 80],
        "uniquepid": ["a", "b", "b", "b", "c", "d"],
        "unitvisitnumber": [1, 1, 2, 1, 1, 1],
        "gender": ["Female", "Male", "Male", "Male", np.nan, "Female"],
        "age": ["> 89", "50", "50", "50", np.nan, "61"],
        "hospitaldischargeyear": [2014, 2014, 2014, 2014, 2015, 2015],
        "hospitaldischargestatus": ["Expired", "Expired", "Alive", "Alive", np.nan, "Alive"],
        "unitdischargeoffset": 9000,
        "hospitaldischargeoffset": 9500,
    }
)
DAY = FIRST_DAY
LEFT = pd.Series(9000, index=[1, 2])


def table(stays, **columns):
    return pd.DataFrame({STAY: stays, **columns})


def notes(kind, stays, paths, entered=None):
    n = range(len(stays))
    return table(
        stays,
        **{
            f"{kind}id": n,
            f"{kind}offset": n,
            f"{kind}enteredoffset": entered or [0] * len(stays),
            f"{kind}path": [f"notes/Progress Notes/{path}" for path in paths],
        },
    )


@pytest.fixture
def small_eicu(tmp_path):
    """A made-up demo of four patients, to test the loader without the mirror."""
    lab = {name: [2.0, -1.0] for name in LAB} | {"vent": [1, 0], "intubated": 0, "dialysis": 0}
    files = {
        "patient": PATIENTS,
        "lab": table([7, 5], **lab),
        "note": notes("note", [7, 7, 5], ["Pain", "Final/Patient expired", "DNR"]),
        "pasthistory": notes("pasthistory", [7], ["Past History/COPD"]),
        "diagnosis": table(
            [5, 5],
            diagnosisid=[1, 2],
            diagnosisoffset=[DAY, DAY + 1],
            diagnosisstring=["pulmonary|pneumonia", "late"],
            icd9code=["486, J18.9", "1.0"],
        ),
        "admission": table(
            [8],
            admitdxenteredoffset=9,
            admitdxpath="admission diagnosis|Other|x",
            admitdxname="x",
        ),
    }
    card = load_card("eicu").model_dump()
    card["sources"] = {key: {"path": f"{key}.csv"} for key in files}
    card["name"], card["expected"] = "small", None
    for key, content in files.items():
        content.to_csv(tmp_path / f"{key}.csv", index=False)
    (tmp_path / "small.yaml").write_text(yaml.safe_dump(card))
    return tmp_path / "small.yaml"


def test_the_first_stay_of_the_first_hospitalization_is_taken():
    stays = first_stays(PATIENTS)
    # b: hospitalization 30 before 31, visit 1 before 2; c has no status
    assert stays[STAY].tolist() == [5, 7, 8]
    with pytest.raises(DataError, match="expected Alive or Expired, got .*'Unknown'"):
        first_stays(PATIENTS.replace("Expired", "Unknown"))


def test_notes_are_those_entered_in_the_first_day_about_the_patient():
    lines = note_lines(
        notes(
            "note",
            [1, 1, 1, 1, 2, 2],
            ["Pain", "Assessment and Plan/View Options/System View", "Pain", "Fever", "Late", "x"],
            entered=[DAY, 0, 5, 5, DAY + 1, -300],
        ),
        "note",
        LEFT,
    )
    assert lines.to_dict() == {1: "Pain\nFever", 2: "x"}
    shared = notes("note", [1], ["x"]).assign(notepath="notes/Shared/Save/Copies")
    assert note_lines(shared, "note", LEFT).empty


def test_what_is_entered_after_the_patient_left_is_left_out():
    """Forms are filled in after a death as well."""
    left = pd.Series({1: 60.0, 2: 9000.0})
    entries = notes(
        "note", [1, 1, 2, 3], ["Before", "After", "Stays", "x"], entered=[59, 60, 60, 0]
    )
    assert note_lines(entries, "note", left).to_dict() == {1: "Before", 2: "Stays"}
    diagnoses = table(
        [1, 1],
        diagnosisid=range(2),
        diagnosisoffset=[59, 61],
        diagnosisstring=["sepsis", "cardiac arrest"],
        icd9code=["038.9", "427.5"],
    )
    admissions = table(
        [1, 2],
        admitdxenteredoffset=[61, 61],
        admitdxpath=["a|All Diagnosis|b"] * 2,
        admitdxname=["Late", "In time"],
    )
    items = code_items(diagnoses, admissions, left)
    assert items.to_dict() == {1: "ICD 038.9", 2: "APACHE In time"}


def test_codes_are_those_entered_in_the_first_day():
    diagnoses = table(
        [1, 1, 1, 1, 2],
        diagnosisid=range(5),
        diagnosisoffset=[0, DAY, DAY + 1, 9, 0],
        diagnosisstring=["sepsis", "anemia", "shock", "palliative care consult", "pneumonia"],
        icd9code=["038.9, A41.9", np.nan, "785.5", "V70.0", "486"],
    )
    admissions = table(
        [1, 1, 2],
        admitdxenteredoffset=[0, 0, DAY + 1],
        admitdxpath=["a|All Diagnosis|b", "a|Operative|b", "a|All Diagnosis|c"],
        admitdxname=["Sepsis", "No", "Late"],
    )
    items = code_items(diagnoses, admissions, LEFT)
    # the code of the palliative care consult goes with its text
    assert items.to_dict() == {1: "APACHE Sepsis\nICD 038.9\nanemia", 2: "ICD 486"}


def test_the_loader_joins_the_tables_of_a_stay(small_eicu):
    cohort = load_cohort(small_eicu, modalities=["lab", "note", "code", "clin"])
    # d has no value, note or code; the only note of stay 5 tells a limitation
    assert cohort.ids.tolist() == ["5", "7"]
    assert cohort.groups.tolist() == ["b", "a"]
    assert cohort.target.label.tolist() == [0, 1]
    assert cohort.target.classes == ("alive", "died")
    assert cohort.modalities["note"].values == ("", "Pain\nPast History/COPD")
    assert cohort.modalities["code"].values == ("ICD 486", "")
    # all of stay 5 was not measured: its flags alone are no measurement
    assert {n: p.tolist() for n, p in cohort.present.items()} == {
        "lab": [False, True],
        "note": [False, True],
        "code": [True, False],
        "clin": [True, True],
    }
    assert cohort.modalities["clin"].values.tolist() == [[50, 0], [90, 1]]
    lab = cohort.modalities["lab"]
    assert dict(zip(lab.features, lab.values[1].tolist(), strict=True))["vent"] == 1


def test_the_samples_do_not_depend_on_the_modalities(small_eicu):
    assert load_cohort(small_eicu, modalities=["clin"]).ids.tolist() == ["5", "7"]


def test_damaged_tables_are_refused(small_eicu):
    path = small_eicu.parent / "lab.csv"
    path.write_text(path.read_text().replace("wbc", "leukocytes"))
    with pytest.raises(DataError, match="expected the columns wbc"):
        load_cohort(small_eicu)
    path.write_text("")
    with pytest.raises(DownloadError, match="lab.csv': expected a CSV table, got"):
        load_cohort(small_eicu)


def test_the_check_passes_on_the_demo(mirror):
    assert any("'died': 166" in line for line in check("eicu"))


def test_every_patient_is_in_once_and_the_label_is_that_of_the_stay(mirror, real):
    cohort = real("eicu", modalities=["lab"])
    patients = pd.read_csv(mirror / "eicu_demo/patient.csv.gz").set_index(STAY)
    rows = patients.loc[cohort.ids.astype(int)]
    assert len(set(cohort.groups)) == cohort.n == 1782
    assert (rows["uniquepid"] == cohort.groups).all()
    assert ((rows["hospitaldischargestatus"] == "Expired") == (cohort.target.label == 1)).all()
    earliest = patients.groupby("uniquepid")["hospitaldischargeyear"].min()
    assert (rows["hospitaldischargeyear"].to_numpy() == earliest[cohort.groups].to_numpy()).all()


def test_inputs_hold_no_outcome_and_nothing_of_later(mirror, real):
    cohort = real("eicu", modalities=["lab", "note", "code", "clin"])
    assert cohort.modalities["lab"].features == LAB
    assert cohort.modalities["clin"].features == ("age", "is_female")
    assert np.nanmin(cohort.modalities["lab"].values) >= 0
    notes = pd.read_csv(mirror / "eicu_demo/note.csv.gz")
    late = notes[notes["noteenteredoffset"] > DAY].groupby(STAY)["notepath"].agg(set)
    early = notes[notes["noteenteredoffset"] <= DAY].groupby(STAY)["notepath"].agg(set)
    texts = dict(zip(cohort.ids, cohort.modalities["note"].values, strict=True))
    only_late = [
        (str(stay), path.removeprefix("notes/").removeprefix("Progress Notes/"))
        for stay, paths in late.items()
        for path in paths - early.get(stay, set())
        if str(stay) in texts
    ]
    assert len(only_late) > 400
    assert not [stay for stay, path in only_late if path in texts[stay].split("\n")]


def test_a_fold_has_three_tables(real):
    cohort = real("eicu")
    split = load_splits(cohort)[0]
    assert split.source == "eicu.csv"
    fold = make_fold(cohort, split)
    assert set(fold.kinds.values()) == {"tabular"}
    assert (fold.widths["lab"], fold.widths["note"]) == (24, 128)
    assert 80 < fold.widths["code"] <= 512
    assert "ICD 486" in fold.features["code"]
    texts = cohort.subset(split.train).modalities["code"].values
    counts = fold.scalers["code"].mean[fold.features["code"].index("ICD 486")] * sum(
        map(bool, texts)
    )
    assert round(counts) == sum("ICD 486" in text.split("\n") for text in texts)


def test_no_entry_is_from_after_the_patient_left(mirror, real):
    cohort = real("eicu", modalities=["lab", "note", "code"])
    patients = pd.read_csv(mirror / "eicu_demo/patient.csv.gz").set_index(STAY)
    left = patients[["unitdischargeoffset", "hospitaldischargeoffset"]].min(axis=1)
    entries = pd.read_csv(mirror / "eicu_demo/diagnosis.csv.gz")
    code = "ICD " + entries["icd9code"].str.split(",").str[0].str.strip()
    after = entries["diagnosisoffset"] >= entries[STAY].map(left)
    inside = set(zip(entries.loc[~after, STAY], code[~after], strict=True))
    texts = dict(zip(cohort.ids.astype(int), cohort.modalities["code"].values, strict=True))
    only_after = [
        (stay, item)
        for stay, item in zip(entries.loc[after, STAY], code[after], strict=True)
        if stay in texts and isinstance(item, str) and (stay, item) not in inside
    ]
    assert only_after
    assert not [item for stay, item in only_after if item in texts[stay].split("\n")]
