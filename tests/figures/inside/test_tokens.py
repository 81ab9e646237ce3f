from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_hex

from mmlego.errors import DataError, ShapeError
from mmlego.figures import (
    conflict_histograms,
    digitised_totals,
    extreme_cases,
    importance_histograms,
    replaced_histograms,
    replacement_map,
    rule_pairs,
    style,
)

KEYS = ["repeat", "layer", "sample"]


@pytest.fixture
def counts():
    """Four instances of two modalities: importance and replaced tokens."""
    rows = [
        [1, 0, sample, modality, importance, replaced]
        for modality, values in (
            ("Codes", ((0.5, 4), (0.6, 4), (0.7, 0), (0.8, 2))),
            ("Notes", ((0.5, 1), (0.4, 3), (0.3, 3), (0.2, 3))),
        )
        for sample, (importance, replaced) in enumerate(values)
    ]
    return pd.DataFrame(rows, columns=[*KEYS, "modality", "importance", "replaced"])


@pytest.fixture
def pairs(counts):
    """The same with one donor each; instance 2 of Codes has no row, since nothing is replaced."""
    rows = counts.rename(columns={"modality": "replaced_modality", "replaced": "tokens"})
    rows["donor"] = rows["replaced_modality"].map({"Codes": "Notes", "Notes": "Codes"})
    return rows[rows["tokens"] > 0]


def heights(ax, gid="bars"):
    return [patch.get_height() for patch in ax.patches if patch.get_gid() == gid]


def at(ax, gid):
    return [line.get_xdata()[0] for line in ax.lines if line.get_gid() == gid]


def heading(ax):
    return ax.get_title(loc="left")


def legend(figure):
    return [text.get_text() for text in figure.legends[0].get_texts()]


def test_replaced_tokens_by_modality_and_donor(counts, pairs):
    figure = replaced_histograms(counts, pairs, tokens=5)
    codes, notes, to_codes, to_notes = figure.axes
    np.testing.assert_allclose(heights(codes), [0.25, 0, 0.25, 0, 0.5, 0])
    np.testing.assert_allclose(heights(notes), [0, 0.25, 0, 0.75, 0, 0])
    np.testing.assert_allclose(heights(to_codes), [0.25, 0, 0.25, 0, 0.5, 0])  # counts the 0
    assert at(codes, "mean") == at(to_codes, "mean") == [2.5]
    assert at(notes, "mean") == [2.5]
    line = next(line for line in codes.lines if line.get_gid() == "mean")
    assert line.get_linestyle() == "--"
    assert heading(to_codes) == "Notes →\nCodes\nmean 2.5"
    first = [to_hex(ax.patches[0].get_facecolor()) for ax in (codes, notes, to_codes, to_notes)]
    assert first == [style.GROUPS[index] for index in (0, 1, 1, 0)]  # the donor's color


def test_one_panel_for_every_pair_of_four():
    names = list("abcd")
    rows = pd.DataFrame(
        [[1, 0, 0, name, 3 * index] for index, name in enumerate(names)],
        columns=[*KEYS, "modality", "replaced"],
    )
    given = pd.DataFrame(
        [[1, 0, 0, donor, name, names.index(name)] for donor in names for name in names
         if donor != name], columns=[*KEYS, "donor", "replaced_modality", "tokens"],
    )  # fmt: skip
    figure = replaced_histograms(rows, given)
    titles = [heading(ax).replace("\n", " ") for ax in figure.axes]
    wanted = [f"{a} → {b} mean {names.index(b):.1f}" for a in names for b in names if a != b]
    assert sorted(titles[4:]) == sorted(wanted)
    assert at(figure.axes[3], "mean") == [9.0]


def test_many_tokens_share_bars():
    rows = pd.DataFrame(
        [[1, 0, sample, name, 100 * sample] for sample in (0, 1) for name in "ab"],
        columns=[*KEYS, "modality", "replaced"],
    )
    given = pd.DataFrame([[1, 0, 1, "a", "b", 100]],
                         columns=[*KEYS, "donor", "replaced_modality", "tokens"])  # fmt: skip
    drawn = heights(replaced_histograms(rows, given).axes[0])
    assert len(drawn) <= 40
    assert drawn[0] == drawn[-1] == 0.5


