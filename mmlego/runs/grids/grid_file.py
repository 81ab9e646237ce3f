"""Grid files: which notebooks run, on which cohorts, under which conditions."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from mmlego.bench.settings import MANUAL, unknown_name
from mmlego.data.paths import project_root
from mmlego.errors import RunError, SettingsError
from mmlego.runs.catalogue import notebook_entry

Label = Annotated[str, Field(pattern=r"^[a-z0-9_-]+$")]
# What a grid decides itself, for each of its runs.
DECIDED = ("grid", "headline", "results", "force")


class Condition(BaseModel):
    """Parameters that several entries share, such as repeats, epochs, caps and learning rates.

    The name of a condition is the label of its runs in tables and pages.
    """

    model_config = ConfigDict(extra="forbid")
    description: str
    like: Label | None = None
    parameters: dict[str, Any] = Field(default_factory=dict)


class GridEntry(BaseModel):
    """One line of a grid: a notebook, its conditions, fixed parameters, and parameters to cross."""

    model_config = ConfigDict(extra="forbid")
    notebook: str
    condition: Label | None = None
    headline: Annotated[bool, Field(strict=True)] = False
    parameters: dict[str, Any] = Field(default_factory=dict)
    matrix: dict[str, Annotated[list[Any], Field(min_length=1)]] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _leaves_to_the_grid_what_it_decides(self) -> GridEntry:
        if taken := sorted({*self.parameters, *self.matrix} & set(DECIDED)):
            raise ValueError(f"'{taken[0]}' is no parameter of an entry: the grid decides it")
        return self


class Grid(BaseModel):
    """A grid file."""

    model_config = ConfigDict(extra="forbid")
    name: Label
    description: str
    defaults: dict[str, Any] = Field(default_factory=dict)
    conditions: dict[Label, Condition] = Field(default_factory=dict)
    runs: list[GridEntry] = Field(min_length=1)

    @field_validator("name")
    @classmethod
    def _is_no_run_by_hand(cls, name: str) -> str:
        if name == MANUAL:
            raise ValueError(f"'{MANUAL}' is the label of runs outside any grid")
        return name

    @model_validator(mode="after")
    def _names_conditions_that_are_there(self) -> Grid:
        asked = [entry.condition for entry in self.runs if entry.condition is not None]
        for name in (*asked, *(c.like for c in self.conditions.values() if c.like is not None)):
            if name not in self.conditions:
                raise ValueError(unknown_name("conditions", name, self.conditions, "condition"))
        # A name that nothing uses is likely a slip.
        used = {parent for name in asked for parent in self._line(name)}
        if idle := sorted(set(self.conditions) - used):
            raise ValueError(f"condition '{idle[0]}' is used by no entry; delete it")
        if MANUAL in self.conditions:
            raise ValueError(f"condition '{MANUAL}' is the label of runs outside any grid")
        return self

    def _line(self, name: str) -> list[str]:
        """A condition and those that it is like, the nearest first."""
        line = [name]
        while (parent := self.conditions[line[-1]].like) is not None:
            if parent in line:
                raise ValueError(f"condition '{name}' is like itself: {[*line, parent]}")
            line.append(parent)
        return line

    def label(self, entry: GridEntry) -> str:
        """The label of an entry's runs: their condition, or the grid itself."""
        return entry.condition or self.name

    def shared(self, entry: GridEntry) -> dict[str, Any]:
        """Parameters of an entry before its own: defaults, then its condition."""
        found = dict(self.defaults)
        if entry.condition is not None:
            for name in reversed(self._line(entry.condition)):
                found |= self.conditions[name].parameters
        return found

    def parameter_names(self) -> set[str]:
        """Names of the parameters of all notebooks of the grid that a grid leaves open."""
        kinds = [notebook_entry(e.notebook, owner=f"grid '{self.name}'") for e in self.runs]
        return {name for kind in kinds for name in kind.settings.model_fields} - set(DECIDED)

    def check_names(self, given: Mapping[str, Any]) -> None:
        """Refuse parameters that no notebook has, among defaults, conditions and given ones.

        Raises:
            SettingsError: If there is one.
        """
        known = self.parameter_names()
        places = {"defaults": self.defaults, "-p": given}
        places |= {f"condition '{name}'": c.parameters for name, c in self.conditions.items()}
        for place, values in places.items():
            for name in values:
                if name in DECIDED:
                    raise SettingsError(
                        f"grid '{self.name}', {place}: '{name}' is decided by the grid for each of "
                        "its runs; leave it out"
                    )
                if name not in known:
                    raise SettingsError(unknown_name(f"grid '{self.name}', {place}", name, known))


def read_grid(path: str | Path) -> Grid:
    """Read and check a grid file.

    Raises:
        RunError: If it cannot be read, or a field is unknown or of the wrong type.
    """
    try:
        return Grid(**yaml.safe_load(Path(path).read_text(encoding="utf-8")))
    except FileNotFoundError:
        here = sorted(file.name for file in (project_root() / "experiments").glob("*.yaml"))
        raise RunError(
            f"grid {path}: cannot be read (no such file); the grids of the project are "
            f"{', '.join(here)} in experiments/"
        ) from None
    except OSError as problem:
        raise RunError(f"grid {path}: cannot be read ({problem.strerror})") from None
    except ValidationError as problem:
        first = problem.errors()[0]
        field = ".".join(str(part) for part in first["loc"])
        where = f"field '{field}': " if field else ""
        text = first["msg"].removeprefix("Value error, ")
        raise RunError(f"grid {path}: {where}{text[0].lower()}{text[1:]}") from None
    except (yaml.YAMLError, UnicodeDecodeError, TypeError) as problem:
        text = " ".join(str(problem).split())
        raise RunError(f"grid {path}: is no YAML file of a grid ({text})") from None
