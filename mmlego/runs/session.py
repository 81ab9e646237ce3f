"""What a notebook holds while it runs.

Settings, data, folds, the store of fits, and the outcomes so far.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd
from torch import nn

from mmlego.bench.outcome import Outcome, tell, tidy
from mmlego.bench.store.code import code_digest
from mmlego.bench.store.fits import FitStore
from mmlego.bench.training import BLOCK_VARIANTS, train_block, train_encoder
from mmlego.data import Cohort, load_cohort
from mmlego.data.cards.card import published_entry
from mmlego.data.cards.locate import find_extra
from mmlego.data.cohorts.cohort import tables_of
from mmlego.data.folds.fold import Fold, make_fold
from mmlego.data.folds.pathways import load_signatures, with_pathways
from mmlego.data.folds.splits import load_splits
from mmlego.data.folds.tabular import with_tabular
from mmlego.data.paths import results_folder
from mmlego.errors import RunError, SettingsError
from mmlego.learning.device import resolve_device
from mmlego.learning.metrics.scores import main_metric
from mmlego.lego.block import LegoBlock
from mmlego.runs.record import make_record, numeric_code, read_records, write_record
from mmlego.runs.results import collect
from mmlego.runs.settings import SETTINGS, BlockSettings, RunSettings

_PLAIN = re.compile(r"[\w.+/-]+")


@dataclass(frozen=True)
class FoldModels:
    """Trained models of one fold: encoders by modality, and blocks by variant and modality."""

    fold: Fold
    encoders: dict[str, tuple[Outcome, nn.Module]]
    blocks: dict[str, dict[str, tuple[Outcome, nn.Module]]]

    def block_modules(self, variant: str) -> dict[str, LegoBlock]:
        """The bare blocks of one variant, ready to merge."""
        return {name: model.model for name, (_, model) in self.blocks[variant].items()}

    def block_outcomes(self, variant: str) -> dict[str, Outcome]:
        """Outcomes of the blocks of one variant, alone."""
        return {name: outcome for name, (outcome, _) in self.blocks[variant].items()}

    def encoder_modules(self) -> dict[str, nn.Module]:
        """The bare encoders with their heads."""
        return {name: model.model for name, (_, model) in self.encoders.items()}

    def outcomes(self) -> list[Outcome]:
        """Outcomes of all encoders and blocks."""
        blocks = [pair[0] for variant in self.blocks.values() for pair in variant.values()]
        return [pair[0] for pair in self.encoders.values()] + blocks


@dataclass
class Session:
    """One run of one notebook."""

    settings: RunSettings
    started: datetime = field(default_factory=lambda: datetime.now(UTC))
    outcomes: list[Outcome] = field(default_factory=list)

    @cached_property
    def results(self) -> Path:
        """Folder of results."""
        return results_folder(self.settings.results)

    @cached_property
    def store(self) -> FitStore:
        """Store of finished fits."""
        return FitStore(self.results / "artifacts" / "fits")

    @cached_property
    def cohort(self) -> Cohort:
        """The cohort, with the modalities and the cap that the settings ask for."""
        settings = self._block_settings()
        return load_cohort(
            settings.cohort,
            modalities=settings.modalities or None,
            unit=settings.split_unit,
            max_samples=settings.max_samples or None,
        )

    @cached_property
    def folds(self) -> list[Fold]:
        """One fold per repeat; all tables side by side are added as the modality ``tabular``."""
        settings = self._block_settings()
        splits = load_splits(self.cohort, repeats=settings.repeats, unit=settings.split_unit)
        chosen = splits[: settings.repeats]
        return [self._with_joined(make_fold(self.cohort, split)) for split in chosen]

    def _with_joined(self, fold: Fold) -> Fold:
        """Add all tables as one modality, and groups of genes where the settings name a table."""
        fold = with_tabular(fold)
        table = getattr(self.settings, "pathways", "")
        if not table:
            return fold
        return with_pathways(fold, load_signatures(find_extra(table, "groups of genes")))

    @property
    def device(self) -> str:
        """The kind of device that ``auto`` stands for here."""
        return resolve_device(getattr(self.settings, "device", "cpu")).type

    def _block_settings(self) -> BlockSettings:
        if not isinstance(self.settings, BlockSettings):
            raise SettingsError(f"notebook '{self.settings.notebook}': has no cohort")
        return self.settings

    @property
    def metric(self) -> str:
        """The metric that the cohort is judged by."""
        return main_metric(self.cohort)

    @property
    def tables(self) -> list[str]:
        """Names of the tabular modalities, sorted."""
        return tables_of(self.cohort)

    def add(self, found: Outcome | Iterable[Outcome]) -> None:
        """Keep an outcome, or several, for the record."""
        self.outcomes += [found] if isinstance(found, Outcome) else list(found)

    def frame(self, outcomes: Iterable[Outcome] | None = None) -> pd.DataFrame:
        """Tidy metrics of the outcomes so far, or of the given ones."""
        chosen = self.outcomes if outcomes is None else list(outcomes)
        settings = self._block_settings()
        return tidy(chosen, cohort=self.cohort.name, split_unit=settings.split_unit)

    def train(self, *, log: Any = print, train_missing: bool = True) -> Iterator[FoldModels]:
        """Train (or fetch) encoders and blocks of every modality, one fold after the other."""
        store = self.store if train_missing else FitStore(self.store.folder, read_only=True)
        for fold in self.folds:
            yield train_fold(fold, self._block_settings(), store, log=log)

    def trained(self, *, train_missing: bool) -> list[FoldModels]:
        """Blocks and encoders that the notebook ``unimodal`` made with the same settings.

        Raises:
            RunError: If that run is missing or stale and ``train_missing`` is False; it says which
                run to make.
        """
        if train_missing:
            return list(self.train(log=None))
        command = unimodal_command(self._block_settings())
        record = find_unimodal(self._block_settings(), self.results)
        if record is None:
            raise RunError(
                f"blocks: no run of 'unimodal' with these settings; make it with: {command}"
            )
        if record["code"] != code_digest(*numeric_code("unimodal")):
            raise RunError(
                f"blocks: run {record['run_id']} was made by other code; make it again with: "
                f"{command}"
            )
        try:
            models = list(self.train(log=None, train_missing=False))
        except RunError as problem:
            raise RunError(
                f"blocks of run {record['run_id']}: {problem}; make it again with: "
                f"{command} --force"
            ) from None
        known = {outcome["key"] for outcome in record["outcomes"]}
        if any(outcome.key not in known for fold in models for outcome in fold.outcomes()):
            raise RunError(
                f"blocks: run {record['run_id']} saw other data; make it again with: {command} "
                "--force"
            )
        return models

    def finish(self, **extra: Any) -> Colophon:
        """Write the run's record and renew the table of results.

        Returns what the page ends with.
        """
        record = make_record(
            self.settings,
            self.outcomes,
            data=self._data_facts(),
            started=self.started,
            device=self.device,
            extra=extra,
        )
        write_record(record, self.results)
        collect(self.results)
        return Colophon(record)

    def _data_facts(self) -> dict[str, Any]:
        if not isinstance(self.settings, BlockSettings):
            return {}
        return self.cohort.describe() | {
            "fingerprint": self.cohort.fingerprint(),
            "metric": main_metric(self.cohort),
            "tables": tables_of(self.cohort),
            "published": published_entry(self.cohort.card),
        }


@dataclass(frozen=True)
class Colophon:
    """The closing lines of a page: how to make it again, and what made it."""

    # an executed notebook stores the plain form of its last output too
    record: dict[str, Any] = field(repr=False)

    def _repr_markdown_(self) -> str:
        record = self.record
        facts = {
            "Run": f"`{record['run_id']}` ({record['parameters']['grid']} grid)",
            "Code": f"`{record['code']}`, revision `{record['revision']}`",
            "Machine": ", ".join(f"{name} {value}" for name, value in record["hardware"].items()),
            "Versions": ", ".join(f"{name} {value}" for name, value in record["versions"].items()),
            "Finished": f"{record['finished']}, after {record['seconds']:.0f} s "
            "(fits that were already there are not made again)",
        }
        rows = "\n".join(f"| {name} | {value} |" for name, value in facts.items())
        command = f"```bash\n{remake_command(record)}\n```"
        return f"Make this page again:\n\n{command}\n\n| | |\n|---|---|\n{rows}\n"


def open_session(notebook: str, namespace: Mapping[str, Any]) -> Session:
    """Start a run from a notebook's parameters.

    Args:
        notebook: Name of the notebook, a key of ``SETTINGS``.
        namespace: ``globals()`` of the notebook; exactly the names of its parameters are taken.

    Raises:
        SettingsError: If the notebook or a parameter is unknown, missing, or out of range.
    """
    if notebook not in SETTINGS:
        raise SettingsError(f"notebook: expected one of {sorted(SETTINGS)}, got '{notebook}'")
    return Session(SETTINGS[notebook].from_namespace(namespace))


def train_fold(
    fold: Fold, settings: BlockSettings, store: FitStore, *, log: Any = None
) -> FoldModels:
    """Train, for every modality of a fold, its encoder and the three variants of its block."""
    encoders: dict[str, Any] = {}
    blocks: dict[str, dict[str, Any]] = {variant: {} for variant in BLOCK_VARIANTS}
    for name in fold.names:
        encoders[name] = train_encoder(fold, name, settings, store)
        tell(log, encoders[name][0])
        for variant in BLOCK_VARIANTS:
            encoder = None if variant == "scratch" else encoders[name]
            blocks[variant][name] = train_block(
                fold, name, variant, settings, store, encoder=encoder
            )
            tell(log, blocks[variant][name][0])
    return FoldModels(fold, encoders, blocks)


def find_unimodal(settings: BlockSettings, results: Path) -> dict[str, Any] | None:
    """The newest record of the notebook ``unimodal`` whose settings decide the same blocks."""
    wanted = settings.block_signature()
    fits = [
        record
        for record in read_records(results)
        if record["notebook"] == "unimodal"
        and all(
            record["parameters"].get(name, BlockSettings.model_fields[name].default) == value
            for name, value in wanted.items()
        )
    ]
    return max(fits, key=lambda record: record["finished"], default=None)


def unimodal_command(settings: BlockSettings) -> str:
    """The command that makes the blocks for these settings."""
    command = command_of("unimodal", settings.block_signature() | {"grid": settings.grid})
    return f"{command} --results {shlex.quote(settings.results)}" if settings.results else command


def remake_command(record: Mapping[str, Any]) -> str:
    """The command that makes a run again."""
    return command_of(record["notebook"], record["parameters"])


def command_of(notebook: str, values: Mapping[str, Any]) -> str:
    """A shell command with every parameter that differs from the default of the settings."""
    fields = SETTINGS[notebook].model_fields
    words = [f"mmlego run {notebook}"]
    for name, value in values.items():
        if name in fields and value != fields[name].get_default(call_default_factory=True):
            text = f"[{','.join(map(_item, value))}]" if isinstance(value, list) else str(value)
            words.append(f"-p {shlex.quote(f'{name}={text}')}")
    return " ".join(words)


def _item(value: object) -> str:
    """An entry of a list on the command line; quoted where it would read as several."""
    text = str(value)
    return text if _PLAIN.fullmatch(text) else json.dumps(text)
