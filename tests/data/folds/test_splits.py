from __future__ import annotations

import gzip

import numpy as np
import pytest
import torch

from mmlego.data import (
    ClassTarget,
    leak_rate,
    list_cards,
    load_cohort,
    load_splits,
    make_splits,
    save_splits,
)
from mmlego.errors import DataError

EMBEDDED = ["transbig", "wdbc", "synthetic"]
REAL = [
    "tcga-blca",
    "tcga-brca",
    "tcga-kirp",
    "tcga-ucec",
    "tcga-luad",
    "tcga-lgg",
    "eicu",
    "physionet2012-mortality",
    "ham10000",
    "rosmap",
    "citeseq",
]
# rows of test patients that are also training patients under the published rule, seeds 1 to 5
LEAKS = {"tcga-blca": 0.200, "tcga-brca": 0.093, "tcga-kirp": 0.100, "tcga-ucec": 0.118}


def check_split(cohort, split):
    rows = np.concatenate([split.train, split.val, split.test])
    assert sorted(rows) == list(range(cohort.n))
    groups = {part: set(cohort.groups[index]) for part, index in split.parts().items()}
    assert not groups["train"] & groups["test"]
    assert not groups["train"] & groups["val"]
    assert not groups["val"] & groups["test"]


@pytest.mark.parametrize("name", EMBEDDED)
def test_patient_splits_share_no_patient_and_have_floor_sizes(name):
    cohort = load_cohort(name)
    for split in make_splits(cohort, repeats=5):
        check_split(cohort, split)
        sizes = int(0.7 * cohort.n + 1e-9), int(0.15 * cohort.n + 1e-9)
        assert (len(split.train), len(split.test)) == sizes


@pytest.mark.parametrize("name", REAL)
def test_patient_splits_of_real_cohorts_share_no_patient(real, name):
    cohort = real(name)
    for split in load_splits(cohort, repeats=5):
        check_split(cohort, split)
        assert split.source.startswith(name)


@pytest.mark.parametrize(("name", "rate"), LEAKS.items())
def test_row_splits_leak_at_the_known_rate_and_patient_splits_do_not(real, name, rate):
    rows = real(name, unit="row")
    leaks = [leak_rate(rows, s) for s in make_splits(rows, repeats=5, unit="row")]
    assert np.mean(leaks) == pytest.approx(rate, abs=0.002)
    for split in make_splits(rows, repeats=5, unit="patient"):
        check_split(rows, split)
        assert leak_rate(rows, split) == 0


def test_groups_of_several_rows_stay_together(make_cohort):
    groups = np.random.default_rng(0).integers(0, 25, 60).astype(str)
    cohort = make_cohort(n=60, groups=groups)
    for split in make_splits(cohort, repeats=10):
        check_split(cohort, split)


def test_every_part_has_its_share_of_events_and_classes():
    survival = load_cohort("transbig")
    for split in make_splits(survival, repeats=25):
        for index in split.parts().values():
            assert survival.target.event[index].mean() == pytest.approx(51 / 198, abs=0.12)
    classes = load_cohort("wdbc")
    for split in make_splits(classes, repeats=25):
        for index in split.parts().values():
            assert classes.target.label[index].mean() == pytest.approx(212 / 569, abs=0.03)


def test_rare_strata_are_not_always_in_training(make_cohort):
    label = np.zeros(40, dtype=int)
    label[5] = 1
    cohort = make_cohort(task="classification", target=ClassTarget(label, ("a", "b")))
    places = [
        next(part for part, index in split.parts().items() if 5 in index)
        for split in make_splits(cohort, repeats=60)
    ]
    assert {"train", "val", "test"} == set(places)


def test_the_row_rule_is_that_of_random_split(make_cohort):
    cohort = make_cohort(n=43)
    lengths = [30, 6, 7]  # int(.7 n), int(.15 n), rest: train, test, validation
    for split in make_splits(cohort, repeats=3, unit="row"):
        generator = torch.Generator().manual_seed(split.repeat)
        parts = torch.utils.data.random_split(range(43), lengths, generator=generator)
        assert [p.indices for p in parts] == [
            split.train.tolist(),
            split.test.tolist(),
            split.val.tolist(),
        ]


def test_splits_repeat_exactly_and_do_not_depend_on_row_order(make_cohort):
    cohort = make_cohort()
    again = make_splits(cohort, repeats=2)
    shuffled = cohort.subset(np.random.default_rng(1).permutation(cohort.n))
    for a, b, c in zip(
        make_splits(cohort, repeats=7), again, make_splits(shuffled, repeats=2), strict=False
    ):
        assert (a.test == b.test).all()
        assert set(cohort.ids[a.test]) == set(shuffled.ids[c.test])
    assert (again[0].test != again[1].test).any()


