"""Tables, figures and sentences of the notebook `robustness`."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from mmlego import figures
from mmlego.experiments import pairing, story, views
from mmlego.experiments.outcome import Outcome
from mmlego.experiments.robustness import (
    AFTER,
    AGAIN,
    ALL,
    BEFORE,
    CARDINALITY,
    EXTENSION,
    IMBALANCE,
    MISSING,
    ONE,
    STATIC,
    TWICE,
    Findings,
    bags,
    main_set,
    scarce_modality,
)
from mmlego.experiments.session import Session

COMPLETE = "complete"
MERGE = views.METHOD_NAMES["lego_merge"]
STATIC_MERGE = f"{MERGE} ({STATIC})"
ENSEMBLE = views.METHOD_NAMES["ensemble"]
Step = tuple[str, str]


def intro(session: Session) -> str:
    """Which modalities are withheld, which one is scarce, and which parts of the page ran."""
    fold = session.folds[0]
    names = main_set(fold)[1]
    listed = ", ".join(f"`{name}`" for name in names)
    complete = np.mean([len(f.test.having(names, how="all")) for f in session.folds])
    total = np.mean([len(f.test.having(names)) for f in session.folds])
    return (
        f"Models see {listed}. On average {complete:.0f} of {total:.0f} test samples have all of "
        f"them by nature. The modality that is scarce in training is `{scarce_modality(fold)}`."
    )


def label(outcome: Outcome) -> str:
    """Name of a method, and of the head where it is not the default."""
    name = views.METHOD_NAMES[outcome.method]
    return f"{name} ({STATIC})" if outcome.variant.endswith(STATIC) else name


def skipped(session: Session, part: str) -> str:
    """Why a part of the page is empty."""
    if session.settings.parts and part not in session.settings.parts:
        return f"Left out: this run asks for {', '.join(session.settings.parts)} only."
    return (
        "Skipped: none of the modalities is a bag of instances, so there is nothing to cut down or "
        "to repeat."
    )


def _curves(session: Session, outcomes: Sequence[Outcome], fact: str) -> pd.DataFrame:
    metric = views.main_metric(session.cohort)
    table = views.value_table(outcomes, metric, lambda o: o.facts[fact], column="x")
    return table.assign(label=views.value_table(outcomes, metric, label)["label"])


def _figure(session: Session, outcomes: Sequence[Outcome], fact: str, xlabel: str) -> Figure | None:
    if not outcomes:
        return None
    return figures.rate_curves(
        _curves(session, outcomes, fact),
        xlabel=xlabel,
        metric=views.main_metric(session.cohort),
        test_train_ratio=story.ratio(session),
    )


def _listed(lines: Sequence[str]) -> str:
    return "\n".join(f"* {line}" for line in lines)


# --- missing modalities


def _at_rates(found: Findings) -> list[Outcome]:
    return [o for o in found.missing if "rate" in o.facts]


def missing_figure(session: Session, found: Findings) -> Figure | None:
    """Curves over the rate at which modalities are withheld; None if the part did not run."""
    return _figure(session, _at_rates(found), "rate", "Rate at which a modality is withheld")


def withheld(session: Session, found: Findings) -> str:
    """How much is really withheld at each rate, since everyone keeps something."""
    outcomes = _at_rates(found)
    if not outcomes:
        return skipped(session, MISSING)
    shares = pd.DataFrame([o.facts for o in outcomes]).groupby("rate")[["withheld", "draws"]].mean()
    parts = [f"{row.withheld:.0%} at rate {rate:g}" for rate, row in shares.iterrows()]
    return (
        "Everyone keeps at least one modality, so less is withheld than the rate says: "
        f"{', '.join(parts)}, as the mean over "
        f"{pairing.counted(int(shares['draws'].max()), 'draw')} per repeat."
    )


def pattern_table(session: Session, found: Findings) -> pd.DataFrame:
    """Each single modality by itself: one row per method, one column per pattern.

    The first column is the test without anything withheld, if rate 0 was asked for.
    """
    metric = views.main_metric(session.cohort)
    shown = [o for o in found.missing if "only" in o.facts or o.facts["rate"] == 0]
    table = views.value_table(shown, metric, label)
    pattern = views.value_table(shown, metric, _pattern)["label"]
    return _spread_table(table.assign(column=pattern), "method")


def _pattern(outcome: Outcome) -> str:
    return f"only {outcome.facts['only']}" if "only" in outcome.facts else COMPLETE


def _spread_table(table: pd.DataFrame, heading: str) -> pd.DataFrame:
    """Mean ± standard deviation: labels as rows, ``column`` as columns."""
    groups = table.groupby(["label", "column"], sort=False)["value"]
    text = groups.agg(lambda values: figures.tables.format_result(
        values.mean(), values.std(), len(values)
    )).unstack("column", sort=False)
    return text.fillna("").rename_axis(heading).rename_axis(None, axis=1).reset_index()


def pattern_html(session: Session, found: Findings) -> str:
    """The table of patterns as HTML; empty if the part did not run."""
    if not found.missing:
        return ""
    caption = "Tested with one modality only, on those who have it"
    return figures.to_html(pattern_table(session, found), caption=caption)


def missing_conclusion(session: Session, found: Findings) -> str:
    """Who loses most, and how the merge compares where most is withheld."""
    outcomes = _at_rates(found)
    if not outcomes:
        return skipped(session, MISSING)
    table = _curves(session, outcomes, "rate")
    low, high = table["x"].min(), table["x"].max()
    lines = [] if low == high else [_change_line(table, low, high)]
    at = f"where modalities are withheld at rate {high:g}"
    most = table[table["x"] == high]
    lines += _verdicts(most, MERGE, (ENSEMBLE, STATIC_MERGE, *_trained(most)), f"{MERGE} {at}")
    return _listed(lines)


def _trained(table: pd.DataFrame) -> list[str]:
    """Networks that were trained on all modalities together."""
    others = table[~table["method"].isin(("lego_merge", "ensemble"))]
    return list(dict.fromkeys(others["label"]))


def _change_line(table: pd.DataFrame, low: float, high: float) -> str:
    means = table.pivot_table(index="label", columns="x", values="value", sort=False)
    change = (means[high] - means[low]).sort_values()
    listed = ", ".join(f"{name} {value:+.3f}" for name, value in change.items())
    return f"Change of the mean from rate {low:g} to rate {high:g}: {listed}."


def _verdicts(
    table: pd.DataFrame, first: str, rivals: Sequence[str], what: str | None = None
) -> list[str]:
    """The first label against each rival in the table, corrected for their number."""
    names = set(table["label"])
    there = [name for name in dict.fromkeys(rivals) if {first, name} <= names]
    found = pairing.adjust([pairing.compare(table, first, name) for name in there])
    return [
        story.verdict(pair, what or first, name) for pair, name in zip(found, there, strict=True)
    ]


# --- a scarce modality


def imbalance_figure(session: Session, found: Findings) -> Figure | None:
    """Curves over the share of training samples with the scarce modality; None if not run."""
    if not found.imbalance:
        return None
    scarce = found.imbalance[0].facts["scarce"]
    xlabel = f"Share of training samples with {scarce}"
    return _figure(session, found.imbalance, "share", xlabel)


def imbalance_sizes(session: Session, found: Findings) -> str:
    """How many training samples had the scarce modality."""
    if not found.imbalance:
        return skipped(session, IMBALANCE)
    facts = pd.DataFrame([o.facts for o in found.imbalance])
    counts = facts.groupby("share")["n_scarce"].mean()
    listed = ", ".join(f"{count:.0f} ({share:.0%})" for share, count in counts.items())
    return (
        f"Training samples that have `{facts['scarce'].iloc[0]}`, on average over repeats: "
        f"{listed}. Validation parts are complete, and so are all test samples."
    )


def imbalance_conclusion(session: Session, found: Findings) -> str:
    """What scarcity costs the merge, and whom it beats at the smallest share."""
    if not found.imbalance:
        return skipped(session, IMBALANCE)
    table = _curves(session, found.imbalance, "share")
    low, high = table["x"].min(), table["x"].max()
    least = table[table["x"] == low]
    at = f"with {low:.0%} of `{found.imbalance[0].facts['scarce']}`"
    lines = [_change_line(table, high, low).replace("rate ", "share ")]
    lines += _verdicts(least, MERGE, (ENSEMBLE, *_trained(least)), f"{MERGE} {at}")
    return _listed(lines)


# --- instances of bags


def bag_sizes(session: Session, found: Findings) -> str:
    """How many instances bags have, and what is done to them."""
    if not found.cardinality:
        return skipped(session, CARDINALITY)
    lines = []
    for name in bags(session.folds[0]):
        sizes = [len(bag) for fold in session.folds for bag in fold.test.values[name] if len(bag)]
        lines.append(
            f"* `{name}`: {min(sizes)} to {max(sizes)} instances per test sample, median "
            f"{np.median(sizes):.0f}; {np.mean(np.array(sizes) > 1):.0%} have several."
        )
        if max(sizes) == 1:
            lines.append("  A single instance is all there is: only doubling changes a bag.")
    return "\n".join(lines)


def cardinality_table(session: Session, found: Findings) -> pd.DataFrame:
    """Each method on whole, reduced and doubled bags, and how far its logits move."""
    metric = views.main_metric(session.cohort)

    def name(outcome: Outcome) -> str:
        return f"{label(outcome)}, {outcome.facts['bag']}"

    table = views.value_table(found.cardinality, metric, name)
    condition = views.value_table(found.cardinality, metric, lambda o: o.facts["condition"])
    text = _spread_table(table.assign(column=condition["label"]), "model")
    moved = {
        name(o): max(
            p.facts["largest_change"]
            for p in found.cardinality
            if name(p) == name(o) and p.facts["condition"] == TWICE
        )
        for o in found.cardinality
    }
    return text.assign(**{"largest change of a logit, doubled": [f"{moved[n]:.1e}" for n in text["model"]]})


def cardinality_html(session: Session, found: Findings) -> str:
    """The table of bags as HTML; empty if nothing ran."""
    if not found.cardinality:
        return ""
    caption = "Bags with all instances, with one, and with each instance twice"
    return figures.to_html(cardinality_table(session, found), caption=caption)


# Rounding of single precision, relative to the largest logit.
_ROUNDING = 1e-4


def cardinality_conclusion(session: Session, found: Findings) -> str:
    """Which models do not see that instances came twice, and what one instance costs."""
    if not found.cardinality:
        return skipped(session, CARDINALITY)
    moved: dict[str, bool] = {}
    for o in found.cardinality:
        if o.facts["condition"] == TWICE:
            differs = o.facts["largest_change"] > _ROUNDING * max(1.0, o.facts["largest_logit"])
            moved[label(o)] = moved.get(label(o), False) or differs
    lines = [
        f"Doubled instances leave {_names(moved, False)} unchanged up to rounding.",
        f"They move the logits of {_names(moved, True)}.",
    ]
    metric = views.main_metric(session.cohort)
    merges = [o for o in found.cardinality if label(o) == MERGE]
    table = views.value_table(merges, metric, lambda o: o.facts["condition"])
    groups = table.groupby(["label", "repeat"], sort=False, as_index=False)
    table = groups[["value", "n_train", "n_test"]].mean()
    lines += _verdicts(table, ONE, (ALL,), f"{MERGE} with one instance per bag")
    return _listed(lines)


def _names(moved: dict[str, bool], value: bool) -> str:
    return ", ".join(name for name, flag in moved.items() if flag is value) or "no model"


# --- a modality that comes later


def extension_table(session: Session, found: Findings) -> pd.DataFrame:
    """One row per added modality: before, after, trained again, and seconds of training."""
    metric = views.main_metric(session.cohort)
    rows = []
    for added in dict.fromkeys(o.facts["added"] for o in found.extension):
        row = {"added": added}
        for step, title in ((BEFORE, "merge before"), (AFTER, "merge after"), (AGAIN, _again())):
            part = _step(found, added, step)
            values = [o.metrics[metric] for o in part if np.isfinite(o.metrics[metric])]
            row[title] = (
                figures.tables.format_result(np.mean(values), _sd(values), len(values))
                if values
                else ""
            )
        for step, title in ((AFTER, "seconds, new block"), (AGAIN, f"seconds, {_again()}")):
            part = _step(found, added, step)
            row[title] = f"{np.mean([o.seconds for o in part]):.1f}" if part else ""
        rows.append(row)
    return pd.DataFrame(rows)


def _again() -> str:
    return f"{views.METHOD_NAMES['healnet']} trained again"


def _sd(values: Sequence[float]) -> float:
    return float(np.std(values, ddof=1)) if len(values) > 1 else float("nan")


def _step(found: Findings, added: str, step: str) -> list[Outcome]:
    return [o for o in found.extension if o.facts["added"] == added and o.facts["step"] == step]


def extension_html(session: Session, found: Findings) -> str:
    """The table of extensions as HTML; empty if the part did not run."""
    if not found.extension:
        return ""
    caption = "A modality added to a finished merge, tested on the same samples before and after"
    return figures.to_html(extension_table(session, found), caption=caption)


def extension_conclusion(session: Session, found: Findings) -> str:
    """What each added modality does, and what it costs to train."""
    if not found.extension:
        return skipped(session, EXTENSION)
    metric = views.main_metric(session.cohort)
    lines = []
    for added in dict.fromkeys(o.facts["added"] for o in found.extension):
        both = [*_step(found, added, BEFORE), *_step(found, added, AFTER)]
        table = views.value_table(both, metric, lambda o: o.facts["step"])
        lines += _verdicts(table, AFTER, (BEFORE,), f"The merge with `{added}` added")
    lines = [line.replace(BEFORE, "the merge without it") for line in lines]
    new = np.mean([o.seconds for o in found.extension if o.facts["step"] == AFTER])
    again = [o.seconds for o in found.extension if o.facts["step"] == AGAIN]
    cost = f"Training encoder and block of what is new took {new:.1f} s on average"
    if again:
        cost += f", training {views.METHOD_NAMES['healnet']} again {np.mean(again):.1f} s"
    lines.append(f"{cost}; no block that was there before changed by a single bit.")
    return _listed(lines)


def conclusion(session: Session, found: Findings) -> str:
    """All parts that ran, under their headings."""
    parts: list[tuple[str, list[Outcome], Callable[[Session, Findings], str]]] = [
        ("Missing modalities", found.missing, missing_conclusion),
        ("A scarce modality", found.imbalance, imbalance_conclusion),
        ("Instances per bag", found.cardinality, cardinality_conclusion),
        ("A modality added later", found.extension, extension_conclusion),
    ]
    return "\n\n".join(
        f"**{title}**\n\n{say(session, found)}" for title, outcomes, say in parts if outcomes
    )
