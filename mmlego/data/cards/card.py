"""The schema of a data card: one YAML file that says all there is to know about a data set."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Literal, cast

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from mmlego.data.cards.card_errors import card_error
from mmlego.data.cohorts.modality import TEXT_SCALINGS
from mmlego.errors import CardError

Kind = Literal["tabular", "bag", "series", "image", "volume", "text"]
Scaling = Literal["standard", "signed_log", "quantile", "minmax", "none", "words", "codes"]
SplitUnit = Literal["patient", "row", "official", "official_full", "donor"]


class _Strict(BaseModel):
    """Base of all parts of a card: unknown fields are errors, and nothing changes after reading."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Access(_Strict):
    """Who may obtain the data, and under which terms."""

    level: Literal["open", "embedded", "generated", "gated", "own"]
    terms: str


class SourceFile(_Strict):
    """One file that the loader reads.

    ``path`` is relative to the data root (for a card of one's own: to the folder of the card). A
    file without ``url`` must be obtained by hand, and ``obtain`` says how. A gzip file of equal
    content can differ in its bytes, so ``content_sha256``, the checksum of what is inside, is
    accepted as well. A packed copy ``<path>.gz`` serves in place of a file that is named unpacked.
    With ``folder``, ``path`` is a folder of many files, or a tar archive ``<path>.tar`` of it.
    """

    path: str | None = None
    url: str | None = None
    sha256: str | None = None
    content_sha256: str | None = None
    bytes: int | None = Field(default=None, ge=1)
    embedded: bool = False
    folder: bool = False
    gated: bool = False
    obtain: str | None = None

    @field_validator("sha256", "content_sha256")
    @classmethod
    def _hex(cls, value: str | None) -> str | None:
        if value is not None and not re.fullmatch(r"[0-9a-f]{64}", value):
            raise ValueError(
                f"expected 64 hexadecimal digits, got '{value}'; run sha256sum on the file"
            )
        return value

    @model_validator(mode="after")
    def _complete(self) -> SourceFile:
        if not self.embedded and self.path is None:
            raise ValueError(
                "expected 'path' (or 'embedded: true'), got neither; add the path of the file"
            )
        if self.url is not None and self.sha256 is None:
            raise ValueError(
                "expected 'sha256' beside 'url', got none; add the checksum of the file"
            )
        if self.folder and (self.url or self.sha256 or self.content_sha256):
            raise ValueError(
                "expected no url and no checksum beside 'folder: true', got one; remove it"
            )
        if self.gated and self.obtain is None:
            raise ValueError(
                "expected 'obtain' beside 'gated: true', got none; say where the file comes from"
            )
        return self

    @property
    def file(self) -> str:
        """The path, which all but embedded sources have."""
        return cast(str, self.path)


class Loader(_Strict):
    """The function in ``mmlego.data.sources`` that reads the files, and its options."""

    source: str
    options: dict[str, Any] = Field(default_factory=dict)


class ModalityCard(_Strict):
    """One modality: how it is shown, shaped, scaled; the last fields are for plain tables."""

    title: str
    kind: Kind
    scaling: Scaling = "standard"
    features: str = ""
    default: bool = True
    source: str | None = None
    columns: list[str] | None = None
    exclude: list[str] = Field(default_factory=list)
    step: str | None = None

    @model_validator(mode="after")
    def _scaling_of_text(self) -> ModalityCard:
        if (self.kind == "text") != (self.scaling in TEXT_SCALINGS):
            raise ValueError(
                f"expected scaling {' or '.join(TEXT_SCALINGS)} for kind 'text' and another for "
                f"other kinds, got '{self.scaling}' for '{self.kind}'; choose one that fits"
            )
        return self


