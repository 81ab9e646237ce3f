"""The command line of the data: ``mmlego data list | show | fetch | check | prepare | splits``."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from mmlego.data.cards.availability import check as check_data
from mmlego.data.cards.availability import files_of, state
from mmlego.data.cards.card import Card
from mmlego.data.cards.catalog import card_dirs, list_cards, load_card
from mmlego.data.cards.locate import Files, cache_dir
from mmlego.data.cohorts.load import load_cohort
from mmlego.data.folds.splits import FIXED_UNIT, make_splits, save_splits, usual_repeats
from mmlego.errors import CardError, DataError, MMLegoError

app = typer.Typer(
    help="Data sets: what there is, where it is, and whether it is intact.", no_args_is_help=True
)

Name = Annotated[str, typer.Argument(help="Name of a data set, or the path of a YAML card.")]
DataDir = Annotated[Path | None, typer.Option("--data-dir", help="Data root to look in first.")]


@contextmanager
def _one_line_errors() -> Iterator[None]:
    """Print an error of the project as one line and leave with exit code 1; a bug shows itself."""
    try:
        yield
    except MMLegoError as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(1) from None


@app.command("list")
def list_data(data_dir: DataDir = None) -> None:
    """List the data sets, and whether they are on this machine."""
    with _one_line_errors():
        table = Table(title="Data sets")
        for column in ("name", "task", "n", "modalities", "access", "here"):
            table.add_column(column, overflow="fold", no_wrap=column == "name")
        for card in list_cards():
            n = str(card.expected.samples) if card.expected else "any"
            here = state(Files(card, data_dir))
            table.add_row(card.name, card.task, n, _modalities(card), card.access.level, here)
        Console().print(table)
        typer.echo(
            "here: yes = ready, fetch = can be downloaded, partly = some modalities only, no = to "
            "be obtained"
        )


@app.command()
def show(name: Name, data_dir: DataDir = None) -> None:
    """Show all that a card says."""
    with _one_line_errors():
        files = files_of(name, data_dir)
        card = files.card
        typer.echo(f"{card.title} ({card.name}): {card.task}\n{card.description}\n")
        typer.echo(f"access: {card.access.level}. {card.access.terms}\nlicence: {card.licence}")
        for text in card.citation:
            typer.echo(f"cite: {text}")
        for key, source in card.sources.items():
            found = files.find(key)
            where = (
                "ships with a dependency"
                if source.embedded
                else found or source.url or source.obtain or "missing"
            )
            typer.echo(f"file {key}: {source.path or '-'} -> {where}")
        for key, part in card.modalities.items():
            optional = "" if part.default else " (optional)"
            typer.echo(
                f"modality {key}{optional}: {part.title}, {part.kind}, {part.scaling}; "
                f"{part.features}"
            )
        if card.published is not None:
            typer.echo(f"published as {card.published.dataset}: {card.published.comparable}")
        for note in card.notes:
            typer.echo(f"note: {note}")


@app.command()
def fetch(
    name: Annotated[str | None, typer.Argument(help="Name of a data set.")] = None,
    every: Annotated[
        bool, typer.Option("--all", help="Fetch every data set that has a public address.")
    ] = False,
) -> None:
    """Download the files of a data set into the cache, with checksums."""
    with _one_line_errors():
        if (name is None) == (not every):
            raise DataError(
                "fetch: expected a name or --all, got neither or both; run 'mmlego data list' for "
                "the names"
            )
        problems = [p for files in _chosen(name) for p in _fetch_files(files)]
        for problem in problems:
            typer.echo(problem, err=True)
        if problems:
            raise typer.Exit(1)


@app.command()
def check(name: Name, data_dir: DataDir = None) -> None:
    """Check files, checksums, loading and counts of a data set."""
    with _one_line_errors():
        for line in check_data(name, data_dir):
            typer.echo(line)
        typer.echo(f"{name}: ok")


@app.command()
def prepare(
    name: Name,
    source: Annotated[Path, typer.Option("--source", help="Folder with the official files.")],
    out: Annotated[Path, typer.Option("--out", help="Data root to write the prepared files to.")],
) -> None:
    """Turn the official files of a publisher into the form that the card names."""
    from mmlego.data.sources.preparing import PREPARE

    with _one_line_errors():
        card = load_card(name)
        if card.loader.source not in PREPARE:
            raise CardError(
                f"'{name}': expected a data set with a preparation step, got none for it; its "
                "files are used as they are "
                "published"
            )
        first = next(iter(card.sources.values()))
        folder = out / Path(first.file).parent
        for path in PREPARE[card.loader.source](source, folder, log=typer.echo):
            typer.echo(f"wrote {path}")


@app.command()
def splits(
    name: Name,
    out: Annotated[
        Path | None, typer.Option("--out", help="Folder; by default splits/ beside the cards.")
    ] = None,
    repeats: Annotated[
        int | None, typer.Option("--repeats", help="By default 25, for large cohorts 5.")
    ] = None,
    data_dir: DataDir = None,
) -> None:
    """Compute the splits of a data set and write them as CSV, for every unit of its card."""
    with _one_line_errors():
        folder = out or card_dirs()[-1] / "splits"
        for unit in load_card(name).split_units:
            if unit == FIXED_UNIT:
                continue
            cohort = load_cohort(name, unit=unit, data_dir=data_dir)
            usual = usual_repeats(cohort, unit)
            number = usual if unit == "donor" else repeats or usual
            path = save_splits(cohort, make_splits(cohort, repeats=number, unit=unit), folder)
            typer.echo(f"wrote {path}: {number} repeats of {cohort.n} samples")


def _modalities(card: Card) -> str:
    return ", ".join(
        name if part.default else f"({name})" for name, part in card.modalities.items()
    )


def _chosen(name: str | None) -> list[Files]:
    if name is not None:
        return [files_of(name)]
    return [Files(card) for card in list_cards() if any(s.url for s in card.sources.values())]


def _fetch_files(files: Files) -> list[str]:
    """Bring every file of a card onto this machine; returns one line per file that could not be."""
    problems = []
    for key, source in files.card.sources.items():
        if source.embedded:
            typer.echo(f"{files.card.name} {key}: ships with a dependency")
            continue
        try:
            typer.echo(f"{files.card.name} {key}: {files.path(key)}")
        except DataError as error:
            problems.append(f"error: {error}")
    if not files.card.sources:
        typer.echo(f"{files.card.name}: nothing to fetch (cache: {cache_dir()})")
    return problems


if __name__ == "__main__":
    app()
