"""Fixtures of the data tests: their own cache, the mirror if there is one, small cohorts."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from mmlego.data import ClassTarget, Cohort, Modality, SurvivalTarget, load_cohort

MIRROR = os.environ.get("MMLEGO_DATA")
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="session")
def shared_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(autouse=True)
def isolated(monkeypatch: pytest.MonkeyPatch, shared_cache: Path) -> None:
    """No test sees the user's cache, cards or mirror unless it asks for them."""
    monkeypatch.setenv("MMLEGO_CACHE", str(shared_cache))
    monkeypatch.delenv("MMLEGO_DATA", raising=False)
    monkeypatch.delenv("MMLEGO_CARDS", raising=False)


@pytest.fixture
def mirror(monkeypatch: pytest.MonkeyPatch) -> Path:
    """The local mirror of the open data; skips the test where there is none."""
    if not MIRROR or not Path(MIRROR).is_dir():
        pytest.skip("needs the real data: let MMLEGO_DATA point at a mirror")
    monkeypatch.setenv("MMLEGO_DATA", MIRROR)
    return Path(MIRROR)


@cache
def _real(name: str, unit: str, modalities: tuple[str, ...] | None) -> Cohort:
    return load_cohort(name, unit=unit, modalities=modalities)


@pytest.fixture
def real(mirror: Path) -> Callable[..., Cohort]:
    """Load a cohort of the mirror once for all tests; it is not to be changed."""

    def load(name: str, unit: str = "patient", modalities: Sequence[str] | None = None) -> Cohort:
        return _real(name, unit, None if modalities is None else tuple(modalities))

    return load


@pytest.fixture
def root() -> Path:
    return ROOT


@pytest.fixture
def make_modality() -> Callable[..., Modality]:
    def make(values: object, kind: str = "tabular", **fields: object) -> Modality:
        width = len(fields["features"]) if "features" in fields else values[0].shape[-1]
        defaults = {
            "name": "m",
            "title": "M",
            "kind": kind,
            "values": values,
            "present": np.ones(len(values), dtype=bool),
            "features": tuple(f"f{i}" for i in range(width)),
        }
        return Modality(**{**defaults, **fields})

    return make


@pytest.fixture
def make_cohort(make_modality: Callable[..., Modality]) -> Callable[..., Cohort]:
    """A cohort of n samples with one table of noise; every part can be replaced."""

    def make(n: int = 40, task: str = "survival", **fields: object) -> Cohort:
        rng = np.random.default_rng(3)
        if task == "survival":
            target = SurvivalTarget(rng.exponential(20, n), rng.random(n) < 0.5, "months")
        else:
            target = ClassTarget(np.arange(n) % 2, ("no", "yes"))
        ids = np.array([f"s{i:03d}" for i in range(n)])
        values = rng.standard_normal((n, 3)).astype(np.float32)
        defaults = {
            "name": "toy",
            "title": "Toy",
            "task": task,
            "ids": ids,
            "groups": ids,
            "modalities": {"m": make_modality(values)},
            "target": target,
        }
        return Cohort(**{**defaults, **fields})

    return make


@pytest.fixture
def card_text() -> str:
    """A valid card for plain tables, to be broken one field at a time."""
    return """
name: mine
title: Mine
task: survival
description: test
access: {level: own, terms: none}
licence: none
sources:
  people: {path: people.csv}
  genes: {path: genes.csv}
loader: {source: tables}
modalities:
  rna: {title: RNA, kind: tabular, source: genes}
id: id
target: {kind: survival, source: people, time: months, event: died, unit: months}
"""


@pytest.fixture
def own_cohort(tmp_path: Path, card_text: str) -> Path:
    """A card of one's own with its two tables on disk; returns the path of the card."""
    people = ["id,months,died"] + [f"p{i},{i + 1},{i % 2}" for i in range(30)]
    genes = ["id,a,b"] + [f"p{i},{i},{-i}" for i in range(30)]
    (tmp_path / "people.csv").write_text("\n".join(people))
    (tmp_path / "genes.csv").write_text("\n".join(genes))
    path = tmp_path / "mine.yaml"
    path.write_text(card_text)
    return path
