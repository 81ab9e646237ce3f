"""What a notebook holds while it runs.

Settings, data, folds, the store of fits, and the outcomes so far.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any, Generic, TypeVar

import pandas as pd

from mmlego.bench.fold_bench import Bench, benches
from mmlego.bench.outcome import Outcome, tidy
from mmlego.bench.settings import BlockSettings, RunSettings
from mmlego.bench.store.fits import FitStore
from mmlego.bench.tuning.values import values_digest
from mmlego.data import Cohort, load_cohort
from mmlego.data.cards.card import published_entry
from mmlego.data.cards.locate import find_extra
from mmlego.data.cohorts.cohort import tables_of
from mmlego.data.folds.fold import Fold, make_fold
from mmlego.data.folds.pathways import load_signatures, with_pathways
from mmlego.data.folds.splits import load_splits
from mmlego.data.folds.tabular import with_tabular
from mmlego.data.paths import published_below, results_folder
from mmlego.errors import SettingsError
from mmlego.learning.device import resolve_device
from mmlego.learning.metrics.scores import main_metric
from mmlego.runs.catalogue import notebook_entry
from mmlego.runs.records.archive import Archive
from mmlego.runs.records.record import make_record, write_record
from mmlego.runs.records.results import collect

PUBLISHED, SEARCHED = "published", "searched"
_PLAIN = re.compile(r"[\w.+/-]+")
Settings_co = TypeVar("Settings_co", bound=RunSettings, covariant=True)


@dataclass
class Session(Generic[Settings_co]):
    """One run of one notebook, with the settings of that notebook."""

    settings: Settings_co
    started: datetime = field(default_factory=lambda: datetime.now(UTC))
    outcomes: list[Outcome] = field(default_factory=list)

    @cached_property
    def results(self) -> Path:
        """Folder of results."""
        return results_folder(self.settings.results)

    @cached_property
    def store(self) -> FitStore:
        """Store of finished fits, which also knows the outcomes of all records."""
        below = published_below(self.results)
        archive = Archive(self.results, *([below] if below else []))
        return FitStore(
            self.results / "artifacts" / "fits",
            recall=archive.recall,
            recall_table=archive.recall_table,
            fresh=self.settings.force,
        )

    @property
    def protocol(self) -> str:
        """``searched`` where hyper-parameters were searched, else ``published``."""
        tuned = getattr(self.settings, "hyperparameters", "given") == "tuned"
        return SEARCHED if tuned else PUBLISHED

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
        return tidy(
            chosen,
            cohort=self.cohort.name,
            split_unit=settings.split_unit,
            protocol=self.protocol,
        )

    def benches(self, *, train_missing: bool = True, log: Any = None) -> list[Bench]:
        """One bench per fold, on which models are trained, or fetched, as they are asked for.

        Args:
            train_missing: Whether encoders and blocks may be trained; without, one that is not
                stored is an error that says which run makes it.
            log: Called with one line per fit.
        """
        settings, blocks = self._block_settings(), None
        if not train_missing:
            command = command_of("unimodal", settings.block_signature() | {"grid": settings.grid})
            where = f" --results {shlex.quote(settings.results)}" if settings.results else ""
            blocks = self.store.for_reading(f"make it with: {command}{where}")
        return list(benches(self.folds, settings, self.store, log, blocks))

    def finish(self, **extra: Any) -> Colophon:
        """Write the run's record and renew the table of results.

        Returns what the page ends with.
        """
        record = make_record(
            self.settings,
            self.outcomes,
            protocol=self.protocol,
            data=self._data_facts(),
            started=self.started,
            device=self.device,
            measured=self.store.tables,
            extra=extra,
        )
        write_record(record, self.results)
        collect(self.results)
        return Colophon(record.about)

    def _data_facts(self) -> dict[str, Any]:
        if not isinstance(self.settings, BlockSettings):
            return {}
        searched = {"values": values_digest(self.cohort.name)}
        return (
            self.cohort.describe()
            | (searched if self.protocol == SEARCHED else {})
            | {
                "fingerprint": self.cohort.fingerprint(),
                "metric": main_metric(self.cohort),
                "tables": tables_of(self.cohort),
                "published": published_entry(self.cohort.card),
            }
        )


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


def open_session(notebook: str, namespace: Mapping[str, Any]) -> Session[Any]:
    """Start a run from a notebook's parameters.

    Args:
        notebook: Name of the notebook, as in the catalogue.
        namespace: ``globals()`` of the notebook; exactly the names of its parameters are taken.

    Raises:
        SettingsError: If the notebook or a parameter is unknown, missing, or out of range.
    """
    return Session(notebook_entry(notebook).settings.from_namespace(namespace))


def remake_command(record: Mapping[str, Any]) -> str:
    """The command that makes a run again."""
    return command_of(record["notebook"], record["parameters"])


def command_of(notebook: str, values: Mapping[str, Any]) -> str:
    """A shell command with every parameter that differs from the default of the settings."""
    fields = notebook_entry(notebook).settings.model_fields
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