def test_bad_counts(counts, pairs):
    with pytest.raises(DataError, match="two to four modalities"):
        replaced_histograms(counts[counts["modality"] == "Codes"], pairs)
    with pytest.raises(DataError, match="several for"):
        replaced_histograms(pd.concat([counts, counts]), pairs)
    with pytest.raises(DataError, match="which counts lack"):
        replaced_histograms(counts, pairs.assign(donor="Images"))
    with pytest.raises(DataError, match="whole numbers"):
        replaced_histograms(counts.assign(replaced=0.5), pairs)
    with pytest.raises(DataError, match="up to 3 replaced tokens, got 4"):
        replaced_histograms(counts, pairs, tokens=3)


def test_importance_and_scores(counts):
    scores = pd.DataFrame({"modality": ["Codes"] * 4 + ["Notes"] * 2,
                           "score": [0.0, 0.1, 0.1, 1.0, 0.4, 0.6]})  # fmt: skip
    figure = importance_histograms(counts, scores, bins=5)
    codes, notes, of_codes, of_notes = figure.axes
    np.testing.assert_allclose(heights(codes), [0, 0, 0.25, 0.25, 0.5])  # 0.2 to 0.8
    np.testing.assert_allclose(heights(notes), [0.5, 0.25, 0.25, 0, 0])
    assert at(codes, "mean") == pytest.approx([0.65])
    assert at(codes, "equal") == at(notes, "equal") == [0.5]
    assert at(of_codes, "mean") == pytest.approx([0.3])
    np.testing.assert_allclose(heights(of_codes), [0.75, 0, 0, 0, 0.25])
    assert at(of_codes, "equal") == []
    assert heading(of_notes) == "mean 0.500"
    assert legend(figure) == ["mean", "equal importance, 1/2"]
    with pytest.raises(DataError, match="same modalities"):
        importance_histograms(counts, scores.iloc[:4])
    with pytest.raises(ShapeError, match=r"importance in \[0, 1\]"):
        importance_histograms(counts.assign(importance=2.0), scores)


def test_conflicts_of_experts_and_dense():
    rows = pd.DataFrame(
        [["experts", "a - b", value] for value in (0.5, 0.9, 1.0 + 1e-9)]
        + [["dense", "a - b", value] for value in (-0.3, 0.1)]
        + [["dense", "a - c", 0.25]],
        columns=["kind", "pair", "cosine"],
    )
    figure = conflict_histograms(rows)
    both, only = figure.axes
    experts, dense = heights(both, "experts"), heights(both, "dense")
    assert len(experts) == len(dense) == 30
    assert experts[-1] == pytest.approx(1 / 3)  # rounding above 1 is kept
    assert sum(experts) == pytest.approx(1) == sum(dense)
    assert at(both, "median experts") == [0.9]
    assert at(both, "median dense") == pytest.approx([-0.1])
    assert heading(both) == "a - b: experts 0.90, dense -0.10"
    assert at(only, "median experts") == []
    assert only.get_xlim() == (-1, 1)
    assert legend(figure) == ["experts", "dense", "median"]
    with pytest.raises(DataError, match="expected one of"):
        conflict_histograms(rows.assign(kind="sparse"))
    with pytest.raises(ShapeError, match=r"cosines in \[-1, 1\]"):
        conflict_histograms(rows.assign(cosine=1.1))


def test_map_colors_the_source():
    sources = {"code": np.array([[0, 1, 2], [0, 0, 0]]), "note": np.array([[2, 2, 0], [2, 2, 2]])}
    figure = replacement_map(sources, ["code", "lab", "note"], ["Codes", "Laboratory", "Notes"])
    image = figure.axes[0].images[0]
    assert image.get_array().shape == (3, 2)  # a column per instance
    drawn = [to_hex(color) for color in image.to_rgba(image.get_array())[:, 0]]
    assert drawn == list(style.GROUPS[:3])
    assert heading(figure.axes[0]) == "Tokens of Codes: 33% replaced"
    assert heading(figure.axes[1]) == "Tokens of Notes: 17% replaced"
    assert legend(figure)[1] == "token of Laboratory"


