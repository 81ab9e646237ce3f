"""Texts and lists of codes: what a fold makes of them, and that it looks at training texts only."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch

from mmlego.data import Modality, load_cohort, make_fold, make_splits
from mmlego.data.cards.availability import check
from mmlego.data.folds.text import MAX_CODES, encode_texts, fit_text, split_items
from mmlego.errors import CardError, DataError

WORDS = ("fever", "cough", "sepsis", "stable", "pain", "pale", "alert", "edema")


def text_modality(values, scaling="words", present=None, name="note"):
    here = np.ones(len(values), bool) if present is None else present
    return Modality(name, "Notes", "text", values, here, (), scaling)


def some_texts(n, seed=0, joint=" "):
    rng = np.random.default_rng(seed)
    return [joint.join(rng.choice(WORDS, 4, replace=False)) for _ in range(n)]


@pytest.fixture
def cohort(make_cohort, make_modality):
    """60 samples with a table, words and codes; every fifth sample has no words."""
    note, code = some_texts(60), some_texts(60, seed=1, joint="\n")
    note[::5] = [""] * 12
    values = np.random.default_rng(2).standard_normal((60, 3)).astype(np.float32)
    modalities = {
        "lab": make_modality(values),
        "note": text_modality(note),
        "code": text_modality(code, "codes", name="code"),
    }
    return make_cohort(60, "classification", modalities=modalities)


@pytest.fixture
def split(cohort):
    return make_splits(cohort)[0]


def with_texts(cohort, index, text):
    """The cohort with another text in the rows at ``index``, for words and codes alike."""
    changed = dict(cohort.modalities)
    for name in ("note", "code"):
        values = list(changed[name].values)
        for i in index:
            values[i] = text
        changed[name] = replace(changed[name], values=values, present=np.ones(len(values), bool))
    return replace(cohort, modalities=changed)


def test_a_fold_turns_texts_into_standardized_tables(cohort, split):
    fold = make_fold(cohort, split)
    assert fold.kinds == dict.fromkeys(("lab", "note", "code"), "tabular")
    assert fold.features["note"][:2] == ("component_001", "component_002")
    assert fold.features["code"] == tuple(sorted(WORDS))
    for name in fold.names:
        scaler = fold.scalers[name]
        assert len(scaler.mean) == len(fold.features[name]) == fold.widths[name]
        assert scaler.scaling == "standard"
        for samples in fold.parts().values():
            assert samples.kinds[name] == "tabular"
            assert samples.values[name].shape == (len(samples), fold.widths[name])
            assert samples.values[name].shape[1] == samples.widths[name]
    rows = fold.train.values["note"][fold.train.present["note"]]
    kept = rows.abs().sum(0) > 0
    torch.testing.assert_close(rows.mean(0), torch.zeros(rows.shape[1]), atol=1e-4, rtol=0)
    torch.testing.assert_close(
        rows.std(0, correction=0)[kept], torch.ones(int(kept.sum())), atol=1e-3, rtol=0
    )
    assert int(kept.sum()) > 5


def test_texts_outside_training_move_nothing_that_is_fitted(cohort, split):
    outside = np.concatenate([split.test, split.val])
    changed = make_fold(with_texts(cohort, outside, "meteorite\nmeteorite fever"), split)
    # flags of the changed cohort are all True; the training rows keep their empty texts
    before = make_fold(cohort, split)
    for name in ("note", "code"):
        torch.testing.assert_close(
            before.train.values[name], changed.train.values[name], atol=0, rtol=0
        )
        assert torch.equal(before.train.present[name], changed.train.present[name])
        assert (before.scalers[name].mean == changed.scalers[name].mean).all()
        assert before.features[name] == changed.features[name]
        assert not torch.equal(before.test.values[name], changed.test.values[name])


def test_training_texts_do_move_the_fit(cohort, split):
    changed = make_fold(with_texts(cohort, split.train[:9], "meteorite\nfever"), split)
    assert "meteorite" in changed.features["code"]
    before = make_fold(cohort, split)
    assert (before.scalers["note"].mean[:5] != changed.scalers["note"].mean[:5]).any()


def test_a_word_of_the_test_part_alone_has_no_feature(cohort, split):
    changed = with_texts(cohort, split.test, "meteorite\nmeteorite")
    encoder = fit_text(changed.modalities["note"].take(split.train))
    assert "meteorite" not in encoder.terms.vocabulary_
    assert "fever" in encoder.terms.vocabulary_
    assert (encoder(["meteorite meteorite"]) == 0).all()
    fold = make_fold(changed, split)
    assert len(torch.unique(fold.test.values["note"], dim=0)) == 1
    assert "meteorite" not in fold.features["code"]


def test_the_same_texts_give_the_same_numbers(cohort, split):
    one, two = make_fold(cohort, split), make_fold(cohort, split)
    assert torch.equal(one.train.values["note"], two.train.values["note"])


def test_an_empty_text_is_absent(cohort, split):
    note = cohort.modalities["note"]
    assert int(note.present.sum()) == 48
    assert (~note.present[::5]).all()
    blank = text_modality(["a b", "  \n", ""])
    assert blank.present.tolist() == [True, False, False]
    fold = make_fold(cohort, split)
    absent = ~fold.train.present["note"]
    assert absent.any()
    assert (fold.train.values["note"][absent] == 0).all()


def test_a_cohort_without_texts_is_left_alone(make_cohort):
    cohort = make_cohort()
    assert encode_texts(cohort, np.arange(20)) is cohort


def test_words_pairs_and_negations_are_terms():
    encoder = fit_text(text_modality(["no fever", "no fever today", "fever", "rare"]))
    assert set(encoder.terms.vocabulary_) == {"no", "fever", "no fever"}


def test_codes_need_enough_samples_and_are_at_most_512():
    texts = ["common"] * 20 + ["rare\ncommon"] * 4 + ["common\n common \n\nodd item"] * 5
    encoder = fit_text(text_modality(texts, "codes"))
    assert encoder.features == ("common", "odd item")
    assert encoder(["common\ncommon", "odd item", "rare"]).tolist() == [[1, 0], [0, 1], [0, 0]]
    # 1 % of 600 is 6: five samples are not enough there
    six = ["a"] * 600
    six[:5], six[5:11] = ["a\nb"] * 5, ["a\nc"] * 6
    assert fit_text(text_modality(six, "codes")).features == ("a", "c")
    many = "\n".join(f"code {i}" for i in range(600))
    encoder = fit_text(text_modality([many] * 6 + ["favorite\nnext"] * 7, "codes"))
    assert len(encoder.features) == MAX_CODES
    assert {"favorite", "next"} <= set(encoder.features)


def test_items_are_lines_without_blanks():
    assert split_items(" a b \n\n c\n") == ["a b", "c"]


@pytest.mark.parametrize(
    ("texts", "scaling", "message"),
    [
        (["one", "two", "three"], "words", "expected a word in 2 or more texts .* got none in 3"),
        (["one\ntwo"] * 4 + ["x"], "codes", "expected an item in 5 or more .*got none in 5; use"),
        (["", ""], "words", "expected training samples that have a text, got none; leave"),
    ],
)
def test_an_empty_vocabulary_is_refused(texts, scaling, message):
    with pytest.raises(DataError, match=message):
        fit_text(text_modality(texts, scaling))


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"values": ["a", float("nan")]}, "expected strings, got nan in row 1"),
        ({"features": ("a",)}, "expected no feature names for kind 'text', got 1"),
        ({"scaling": "standard"}, "expected scaling to be one of words, codes, got 'standard'"),
        ({"present": np.ones(3, bool)}, "got 3 flags for 2 samples"),
    ],
)
def test_a_wrong_text_modality_is_refused(fields, message):
    good = {"name": "note", "title": "N", "kind": "text", "values": ["a", "b"], "features": ()}
    with pytest.raises(DataError, match=message):
        Modality(**{"present": np.ones(2, bool), "scaling": "words", **good, **fields})


def test_summaries_and_fingerprints_know_texts(cohort):
    summary = cohort.summary()
    assert summary.loc["note", ["kind", "features", "present"]].tolist() == ["text", 0, 48]
    assert summary.loc["note", "missing values %"] == 0
    other = with_texts(cohort, [1], "another text")
    other = replace(
        other,
        modalities={n: replace(m, present=cohort.present[n]) for n, m in other.modalities.items()},
    )
    assert other.fingerprint() != cohort.fingerprint()
    assert cohort.subset([3, 1]).modalities["code"].values[1] == cohort.modalities["code"].values[1]


@pytest.fixture
def own_texts(own_cohort, card_text):
    """The card of one's own with a column of reports and a long table of codes."""
    folder = own_cohort.parent
    texts = some_texts(30)
    pd.DataFrame(
        {"id": [f"p{i}" for i in range(29)], "report": [*texts[:28], np.nan], "page": 1}
    ).to_csv(folder / "reports.csv", index=False)
    codes = [(f"p{i}", code) for i in range(30) for code in (100 + i % 2, 7)]
    pd.DataFrame(codes, columns=["id", "code"]).to_csv(folder / "codes.csv", index=False)
    text = card_text.replace(
        "loader:", "  reports: {path: reports.csv}\n  codes: {path: codes.csv}\nloader:"
    ).replace(
        "source: genes}",
        "source: genes}\n"
        "  note: {title: N, kind: text, scaling: words, source: reports, columns: [report]}\n"
        "  code: {title: C, kind: text, scaling: codes, source: codes}",
    )
    own_cohort.write_text(text)
    return own_cohort


def test_tables_of_ones_own_may_hold_texts(own_texts):
    assert check(own_texts)
    cohort = load_cohort(own_texts)
    assert cohort.modalities["note"].values[3] == some_texts(30)[3]
    assert np.flatnonzero(~cohort.present["note"]).tolist() == [28, 29]
    assert cohort.modalities["code"].values[1] == "101\n7"
    fold = make_fold(cohort, make_splits(cohort)[0], n_bins=2)
    assert fold.features["code"] == ("100", "101", "7")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (", columns: [report]", "", "expected one column of text, got report, page"),
        ("scaling: words", "scaling: standard", "expected scaling words or codes for kind 'text'"),
        ("kind: tabular", "kind: tabular, scaling: codes", "got 'codes' for 'tabular'"),
    ],
)
def test_a_wrong_card_of_texts_is_refused(own_texts, old, new, message):
    own_texts.write_text(own_texts.read_text().replace(old, new, 1))
    with pytest.raises(CardError, match=message):
        load_cohort(own_texts)