def test_bad_arguments_are_refused(make_cohort):
    cohort = make_cohort()
    with pytest.raises(
        DataError,
        match="unit to be one of patient, row, official, official_full, donor, got 'slide'",
    ):
        make_splits(cohort, unit="slide")
    with pytest.raises(DataError, match="1 or more repeats"):
        make_splits(cohort, repeats=0)
    with pytest.raises(DataError, match="sum to 1"):
        make_splits(cohort, fractions=(0.8, 0.3, 0.1))
    with pytest.raises(DataError, match="three non-empty parts"):
        make_splits(make_cohort(n=5))


@pytest.mark.parametrize("name", ["transbig", "wdbc"])
def test_committed_splits_are_used_and_equal_the_rule(name):
    cohort = load_cohort(name)
    for stored, made in zip(load_splits(cohort, 25), make_splits(cohort, repeats=25), strict=True):
        assert stored.source == f"{name}.csv"
        for part, index in made.parts().items():
            assert (stored.parts()[part] == index).all()


def test_committed_splits_of_real_cohorts_equal_the_rule(real):
    for name in LEAKS:
        for unit, repeats in (("patient", 25), ("row", 5)):
            cohort = real(name, unit=unit, modalities=["mut"])
            made = make_splits(cohort, repeats=repeats, unit=unit)
            for stored, split in zip(load_splits(cohort, repeats, unit), made, strict=True):
                assert not stored.source.startswith("computed")
                assert set(stored.test) == set(split.test)
                assert set(stored.train) == set(split.train)


def test_there_are_committed_splits_for_every_cohort_with_fixed_samples(root):
    for card in list_cards():
        # the ids of a gated cohort are not ours to commit
        if card.expected is not None and card.access.level != "gated":
            found = list((root / "data/splits").glob(f"{card.name}.csv*"))
            assert found, card.name
    size = sum(path.stat().st_size for path in (root / "data/splits").iterdir())
    assert size < 3_000_000


def test_splits_survive_the_file_in_any_row_order(make_cohort, tmp_path):
    cohort = make_cohort()
    splits = make_splits(cohort, repeats=3)
    path = save_splits(cohort, splits, tmp_path)
    shuffled = cohort.subset(np.arange(cohort.n)[::-1])
    for read, split in zip(load_splits(shuffled, 3, folder=tmp_path), splits, strict=True):
        assert read.source == path.name
        assert set(shuffled.ids[read.val]) == set(cohort.ids[split.val])


def test_large_cohorts_are_packed_reproducibly(make_cohort, tmp_path):
    cohort = make_cohort(n=2100)
    splits = make_splits(cohort, repeats=1)
    path = save_splits(cohort, splits, tmp_path)
    content = path.read_bytes()
    assert path.suffix == ".gz"
    assert gzip.decompress(content).startswith(b"id,group,repeat_1\n")
    assert save_splits(cohort, splits, tmp_path).read_bytes() == content
    assert load_splits(cohort, 1, folder=tmp_path)[0].source == "toy.csv.gz"


def test_a_file_for_other_samples_is_not_used_and_that_is_said(make_cohort, tmp_path):
    cohort = make_cohort()
    save_splits(cohort, make_splits(cohort, repeats=2), tmp_path)
    fewer = cohort.subset(np.arange(30))
    assert "lists other samples" in load_splits(fewer, 2, folder=tmp_path)[0].source
    assert "no repeat_3" in load_splits(cohort, 3, folder=tmp_path)[2].source
    assert "no split file" in load_splits(cohort, 1, "row", folder=tmp_path)[0].source


def test_a_damaged_split_file_is_refused(make_cohort, tmp_path):
    cohort = make_cohort()
    path = save_splits(cohort, make_splits(cohort, repeats=1), tmp_path)
    path.write_text(path.read_text().replace("train", "trian", 1))
    with pytest.raises(DataError, match="expected columns id, group"):
        load_splits(cohort, 1, folder=tmp_path)


def test_an_unwritable_folder_is_named(make_cohort, tmp_path):
    (tmp_path / "file").write_text("")
    cohort = make_cohort()
    with pytest.raises(DataError, match="expected a writable folder"):
        save_splits(cohort, make_splits(cohort, repeats=1), tmp_path / "file")
    with pytest.raises(DataError, match="expected one or more to write"):
        save_splits(cohort, [], tmp_path)
