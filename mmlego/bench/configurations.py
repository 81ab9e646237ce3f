"""Configurations of one method that are compared on the same folds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from mmlego.errors import SettingsError


@dataclass(frozen=True)
class Configuration:
    """One configuration of a method.

    Attributes:
        name: Its arm in the table of results.
        title: What readers call it.
        method: Name in the registry.
        options: Options of the model that differ.
        fit: Fit settings that differ.
        task: The only task that it is for; empty for any.
        complete: Whether it is trained on samples with every modality only; all are tested.
        factor: What is changed, where several configurations change one thing each.
        reference: Name of the configuration that it is compared with.
        facts: What its outcomes are to say beside the numbers.
    """

    name: str
    title: str
    method: str
    options: Mapping[str, object] = field(default_factory=dict)
    fit: Mapping[str, Any] = field(default_factory=dict)
    task: str = ""
    complete: bool = False
    factor: str = ""
    reference: str = ""
    facts: Mapping[str, object] = field(default_factory=dict)

    def is_for(self, task: str) -> bool:
        """Whether it is for a task."""
        return self.task in ("", task)


def by_name(*configurations: Configuration) -> dict[str, Configuration]:
    """Configurations by their names.

    Raises:
        SettingsError: If two have one name.
    """
    found = {item.name: item for item in configurations}
    if len(found) < len(configurations):
        names = [item.name for item in configurations]
        twice = sorted({name for name in names if names.count(name) > 1})
        raise SettingsError(f"configurations: expected a name for each, got twice {twice}")
    return found


def check_arms(wanted: Sequence[str], known: Mapping[str, Configuration], task: str) -> None:
    """Refuse names of configurations that there are not, or that are for another task.

    Raises:
        SettingsError: If there is one.
    """
    unknown = [name for name in wanted if name not in known]
    if unknown:
        raise SettingsError(f"arms: expected names of {list(known)}, got {unknown}")
    foreign = [name for name in wanted if not known[name].is_for(task)]
    if foreign:
        raise SettingsError(f"arms: expected arms for {task}, got {foreign}; leave them out")