def test_bad_maps():
    zeros = np.zeros((2, 3), dtype=int)
    with pytest.raises(DataError, match="name every"):
        replacement_map({"image": zeros}, ["code"])
    with pytest.raises(ShapeError, match="one shape"):
        replacement_map({"code": zeros, "lab": zeros.T}, ["code", "lab"])
    with pytest.raises(ShapeError, match="whole numbers 0 to 1"):
        replacement_map({"code": zeros + 2}, ["code", "lab"])


@pytest.fixture
def cases():
    rows = [
        ["p1", "lowest", "slides", 0.31, 9, 0.4, "died after 3 years"],
        ["p1", "lowest", "rna", 0.69, 22, 0.4, "died after 3 years"],
        ["p2", "highest", "slides", 0.95, 30, -1.2, "alive after 5 years"],
        ["p2", "highest", "rna", 0.05, 1, -1.2, "alive after 5 years"],
    ]
    names = ["case", "extreme", "modality", "importance", "count", "risk", "outcome"]
    return pd.DataFrame(rows, columns=names)


def test_extreme_cases(cases, found):
    figure = extreme_cases(cases, of="slides")
    low, high = figure.axes
    assert [patch.get_width() for patch in low.patches] == [0.31, 0.69]
    assert [patch.get_x() for patch in low.patches] == [0, 0.31]
    assert [text.get_text() for text in found(figure, "inside")] == [
        "0.31\nK 9", "0.69\nK 22", "0.95\nK 30",
    ]  # the part of 0.05 has no room  # fmt: skip
    assert [heading(ax) for ax in (low, high)] == [
        "Lowest importance of slides", "Highest importance of slides",
    ]  # fmt: skip
    assert found(figure, "outcome")[1].get_text().splitlines()[-1] == "risk -1.20"
    with pytest.raises(DataError, match="sum to 1"):
        extreme_cases(cases.iloc[:3])
    with pytest.raises(DataError, match="several for"):
        extreme_cases(cases.assign(modality="rna"))


def test_rules_side_by_side(found):
    table = pd.DataFrame(
        [["mean", "literal", 0.6, 0.55, 0.65], ["mean", "inverse", 0.62, 0.6, 0.64],
         ["max", "inverse", 0.5, np.nan, np.nan], ["max", "literal", 0.58, np.nan, np.nan]],
        columns=["configuration", "rule", "mean", "low", "high"],
    )  # fmt: skip
    figure = rule_pairs(table, "Macro F1")
    assert [dot.get_xdata()[0] for dot in found(figure, "mean")] == [0.6, 0.62, 0.5, 0.58]
    colors = [dot.get_color() for dot in found(figure, "mean")]
    assert colors == [style.GROUPS[index] for index in (0, 1, 1, 0)]
    assert [list(line.get_xdata()) for line in found(figure, "interval")] == [
        [0.55, 0.65], [0.6, 0.64],
    ]  # fmt: skip
    assert [list(line.get_xdata()) for line in found(figure, "join")] == [[0.6, 0.62], [0.5, 0.58]]
    assert figure.axes[0].get_xlabel().startswith("Macro F1")
    assert legend(figure) == ["literal", "inverse"]
    with pytest.raises(DataError, match="two rules or more"):
        rule_pairs(table.assign(rule="literal", configuration=range(4)), "Macro F1")
    with pytest.raises(DataError, match="low <= mean <= high"):
        rule_pairs(table.assign(low=0.61), "Macro F1")


def test_totals_beside_the_published_figure():
    published = pd.DataFrame({"a_replaced": [3, 1], "b_replaced": [0, 2], "b_to_a": [3, 1]})
    ours = pd.DataFrame({"rule": ["literal", "literal", "retain"], "total": [2, 4, 5]})
    figure = digitised_totals(published, ours)
    np.testing.assert_allclose(heights(figure.axes[0]), [0, 0, 0, 1, 0, 0])  # donors do not count
    np.testing.assert_allclose(heights(figure.axes[1]), [0, 0, 0.5, 0, 0.5, 0])
    assert [at(ax, "mean")[0] for ax in figure.axes] == [3, 3, 5]
    assert heading(figure.axes[2]) == "Ours: retain (n = 1, mean 5.0, 5 to 5)"
    with pytest.raises(DataError, match="code_replaced"):
        digitised_totals(published[["b_to_a"]], ours)
    with pytest.raises(DataError, match="whole numbers"):
        digitised_totals(published, ours.assign(total=2.5))
