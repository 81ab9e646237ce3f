from __future__ import annotations

import gzip
import hashlib
import re

import pytest

from mmlego.data import list_cards, load_card, load_cohort
from mmlego.data.cards import catalog
from mmlego.data.cards.availability import check
from mmlego.data.cards.catalog import card_dirs
from mmlego.data.cohorts.load import find_source
from mmlego.errors import CardError, MMLegoError

NAMES = {
    "citeseq",
    "citeseq-hspc",
    "eicu",
    "ham10000",
    "physionet2012-mortality",
    "physionet2012-survival6",
    "rosmap",
    "synthetic",
    "tcga-blca",
    "tcga-brca",
    "tcga-kirp",
    "tcga-lgg",
    "tcga-luad",
    "tcga-ucec",
    "transbig",
    "wdbc",
}


def test_all_shipped_cards_are_valid_and_name_an_existing_loader():
    cards = list_cards()
    assert {card.name for card in cards} >= NAMES
    for card in cards:
        assert callable(find_source(card))
        assert card.default_modalities


def test_every_file_can_be_had_and_checked():
    for card in list_cards():
        for source in card.sources.values():
            checkable = source.sha256 and source.bytes
            assert source.embedded or source.gated or checkable, card.name
            assert source.embedded or source.url or source.obtain, card.name


def test_addresses_are_at_a_fixed_revision():
    for card in list_cards():
        for source in card.sources.values():
            assert source.url is None or re.search(r"/[0-9a-f]{40}/", source.url)


def test_checksums_of_the_cards_are_those_of_the_mirror(mirror):
    for card in list_cards():
        for source in card.sources.values():
            if source.path is not None and not source.gated:
                path = mirror / source.path
                packed = path.with_name(f"{path.name}.gz")
                content = (
                    path.read_bytes() if path.exists() else gzip.decompress(packed.read_bytes())
                )
                assert hashlib.sha256(content).hexdigest() == source.sha256
                assert len(content) == source.bytes


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("kind: tabular", "kind: tabuler", r"field 'modalities.rna.kind': .*'tabular'\?"),
        ("licence:", "lisence:", r"field 'lisence': expected one of .*did you mean 'licence'\?"),
        ("{title: RNA, kind", "{tilte: RNA, kind", r"'modalities.rna.*did you mean 'title'\?"),
        ("task: survival", "task: survivall", r"field 'task': .*got 'survivall'"),
        ("title: Mine", "", r"field 'title': expected a value, got nothing; add the field"),
        ("description: test", "description: [1]", r"field 'description': .*got \[1\]"),
        ("name: mine", "name: My Data", r"field 'name': expected lower-case"),
        ("unit: months}", "}", r"field 'target': expected time, event, unit .*got no unit"),
        ("task: survival", "task: classification", r"expected target.kind to equal task"),
        ("source: genes", "source: gens", r"expected modalities.rna.source to be one of"),
        (
            "{path: genes.csv}",
            "{path: genes.csv, sha256: abc}",
            r"field 'sources.genes.sha256': .*64 hex",
        ),
        ("{path: genes.csv}", "{path: g, url: 'http://x'}", r"expected 'sha256' beside 'url'"),
        ("{path: genes.csv}", "{}", r"expected 'path'"),
        (
            "{path: genes.csv}",
            "{path: g, folder: true, url: 'http://x', sha256: " + 64 * "a" + "}",
            r"no url and no checksum beside 'folder: true'",
        ),
        ("scaling: minmax", "scaling: minmux", r"field 'modalities.rna.scaling': .*'minmax'\?"),
        ("{path: genes.csv}", "{path: g, gated: true}", r"expected 'obtain' beside 'gated: true'"),
        ("loader: {source: tables}", "loader: {source: tabels}", r"did you mean 'tables'\?"),
    ],
)
def test_a_broken_card_names_file_field_and_remedy(own_cohort, card_text, old, new, message):
    card_text = card_text.replace("kind: tabular", "kind: tabular, scaling: minmax")
    assert old in card_text
    own_cohort.write_text(card_text.replace(old, new, 1))
    with pytest.raises(CardError, match=message) as caught:
        load_cohort(own_cohort)
    assert "mine" in str(caught.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [("a: [", "expected YAML"), ("- a", "expected a mapping of fields, got list")],
)
def test_a_file_that_is_no_card_is_refused(tmp_path, content, message):
    path = tmp_path / "x.yaml"
    path.write_text(content)
    with pytest.raises(CardError, match=message):
        load_card(path)


def test_an_unknown_name_suggests_the_nearest():
    with pytest.raises(CardError, match=r"did you mean 'tcga-blca'\?"):
        load_card("tcga-blc")
    with pytest.raises(CardError, match="no such file"):
        load_card("nowhere/x.yaml")


def test_cards_of_an_environment_folder_come_first(monkeypatch, own_cohort):
    monkeypatch.setenv("MMLEGO_CARDS", str(own_cohort.parent))
    assert card_dirs()[0] == own_cohort.parent
    assert load_card("mine").title == "Mine"


def test_a_shipped_card_must_be_named_after_its_file(monkeypatch, own_cohort):
    own_cohort.rename(own_cohort.with_name("other.yaml"))
    monkeypatch.setenv("MMLEGO_CARDS", str(own_cohort.parent))
    with pytest.raises(CardError, match="expected 'other', got 'mine'"):
        load_card("other")


@pytest.mark.parametrize("name", ["transbig", "wdbc", "synthetic"])
def test_embedded_data_match_the_counts_of_their_cards(name):
    assert check(name)


def test_counts_that_differ_from_the_card_are_reported(own_cohort, card_text):
    own_cohort.write_text(card_text + "expected: {samples: 31, patients: 30}\n")
    with pytest.raises(MMLegoError, match="expected samples 31, got 30"):
        check(own_cohort)


def test_an_installed_package_finds_the_cards_that_it_ships(monkeypatch, tmp_path, card_text):
    package = tmp_path / "site-packages" / "mmlego"
    (package / "_data").mkdir(parents=True)
    (package / "_data" / "mine.yaml").write_text(card_text)
    monkeypatch.setattr(catalog, "_PACKAGE", package)
    assert card_dirs() == [package / "_data"]
    assert [card.name for card in list_cards()] == ["mine"]
