"""Find the cards: beside the package in a checkout, inside it when installed, or by path."""

from __future__ import annotations

import os
from pathlib import Path

from mmlego.data.cards.card import Card, read_card
from mmlego.data.cards.suggest import did_you_mean
from mmlego.errors import CardError

_PACKAGE = Path(__file__).resolve().parents[2]


def card_dirs() -> list[Path]:
    """Return the folders that hold cards, best first.

    First the folders in the environment variable ``MMLEGO_CARDS`` (separated as in PATH), then the
    ``data/`` folder of a checkout, or else the copy inside the installed package.
    """
    own = [Path(p) for p in os.environ.get("MMLEGO_CARDS", "").split(os.pathsep) if p]
    checkout = _PACKAGE.parent / "data"
    shipped = checkout if (checkout / "splits").is_dir() else _PACKAGE / "_data"
    return [*own, shipped]


def card_paths() -> dict[str, Path]:
    """Return the path of every card by name; the first folder that has a name wins."""
    paths: dict[str, Path] = {}
    for folder in card_dirs():
        for path in sorted(folder.glob("*.yaml")):
            paths.setdefault(path.stem, path)
    return paths


def list_cards() -> list[Card]:
    """Return all cards, sorted by name.

    Raises:
        CardError: If one of them is invalid.
    """
    return [load_card(name) for name in sorted(card_paths())]


def load_card(name: str | Path) -> Card:
    """Return the card of a data set, by its name or by the path of a YAML file.

    Raises:
        CardError: If there is no such card, it is invalid, or a shipped card is not named after its
            file.
    """
    path = card_path(name)
    card = read_card(path)
    if not is_path(name) and card.name != path.stem:
        raise CardError(
            f"{path}: field 'name': expected '{path.stem}', got '{card.name}'; name both alike"
        )
    return card


def card_path(name: str | Path) -> Path:
    """Return where the card of that name, or at that path, is.

    Raises:
        CardError: If there is none.
    """
    if is_path(name):
        path = Path(name)
        if not path.is_file():
            raise CardError(
                f"card '{name}': expected a YAML file, got no such file; check the path"
            )
        return path
    paths = card_paths()
    if str(name) not in paths:
        remedy = did_you_mean(str(name), paths) or "; or give the path of a YAML card of your own"
        raise CardError(f"cohort '{name}': expected one of {', '.join(sorted(paths))}{remedy}")
    return paths[str(name)]


def is_path(name: str | Path) -> bool:
    """Return whether the name is a path to a card rather than the name of a shipped one."""
    return isinstance(name, Path) or str(name).endswith((".yaml", ".yml")) or os.sep in str(name)