class TargetCard(_Strict):
    """What is predicted, and in which columns it stands."""

    kind: Literal["survival", "classification"]
    source: str | None = None
    time: str | None = None
    event: str | None = None
    unit: str | None = None
    label: str | None = None
    classes: list[str] | None = None
    definition: str = ""

    @property
    def class_names(self) -> tuple[str, ...]:
        """Classes in the order of their labels; none for kind "survival"."""
        return tuple(self.classes or ())

    def survival_columns(self) -> tuple[str, str, str]:
        """Columns of time and of event, and the unit of time, of kind "survival"."""
        return cast("tuple[str, str, str]", (self.time, self.event, self.unit))

    @field_validator("classes", mode="before")
    @classmethod
    def _as_text(cls, value: Any) -> Any:
        return [str(v) for v in value] if isinstance(value, list) else value

    @model_validator(mode="after")
    def _complete(self) -> TargetCard:
        needed = ("time", "event", "unit") if self.kind == "survival" else ("label", "classes")
        absent = [name for name in needed if getattr(self, name) is None]
        if absent:
            raise ValueError(
                f"expected {', '.join(needed)} for kind '{self.kind}', got no {', '.join(absent)}; "
                "add it"
            )
        return self


class Published(_Strict):
    """The data set of the published table that stands beside ours, and how far the two agree.

    ``tables`` names the tabular modalities that the published models saw as one vector: without all
    of them nothing here can be compared.
    """

    dataset: str
    comparable: str
    tables: list[str] = Field(default_factory=list)


class Expected(_Strict):
    """Counts that the loaded cohort must reproduce; ``mmlego data check`` compares them."""

    samples: int = Field(ge=1)
    patients: int = Field(ge=1)
    rows: int | None = None
    events: int | None = None
    classes: list[int] | None = None
    present: dict[str, int] = Field(default_factory=dict)
    division: dict[str, int] = Field(default_factory=dict)
    features: dict[str, int] = Field(default_factory=dict)


class Card(_Strict):
    """A data card; see ``data/README.md`` for a walk through the fields."""

    name: str
    title: str
    task: Literal["survival", "classification"]
    description: str
    access: Access
    licence: str
    citation: list[str] = Field(default_factory=list)
    sources: dict[str, SourceFile] = Field(default_factory=dict)
    loader: Loader
    modalities: dict[str, ModalityCard] = Field(min_length=1)
    id: str
    samples: str = "patients"
    group: str | None = None
    target: TargetCard
    split_units: list[SplitUnit] = Field(default=["patient"], min_length=1)
    published: Published | None = None
    expected: Expected | None = None
    notes: list[str] = Field(default_factory=list)

    @field_validator("name")
    @classmethod
    def _plain_name(cls, value: str) -> str:
        if not re.fullmatch(r"[a-z0-9][a-z0-9-]*", value):
            raise ValueError(
                f"expected lower-case letters, digits and hyphens, got '{value}'; rename the data "
                "set"
            )
        return value

    @model_validator(mode="after")
    def _consistent(self) -> Card:
        if self.target.kind != self.task:
            raise ValueError(
                f"expected target.kind to equal task '{self.task}', got '{self.target.kind}'; make "
                "them agree"
            )
        named = {f"modalities.{m}": part.source for m, part in self.modalities.items()}
        named["target"] = self.target.source
        for where, source in named.items():
            if source is not None and source not in self.sources:
                raise ValueError(
                    f"expected {where}.source to be one of {sorted(self.sources)}, got '{source}'; "
                    "list the file "
                    "under 'sources'"
                )
        return self

    @property
    def default_modalities(self) -> tuple[str, ...]:
        """Modalities that are loaded unless others are asked for."""
        return tuple(name for name, m in self.modalities.items() if m.default)


def read_card(path: Path) -> Card:
    """Read and check one card.

    Raises:
        CardError: If the file cannot be read, is no YAML mapping, or breaks the schema; the message
            names file, field and remedy.
    """
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise CardError(
            f"{path}: expected a readable card, got {error.strerror}; check the path"
        ) from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise CardError(
            f"{path}: expected YAML, got {' '.join(str(error).split())}; check the indentation"
        ) from error
    if not isinstance(content, dict):
        raise CardError(
            f"{path}: expected a mapping of fields, got {type(content).__name__}; see "
            "data/README.md"
        )
    try:
        return Card.model_validate(content)
    except ValidationError as error:
        raise card_error(path, error, Card) from error


def published_entry(card: Card | None) -> dict[str, Any]:
    """What a card says about published numbers, as builtins; empty if it says nothing."""
    if card is None or card.published is None:
        return {}
    return {"dataset": card.published.dataset, "tables": list(card.published.tables)}
