"""Pages about data sets, written from their cards."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from mmlego.book.executed_notebooks import Page
from mmlego.data.cards.card import Card, SourceFile

_LEVELS = {
    "open": "open, fetched with a checksum",
    "embedded": "ships inside a dependency, nothing to fetch",
    "generated": "made by the package, nothing to fetch",
    "gated": "access must be applied for",
    "own": "your own",
}


def dataset_page(slug: str, card: Card, pages: Sequence[Page]) -> str:
    """One page: what the data are, whence they come, what to beware of, and the results."""
    parts = [
        f"# {card.title}",
        card.description.strip(),
        _results(slug, pages),
        _counts(card),
        _modalities(card),
        _target(card),
        _notes(card),
        _published(card),
        _sources(card),
        _use(slug, card),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _results(slug: str, pages: Sequence[Page]) -> str:
    own = [page for page in pages if page.cohort == slug]
    if not own:
        return (
            "## Results\n\nThere is no executed notebook for this data set in the book yet.\n"
            f"Make one with `mmlego run unimodal -p cohort={slug}`."
        )
    links = "\n".join(f"* [{page.title}](/{page.path.as_posix()})" for page in own)
    return f"## Results\n\n{links}"


def _counts(card: Card) -> str:
    if card.expected is None:
        return ""
    facts = [("samples", card.expected.samples), ("patients", card.expected.patients)]
    if card.expected.rows is not None:
        facts.append(("rows", card.expected.rows))
    if card.expected.events is not None:
        facts.append(("observed events", card.expected.events))
    names = card.target.classes or []
    facts += list(zip(names, card.expected.classes or [], strict=False))
    rows = "\n".join(f"| {name} | {value:,} |" for name, value in facts)
    return f"## In numbers\n\n| | |\n|---|---:|\n{rows}"


def _modalities(card: Card) -> str:
    rows = []
    for name, modality in card.modalities.items():
        width = card.expected.features.get(name, "") if card.expected else ""
        here = card.expected.present.get(name, "") if card.expected else ""
        rows.append(
            f"| `{name}` | {modality.title} | {modality.kind} | {width} | {here} | "
            f"{modality.scaling} |"
        )
    head = (
        "| name | what | kind | features | samples that have it | scaling |\n"
        "|---|---|---|---:|---:|---|"
    )
    details = "\n".join(
        f"* `{name}`: {m.features}" for name, m in card.modalities.items() if m.features
    )
    return f"## Modalities\n\n{head}\n" + "\n".join(rows) + (f"\n\n{details}" if details else "")


_UNITS = {
    "patient": "by patient",
    "row": "by row",
    "official": "with the publisher's test part",
    "official_full": "with that and no validation part",
    "donor": "with one donor held out",
}


def _target(card: Card) -> str:
    target = card.target
    if target.kind == "survival":
        text = f"Time to an event, in {target.unit}; `event` is true where it was observed."
    else:
        text = f"One of {len(target.class_names)} classes: {', '.join(target.class_names)}."
    units = " and ".join(_UNITS[unit] for unit in card.split_units)
    return (
        f"## What is predicted\n\n{text}\n{target.definition}\nSplits can be made {units}.".replace(
            "\n\n\n", "\n\n"
        )
    )


def _notes(card: Card) -> str:
    if not card.notes:
        return ""
    return "## Beware\n\n" + "\n".join(f"* {note}" for note in card.notes)


def _published(card: Card) -> str:
    if card.published is None:
        return ""
    return (
        f"## Published numbers\n\nThe column {card.published.dataset} of the published table "
        f"stands beside ours.\n{card.published.comparable}"
    )


def _sources(card: Card) -> str:
    lines = [
        f"## Source and license\n\nAccess: {_LEVELS[card.access.level]}. "
        f"{card.access.terms}\n\nLicense: {card.licence}"
    ]
    files = [_file(source) for source in card.sources.values() if not source.embedded]
    if files:
        lines.append("| file | size | SHA-256 | from |\n|---|---:|---|---|\n" + "\n".join(files))
    if card.citation:
        lines.append("Cite:\n\n" + "\n".join(f"* {text}" for text in card.citation))
    return "\n\n".join(lines)


def _file(source: SourceFile) -> str:
    size = f"{source.bytes:,} bytes" if source.bytes else ""
    digest = f"`{source.sha256[:16]}…`" if source.sha256 else ""
    origin = f"[download]({source.url})" if source.url else " ".join((source.obtain or "").split())
    return f"| `{source.path}` | {size} | {digest} | {origin} |"


def _use(slug: str, card: Card) -> str:
    name = f"path/to/{slug}.yaml" if card.access.level == "own" else card.name
    return (
        "## Use it\n\n```python\nfrom mmlego.data import load_cohort\n\n"
        f'cohort = load_cohort("{name}")\nprint(cohort.summary())\n```\n\n'
        f"```bash\nmmlego data show {name}\nmmlego data check {name}\n"
        f"mmlego run unimodal -p cohort={name}\n```"
    )


def dataset_index(cards: Mapping[str, Card], pages: Sequence[Page]) -> str:
    """Table of all data sets."""
    rows = []
    for slug, card in cards.items():
        count = sum(page.cohort == slug for page in pages)
        size = f"{card.expected.patients:,}" if card.expected else ""
        rows.append(
            f"| [{card.title}](generated/data/{slug}.md) | {card.task} | {size} | "
            f"{', '.join(f'`{name}`' for name in card.modalities)} | {card.access.level} | {count} "
            "|"
        )
    head = (
        "| data set | task | patients | modalities | access | result pages |\n"
        "|---|---|---:|---|---|---:|"
    )
    return f"{head}\n" + "\n".join(rows) + "\n"
