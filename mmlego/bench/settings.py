"""What the settings of all notebooks share: validated, frozen, and an identity of their own."""

from __future__ import annotations

import difflib
import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from mmlego.errors import SettingsError

# Where a run writes, whether the answer rests on it, and what it may or must train do not change
# what it is.
NOT_IDENTITY = ("results", "headline", "train_missing_blocks", "force")
# Settings that came later; at their default a run is what it was before them.
IGNORED_AT_DEFAULT = ("output_bias",)

MANUAL = "manual"  # the label of runs outside any grid


class RunSettings(BaseModel):
    """What every notebook has: its label, whether the answer rests on it, and where results go."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)
    notebook: ClassVar[str] = ""

    grid: str = Field(MANUAL, min_length=1, pattern=r"^[a-z0-9_-]+$")
    headline: bool = False
    results: str = ""
    force: bool = False  # train everything anew, whatever records and stored fits know

    @classmethod
    def from_namespace(cls, namespace: Mapping[str, Any]) -> RunSettings:
        """Build settings from a notebook's namespace, taking exactly the names that are fields.

        Raises:
            SettingsError: If a name is missing, has the wrong type, or is out of range.
        """
        missing = [name for name in cls.model_fields if name not in namespace]
        if missing:
            raise SettingsError(
                f"notebook '{cls.notebook}': expected parameters {sorted(cls.model_fields)}, "
                f"missing {missing}; run its parameters cell first"
            )
        return cls.from_values({name: namespace[name] for name in cls.model_fields})

    @classmethod
    def from_values(cls, values: Mapping[str, Any]) -> RunSettings:
        """Build settings from a mapping, or raise one readable error for the first fault."""
        for name in values:
            if name not in cls.model_fields:
                raise SettingsError(
                    unknown_name(f"notebook '{cls.notebook}'", name, cls.model_fields)
                )
        try:
            return cls(**values)
        except ValidationError as problem:
            first = problem.errors()[0]
            field = ".".join(str(part) for part in first["loc"])
            raise SettingsError(
                f"notebook '{cls.notebook}': parameter '{field}': {first['msg'].lower()}, "
                f"got {first['input']!r}"
            ) from None

    def identity(self) -> dict[str, Any]:
        """The values that make this run what it is, as builtins.

        Those that came later count only where they differ from their default, so that a run keeps
        its name.
        """
        values = self.model_dump(exclude=set(NOT_IDENTITY))
        return {
            name: value
            for name, value in values.items()
            if name not in IGNORED_AT_DEFAULT or value != type(self).model_fields[name].default
        }

    @property
    def cohort_slug(self) -> str:
        """Name of the cohort that is fit for a file, empty for a notebook without one."""
        return Path(getattr(self, "cohort", "")).stem.lower()

    @property
    def run_id(self) -> str:
        """A readable name ending in a short hash of the notebook and all identifying values."""
        text = json.dumps([self.notebook, self.identity()], sort_keys=True)
        parts = [
            self.notebook,
            self.cohort_slug,
            hashlib.sha256(text.encode()).hexdigest()[:8],
        ]
        return "-".join(part for part in parts if part)


class BlockSettings(RunSettings):
    """The settings that decide which encoders and blocks are trained, and on what."""

    cohort: str = "transbig"
    modalities: list[str] = Field(default_factory=list)  # empty: all that the card offers
    split_unit: Literal["patient", "row", "official", "official_full", "donor"] = "patient"
    repeats: int = Field(2, ge=1, le=25)
    max_samples: int = Field(0, ge=0)  # 0: all
    profile: Literal["paper", "official", "lossless"] = "paper"
    latent_channels: int = Field(17, ge=1)
    latent_dim: int = Field(126, ge=1)
    depth: int = Field(4, ge=1)
    epochs: int = Field(10, ge=1)
    batch_size: int = Field(64, ge=1)
    learning_rate: float = Field(0.003, gt=0)
    l1: float = Field(0.0002, ge=0)
    patience: int = Field(7, ge=1)
    output_bias: Literal["as_built", "base_rate"] = "as_built"
    seed: int = Field(1, ge=0)
    device: Literal["auto", "cpu", "cuda"] = "auto"

    def block_signature(self) -> dict[str, Any]:
        """The values that two notebooks must share for one to use the blocks of the other."""
        return self.model_dump(
            include=set(BlockSettings.model_fields) - set(RunSettings.model_fields)
        )


class TuningSettings(BlockSettings):
    """Settings of the notebook that searches hyper-parameters on validation parts."""

    notebook: ClassVar[str] = "tuning"
    methods: list[str] = Field(default_factory=list)  # empty: all that suit the data
    trials: int = Field(4, ge=1)


def unknown_name(owner: str, name: str, known: Any, what: str = "parameter") -> str:
    """Message for a name that is not one of ``known``, with the nearest one as a remedy."""
    close = difflib.get_close_matches(str(name), [str(item) for item in known], n=1)
    hint = f"did you mean '{close[0]}'?" if close else f"choose from {sorted(known)}"
    return f"{owner}: unknown {what} '{name}'; {hint}"
