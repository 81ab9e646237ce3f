"""No text tells the outcome, and the filter leaves words of other meanings alone."""

from __future__ import annotations

import re

import pytest

from mmlego.data.cohorts.leakage import DEATH, LIMITATION, SURVIVAL, drop_answers, drop_entries
from mmlego.data.cohorts.leakage import tells_outcome as tells

TELLING = {
    DEATH: [
        "Final Status/Patient expired",
        "pronounced DEAD at 10:40",
        "the patient died",
        "brain death",
        "cause of death",
        "deceased",
        "in-hospital mortality",
        "autopsy was refused",
        "postmortem examination",
        "post-mortem",
        "organ donation",
        "passed away",
        "fatal arrhythmia",
    ],
    LIMITATION: [
        "Interventions/Major/End of life / care limitation discussion",
        "end-of-life care",
        "comfort care only",
        "comfort measures",
        "DNR",
        "patient is dni",
        "do not resuscitate",
        "Do Not Attempt Resuscitation",
        "code status discussed",
        "seen by palliative care consult",
        "discharged to hospice",
        "withdrawal of life support",
        "terminally ill",
        "ICD V66.7",
    ],
    SURVIVAL: [
        "is the patient alive?",
        "vital status",
        "overall survival",
        "the patient survived",
        "months to last follow-up",
        "days until last contact",
        "lost to follow up",
        "poor prognosis",
        "life expectancy",
        "CPR/Final Status/Patient successfully resuscitated",
    ],
}
INNOCENT = [
    "necrotic tissue",
    "deadlift",
    "dead space ventilation",
    "removal of dead bone",
    "unexpired",
    "expiratory wheeze",
    "expired air",
    "terminal ileum",
    "tumor cell death",
    "non-fatal overdose",
    "alcohol withdrawal",
    "drug withdrawal syndrome",
    "COPD  - no limitations",
    "limited - household activities (1-4 mets)",
    "Code management/supervision",
    "fluid resuscitation",
    "ICD 486",
    "survey",
    "vital signs stable",
    "uncomfortable",
    "mortar",
    "brain tumor",
    "follow-up of the margins",
    "a breast cancer prognostic profile",
    "diagnosis",
]
# looser than the filter, and written down apart from it
OUTCOME_STEMS = (
    *("died", "death", "deceas", "expired", "mortal", "fatal", "autops", "hospice", "palliat"),
    *("comfort", "dnr", "resuscitat", "code status", "end of life", "care limit", "moribund"),
    *("alive", "surviv", "vital status", "life expect", "prognosis", "last contact", "dead"),
)


@pytest.mark.parametrize(("purpose", "texts"), TELLING.items())
def test_words_of_the_outcome_are_found(purpose, texts):
    for text in texts:
        assert tells(text), text
        assert tells(text.upper()), text
    assert drop_entries(texts) == []


@pytest.mark.parametrize("text", INNOCENT)
def test_words_of_other_meanings_stay(text):
    assert not tells(text)
    assert drop_entries([text]) == [text]


def test_every_purpose_finds_what_the_others_do_not():
    for purpose, texts in TELLING.items():
        others = [p for other in TELLING if other is not purpose for p in other]
        alone = [t for t in texts if not re.search("|".join(others), t, re.IGNORECASE)]
        assert len(alone) > 3


def test_entries_go_as_a_whole_and_in_order():
    entries = ["CPR/Final Status/Patient expired", "Pain", "Fever", "family told of death"]
    assert drop_entries(entries) == ["Pain", "Fever"]


def test_questions_go_with_their_answers():
    text = (
        "Breast, left. what is the size? 1.3 x 1.2 cm. Two foci. what was the cause of death? "
        "Heart. Sudden. is the node free? yes. which care followed? palliative care. "
        "and the grade? ii."
    )
    assert drop_answers(text) == (
        "Breast, left. what is the size? 1.3 x 1.2 cm. Two foci. is the node free? yes. "
        "and the grade? ii."
    )
    assert drop_answers("He died. The margin is free.") == "The margin is free."
    assert drop_answers("") == ""


@pytest.mark.parametrize(
    ("name", "modality"), [("eicu", "note"), ("eicu", "code"), ("tcga-brca", "report")]
)
def test_no_outcome_word_is_left_in_real_texts(real, name, modality):
    texts = real(name, modalities=[modality]).modalities[modality].values
    assert sum(bool(t) for t in texts) > 800
    for text in texts:
        assert not [stem for stem in OUTCOME_STEMS if stem in text.lower()], text
